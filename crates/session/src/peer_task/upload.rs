//! The way of blocks from the store to a peer: read in batches of neighbours, no faster than the rate and the socket allow.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rarest_metainfo::Block;
use rarest_peer_wire::connection::Connection;
use rarest_piece_store::{Operation, ReadError, TryRead};
use tokio::sync::oneshot;

use crate::disk::{Disk, caught};
use crate::limiter::Pace;
use crate::session::Shared;
use crate::torrent_task::Store;
use crate::uploads::{Share, Turn, Uploads};

/// Bytes of blocks that are read in one go, at most.
const MAX_BATCH: usize = 256 * 1024;

/// The uploads of one connection.
#[derive(Debug)]
pub(super) struct Upload {
    store: Arc<Store>,
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
    },
    /// It was not in memory: a thread of the disk fetches it.
    OnDisk(oneshot::Receiver<Read>),
}

/// What became of a batch of blocks.
#[derive(Debug)]
pub(super) struct Read {
    blocks: Vec<Block>,
    result: Result<Vec<Bytes>, ReadError>,
    turn: Turn,
}

impl Upload {
    pub(super) fn new(store: Arc<Store>, pace: Pace, shared: &Shared) -> Self {
        Self {
            store,
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
        if self.reading.is_some()
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
        self.reading = Some(Reading::Waits { blocks, turn });
    }

    /// Waits for the batch that is being read; for ever when there is none.
    pub(super) async fn read(&mut self) -> Option<Read> {
        loop {
            match &mut self.reading {
                None => std::future::pending().await,
                Some(Reading::OnDisk(read)) => {
                    let read = read.await.ok();
                    self.reading = None;
                    return read;
                }
                Some(Reading::Waits { blocks, turn }) => {
                    let turn = turn.await;
                    let blocks = std::mem::take(blocks);
                    self.reading = None;
                    let batch = Batch {
                        store: Arc::clone(&self.store),
                        blocks,
                        // There are turns as long as there are connections.
                        turn: turn.ok()?,
                    };
                    match batch.try_read() {
                        Ok(read) => return Some(read),
                        Err(batch) => self.reading = Some(batch.read_on(&self.disk)),
                    }
                }
            }
        }
    }

    /// Hands what was read to the connection. What could not be read is rejected.
    pub(super) fn finish_reading(
        &mut self,
        now: Instant,
        read: Option<Read>,
        connection: &mut Connection,
    ) -> Result<(), ReadError> {
        let Some(Read {
            blocks,
            result,
            turn,
        }) = read
        else {
            return Ok(());
        };
        self.turn = Some(turn);
        match result {
            Ok(data) => {
                for (block, data) in blocks.into_iter().zip(data) {
                    connection.send_block(now, block, data);
                }
                Ok(())
            }
            Err(error) => {
                for block in blocks {
                    connection.reject(now, block);
                }
                Err(error)
            }
        }
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
    /// Reads at once what is in memory. Gives itself back if it would have to wait for a device.
    fn try_read(self) -> Result<Read, Self> {
        let mut data = Vec::with_capacity(self.blocks.len());
        let tried = self.caught(|store, blocks| store.try_read(blocks, &mut data));
        match tried {
            Ok(TryRead::Done) => Ok(self.ended(Ok(data))),
            Ok(TryRead::WouldWait) => Err(self),
            Err(error) => Ok(self.ended(Err(error))),
        }
    }

    /// Has a thread of the disk read it.
    fn read_on(self, disk: &Disk) -> Reading {
        let (done, read) = oneshot::channel();
        disk.run(move || {
            if done.is_closed() {
                return;
            }
            let mut data = Vec::with_capacity(self.blocks.len());
            let result = self.caught(|store, blocks| store.read(blocks, &mut data));
            // A connection that is gone needs no data.
            let _ = done.send(self.ended(result.map(|()| data)));
        });
        Reading::OnDisk(read)
    }

    /// A storage that panics has failed.
    fn caught<T>(
        &self,
        read: impl FnOnce(&Store, &[Block]) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let metainfo = self.store.metainfo();
        let result = caught(Operation::Read, metainfo.info().name(), || {
            read(&self.store, &self.blocks)
        });
        result.unwrap_or_else(|error| {
            let lost = Vec::new();
            Err(ReadError::Store { error, lost })
        })
    }

    fn ended(self, result: Result<Vec<Bytes>, ReadError>) -> Read {
        Read {
            blocks: self.blocks,
            result,
            turn: self.turn,
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.written(0);
    }
}
