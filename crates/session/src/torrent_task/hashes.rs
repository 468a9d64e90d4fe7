//! Hashes of v2 torrents: those that peers gave are kept, those that peers ask for are read from the store (BEP 52).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rarest_metainfo::{Metainfo, ParseOptions, PieceIndex, Sha256Digest};
use rarest_peer_wire::HashRange;
use rarest_piece_store::{HashesError, StoreError, replace_file};
use rarest_swarm::PeerKey;

use super::magnet::metadata_file;
use super::{Driver, Stage, Store};
use crate::TorrentEvent;
use crate::session::now;
use crate::torrent_task::disk_work::DiskMail;

/// Piece layers that peers gave, and what is still to be done with them.
#[derive(Debug, Default)]
pub(super) struct FoundLayers {
    /// Whether the layers are to be saved.
    are_new: bool,
    /// Pieces that may lie on the disk since before their hashes were known. They are looked at before they are fetched.
    pub(super) to_look_at: Vec<PieceIndex>,
}

impl FoundLayers {
    pub(super) fn are_blank(&self) -> bool {
        !self.are_new && self.to_look_at.is_empty()
    }
}

impl Driver {
    /// Peers gave piece layers, which are proven.
    pub(super) fn hashes_found(&mut self, metainfo: Arc<Metainfo>, pieces: Vec<PieceIndex>) {
        self.know_more(metainfo);
        self.layers.are_new = true;
        self.outdate_resume_data(now());
        self.observed.hashes_came(now());
        self.tell(TorrentEvent::HashesFound {
            pieces: pieces.len(),
        });
        if self.disk.may_hold_more() {
            self.layers.to_look_at.extend(pieces.iter().copied());
            self.check(pieces);
        } else {
            self.fetch_with_hashes(now(), &pieces);
        }
    }

    /// What the disk holds of pieces whose hashes are new is known.
    pub(super) fn looked_at_new_hashes(&mut self, now: Instant) {
        let pieces = std::mem::take(&mut self.layers.to_look_at);
        self.fetch_with_hashes(now, &pieces);
    }

    fn fetch_with_hashes(&mut self, now: Instant, pieces: &[PieceIndex]) {
        if let Stage::Active(torrent) = &mut self.stage {
            torrent.handle_hashes_known(now, pieces);
        }
        self.observe_finish();
    }

    /// The same torrent, of which more is known.
    pub(super) fn know_more(&mut self, metainfo: Arc<Metainfo>) {
        self.disk.store.set_metainfo(Arc::clone(&metainfo));
        self.entry.share_metainfo(&metainfo);
        self.metainfo = metainfo;
    }

    /// Reads hashes that a peer asks for, on a disk thread: leaves are computed of what is there.
    pub(super) fn answer_hashes(&mut self, peer: PeerKey, range: Box<HashRange>) {
        let (root, request) = (Sha256Digest(range.pieces_root), range.request());
        self.run_job(
            |shared| &shared.disk,
            rarest_piece_store::Operation::Read,
            move |store| Ok(store.hashes(&root, &request)),
            move |read: Result<_, StoreError>| {
                let hashes = read.map_err(|panicked| panicked.to_string());
                let hashes = hashes.and_then(|read: Result<Vec<Sha256Digest>, HashesError>| {
                    read.map_err(|error| error.to_string())
                });
                DiskMail::HashesRead {
                    peer,
                    range,
                    hashes: hashes.map(|hashes| joined(&hashes)),
                }
            },
        );
    }

    pub(super) fn handle_hashes_read(
        &mut self,
        peer: PeerKey,
        range: Box<HashRange>,
        hashes: Result<Bytes, String>,
    ) {
        if let Err(error) = &hashes {
            tracing::debug!(%error, "a peer's request for hashes is rejected");
        }
        if let Stage::Active(torrent) = &mut self.stage {
            torrent.handle_hashes_read(now(), peer, range, hashes.ok());
        }
    }

    /// Where layers that were not saved are to be saved. They count as saved from now on.
    pub(super) fn layers_to_save(&mut self) -> Option<PathBuf> {
        let are_new = std::mem::take(&mut self.layers.are_new);
        self.metadata_file().filter(|_| are_new)
    }

    /// Where the torrent is kept with what peers gave of it.
    pub(super) fn metadata_file(&self) -> Option<PathBuf> {
        metadata_file(&self.shared, self.entry.id)
    }
}

fn joined(hashes: &[Sha256Digest]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(hashes.len() * Sha256Digest::LENGTH);
    for hash in hashes {
        bytes.extend_from_slice(hash.as_ref());
    }
    bytes.freeze()
}

/// Saves the torrent with the layers that peers gave. What fails is told in the log alone: peers are asked again after a restart.
pub(super) fn save_layers(store: &Store, path: &Path) {
    if let Err(error) = replace_file(path, &store.metainfo().to_bytes()) {
        tracing::warn!(%error, "piece layers cannot be saved");
    }
}

/// Takes what an earlier run learnt of peers. Whether it did.
pub(super) fn load_layers(store: &Store, path: &Path) -> bool {
    let metainfo = store.metainfo();
    if metainfo.has_all_piece_layers() {
        return false;
    }
    let saved = match fs::read(path) {
        Ok(saved) => saved,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%error, path = %path.display(), "piece layers cannot be read");
            }
            return false;
        }
    };
    let options = ParseOptions::default().max_length(saved.len());
    let saved = match options.parse(saved) {
        Ok(saved) if saved.info_hashes() == metainfo.info_hashes() => saved,
        Ok(_) => return false,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "piece layers cannot be read");
            return false;
        }
    };
    let mut known = Metainfo::clone(&metainfo);
    let mut is_more = false;
    for missing in metainfo.missing_layers() {
        let root = missing.pieces_root();
        if let Some(layer) = saved.piece_layer(&root) {
            // They were checked when the file was read; they are checked again, as it costs little.
            is_more |= known.add_piece_layer(root, layer.clone()).is_ok();
        }
    }
    if is_more {
        store.set_metainfo(Arc::new(known));
    }
    is_more
}
