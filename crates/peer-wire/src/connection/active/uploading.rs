//! The peer's requests, and what we say that bears on them.

use std::time::Instant;

use bytes::Bytes;
use rarest_metainfo::{Block, BlockRequest, PieceIndex};

use super::Active;
use crate::Message;
use crate::connection::Dialect;
use crate::connection::outward::Outward;
use crate::limits::MAX_BLOCK_LENGTH;

impl Active {
    /// Queues what we are willing to serve, and refuses the rest.
    pub(super) fn handle_request(
        &mut self,
        now: Instant,
        request: BlockRequest,
        out: &mut Outward,
    ) {
        let block = self.servable(request);
        let is_accepted = block.is_some_and(|block| {
            (!self.we_choke || self.uploads.use_allowed_fast(block.piece()))
                && self.uploads.push(block, request)
        });
        if !is_accepted {
            self.refuse(now, request, out);
        }
    }

    pub(super) fn handle_cancel(&mut self, now: Instant, request: BlockRequest, out: &mut Outward) {
        let block = self.servable(request);
        if let Some(block) = block.filter(|&block| self.uploads.cancel(block)) {
            let request = self.uploads.asked(block);
            self.refuse(now, request, out);
        }
    }

    /// The block of a request for something that exists and that we told we have.
    ///
    /// Of a v2 torrent, libtorrent asks for the last block of each file in full and expects the zeros behind the file's end.
    pub(super) fn servable(&self, request: BlockRequest) -> Option<Block> {
        let geometry = self.geometry.as_ref()?;
        let block = geometry.block(request).ok();
        let block = block.or_else(|| geometry.block_before_padding(request))?;
        let is_told = self.told.as_ref()?.contains(block.piece());
        (is_told && block.length() <= MAX_BLOCK_LENGTH).then_some(block)
    }

    /// BEP 6: "when a request is not answered with a piece, a reject is sent". BEP 3 knows no such message.
    pub(super) fn refuse(&self, now: Instant, request: BlockRequest, out: &mut Outward) {
        if self.dialect == Dialect::Fast {
            out.send(now, &Message::RejectRequest(request));
        }
    }

    /// BEP 6: the choke goes out first, then a reject for each request that it ends.
    pub(super) fn choke(&mut self, now: Instant, out: &mut Outward) {
        if std::mem::replace(&mut self.we_choke, true) {
            return;
        }
        out.send(now, &Message::Choke);
        let mut ended = Vec::new();
        self.uploads.choke(|block| ended.push(block));
        for block in ended {
            let request = self.uploads.asked(block);
            self.refuse(now, request, out);
        }
    }

    pub(super) fn unchoke(&mut self, now: Instant, out: &mut Outward) {
        if std::mem::replace(&mut self.we_choke, false) {
            out.send(now, &Message::Unchoke);
        }
    }

    pub(super) fn allow_fast(&mut self, now: Instant, piece: PieceIndex, out: &mut Outward) {
        if self.dialect == Dialect::Base {
            return;
        }
        let Some(geometry) = &self.geometry else {
            return;
        };
        if self.uploads.allow_fast(piece, geometry.block_count(piece)) {
            out.send(now, &Message::AllowedFast { piece: piece.get() });
        }
    }

    pub(in crate::connection) fn send_block(
        &mut self,
        now: Instant,
        block: Block,
        data: Bytes,
        out: &mut Outward,
    ) {
        if !self.uploads.finish(block) {
            return;
        }
        let request = self.uploads.asked(block);
        if data.len() == block.length() as usize {
            out.send_block(now, block, with_padding(data, request));
        } else {
            self.refuse(now, request, out);
        }
    }

    pub(in crate::connection) fn reject(&mut self, now: Instant, block: Block, out: &mut Outward) {
        if self.uploads.finish(block) {
            let request = self.uploads.asked(block);
            self.refuse(now, request, out);
        }
    }
}

/// The data with the zeros that the request reaches into: none, but for the last blocks of files of v2 torrents.
fn with_padding(data: Bytes, request: BlockRequest) -> Bytes {
    let length = request.length as usize;
    if data.len() >= length {
        return data;
    }
    let mut padded = Vec::with_capacity(length);
    padded.extend_from_slice(&data);
    padded.resize(length, 0);
    padded.into()
}
