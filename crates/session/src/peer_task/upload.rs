//! The way of blocks from the store to a peer: read in batches of neighbours, no faster than the rate and the socket allow.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rarest_metainfo::Block;
use rarest_peer_wire::connection::Connection;
use rarest_piece_store::{Operation, ReadError};
use tokio::sync::oneshot;

use crate::disk::caught;
use crate::limiter::Pace;
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
    reading: Option<oneshot::Receiver<Read>>,
    /// Nothing is to be read before: the upload rate is used up.
    after: Option<Instant>,
}

/// What became of a batch of blocks.
#[derive(Debug)]
pub(super) struct Read {
    blocks: Vec<Block>,
    result: Result<Vec<Bytes>, ReadError>,
    turn: Turn,
}

impl Upload {
    pub(super) fn new(store: Arc<Store>, pace: Pace, uploads: Arc<Uploads>) -> Self {
        Self {
            store,
            pace,
            uploads,
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
        let (done, reading) = oneshot::channel();
        let store = Arc::clone(&self.store);
        self.uploads.ask(&mut self.share, bytes, move |turn| {
            if done.is_closed() {
                return;
            }
            let read = || {
                let mut data = Vec::with_capacity(blocks.len());
                store.read(&blocks, &mut data).map(|()| data)
            };
            let result = caught(Operation::Read, store.metainfo().info().name(), read);
            let result = result.unwrap_or_else(|error| {
                let lost = Vec::new();
                Err(ReadError::Store { error, lost })
            });
            // A connection that is gone needs no data.
            let _ = done.send(Read {
                blocks,
                result,
                turn,
            });
        });
        self.reading = Some(reading);
    }

    /// Waits for the batch that is being read; for ever when there is none.
    pub(super) async fn read(&mut self) -> Option<Read> {
        match &mut self.reading {
            Some(reading) => {
                let read = reading.await.ok();
                self.reading = None;
                read
            }
            None => std::future::pending().await,
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

impl Drop for Upload {
    fn drop(&mut self) {
        self.written(0);
    }
}
