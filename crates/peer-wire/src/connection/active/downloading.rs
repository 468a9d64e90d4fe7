//! Our requests, and what the peer says that bears on them.

use std::time::Instant;

use bytes::Bytes;
use rarest_metainfo::{BLOCK_LENGTH, Block, BlockRequest};

use super::Active;
use crate::Message;
use crate::connection::outward::Outward;
use crate::connection::remote_pieces::known_piece;
use crate::connection::requests::{Answer, Cancelled};
use crate::connection::{Event, ProtocolViolation};
use crate::limits::MAX_ALLOWED_FAST;

impl Active {
    pub(super) fn handle_block(
        &mut self,
        now: Instant,
        piece: u32,
        offset: u32,
        data: Bytes,
        out: &mut Outward,
    ) -> Result<(), ProtocolViolation> {
        let length = data.len();
        let unrequested = ProtocolViolation::UnrequestedBlock {
            piece,
            offset,
            length,
        };
        let Ok(block_length) = u32::try_from(length) else {
            return Err(unrequested);
        };
        let key = BlockRequest {
            piece,
            offset,
            length: block_length,
        };
        match self.requests.answer_with_block(now, key) {
            Answer::Expected(block) => {
                out.received.blocks += u64::from(block_length);
                out.event(Event::Block { block, data });
                Ok(())
            }
            Answer::Late => {
                out.received.late_blocks += u64::from(block_length);
                Ok(())
            }
            Answer::Unrequested => Err(unrequested),
        }
    }

    pub(super) fn handle_reject(
        &mut self,
        request: BlockRequest,
        out: &mut Outward,
    ) -> Result<(), ProtocolViolation> {
        match self.requests.answer_with_reject(request) {
            Answer::Expected(block) => out.event(Event::Returned(block)),
            Answer::Late => {}
            Answer::Unrequested => {
                let piece = request.piece;
                return Err(ProtocolViolation::UnrequestedReject { piece });
            }
        }
        Ok(())
    }

    pub(super) fn handle_choke(&mut self, now: Instant, out: &mut Outward) {
        if std::mem::replace(&mut self.peer_chokes, true) {
            return;
        }
        out.event(Event::Choked);
        let allowed = &self.allowed_fast;
        self.requests.choke(
            now,
            |block| allowed.contains(&block.piece().get()),
            |block| out.event(Event::Returned(block)),
        );
    }

    pub(super) fn handle_unchoke(&mut self, out: &mut Outward) {
        if !std::mem::replace(&mut self.peer_chokes, false) {
            return;
        }
        self.requests
            .unchoke(|block| out.event(Event::Returned(block)));
        out.event(Event::Unchoked);
    }

    pub(super) fn handle_suggestion(
        &mut self,
        piece: u32,
        out: &mut Outward,
    ) -> Result<(), ProtocolViolation> {
        let Some(geometry) = &self.geometry else {
            return Ok(());
        };
        let piece = known_piece(piece, geometry)?;
        if self.suggestions_left > 0 {
            self.suggestions_left -= 1;
            out.event(Event::Suggested(piece));
        }
        Ok(())
    }

    pub(super) fn handle_allowed_fast(
        &mut self,
        piece: u32,
        out: &mut Outward,
    ) -> Result<(), ProtocolViolation> {
        let index = match &self.geometry {
            Some(geometry) => Some(known_piece(piece, geometry)?),
            None => None,
        };
        if self.allowed_fast.len() < MAX_ALLOWED_FAST && !self.allowed_fast.contains(&piece) {
            self.allowed_fast.push(piece);
            out.events.extend(index.map(Event::AllowedFast));
        }
        Ok(())
    }

    /// Queues a request that the peer can answer; returns any other at once. Peers drop who asks for more than 16 KiB.
    pub(super) fn request(&mut self, block: Block, out: &mut Outward) {
        let is_served = !self.peer_chokes || self.allowed_fast.contains(&block.piece().get());
        let can_be_answered =
            is_served && block.length() <= BLOCK_LENGTH && self.remote_pieces.has(block.piece());
        if !(can_be_answered && self.requests.push(block)) {
            out.event(Event::Returned(block));
        }
    }

    pub(super) fn cancel(&mut self, now: Instant, block: Block, out: &mut Outward) {
        let cancelled = self.requests.cancel(block);
        if matches!(cancelled, Cancelled::AnswerFollows | Cancelled::GivenUp) {
            out.send(now, &Message::Cancel(block.into()));
        }
        if matches!(cancelled, Cancelled::BeforeSending | Cancelled::GivenUp) {
            out.event(Event::Returned(block));
        }
    }

    /// Sends the requests that the peer has room for.
    pub(in crate::connection) fn send_requests(&mut self, now: Instant, out: &mut Outward) {
        while let Some(block) = self.requests.next_to_send(now) {
            out.send(now, &Message::Request(block.into()));
        }
    }
}
