//! What is decoded and hashed: the same bytes for every contestant.

use rarest_bencode::encode_dict;
use serde::Deserialize;
use serde_bytes::Bytes;

/// Files of a torrent of about 16 MB.
pub const MANY_FILES: u32 = 160_000;

/// Files of a torrent of about 16 KB.
pub const SOME_FILES: u32 = 160;

/// The bytes of a torrent of as many files, some 100 bytes a file.
///
/// # Panics
/// Never.
#[must_use]
pub fn torrent(files: u32) -> Vec<u8> {
    encode_dict(|torrent| {
        torrent.bytes("announce", "http://tracker.example/announce");
        torrent.dict("info", |info| {
            info.bytes("name", "many files")
                .int("piece length", 1 << 20);
            info.bytes("pieces", vec![0xa5; 20 * files as usize]);
            info.list("files", |list| {
                for file in 0..files {
                    list.dict(|entry| {
                        entry.int("length", 1_000_000 + file).list("path", |path| {
                            path.bytes(format!("folder {:03}", file / 1000));
                            path.bytes(format!("a file of some name {file:06}.bin"));
                        });
                    });
                }
            });
        });
    })
    .expect("no key is repeated")
}

/// An answer to `get_peers`, as DHT nodes send it: eight nodes and two peers (BEP 5).
pub const DHT_REPLY: &[u8] = b"d1:rd2:id20:abcdefghij01234567895:nodes208:\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef5:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:v4:LT\x01\x021:y1:re";

/// A torrent, all of it, borrowed from its bytes.
#[derive(Debug, Deserialize)]
pub struct Torrent<'a> {
    /// The tracker.
    #[serde(borrow)]
    pub announce: &'a Bytes,
    /// What the info-hash is computed from.
    #[serde(borrow)]
    pub info: Info<'a>,
}

/// The dictionary `info` of a [`Torrent`].
#[derive(Debug, Deserialize)]
pub struct Info<'a> {
    /// Its files.
    #[serde(borrow)]
    pub files: Vec<File<'a>>,
    /// The suggested name of its folder.
    #[serde(borrow)]
    pub name: &'a Bytes,
    /// Bytes of each piece but the last.
    #[serde(rename = "piece length")]
    pub piece_length: u64,
    /// 20 bytes for each piece.
    #[serde(borrow)]
    pub pieces: &'a Bytes,
}

/// A file of an [`Info`].
#[derive(Debug, Deserialize)]
pub struct File<'a> {
    /// Its bytes.
    pub length: u64,
    /// Folders, and last its name.
    #[serde(borrow)]
    pub path: Vec<&'a Bytes>,
}

/// An answer of a DHT node, borrowed from its bytes.
#[derive(Debug, Deserialize)]
pub struct DhtMessage<'a> {
    /// The transaction.
    #[serde(borrow)]
    pub t: &'a Bytes,
    /// That it is an answer.
    #[serde(borrow)]
    pub y: &'a Bytes,
    /// The answer.
    #[serde(borrow)]
    pub r: DhtReply<'a>,
}

/// The dictionary `r` of a [`DhtMessage`].
#[derive(Debug, Deserialize)]
pub struct DhtReply<'a> {
    /// Who answers.
    #[serde(borrow)]
    pub id: &'a Bytes,
    /// 26 bytes for each node.
    #[serde(borrow)]
    pub nodes: &'a Bytes,
    /// To be given back with an announce.
    #[serde(borrow)]
    pub token: &'a Bytes,
    /// 6 bytes for each peer.
    #[serde(borrow)]
    pub values: Vec<&'a Bytes>,
}
