//! Bencode without recursion: a borrowed document, a pull reader, a writer and serde.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod cursor;
#[cfg(feature = "serde")]
mod de;
mod document;
mod error;
mod index;
mod int;
mod options;
mod raw;
mod reader;
mod scan;
#[cfg(feature = "serde")]
mod ser;
mod sink;
mod writer;

#[cfg(feature = "serde")]
pub use de::{DeserializeError, MAX_SERDE_DEPTH, from_bytes, from_bytes_with};
pub use document::{Dict, DictIter, Document, Kind, List, ListIter, ValueRef};
pub use error::{DecodeError, DecodeErrorKind, Departure, Expected, Remark};
pub use int::{Int, Integer};
pub use options::{
    DEFAULT_MAX_DEPTH, DEFAULT_MAX_INPUT_LENGTH, DEFAULT_MAX_ITEMS, MAX_INPUT_LENGTH,
    MAX_INTEGER_LENGTH, MAX_LENGTH_DIGITS, Mode, Options, Trailing,
};
pub use raw::{Raw, RawBuf};
pub use reader::{Event, Reader};
#[cfg(feature = "serde")]
pub use ser::{SerializeError, to_vec};
#[cfg(feature = "std")]
pub use sink::IoSink;
pub use sink::{FnSink, Sink};
pub use writer::{
    DictWriter, DuplicateKey, ListWriter, WriteError, Writer, encode_dict, encode_list,
};
