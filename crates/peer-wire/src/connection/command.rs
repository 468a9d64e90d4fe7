//! What a torrent tells one of its connections.

use bytes::Bytes;
use rarest_metainfo::{Block, PieceIndex};

use super::Role;
use crate::{Extension, HashRange};

/// Something to say to the remote peer. Commands of one decision travel as a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Ask for a block. The connection answers each with exactly one `Block` or `Returned` event.
    Request(Block),
    /// A block is no longer wanted. Its request still ends in a `Block` or `Returned` event.
    Cancel(Block),
    /// Say that we want pieces of the peer.
    Interested,
    /// Say that we want none.
    NotInterested,
    /// Stop answering requests; those not answered yet are dropped or, with the fast extension, rejected.
    Choke,
    /// Begin to answer requests.
    Unchoke,
    /// Say that we verified one more piece; it may be requested from now on.
    Have(PieceIndex),
    /// Let the peer request this piece even while choked (BEP 6).
    AllowFast(PieceIndex),
    /// Say that a piece is gone (BEP 54), if the peer speaks that extension. In any case it is served no more: requests for it are rejected
    /// or, without the fast extension, dropped by a choke.
    DontHave(PieceIndex),
    /// Propose a piece that is cheap for us to send (BEP 6), if the peer speaks the fast extension.
    Suggest(PieceIndex),
    /// Say whether we want any pieces (BEP 21), if the peer speaks the extension protocol.
    Role(Role),
    /// Send a message of an extension, if the peer receives it.
    Extended {
        /// Which extension.
        extension: Extension,
        /// What follows the id.
        payload: Bytes,
    },
    /// Ask for hashes (BEP 52). Answered with exactly one `Hashes` or `HashesReturned` event.
    RequestHashes(Box<HashRange>),
    /// Answer a `HashesRequested` event. What is not answered in time is rejected.
    SendHashes {
        /// The range of the event.
        range: Box<HashRange>,
        /// The hashes, then the uncles towards the root; 32 bytes each.
        hashes: Bytes,
    },
    /// Refuse a `HashesRequested` event.
    RejectHashes(Box<HashRange>),
}
