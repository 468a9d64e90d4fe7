//! What a command tells while it works: the events of `--json`, and the same as lines.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rarest_metainfo::{Magnet, Metainfo};
use rarest_session::swarm::BanReason;
use rarest_session::{Event, Stats, TorrentEvent, TorrentState};
use serde::Serialize;

use crate::quantity::{ByteCount, counted, duration};

/// One line of `--json`: an object whose `event` says which of these it is. Sizes are bytes, rates bytes a second.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Report {
    /// A torrent was read.
    Loaded {
        name: String,
        /// Hex digits; the v1 hash of a hybrid.
        info_hash: String,
        size: u64,
        pieces: u32,
        piece_length: u32,
        /// Number of files, padding left out.
        files: usize,
    },
    /// A magnet link was read: what it names is looked for.
    Linked {
        /// As the link says.
        name: Option<String>,
        /// Hex digits; the v1 hash of a hybrid.
        info_hash: String,
    },
    /// The metadata of a magnet link is looked for.
    FetchingMetadata {
        active_peers: usize,
        known_peers: usize,
    },
    /// The metadata was written to a file.
    MetadataWritten { path: String },
    /// Peers can connect.
    Listening { port: u16 },
    /// There is neither a tracker nor a peer to ask.
    NobodyToAsk { port: u16 },
    /// What is on disk is known.
    Checked { verified_pieces: u32, pieces: u32 },
    /// A torrent is served, with as much as there is of it.
    Serving {
        name: String,
        verified_pieces: u32,
        pieces: u32,
    },
    /// All that can be served is.
    Ready { torrents: usize },
    /// A peer shook hands.
    PeerConnected { peer: SocketAddr },
    /// A peer could not be reached, or hung up at once.
    PeerUnreachable { peer: SocketAddr, reason: String },
    /// A peer is gone.
    PeerDisconnected { peer: SocketAddr, reason: String },
    /// A peer is not talked to any more.
    PeerBanned { address: IpAddr, reason: String },
    /// A web seed is not asked any more, for now or for ever.
    WebSeedFailed { url: String, reason: String },
    /// A piece is verified and written.
    PieceCompleted {
        piece: u32,
        completed: u32,
        pieces: u32,
    },
    /// A piece was not what it should be, and is fetched again.
    PieceCorrupt { piece: u32 },
    /// How far it is.
    Progress {
        percent: f64,
        remaining_bytes: u64,
        downloaded_bytes: u64,
        uploaded_bytes: u64,
        download_rate: u64,
        upload_rate: u64,
        active_peers: usize,
        known_peers: usize,
        seconds_left: Option<u64>,
    },
    /// A tracker answered.
    Announced {
        tracker: String,
        peers: usize,
        warning: Option<String>,
    },
    /// A tracker did not.
    AnnounceFailed { tracker: String, reason: String },
    /// The storage failed; it is tried again.
    StorageFailed { reason: String, retry_seconds: u64 },
    /// The storage could not keep what was written; so many pieces are checked again.
    WritesLost { reason: String, pieces: usize },
    /// The storage is not tried again.
    StorageGivenUp { reason: String },
    /// The storage works again.
    StorageRecovered,
    /// Somebody else changed a file; what it holds is checked again. By the number that `inspect` shows.
    FileChanged { file: u32 },
    /// A file is there of which no piece is right; the download replaces it. Before any of it is written.
    FileReplaced { file: u32, path: String, bytes: u64 },
    /// A file is longer than the torrent's, and some of its pieces are wrong; it is cut once one of them is written.
    FileCut {
        file: u32,
        path: String,
        bytes: u64,
        size: u64,
    },
    /// Nothing came for a long time; it goes on trying.
    Stalled { reason: String },
    /// All that was wanted is there.
    Completed {
        bytes: u64,
        seconds: f64,
        /// Pieces that came in this run; none when all was there already.
        downloaded_pieces: u32,
    },
    /// The user asked to stop.
    Stopping,
    /// So many events were left out here.
    Missed { events: u64 },
}

impl Report {
    pub(crate) fn loaded(torrent: &Metainfo) -> Self {
        let info = torrent.info();
        let hash = torrent.info_hashes().swarms().next();
        Self::Loaded {
            name: info.name().to_owned(),
            info_hash: hash.map(|hash| hash.to_string()).unwrap_or_default(),
            size: info.total_length(),
            pieces: info.geometry().piece_count(),
            piece_length: info.geometry().nominal_piece_length(),
            files: info.files().filter(|file| !file.is_padding()).count(),
        }
    }

    pub(crate) fn linked(magnet: &Magnet) -> Self {
        let hash = magnet.info_hashes().swarms().next();
        Self::Linked {
            name: magnet.name.clone(),
            info_hash: hash.map(|hash| hash.to_string()).unwrap_or_default(),
        }
    }

    /// What an event tells the user by itself, if anything: those that count pieces need a [`PieceCount`].
    pub(crate) fn of(event: Event) -> Option<Self> {
        let event = match event {
            Event::Torrent(_, event) => event,
            Event::Missed(events) => return Some(Self::Missed { events }),
            _ => return None,
        };
        Some(match event {
            TorrentEvent::PieceCorrupt(piece) => Self::PieceCorrupt { piece: piece.get() },
            TorrentEvent::PeerConnected(peer) => Self::PeerConnected { peer },
            TorrentEvent::PeerUnreachable { peer, reason } => {
                Self::PeerUnreachable { peer, reason }
            }
            TorrentEvent::PeerDisconnected { peer, reason } => {
                Self::PeerDisconnected { peer, reason }
            }
            TorrentEvent::WebSeedFailed { url, reason } => Self::WebSeedFailed { url, reason },
            TorrentEvent::PeerBanned { address, reason } => Self::PeerBanned {
                address,
                reason: ban_reason(reason),
            },
            TorrentEvent::Announced {
                tracker,
                peers,
                warning,
            } => Self::Announced {
                tracker,
                peers,
                warning,
            },
            TorrentEvent::AnnounceFailed { tracker, reason } => {
                Self::AnnounceFailed { tracker, reason }
            }
            TorrentEvent::StorageFailed { error, retry_after } => Self::StorageFailed {
                reason: error.to_string(),
                retry_seconds: retry_after.as_secs(),
            },
            TorrentEvent::WritesLost { error, pieces } => Self::WritesLost {
                reason: error.to_string(),
                pieces,
            },
            TorrentEvent::StorageGivenUp(error) => Self::StorageGivenUp {
                reason: error.to_string(),
            },
            TorrentEvent::StorageRecovered => Self::StorageRecovered,
            TorrentEvent::FileChanged(file) => Self::FileChanged { file: file.get() },
            _ => return None,
        })
    }

    /// How far it is in the width of a terminal, what matters most first: what does not fit is cut off.
    pub(crate) fn bar_text(stats: &Stats) -> String {
        let (down, up) = (ByteCount(stats.download_rate), ByteCount(stats.upload_rate));
        let peers = format!("{}/{} peers", stats.connected_peers, stats.known_peers);
        if stats.state == TorrentState::FetchingMetadata {
            return format!("fetching the metadata, {peers}");
        }
        if stats.is_complete() {
            let sent = ByteCount(stats.uploaded_bytes);
            return format!("complete, {up}/s up, {peers}, {sent} sent");
        }
        let percent = Self::percent(stats);
        let time = stats
            .time_left
            .map(|time| format!("{} left, ", duration(time)));
        format!(
            "{percent:.1} %, {}{down}/s down, {up}/s up, {peers}, {} missing",
            time.unwrap_or_default(),
            ByteCount(stats.missing_bytes)
        )
    }

    fn percent(stats: &Stats) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a share for people")]
        match stats.verified_bytes + stats.missing_bytes {
            0 => 100.0,
            goal => stats.verified_bytes as f64 / goal as f64 * 100.0,
        }
    }

    pub(crate) fn progress(stats: &Stats) -> Self {
        if stats.state == TorrentState::FetchingMetadata {
            return Self::FetchingMetadata {
                active_peers: stats.connected_peers,
                known_peers: stats.known_peers,
            };
        }
        Self::Progress {
            percent: Self::percent(stats),
            remaining_bytes: stats.missing_bytes,
            downloaded_bytes: stats.downloaded_bytes,
            uploaded_bytes: stats.uploaded_bytes,
            download_rate: stats.download_rate,
            upload_rate: stats.upload_rate,
            active_peers: stats.connected_peers,
            known_peers: stats.known_peers,
            seconds_left: stats.time_left.map(|time| time.as_secs()),
        }
    }
}

/// Counts pieces while their events come, as the snapshots of statistics come later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PieceCount {
    /// Those that came in this run.
    pub(crate) downloaded: u32,
    completed: u32,
    pieces: u32,
}

impl PieceCount {
    pub(crate) fn of(torrent: &Metainfo) -> Self {
        Self {
            downloaded: 0,
            completed: 0,
            pieces: torrent.info().geometry().piece_count(),
        }
    }

    /// What an event tells the user, if anything.
    pub(crate) fn report(&mut self, event: Event) -> Option<Report> {
        Some(match event {
            Event::Torrent(_, TorrentEvent::Checked { verified_pieces }) => {
                self.completed = verified_pieces;
                Report::Checked {
                    verified_pieces,
                    pieces: self.pieces,
                }
            }
            Event::Torrent(_, TorrentEvent::PieceVerified(piece)) => {
                self.completed += 1;
                self.downloaded += 1;
                Report::PieceCompleted {
                    piece: piece.get(),
                    completed: self.completed,
                    pieces: self.pieces,
                }
            }
            event => return Report::of(event),
        })
    }
}

fn ban_reason(reason: BanReason) -> String {
    match reason {
        BanReason::CorruptPiece(piece) => {
            format!("it sent all of piece {}, which was corrupt", piece.get())
        }
        BanReason::CorruptBlock(block) => {
            format!("it sent a false block of piece {}", block.piece().get())
        }
        BanReason::WrongHashes(_) => "it sent false hashes".to_owned(),
        BanReason::WrongMetadata => {
            "it sent metadata that is not what the magnet link names".to_owned()
        }
        _ => "it broke the protocol".to_owned(),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loaded {
                name,
                size,
                pieces,
                piece_length,
                files,
                ..
            } => write!(
                f,
                "{name}: {}, {} of {}, {}",
                ByteCount(*size),
                counted(u64::from(*pieces), "piece"),
                ByteCount((*piece_length).into()),
                counted(*files as u64, "file"),
            ),
            Self::Linked { name, info_hash } => {
                let name = name.as_ref().unwrap_or(info_hash);
                write!(f, "{name}: fetching the metadata from peers")
            }
            Self::FetchingMetadata {
                active_peers,
                known_peers,
            } => write!(
                f,
                "fetching the metadata, {active_peers} of {known_peers} peers"
            ),
            Self::MetadataWritten { path } => write!(f, "written to {path}"),
            Self::Listening { port } => write!(f, "listening on port {port}"),
            Self::NobodyToAsk { port } => write!(
                f,
                "the torrent names no tracker and no --peer was given: only peers that dial port {port} can be found"
            ),
            Self::Checked {
                verified_pieces,
                pieces,
            } => write!(f, "{verified_pieces} of {pieces} pieces are there"),
            Self::Serving {
                name,
                verified_pieces,
                pieces,
            } => write!(
                f,
                "serving {name}: {verified_pieces} of {pieces} pieces are there"
            ),
            Self::Ready { torrents } => {
                write!(f, "READY: {}", counted(*torrents as u64, "torrent"))
            }
            Self::PeerConnected { peer } => write!(f, "peer {peer} connected"),
            Self::PeerUnreachable { peer, reason } => {
                write!(f, "peer {peer} cannot be reached: {reason}")
            }
            Self::PeerDisconnected { peer, reason } => write!(f, "peer {peer} gone: {reason}"),
            Self::WebSeedFailed { url, reason } => write!(f, "web seed {url}: {reason}"),
            Self::PeerBanned { address, reason } => write!(f, "peer {address} banned: {reason}"),
            Self::PieceCompleted {
                piece,
                completed,
                pieces,
            } => {
                write!(f, "piece {piece} completed, {completed} of {pieces}")
            }
            Self::PieceCorrupt { piece } => {
                write!(f, "piece {piece} was corrupt, it is fetched again")
            }
            Self::Progress {
                percent,
                remaining_bytes,
                download_rate,
                upload_rate,
                active_peers,
                known_peers,
                seconds_left,
                ..
            } => {
                write!(
                    f,
                    "{percent:.1} %, {} left, {}/s down, {}/s up, {active_peers} of {known_peers} peers",
                    ByteCount(*remaining_bytes),
                    ByteCount(*download_rate),
                    ByteCount(*upload_rate)
                )?;
                match seconds_left {
                    Some(seconds) => {
                        write!(f, ", {} to go", duration(Duration::from_secs(*seconds)))
                    }
                    None => Ok(()),
                }
            }
            Self::Announced {
                tracker,
                peers,
                warning: None,
            } => write!(f, "{tracker} names {}", counted(*peers as u64, "peer")),
            Self::Announced {
                tracker,
                peers,
                warning: Some(warning),
            } => {
                write!(
                    f,
                    "{tracker} names {} and warns: {warning}",
                    counted(*peers as u64, "peer")
                )
            }
            Self::AnnounceFailed { tracker, reason } => write!(f, "{tracker} failed: {reason}"),
            Self::StorageFailed {
                reason,
                retry_seconds,
            } => {
                write!(
                    f,
                    "the storage failed, next try in {retry_seconds} s: {reason}"
                )
            }
            Self::WritesLost { reason, pieces } => write!(
                f,
                "{} may not have been kept, to be checked again: {reason}",
                counted(*pieces as u64, "piece")
            ),
            Self::StorageGivenUp { reason } => write!(f, "the storage is given up: {reason}"),
            Self::StorageRecovered => f.write_str("the storage works again"),
            Self::FileChanged { file } => write!(
                f,
                "file {file} was changed by somebody else; it is checked again"
            ),
            Self::Stalled { reason } => f.write_str(reason),
            Self::FileReplaced { path, bytes, .. } => write!(
                f,
                "{path} is there with {bytes} bytes, and no piece of it is the torrent's: it is replaced"
            ),
            Self::FileCut {
                path, bytes, size, ..
            } => write!(
                f,
                "{path} has {bytes} bytes, {} more than the torrent's: it is cut",
                bytes - size
            ),
            Self::Completed {
                bytes,
                downloaded_pieces: 0,
                ..
            } => write!(f, "complete: all {} were there", ByteCount(*bytes)),
            Self::Completed { bytes, seconds, .. } => {
                write!(f, "complete: {} after {seconds:.1} s", ByteCount(*bytes))
            }
            Self::Stopping => f.write_str("stopping; Ctrl-C once more ends at once"),
            Self::Missed { events } => write!(f, "{} left out", counted(*events, "event")),
        }
    }
}

impl Report {
    /// Whether it is worth a line above the bar, which shows the rest.
    pub(crate) fn is_for_terminals(&self) -> bool {
        !matches!(
            self,
            Self::PeerConnected { .. }
                | Self::PeerDisconnected { .. }
                | Self::PieceCompleted { .. }
                | Self::Announced { warning: None, .. }
                | Self::Progress { .. }
                | Self::FetchingMetadata { .. }
                | Self::Missed { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use rarest_metainfo::{Builder, Version};

    use super::*;

    #[test]
    fn an_event_is_one_object_with_its_name() {
        let report = Report::PieceCompleted {
            piece: 7,
            completed: 2,
            pieces: 9,
        };
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"event":"piece_completed","piece":7,"completed":2,"pieces":9}"#
        );
        assert_eq!(report.to_string(), "piece 7 completed, 2 of 9");
    }

    #[test]
    fn a_gap_in_the_events_is_told() {
        let torrent = Builder::new(Version::V1).build_from_bytes("name", b"bytes");
        let mut pieces = PieceCount::of(&torrent.unwrap());
        let gap = Some(Report::Missed { events: 7 });
        assert_eq!(Report::of(Event::Missed(7)), gap);
        assert_eq!(pieces.report(Event::Missed(7)), gap);
    }

    #[test]
    fn rates_peers_and_the_time_left_fit_beside_the_bar_in_80_columns() {
        let mut stats = Stats::default();
        stats.state = TorrentState::Downloading;
        (stats.verified_bytes, stats.missing_bytes) = (99 << 30, 1 << 30);
        (stats.download_rate, stats.upload_rate) = (99 << 20, 9 << 20);
        (stats.connected_peers, stats.known_peers) = (1, 1);
        stats.time_left = Some(Duration::from_secs(3599));
        let text = Report::bar_text(&stats);
        let end = text.find("peers").unwrap() + "peers".len();
        assert!(end <= 80 - "================ ".len(), "{text}");
        assert!(text.contains("59m59s left"), "{text}");
    }

    #[test]
    fn one_torrent_is_no_torrents() {
        assert_eq!(
            Report::Ready { torrents: 1 }.to_string(),
            "READY: 1 torrent"
        );
        assert_eq!(
            Report::Ready { torrents: 2 }.to_string(),
            "READY: 2 torrents"
        );
    }
}
