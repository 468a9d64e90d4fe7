//! What a torrent tells one of its connections.

use rarest_metainfo::{Block, PieceIndex};

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
    /// Say that a piece is gone (BEP 54), if the peer speaks that extension.
    DontHave(PieceIndex),
}
