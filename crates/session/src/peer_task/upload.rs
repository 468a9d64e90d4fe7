//! The way of blocks from the store to a peer: read in batches of neighbours, no faster than the rate and the socket allow.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rarest_metainfo::Block;
use rarest_peer_wire::connection::Connection;
use rarest_piece_store::ReadError;
use tokio::sync::oneshot;

use crate::limiter::Pace;
use crate::session::Shared;
use crate::torrent_task::Store;

/// Bytes of blocks that are read or wait to be written for one peer: enough to keep the socket busy while the next ones are read.
const WINDOW: usize = 512 * 1024;

/// Bytes of blocks that are read in one go.
const BATCH: usize = 256 * 1024;

/// The uploads of one connection.
#[derive(Debug)]
pub(super) struct Upload {
    store: Arc<Store>,
    pace: Pace,
    reading: Option<oneshot::Receiver<Read>>,
    /// Nothing is to be read before: the upload rate is used up.
    after: Option<Instant>,
}

/// What became of a batch of blocks.
#[derive(Debug)]
pub(super) struct Read {
    blocks: Vec<Block>,
    result: Result<Vec<Bytes>, ReadError>,
}

impl Upload {
    pub(super) fn new(store: Arc<Store>, pace: Pace) -> Self {
        Self {
            store,
            pace,
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

    /// Has the next requests of the peer read, if there are any and there is room for them.
    pub(super) fn start_reading(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        shared: &Shared,
    ) {
        if self.reading.is_some()
            || self.after.is_some()
            || connection.waiting_upload_requests() == 0
        {
            return;
        }
        let room = WINDOW.saturating_sub(connection.output().waiting_payload());
        if room < BATCH {
            return;
        }
        let allowed = match self.pace.allowance(now, BATCH) {
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
        shared.disk.run(move || {
            let mut data = Vec::with_capacity(blocks.len());
            let result = store.read(&blocks, &mut data).map(|()| data);
            // A connection that is gone needs no data.
            let _ = done.send(Read { blocks, result });
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
        let Some(Read { blocks, result }) = read else {
            return Ok(());
        };
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
}
