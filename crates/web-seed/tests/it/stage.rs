//! A web seed, and a server that has the files.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use rarest_metainfo::{Block, Builder, FileIndex, Metainfo, Version};
use rarest_web_seed::{Action, Get, GetId, Head, Verdict, WebSeed};

pub(crate) const BLOCK: u64 = 16 * 1024;

/// A seed and all that it asked for.
pub(crate) struct Stage {
    pub(crate) metainfo: Arc<Metainfo>,
    pub(crate) seed: WebSeed,
    /// What the files hold, in the piece space.
    content: Vec<u8>,
    pub(crate) gets: Vec<Get>,
    pub(crate) aborted: Vec<GetId>,
    pub(crate) came: Vec<Block>,
    pub(crate) returned: Vec<Block>,
    pub(crate) lacks: Vec<FileIndex>,
    pub(crate) end: Option<Verdict>,
}

/// Different at every place.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    for (number, chunk) in (0u32..).zip(bytes.chunks_mut(4096)) {
        chunk.fill(number.wrapping_mul(0x9e37_79b9).to_be_bytes()[0]);
        chunk[0] = number.to_be_bytes()[3];
    }
    bytes
}

impl Stage {
    /// A torrent of one file.
    pub(crate) fn file(length: usize, piece_length: u32) -> Self {
        let content = bytes(length);
        let builder = Builder::new(Version::V1).piece_length(piece_length);
        let metainfo = builder.build_from_bytes("file", &content).unwrap();
        Self::of(metainfo, "http://host/file", content)
    }

    /// A torrent of several files in a folder.
    pub(crate) fn files(version: Version, files: &[(&str, usize)], piece_length: u32) -> Self {
        let contents: BTreeMap<&str, Vec<u8>> = files
            .iter()
            .map(|&(name, length)| (name, bytes(length)))
            .collect();
        let builder = Builder::new(version).piece_length(piece_length);
        let named = contents.iter().map(|(&name, bytes)| (name, &bytes[..]));
        let metainfo = builder.build_from_files("folder", named).unwrap();
        let info = metainfo.info();
        let end = info.files().map(|file| file.range().end).max().unwrap();
        let mut content = vec![0; usize::try_from(end).unwrap()];
        for file in info.files().filter(|file| !file.is_padding()) {
            let path = file.path().strip_prefix("folder/").unwrap();
            let start = usize::try_from(file.offset()).unwrap();
            let bytes = &contents[path];
            content[start..start + bytes.len()].copy_from_slice(bytes);
        }
        Self::of(metainfo, "http://host/", content)
    }

    fn of(metainfo: Metainfo, url: &str, content: Vec<u8>) -> Self {
        let metainfo = Arc::new(metainfo);
        Self {
            seed: WebSeed::new(Arc::clone(&metainfo), url).unwrap(),
            metainfo,
            content,
            gets: Vec::new(),
            aborted: Vec::new(),
            came: Vec::new(),
            returned: Vec::new(),
            lacks: Vec::new(),
            end: None,
        }
    }

    pub(crate) fn drain(&mut self) {
        while let Some(action) = self.seed.poll_action() {
            assert_eq!(self.end, None, "nothing follows the end");
            match action {
                Action::Get(get) => self.gets.push(get),
                Action::Abort(id) => self.aborted.push(id),
                Action::Block(block, data) => {
                    let range = self.metainfo.info().geometry().range(block);
                    let range =
                        usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
                    assert!(data == self.content[range], "{block:?} is wrong");
                    self.came.push(block);
                }
                Action::Returned(block) => self.returned.push(block),
                Action::Lacks(file) => self.lacks.push(file),
                Action::End(verdict) => self.end = Some(verdict),
            }
        }
    }

    /// All blocks that are not padding.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let geometry = self.metainfo.info().geometry();
        let blocks = geometry.pieces().flat_map(|piece| geometry.blocks(piece));
        blocks
            .filter(|&block| !geometry.is_padding(block))
            .collect()
    }

    pub(crate) fn request(&mut self, blocks: impl IntoIterator<Item = Block>) {
        for block in blocks {
            self.seed.request(block);
        }
        self.drain();
    }

    pub(crate) fn cancel(&mut self, block: Block) {
        self.seed.cancel(block);
        self.drain();
    }

    /// The oldest request that was not answered.
    pub(crate) fn next_get(&mut self) -> Get {
        self.gets.remove(0)
    }

    pub(crate) fn head(&mut self, get: &Get, head: &Head) {
        self.seed.handle_head(get.id, head);
        self.drain();
    }

    pub(crate) fn data(&mut self, get: &Get, data: Vec<u8>) {
        self.seed.handle_data(get.id, data.into());
        self.drain();
    }

    pub(crate) fn body_end(&mut self, get: &Get) {
        self.seed.handle_body_end(get.id);
        self.drain();
    }

    /// What stands in the file that a request is for.
    pub(crate) fn file_of(&self, get: &Get) -> Bytes {
        let info = self.metainfo.info();
        let location = "http://host/".parse::<rarest_web_seed::Location>().unwrap();
        let mut files = info.files().filter(|file| !file.is_padding());
        let file = files.find(|&file| location.of(file) == get.url).unwrap();
        let range = file.range();
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        Bytes::copy_from_slice(&self.content[range])
    }

    pub(crate) fn part_of(&self, get: &Get) -> Vec<u8> {
        let range =
            usize::try_from(get.range.start).unwrap()..usize::try_from(get.range.end).unwrap();
        self.file_of(get)[range].to_vec()
    }

    pub(crate) fn part_head(&self, get: &Get) -> Head {
        let (first, last) = (get.range.start, get.range.end - 1);
        let length = self.file_of(get).len();
        let range = format!("bytes {first}-{last}/{length}");
        Head::new(206).with("Content-Range", range.as_bytes())
    }

    /// The server answers as it should.
    pub(crate) fn answer(&mut self, get: &Get) {
        let head = self.part_head(get);
        self.head(get, &head);
        // In parts that are no blocks.
        for part in self.part_of(get).chunks(10_007) {
            self.data(get, part.to_vec());
        }
        self.body_end(get);
    }

    /// The server answers everything as it should.
    pub(crate) fn answer_all(&mut self) {
        while !self.gets.is_empty() {
            let get = self.next_get();
            self.answer(&get);
        }
    }
}
