//! What a command tells while it works: a bar on a terminal, lines elsewhere, or JSON.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget};
use rarest_metainfo::Metainfo;
use rarest_session::swarm::BanReason;
use rarest_session::{Stats, TorrentEvent, TorrentState};
use serde::Serialize;

use crate::byte_bar::bar_style;
use crate::printable;
use crate::quantity::{ByteCount, duration};

/// How often lines of progress are printed where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

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
    /// Peers can connect.
    Listening { port: u16 },
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
    /// A peer is gone.
    PeerDisconnected { peer: SocketAddr, reason: String },
    /// A peer is not talked to any more.
    PeerBanned { address: IpAddr, reason: String },
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
    /// Nothing came for a long time; it goes on trying.
    Stalled { reason: String },
    /// All that was wanted is there.
    Completed { bytes: u64, seconds: f64 },
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

    pub(crate) fn progress(stats: &Stats) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a share for people")]
        let percent = match goal(stats) {
            0 => 100.0,
            goal => stats.verified_bytes as f64 / goal as f64 * 100.0,
        };
        Self::Progress {
            percent,
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

/// Bytes that there will be when all that is wanted is there.
fn goal(stats: &Stats) -> u64 {
    stats.verified_bytes + stats.missing_bytes
}

/// Counts pieces while their events come, as the snapshots of statistics come later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PieceCount {
    completed: u32,
    pieces: u32,
}

impl PieceCount {
    pub(crate) fn of(torrent: &Metainfo) -> Self {
        Self {
            completed: 0,
            pieces: torrent.info().geometry().piece_count(),
        }
    }

    /// What an event tells the user, if anything.
    pub(crate) fn report(&mut self, event: TorrentEvent) -> Option<Report> {
        Some(match event {
            TorrentEvent::Checked { verified_pieces } => {
                self.completed = verified_pieces;
                Report::Checked {
                    verified_pieces,
                    pieces: self.pieces,
                }
            }
            TorrentEvent::PieceVerified(piece) => {
                self.completed += 1;
                Report::PieceCompleted {
                    piece: piece.get(),
                    completed: self.completed,
                    pieces: self.pieces,
                }
            }
            TorrentEvent::PieceCorrupt(piece) => Report::PieceCorrupt { piece: piece.get() },
            TorrentEvent::PeerConnected(peer) => Report::PeerConnected { peer },
            TorrentEvent::PeerDisconnected { peer, reason } => {
                Report::PeerDisconnected { peer, reason }
            }
            TorrentEvent::PeerBanned { address, reason } => Report::PeerBanned {
                address,
                reason: ban_reason(reason),
            },
            TorrentEvent::Announced {
                tracker,
                peers,
                warning,
            } => Report::Announced {
                tracker,
                peers,
                warning,
            },
            TorrentEvent::AnnounceFailed { tracker, reason } => {
                Report::AnnounceFailed { tracker, reason }
            }
            TorrentEvent::StorageFailed { error, retry_after } => Report::StorageFailed {
                reason: error.to_string(),
                retry_seconds: retry_after.as_secs(),
            },
            TorrentEvent::WritesLost { error, pieces } => Report::WritesLost {
                reason: error.to_string(),
                pieces,
            },
            TorrentEvent::StorageGivenUp(error) => Report::StorageGivenUp {
                reason: error.to_string(),
            },
            _ => return None,
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
                "{name}: {}, {pieces} pieces of {}, {files} {}",
                ByteCount(*size),
                ByteCount((*piece_length).into()),
                if *files == 1 { "file" } else { "files" }
            ),
            Self::Listening { port } => write!(f, "listening on port {port}"),
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
            Self::Ready { torrents } => write!(f, "READY: {torrents} torrents"),
            Self::PeerConnected { peer } => write!(f, "peer {peer} connected"),
            Self::PeerDisconnected { peer, reason } => write!(f, "peer {peer} gone: {reason}"),
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
            } => write!(f, "{tracker} names {peers} peers"),
            Self::Announced {
                tracker,
                peers,
                warning: Some(warning),
            } => {
                write!(f, "{tracker} names {peers} peers and warns: {warning}")
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
                "{pieces} pieces may not have been kept, and are checked again: {reason}"
            ),
            Self::StorageGivenUp { reason } => write!(f, "the storage is given up: {reason}"),
            Self::Stalled { reason } => f.write_str(reason),
            Self::Completed { bytes, seconds } => {
                write!(f, "complete: {} after {seconds:.1} s", ByteCount(*bytes))
            }
            Self::Stopping => f.write_str("stopping; Ctrl-C once more ends at once"),
            Self::Missed { events } => write!(f, "{events} events left out"),
        }
    }
}

/// Where reports go.
#[derive(Debug)]
enum Style {
    Bar(ProgressBar),
    Lines,
    Json,
}

/// Tells reports to the user.
#[derive(Debug)]
pub(crate) struct Reporter {
    style: Style,
    last_progress: Option<Instant>,
}

impl Reporter {
    /// JSON if asked for, else a bar of `total` bytes on a terminal, else lines.
    pub(crate) fn new(report: crate::args::Report, total: u64) -> Self {
        let style = match report.json {
            true => Style::Json,
            false if io::stdout().is_terminal() => Style::Bar(transfer_bar(total)),
            false => Style::Lines,
        };
        Self {
            style,
            last_progress: None,
        }
    }

    /// Tells one thing. Errors of standard output are those of a reader who left, who misses nothing.
    pub(crate) fn tell(&self, report: &Report) {
        let mut out = io::stdout();
        let _ = match &self.style {
            Style::Bar(bar) => {
                if report.is_for_terminals() {
                    bar.println(printable(&report.to_string()));
                }
                Ok(())
            }
            Style::Lines => writeln!(out, "{}", printable(&report.to_string())),
            Style::Json => match serde_json::to_string(report) {
                Ok(line) => writeln!(out, "{line}"),
                Err(error) => Err(error.into()),
            },
        };
    }

    /// Tells how far a torrent is: each time on a bar, now and then in lines.
    pub(crate) fn tell_progress(&mut self, stats: &Stats) {
        if stats.state == TorrentState::Checking {
            // What is there is not known yet.
            return;
        }
        if let Style::Bar(bar) = &self.style {
            bar.set_length(goal(stats));
            bar.set_position(stats.verified_bytes);
            let left = stats
                .time_left
                .map_or_else(String::new, |time| format!(", {} to go", duration(time)));
            bar.set_message(format!(
                "{}/s down, {}/s up, {} of {} peers{left}",
                ByteCount(stats.download_rate),
                ByteCount(stats.upload_rate),
                stats.connected_peers,
                stats.known_peers,
            ));
            return;
        }
        if self
            .last_progress
            .is_none_or(|last| last.elapsed() >= LINE_INTERVAL)
        {
            self.last_progress = Some(Instant::now());
            self.tell(&Report::progress(stats));
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if let Style::Bar(bar) = &self.style {
            bar.finish_and_clear();
        }
    }
}

impl Report {
    /// Whether it is worth a line above the bar, which shows the rest.
    fn is_for_terminals(&self) -> bool {
        !matches!(
            self,
            Self::PeerConnected { .. }
                | Self::PeerDisconnected { .. }
                | Self::PieceCompleted { .. }
                | Self::Announced { warning: None, .. }
                | Self::Progress { .. }
                | Self::Missed { .. }
        )
    }
}

fn transfer_bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stdout());
    bar.set_style(bar_style(
        "{wide_bar} {percent:>3} % of {binary_total_bytes}, {msg}",
    ));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_can_be_drawn() {
        transfer_bar(1).set_position(1);
    }

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
}
