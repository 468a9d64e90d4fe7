//! A whole torrent: the info dictionary, and where to look for its data.

use std::sync::Arc;

use bytes::Bytes;
use rarest_bencode::{
    DEFAULT_MAX_DEPTH, Dict, Document, Options, Raw, Trailing, ValueRef, encode_dict,
};
use rarest_hash::Sha256Digest;

use crate::error::PieceLayerError;
use crate::layers::{PieceLayers, piece_height};
use crate::merkle::{self, Tree};
use crate::piece_hash::{PieceHash, SubtreeHash};
use crate::url_list::UrlList;
use crate::{
    HostAddr, Info, InfoHashes, Magnet, MetainfoError, PartialLayer, PieceIndex, PieceLeaves,
    ProvenLayer, Remark, Version,
};

/// Longest torrent that [`Metainfo::parse`] reads, in bytes. It has room for 400,000 pieces; see [`ParseOptions`] for more.
pub const DEFAULT_MAX_TORRENT_LENGTH: usize = 10_000_000;

/// Most DHT nodes that are kept of a torrent; creators write ten or so.
const MAX_DHT_NODES: usize = 200;

/// How much of a torrent is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    max_length: usize,
}

impl Default for ParseOptions {
    fn default() -> Self {
        Self {
            max_length: DEFAULT_MAX_TORRENT_LENGTH,
        }
    }
}

impl ParseOptions {
    /// Reads torrents of up to so many bytes.
    #[must_use]
    pub fn max_length(mut self, bytes: usize) -> Self {
        self.max_length = bytes;
        self
    }

    /// Reads a torrent, as [`Metainfo::parse`] does.
    ///
    /// # Errors
    /// [`MetainfoError`] says why the bytes are no torrent.
    pub fn parse(&self, bytes: impl Into<Bytes>) -> Result<Metainfo, MetainfoError> {
        let bytes = bytes.into();
        let options = self.bencode().trailing(Trailing::Allow);
        let document = Document::parse_with(&bytes, &options)?;
        Metainfo::read(&bytes, &document)
    }

    fn bencode(self) -> Options {
        Options::lenient().max_input_length(self.max_length)
    }
}

/// A torrent.
///
/// Sources: [BEP 3](https://www.bittorrent.org/beps/bep_0003.html), [BEP 12](https://www.bittorrent.org/beps/bep_0012.html),
/// [BEP 52](https://www.bittorrent.org/beps/bep_0052.html).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metainfo {
    /// The file it came from, if there was one.
    bytes: Option<Bytes>,
    info: Arc<Info>,
    layers: PieceLayers,
    trackers: Vec<Vec<String>>,
    web_seeds: Vec<String>,
    http_seeds: Vec<String>,
    dht_nodes: Vec<HostAddr>,
    comment: Option<Box<str>>,
    created_by: Option<Box<str>>,
    creation_date: Option<i64>,
    remarks: Vec<Remark>,
}

impl Metainfo {
    /// Reads a `.torrent` file. Keeps `bytes`, from which hashes are read out when asked for.
    ///
    /// Lenient where clients are: v1 torrents need not be canonical, and what the info-hash does not cover may be of wrong types.
    /// All that is odd is in [`remarks`](Self::remarks).
    ///
    /// # Errors
    /// [`MetainfoError`] says why the bytes are no torrent.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, MetainfoError> {
        ParseOptions::default().parse(bytes)
    }

    /// Makes a torrent of an info dictionary that came from peers (BEP 9) and the link that asked for it.
    ///
    /// `raw_info` must be nothing but the dictionary. Piece layers are missing then; see [`add_piece_layer`](Self::add_piece_layer).
    ///
    /// # Errors
    /// [`MetainfoError::WrongInfoHash`] when it is another torrent's, and all others when it is none.
    pub fn from_info(raw_info: impl Into<Bytes>, magnet: &Magnet) -> Result<Self, MetainfoError> {
        let raw_info = raw_info.into();
        // One level is left for the torrent that `to_bytes` puts around it.
        let options = ParseOptions::default().bencode();
        let document = Document::parse_with(&raw_info, &options.max_depth(DEFAULT_MAX_DEPTH - 1))?;
        let mut remarks = Vec::new();
        let info = Info::read(&raw_info, document.root(), &mut remarks)?;
        if !info.info_hashes().agrees_with(&magnet.info_hashes()) {
            return Err(MetainfoError::WrongInfoHash {
                expected: Box::new(magnet.info_hashes()),
            });
        }
        note_departures(document.remarks(), &mut remarks);
        let layers = PieceLayers::none(&info);
        note_missing_layers(&layers, &mut remarks);
        Ok(Self {
            bytes: None,
            info: Arc::new(info),
            layers,
            trackers: magnet
                .trackers
                .iter()
                .map(|url| vec![url.clone()])
                .collect(),
            web_seeds: magnet.web_seeds.clone(),
            http_seeds: Vec::new(),
            dht_nodes: Vec::new(),
            comment: None,
            created_by: None,
            creation_date: None,
            remarks,
        })
    }

    fn read(bytes: &Bytes, document: &Document<'_>) -> Result<Self, MetainfoError> {
        let mut remarks = Vec::new();
        let root = document
            .root()
            .as_dict()
            .ok_or(MetainfoError::Missing { key: "info" })?;
        note_departures(document.remarks(), &mut remarks);
        if !document.trailing().is_empty() {
            remarks.push(Remark::TrailingBytes {
                length: document.trailing().len(),
            });
        }
        let info = Info::read(bytes, only_info(root)?, &mut remarks)?;
        let layers = match (info.version(), root.get("piece layers")) {
            (Version::V2 | Version::Hybrid, Some(value)) => PieceLayers::read(bytes, value, &info)?,
            _ => PieceLayers::none(&info),
        };
        note_missing_layers(&layers, &mut remarks);
        let mut reader = RootReader { root, remarks };
        Ok(Self {
            bytes: Some(bytes.clone()),
            info: Arc::new(info),
            layers,
            trackers: reader.trackers(),
            web_seeds: reader.urls("url-list"),
            http_seeds: reader.urls("httpseeds"),
            dht_nodes: reader.dht_nodes(),
            comment: reader.text("comment", "comment.utf-8"),
            created_by: reader.text("created by", "created by.utf-8"),
            creation_date: reader.creation_date(),
            remarks: reader.remarks,
        })
    }

    /// The info dictionary.
    #[must_use]
    pub fn info(&self) -> &Arc<Info> {
        &self.info
    }

    /// The torrent's identity: hashes of the raw bytes of the info dictionary.
    #[must_use]
    pub fn info_hashes(&self) -> InfoHashes {
        self.info.info_hashes()
    }

    /// The trackers, in tiers: all of a tier are as good, later tiers are for when the earlier fail (BEP 12). In a magnet link each is its own tier.
    #[must_use]
    pub fn trackers(&self) -> &[Vec<String>] {
        &self.trackers
    }

    /// URLs of web seeds (`url-list`, [BEP 19](https://www.bittorrent.org/beps/bep_0019.html)).
    #[must_use]
    pub fn web_seeds(&self) -> &[String] {
        &self.web_seeds
    }

    /// URLs of web seeds of the older kind (`httpseeds`, [BEP 17](https://www.bittorrent.org/beps/bep_0017.html)).
    #[must_use]
    pub fn http_seeds(&self) -> &[String] {
        &self.http_seeds
    }

    /// DHT nodes to begin at ([BEP 5](https://www.bittorrent.org/beps/bep_0005.html)).
    #[must_use]
    pub fn dht_nodes(&self) -> &[HostAddr] {
        &self.dht_nodes
    }

    /// What its creator says about the torrent.
    #[must_use]
    pub fn comment(&self) -> Option<&str> {
        self.comment.as_deref()
    }

    /// The program that made the torrent.
    #[must_use]
    pub fn created_by(&self) -> Option<&str> {
        self.created_by.as_deref()
    }

    /// When the torrent was made, in seconds since 1970 if its creator kept to BEP 3.
    #[must_use]
    pub fn creation_date(&self) -> Option<i64> {
        self.creation_date
    }

    /// What is odd about the torrent.
    #[must_use]
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    /// A link to this torrent.
    #[must_use]
    pub fn magnet(&self) -> Magnet {
        let mut magnet = Magnet::new(self.info_hashes());
        magnet.name = Some(self.info.name().to_owned());
        magnet.trackers = self.trackers.concat();
        magnet.web_seeds = self.web_seeds.clone();
        magnet
    }

    /// What a piece must hash to.
    ///
    /// `None` when that is not known: in a v2 torrent whose piece layers are missing. A hybrid without them has its v1 hash.
    #[must_use]
    pub fn piece_hash(&self, piece: PieceIndex) -> Option<PieceHash> {
        let v1 = self.info.v1_hash(piece);
        let v2 = self.v2_hash(piece);
        (v1.is_some() || v2.is_some()).then_some(PieceHash { v1, v2 })
    }

    fn v2_hash(&self, piece: PieceIndex) -> Option<SubtreeHash> {
        if self.info.version() == Version::V1 {
            return None;
        }
        let file = self.info.file_of_piece(piece)?;
        let root = file.pieces_root()?;
        let piece_length = u64::from(self.info.geometry().nominal_piece_length());
        let offset = self.info.geometry().piece_offset(piece) - file.offset();
        let data_length =
            u32::try_from((file.length() - offset).min(piece_length)).expect("a piece length");
        if file.length() <= piece_length {
            return Some(SubtreeHash {
                root,
                height: merkle::height(file.length()),
                data_length,
            });
        }
        let index = usize::try_from(offset / piece_length).expect("less than MAX_PIECES");
        let hash = self
            .layers
            .get(&root)?
            .get(index * Sha256Digest::LENGTH..)?
            .first_chunk()?;
        Some(SubtreeHash {
            root: Sha256Digest(*hash),
            height: piece_height(&self.info),
            data_length,
        })
    }

    /// What to ask peers for to tell which blocks of a piece are wrong. `None` where its v2 hash is not known, or it has no more than one
    /// block.
    #[must_use]
    pub fn piece_leaves(&self, piece: PieceIndex) -> Option<PieceLeaves> {
        let hash = self.v2_hash(piece)?;
        let file = self.info.file_of_piece(piece)?;
        let first = self.info.pieces_of(file.index()).next()?;
        PieceLeaves::new(file.pieces_root()?, piece.get() - first.get(), hash)
    }

    /// Whether the v2 hashes of all pieces are known. Always so in v1 torrents.
    #[must_use]
    pub fn has_all_piece_layers(&self) -> bool {
        self.layers.missing_count() == 0
    }

    /// Adds the piece layer of the file whose merkle tree has this root, when it came from peers: 32 bytes a piece.
    ///
    /// # Errors
    /// [`PieceLayerError`] when there is no such file, or the layer is not its.
    pub fn add_piece_layer(
        &mut self,
        pieces_root: Sha256Digest,
        layer: impl Into<Bytes>,
    ) -> Result<(), PieceLayerError> {
        self.layers.add(pieces_root, layer.into(), &self.info)?;
        self.bytes = None;
        Ok(())
    }

    /// The piece layers that are missing, to be asked of peers.
    pub fn missing_layers(&self) -> impl Iterator<Item = PartialLayer> + '_ {
        self.layers.missing(&self.info)
    }

    /// Adds a layer of [`missing_layers`](Self::missing_layers) that is whole now.
    ///
    /// # Errors
    /// [`PieceLayerError`] when it is a layer of another torrent.
    pub fn add_proven_layer(&mut self, layer: &ProvenLayer) -> Result<(), PieceLayerError> {
        self.layers.add_proven(layer, &self.info)?;
        self.bytes = None;
        Ok(())
    }

    /// The piece layer of the file whose merkle tree has this root, if it is known: 32 bytes a piece.
    #[must_use]
    pub fn piece_layer(&self, pieces_root: &Sha256Digest) -> Option<&Bytes> {
        self.layers.get(pieces_root)
    }

    /// The merkle tree with this root, from the piece layer up: answers peers that ask for hashes (BEP 52).
    ///
    /// `None` when its layer is not known, or its file has no more than one piece; requests are rejected then. Making it hashes
    /// the whole layer, so keep it as long as peers ask.
    #[must_use]
    pub fn hash_tree(&self, pieces_root: &Sha256Digest) -> Option<Tree> {
        self.layers.tree(pieces_root, &self.info)
    }

    /// The torrent as a `.torrent` file: the bytes it was read from, or what is known put together around the raw info dictionary.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match &self.bytes {
            Some(bytes) => bytes.clone(),
            None => self.encode().into(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let raw_info = self.info.raw();
        let options = Options::lenient().max_input_length(raw_info.len());
        let raw_info = Raw::parse_with(raw_info, &options)
            .expect("the info dictionary was read from these bytes");
        let file = encode_dict(|root| {
            encode_trackers(&self.trackers, root);
            if let Some(comment) = &self.comment {
                root.bytes("comment", comment.as_bytes());
            }
            if let Some(created_by) = &self.created_by {
                root.bytes("created by", created_by.as_bytes());
            }
            if let Some(date) = self.creation_date {
                root.int("creation date", date);
            }
            if !self.http_seeds.is_empty() {
                root.list("httpseeds", |list| {
                    self.http_seeds.iter().for_each(|url| {
                        list.bytes(url);
                    });
                });
            }
            root.raw("info", raw_info);
            if !self.dht_nodes.is_empty() {
                root.list("nodes", |list| {
                    for node in &self.dht_nodes {
                        list.list(|pair| {
                            pair.bytes(node.host().as_bytes()).int(node.port());
                        });
                    }
                });
            }
            if self.info.version() != Version::V1 {
                root.dict("piece layers", |dict| {
                    self.layers.iter().for_each(|(root, layer)| {
                        dict.bytes(root, layer);
                    });
                });
            }
            if !self.web_seeds.is_empty() {
                root.list("url-list", |list| {
                    self.web_seeds.iter().for_each(|url| {
                        list.bytes(url);
                    });
                });
            }
        });
        file.expect("each key is written once, and layers have different roots")
    }
}

/// Writes `announce`, and `announce-list` if there is more to say.
pub(crate) fn encode_trackers(tiers: &[Vec<String>], root: &mut rarest_bencode::DictWriter<'_>) {
    let Some(first) = tiers.iter().flatten().next() else {
        return;
    };
    root.bytes("announce", first);
    if tiers.iter().map(Vec::len).sum::<usize>() > 1 {
        root.list("announce-list", |list| {
            for tier in tiers {
                list.list(|list| {
                    for url in tier {
                        list.bytes(url);
                    }
                });
            }
        });
    }
}

/// The value of `info`, which must be there once.
fn only_info<'doc, 'input>(
    root: Dict<'doc, 'input>,
) -> Result<ValueRef<'doc, 'input>, MetainfoError> {
    let mut all = root.get_all("info");
    let info = all.next().ok_or(MetainfoError::Missing { key: "info" })?;
    match all.next() {
        Some(second) => Err(MetainfoError::DuplicateKey {
            offset: second.range().start,
        }),
        None => Ok(info),
    }
}

fn note_departures(departures: &[rarest_bencode::Remark], remarks: &mut Vec<Remark>) {
    if let Some(&first) = departures.first() {
        remarks.push(Remark::NotCanonical {
            first,
            count: departures.len(),
        });
    }
}

fn note_missing_layers(layers: &PieceLayers, remarks: &mut Vec<Remark>) {
    match layers.missing_count() {
        0 => {}
        count => remarks.push(Remark::MissingPieceLayers { count }),
    }
}

/// Reads what stands beside the info dictionary; nothing there is fatal.
struct RootReader<'doc, 'input> {
    root: Dict<'doc, 'input>,
    remarks: Vec<Remark>,
}

impl<'doc, 'input> RootReader<'doc, 'input> {
    fn wrong_type(&mut self, key: &'static str) {
        self.remarks.push(Remark::WrongType { key });
    }

    /// `announce-list` if it holds a URL, else `announce` (BEP 12).
    fn trackers(&mut self) -> Vec<Vec<String>> {
        let tiers = self.announce_list();
        if !tiers.is_empty() {
            return tiers;
        }
        let Some(announce) = self.root.get("announce") else {
            return Vec::new();
        };
        let mut urls = UrlList::of_trackers();
        match announce.as_bytes() {
            Some(url) => {
                let tier: Vec<_> = urls.accept(url).into_iter().collect();
                self.note_dropped("announce", &urls);
                if tier.is_empty() {
                    Vec::new()
                } else {
                    vec![tier]
                }
            }
            None => {
                self.wrong_type("announce");
                Vec::new()
            }
        }
    }

    fn announce_list(&mut self) -> Vec<Vec<String>> {
        let Some(value) = self.root.get("announce-list") else {
            return Vec::new();
        };
        let Some(list) = value.as_list() else {
            self.wrong_type("announce-list");
            return Vec::new();
        };
        let mut urls = UrlList::of_trackers();
        let mut tiers = Vec::new();
        let mut is_flat = false;
        for item in list {
            let tier: Vec<_> = match (item.as_list(), item.as_bytes()) {
                (Some(tier), _) => tier
                    .iter()
                    .filter_map(ValueRef::as_bytes)
                    .filter_map(|url| urls.accept(url))
                    .collect(),
                (None, Some(url)) => {
                    is_flat = true;
                    urls.accept(url).into_iter().collect()
                }
                (None, None) => continue,
            };
            if !tier.is_empty() {
                tiers.push(tier);
            }
        }
        if is_flat {
            self.remarks.push(Remark::FlatAnnounceList);
        }
        self.note_dropped("announce-list", &urls);
        tiers
    }

    /// A URL, or a list of URLs.
    fn urls(&mut self, key: &'static str) -> Vec<String> {
        let Some(value) = self.root.get(key) else {
            return Vec::new();
        };
        let mut urls = UrlList::of_web_seeds();
        let kept = match (value.as_bytes(), value.as_list()) {
            (Some(url), _) => urls.accept(url).into_iter().collect(),
            (None, Some(list)) => list
                .iter()
                .filter_map(ValueRef::as_bytes)
                .filter_map(|url| urls.accept(url))
                .collect(),
            (None, None) => {
                self.wrong_type(key);
                Vec::new()
            }
        };
        self.note_dropped(key, &urls);
        kept
    }

    fn note_dropped(&mut self, key: &'static str, urls: &UrlList) {
        match urls.dropped() {
            0 => {}
            count => self.remarks.push(Remark::DroppedUrls { key, count }),
        }
    }

    fn dht_nodes(&mut self) -> Vec<HostAddr> {
        let Some(value) = self.root.get("nodes") else {
            return Vec::new();
        };
        let Some(list) = value.as_list() else {
            self.wrong_type("nodes");
            return Vec::new();
        };
        let node = |node: ValueRef<'_, '_>| {
            let mut parts = node.as_list()?.iter();
            let (host, port) = (parts.next()?.as_str()?, parts.next()?.as_u64()?);
            HostAddr::new(host, u16::try_from(port).ok()?).ok()
        };
        list.iter().filter_map(node).take(MAX_DHT_NODES).collect()
    }

    /// A text; `utf8_key` if some client wrote one beside a text in another encoding.
    fn text(&mut self, key: &'static str, utf8_key: &str) -> Option<Box<str>> {
        if let Some(text) = self.root.get(utf8_key).and_then(ValueRef::as_str) {
            return Some(text.into());
        }
        let value = self.root.get(key)?;
        match value.as_bytes() {
            Some(text) => Some(String::from_utf8_lossy(text).into()),
            None => {
                self.wrong_type(key);
                None
            }
        }
    }

    fn creation_date(&mut self) -> Option<i64> {
        let value = self.root.get("creation date")?;
        let date = value.as_i64();
        if date.is_none() {
            self.wrong_type("creation date");
        }
        date
    }
}
