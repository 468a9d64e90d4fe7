//! The way of blocks from the store to a peer: read in batches of neighbours, no faster than the rate and the socket allow.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rarest_metainfo::Block;
use rarest_peer_wire::connection::Connection;
use rarest_piece_store::{Operation, PieceStore, ReadError, Storage, StoreError, TryRead};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Content;
use crate::disk::{Disk, caught};
use crate::limiter::Pace;
use crate::session::Shared;
use crate::torrent_task::Store;
use crate::uploads::{Share, Turn, Uploads};

/// Bytes of blocks that are read in one go, at most. Each write wakes the other end: with half of it a peer on the same machine got a fifth less.
/// With more, what was read has left the core's own cache when it is sent.
const MAX_BATCH: usize = 512 * 1024;

/// The uploads of one connection.
#[derive(Debug)]
pub(super) struct Upload {
    /// None until the metadata of a magnet link is there. Peers cannot ask for anything before.
    content: Option<Content>,
    pace: Pace,
    uploads: Arc<Uploads>,
    share: Share,
    /// Held while what was read in it is handed to the socket.
    turn: Option<Turn>,
    /// Bytes that wait for the socket, as they are counted over all peers.
    buffered: usize,
    disk: Arc<Disk>,
    reading: Option<Reading>,
    /// Nothing is to be read before: the upload rate is used up.
    after: Option<Instant>,
}

/// How far a batch of blocks is.
#[derive(Debug)]
enum Reading {
    /// Others are served first.
    Waits {
        blocks: Vec<Block>,
        turn: oneshot::Receiver<Turn>,
        /// Once it is known that it is not in memory.
        place: Option<DiskPlace>,
    },
    /// Its turn came while nothing could be done with it. It is asked for again.
    Missed { blocks: Vec<Block> },
    /// It is not in memory, and others of the torrent are read.
    AwaitsDisk { blocks: Vec<Block> },
    /// It was not in memory: a thread of the disk fetches it.
    OnDisk(oneshot::Receiver<Outcome>),
    /// It was read, and its turn is over.
    Done(Outcome),
}

/// One of the reads from the disk that a torrent may have under way.
type DiskPlace = OwnedSemaphorePermit;

/// A batch of blocks that was read, in its turn.
#[derive(Debug)]
pub(super) struct Read {
    outcome: Outcome,
    /// None if it is over, as it is when a disk had to read.
    turn: Option<Turn>,
}

/// What became of a batch of blocks.
#[derive(Debug, Default)]
struct Outcome {
    read: Vec<(Block, Bytes)>,
    refused: Vec<Block>,
    errors: Vec<ReadError>,
}

/// Reads the blocks that can be read: a piece that was lost in the meantime takes no block of another one with it.
fn read_what_can_be<S: Storage>(store: &PieceStore<S>, mut blocks: Vec<Block>) -> Outcome {
    let mut outcome = Outcome::default();
    loop {
        let mut data = Vec::with_capacity(blocks.len());
        let Err(error) = store.read(&blocks, &mut data) else {
            outcome.read = blocks.into_iter().zip(data).collect();
            return outcome;
        };
        let refused = match &error {
            // Perhaps it is verified again by now.
            &ReadError::NotVerified { piece } => Some(piece),
            _ => None,
        };
        outcome.errors.push(error);
        let (verified, lost): (Vec<_>, Vec<_>) = blocks
            .into_iter()
            .partition(|block| refused != Some(block.piece()) && store.is_verified(block.piece()));
        let is_hopeless = lost.is_empty();
        outcome.refused.extend(lost);
        if is_hopeless {
            // Nothing is gone, but it cannot be read.
            outcome.refused.extend(verified);
            return outcome;
        }
        blocks = verified;
    }
}

impl Upload {
    pub(super) fn new(content: Option<Content>, pace: Pace, shared: &Shared) -> Self {
        Self {
            content,
            pace,
            uploads: Arc::clone(&shared.uploads),
            disk: Arc::clone(&shared.disk),
            share: Share::default(),
            turn: None,
            buffered: 0,
            reading: None,
            after: None,
        }
    }

    /// There is something to read from now on.
    pub(super) fn set_content(&mut self, content: Content) {
        self.content = Some(content);
    }

    fn content(&self) -> &Content {
        let content = self.content.as_ref();
        content.expect("requests are taken only once there is something to read")
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.after
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.after.is_some_and(|after| after <= now) {
            self.after = None;
        }
    }

    /// Asks for a turn to read the next requests of the peer, if there are any and there is room for them.
    pub(super) fn start_reading(&mut self, now: Instant, connection: &mut Connection) {
        if self.content.is_none()
            || self.reading.is_some()
            || self.after.is_some()
            || connection.waiting_upload_requests() == 0
        {
            return;
        }
        let window = self.uploads.window();
        let batch = MAX_BATCH.min(window / 2);
        if connection.output().waiting_payload() + batch > window {
            return;
        }
        let allowed = match self.pace.allowance(now, batch) {
            Ok(allowed) => allowed,
            Err(later) => {
                self.after = Some(later);
                return;
            }
        };
        let mut blocks = Vec::new();
        let mut bytes = 0;
        while bytes < allowed
            && let Some(block) = connection.poll_upload_request()
        {
            bytes += block.length() as usize;
            blocks.push(block);
        }
        self.pace.moved(now, bytes);
        let turn = self.uploads.ask(&mut self.share, bytes);
        self.reading = Some(Reading::Waits {
            blocks,
            turn,
            place: None,
        });
    }

    /// Asks for a turn for what has had one, and was counted then.
    fn ask_again(&mut self, blocks: Vec<Block>, place: Option<DiskPlace>) {
        let turn = self.uploads.ask(&mut self.share, 0);
        self.reading = Some(Reading::Waits {
            blocks,
            turn,
            place,
        });
    }

    /// Waits for the batch that is being read; for ever when there is none.
    pub(super) async fn read(&mut self) -> Option<Read> {
        loop {
            // What is awaited is left in its place: the future may be dropped.
            match &mut self.reading {
                None => std::future::pending().await,
                Some(Reading::OnDisk(outcome)) => {
                    let outcome = outcome.await.ok();
                    self.reading = None;
                    return outcome.map(|outcome| Read {
                        outcome,
                        turn: None,
                    });
                }
                Some(Reading::Waits {
                    blocks,
                    turn,
                    place,
                }) => {
                    let turn = turn.await;
                    let (blocks, place) = (std::mem::take(blocks), place.take());
                    self.reading = None;
                    let batch = Batch {
                        store: Arc::clone(&self.content().store),
                        blocks,
                        // There are turns as long as there are connections.
                        turn: turn.ok()?,
                    };
                    match batch.try_read() {
                        Ok(read) => return Some(read),
                        Err(batch) => self.reading = Some(self.read_on_disk(batch, place)),
                    }
                }
                Some(Reading::AwaitsDisk { blocks }) => {
                    let Some(content) = &self.content else {
                        return None;
                    };
                    let place = Arc::clone(&content.disk_reads).acquire_owned().await;
                    let blocks = std::mem::take(blocks);
                    // It is never closed.
                    self.ask_again(blocks, place.ok());
                }
                Some(Reading::Missed { blocks }) => {
                    let blocks = std::mem::take(blocks);
                    self.ask_again(blocks, None);
                }
                Some(Reading::Done(outcome)) => {
                    let outcome = std::mem::take(outcome);
                    self.reading = None;
                    return Some(Read {
                        outcome,
                        turn: None,
                    });
                }
            }
        }
    }

    /// Has a thread of the disk read the batch, if the torrent has a place there. If not, the turn is over until it has.
    fn read_on_disk(&self, batch: Batch, place: Option<DiskPlace>) -> Reading {
        let free = || {
            Arc::clone(&self.content().disk_reads)
                .try_acquire_owned()
                .ok()
        };
        match place.or_else(free) {
            Some(place) => batch.read_on(&self.disk, place),
            None => Reading::AwaitsDisk {
                blocks: batch.blocks,
            },
        }
    }

    /// For as long as nothing can be done with them, gives turns to others when they come.
    pub(super) async fn give_back_turns(&mut self) -> Infallible {
        self.turn = None;
        loop {
            match &mut self.reading {
                Some(Reading::Waits { blocks, turn, .. }) => {
                    drop(turn.await);
                    let blocks = std::mem::take(blocks);
                    self.reading = Some(Reading::Missed { blocks });
                }
                Some(Reading::OnDisk(outcome)) => {
                    let outcome = outcome.await.ok();
                    self.reading = outcome.map(Reading::Done);
                }
                None
                | Some(Reading::Missed { .. } | Reading::AwaitsDisk { .. } | Reading::Done(_)) => {
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Hands what was read to the connection. What could not be read is rejected; why, the torrent is to be told.
    pub(super) fn finish_reading(
        &mut self,
        now: Instant,
        read: Option<Read>,
        connection: &mut Connection,
    ) -> Vec<ReadError> {
        let Some(Read { outcome, turn }) = read else {
            return Vec::new();
        };
        self.turn = turn;
        for (block, data) in outcome.read {
            connection.send_block(now, block, data);
        }
        for block in outcome.refused {
            connection.reject(now, block);
        }
        outcome.errors
    }

    /// The socket has taken what it takes: the turn is over, and what is left waits.
    pub(super) fn written(&mut self, waiting_payload: usize) {
        let before = std::mem::replace(&mut self.buffered, waiting_payload);
        self.uploads.recount(before, waiting_payload);
        self.turn = None;
    }
}

/// Blocks to be read in a turn.
struct Batch {
    store: Arc<Store>,
    blocks: Vec<Block>,
    turn: Turn,
}

impl Batch {
    /// Reads at once what is in memory. Gives itself back if it would have to wait for a device, or for anything else that takes longer.
    fn try_read(self) -> Result<Read, Self> {
        let mut data = Vec::with_capacity(self.blocks.len());
        let tried = caught_in(&self.store, |store| store.try_read(&self.blocks, &mut data));
        match tried {
            Ok(Ok(TryRead::Done)) => {
                let read = self.blocks.into_iter().zip(data).collect();
                let outcome = Outcome {
                    read,
                    ..Outcome::default()
                };
                let turn = Some(self.turn);
                Ok(Read { outcome, turn })
            }
            // What went wrong is told by whoever reads what can be read.
            Ok(Ok(TryRead::WouldWait) | Err(_)) | Err(_) => Err(self),
        }
    }

    /// Has a thread of the disk read it. Its turn ends: a disk that takes long, or hangs, holds up nobody whose blocks are in memory.
    fn read_on(self, disk: &Disk, place: DiskPlace) -> Reading {
        let Self {
            store,
            blocks,
            turn,
        } = self;
        drop(turn);
        let (done, outcome) = oneshot::channel();
        disk.run(move || {
            if done.is_closed() {
                return;
            }
            let outcome = caught_in(&store, |store| read_what_can_be(store, blocks.clone()));
            let outcome = outcome.unwrap_or_else(|error| {
                let lost = Vec::new();
                Outcome {
                    refused: blocks,
                    errors: vec![ReadError::Store { error, lost }],
                    ..Outcome::default()
                }
            });
            // The next one of the torrent may begin.
            drop(place);
            // A connection that is gone needs no data.
            let _ = done.send(outcome);
        });
        Reading::OnDisk(outcome)
    }
}

/// Reads from a store. A storage that panics has failed.
fn caught_in<T>(store: &Store, read: impl FnOnce(&Store) -> T) -> Result<T, StoreError> {
    let metainfo = store.metainfo();
    caught(Operation::Read, metainfo.info().name(), || read(store))
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.written(0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{IoSlice, IoSliceMut};

    use rarest_metainfo::{Builder, FileIndex, Version};
    use rarest_piece_store::{BlockDigests, MemoryStorage, Part, WholePiece};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::Rate;
    use crate::limiter::Limiter;

    const PIECE: u32 = 16 * 1024;

    /// Takes all, and gives nothing back.
    struct Broken;

    impl Storage for Broken {
        fn read_at(
            &self,
            _: FileIndex,
            _: u64,
            _: &mut [IoSliceMut<'_>],
        ) -> Result<(), StoreError> {
            let error = std::io::Error::other("broken");
            Err(StoreError::new(Operation::Read, "broken", error))
        }

        fn write_at(&self, _: FileIndex, _: u64, _: &mut [IoSlice<'_>]) -> Result<(), StoreError> {
            Ok(())
        }
    }

    /// Of four pieces, those at these places are verified. And a block of each piece.
    fn store<S: Storage>(storage: S, verified: &[usize]) -> (PieceStore<S>, Vec<Block>) {
        let bytes: Vec<u8> = (0..4 * PIECE).map(|at| at.to_le_bytes()[1]).collect();
        let builder = Builder::new(Version::V1).piece_length(PIECE);
        let metainfo = builder.build_from_bytes("four", &bytes).unwrap();
        let geometry = Arc::clone(metainfo.info().geometry());
        let store = PieceStore::new(storage, Arc::new(metainfo));
        for (place, piece) in geometry.pieces().enumerate() {
            if verified.contains(&place) {
                let part = &bytes[place * PIECE as usize..][..PIECE as usize];
                let whole = WholePiece {
                    piece,
                    parts: vec![Part::Memory(Bytes::copy_from_slice(part))],
                    block_digests: BlockDigests::OfCorrupt,
                };
                assert!(store.complete(&[whole])[0].is_ok());
            }
        }
        let blocks = geometry
            .pieces()
            .filter_map(|piece| geometry.block_at(piece, 0));
        let blocks = blocks.collect();
        (store, blocks)
    }

    #[test]
    fn a_piece_that_is_lost_takes_no_block_of_another_one_with_it() {
        let (store, blocks) = store(MemoryStorage::new(1 << 20), &[0, 3]);
        let outcome = read_what_can_be(&store, blocks.clone());
        let read: Vec<Block> = outcome.read.iter().map(|(block, _)| *block).collect();
        assert_eq!(read, [blocks[0], blocks[3]]);
        assert!(
            outcome
                .read
                .iter()
                .all(|(_, data)| data.len() == PIECE as usize)
        );
        assert_eq!(outcome.refused, [blocks[1], blocks[2]]);
        assert!(!outcome.errors.is_empty());
    }

    #[tokio::test]
    async fn a_turn_that_comes_while_the_torrent_is_busy_is_for_others() {
        let memory: Box<dyn Storage> = Box::new(MemoryStorage::new(1 << 20));
        let (store, blocks) = store(memory, &[0, 1, 2, 3]);
        let uploads = Arc::new(Uploads::new(1));
        let limiter = || Arc::new(Limiter::new(Rate::UNLIMITED));
        let mut upload = Upload {
            content: Some(Content {
                store: Arc::new(store),
                disk_reads: Arc::new(Semaphore::new(1)),
            }),
            pace: Pace::new(limiter(), limiter()),
            uploads: Arc::clone(&uploads),
            share: Share::default(),
            turn: None,
            buffered: 0,
            disk: Arc::new(Disk::start("test", 1).unwrap()),
            reading: None,
            after: None,
        };
        upload.ask_again(blocks, None);
        let mut other = uploads.ask(&mut Share::default(), 1);
        assert!(other.try_recv().is_err(), "one turn at a time");
        let turn = tokio::select! {
            biased;
            never = upload.give_back_turns() => match never {},
            turn = &mut other => turn.unwrap(),
        };
        drop(turn);
        let read = upload.read().await.unwrap();
        assert_eq!(read.outcome.read.len(), 4);
        assert!(read.turn.is_some());
    }

    #[test]
    fn blocks_that_can_be_read_are() {
        let (store, blocks) = store(MemoryStorage::new(1 << 20), &[0, 1, 2, 3]);
        let outcome = read_what_can_be(&store, blocks.clone());
        assert_eq!(outcome.read.len(), 4);
        assert!(outcome.refused.is_empty() && outcome.errors.is_empty());
    }

    #[test]
    fn a_disk_that_cannot_be_read_is_tried_once() {
        let (store, blocks) = store(Broken, &[0, 1, 2, 3]);
        let outcome = read_what_can_be(&store, blocks.clone());
        assert_eq!(outcome.refused, blocks);
        assert!(matches!(
            &outcome.errors[..],
            [ReadError::Store { lost, .. }] if lost.is_empty()
        ));
    }
}
