//! What leaves the connection: events to the torrent, bytes to the peer, and the count of both.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use rarest_metainfo::Block;

use super::{Event, Output};
use crate::Message;
use crate::limits::MAX_OUTPUT_BACKLOG;

/// Room for events that is kept when all are drained. A read of thousands of `have` messages must not leave its mark on
/// every connection of a seeder.
const MAX_KEPT_EVENTS: usize = 128;

#[derive(Debug)]
pub(super) struct Outward {
    pub(super) events: VecDeque<Event>,
    pub(super) output: Output,
    /// When something was last put into the output.
    pub(super) last_sent: Instant,
    pub(super) received: Received,
    /// Bytes beside blocks that may wait to be sent.
    pub(super) backlog_limit: usize,
}

/// Bytes that came, by what they were good for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Received {
    pub(super) total: u64,
    pub(super) blocks: u64,
    pub(super) late_blocks: u64,
}

impl Outward {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            events: VecDeque::new(),
            output: Output::default(),
            last_sent: now,
            received: Received::default(),
            backlog_limit: MAX_OUTPUT_BACKLOG,
        }
    }

    pub(super) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(super) fn next_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if self.events.capacity() > MAX_KEPT_EVENTS {
            self.events = VecDeque::new();
        }
        let bytes = self.output.take_unreported_payload();
        (bytes > 0).then_some(Event::Uploaded { bytes })
    }

    pub(super) fn send(&mut self, now: Instant, message: &Message) {
        self.output.push(message);
        self.last_sent = now;
    }

    pub(super) fn send_bytes(&mut self, now: Instant, bytes: &[u8]) {
        self.output.push_bytes(bytes);
        self.last_sent = now;
    }

    pub(super) fn send_block(&mut self, now: Instant, block: Block, data: Bytes) {
        self.output
            .push_block(block.piece().get(), block.offset(), data);
        self.last_sent = now;
    }
}
