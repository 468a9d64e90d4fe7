//! The number of each kind of message: the byte behind the length.

pub(crate) const CHOKE: u8 = 0;
pub(crate) const UNCHOKE: u8 = 1;
pub(crate) const INTERESTED: u8 = 2;
pub(crate) const NOT_INTERESTED: u8 = 3;
pub(crate) const HAVE: u8 = 4;
pub(crate) const BITFIELD: u8 = 5;
pub(crate) const REQUEST: u8 = 6;
pub(crate) const PIECE: u8 = 7;
pub(crate) const CANCEL: u8 = 8;
pub(crate) const PORT: u8 = 9;
pub(crate) const SUGGEST_PIECE: u8 = 13;
pub(crate) const HAVE_ALL: u8 = 14;
pub(crate) const HAVE_NONE: u8 = 15;
pub(crate) const REJECT_REQUEST: u8 = 16;
pub(crate) const ALLOWED_FAST: u8 = 17;
pub(crate) const EXTENDED: u8 = 20;
pub(crate) const HASH_REQUEST: u8 = 21;
pub(crate) const HASHES: u8 = 22;
pub(crate) const HASH_REJECT: u8 = 23;
