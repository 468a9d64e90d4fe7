//! The peer's requests: those that wait for the driver, and those it is reading.

mod line;

use std::collections::{HashMap, VecDeque};

use line::Line;
use rarest_metainfo::{Block, BlockRequest, PieceIndex};

use crate::limits::{ALLOWED_FAST_SERVINGS, DEFAULT_REQUEST_QUEUE, MAX_ALLOWED_FAST};

/// Accepted requests of the peer, at most as many as we announced.
#[derive(Debug)]
pub(super) struct Uploads {
    waiting: Line,
    /// Taken by the driver and not answered yet.
    in_service: Line,
    /// Requests of `waiting` and `in_service` that reach into the zeros behind their block, oldest first.
    padded: HashMap<Block, VecDeque<BlockRequest>>,
    /// Pieces that the peer may request while we choke it.
    allowed_fast: Vec<Grant>,
    limit: usize,
}

#[derive(Debug)]
struct Grant {
    piece: PieceIndex,
    /// Requests that are still served.
    left: u32,
}

impl Uploads {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            waiting: Line::default(),
            in_service: Line::default(),
            padded: HashMap::new(),
            allowed_fast: Vec::new(),
            limit: limit.max(DEFAULT_REQUEST_QUEUE) as usize,
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Takes a request for a block, with or without zeros behind it; `false` when there are too many.
    pub(super) fn push(&mut self, block: Block, request: BlockRequest) -> bool {
        let has_room = self.waiting.len() + self.in_service.len() < self.limit;
        if has_room {
            self.waiting.push(block);
            if request != block.into() {
                self.padded.entry(block).or_default().push_back(request);
            }
        }
        has_room
    }

    /// What the peer asked for, of a request that ends by being answered.
    pub(super) fn asked(&mut self, block: Block) -> BlockRequest {
        if self.padded.is_empty() {
            return block.into();
        }
        let Some(requests) = self.padded.get_mut(&block) else {
            return block.into();
        };
        let oldest = requests.pop_front();
        if requests.is_empty() {
            self.padded.remove(&block);
        }
        oldest.unwrap_or_else(|| block.into())
    }

    /// Number of requests that the driver can take.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Hands the oldest request to the driver.
    pub(super) fn pop(&mut self) -> Option<Block> {
        let block = self.waiting.pop()?;
        self.in_service.push(block);
        Some(block)
    }

    /// The driver answers; `false` when the request was cancelled or choked away in the meantime.
    pub(super) fn finish(&mut self, block: Block) -> bool {
        self.in_service.remove(block)
    }

    /// The peer takes back a request; `false` when there is none.
    pub(super) fn cancel(&mut self, block: Block) -> bool {
        self.waiting.remove(block) || self.in_service.remove(block)
    }

    /// We choke the peer: takes out the requests that end by it, oldest first.
    pub(super) fn choke(&mut self, mut ended: impl FnMut(Block)) {
        let Self {
            waiting,
            in_service,
            allowed_fast,
            ..
        } = self;
        for requests in [in_service, waiting] {
            requests.retain(|block| {
                let stays = allowed_fast
                    .iter()
                    .any(|grant| grant.piece == block.piece());
                if !stays {
                    ended(block);
                }
                stays
            });
        }
    }

    /// A piece is gone: takes out its requests, oldest first.
    pub(super) fn forget_piece(&mut self, piece: PieceIndex, mut ended: impl FnMut(Block)) {
        for requests in [&mut self.in_service, &mut self.waiting] {
            requests.retain(|block| {
                let stays = block.piece() != piece;
                if !stays {
                    ended(block);
                }
                stays
            });
        }
    }

    /// Lets the peer request the piece while choked; `false` when it may already, or there are too many.
    pub(super) fn allow_fast(&mut self, piece: PieceIndex, block_count: u32) -> bool {
        let is_new = self.allowed_fast.iter().all(|grant| grant.piece != piece)
            && self.allowed_fast.len() < MAX_ALLOWED_FAST;
        if is_new {
            self.allowed_fast.push(Grant {
                piece,
                left: block_count.saturating_mul(ALLOWED_FAST_SERVINGS),
            });
        }
        is_new
    }

    /// Whether a request for the piece is served although we choke. Counts it.
    pub(super) fn use_allowed_fast(&mut self, piece: PieceIndex) -> bool {
        let grant = self
            .allowed_fast
            .iter_mut()
            .find(|grant| grant.piece == piece && grant.left > 0);
        grant.is_some_and(|grant| {
            grant.left -= 1;
            true
        })
    }
}
