//! What holds whatever a peer sends and an owner wants: for the fuzzer, and for the property tests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use rarest_metainfo::{Bitfield, Block, BlockRequest, Geometry, InfoHash, PeerId};
use rarest_peer_wire::connection::{Command, Config, Connection, Event, LocalTorrent, Role};
use rarest_peer_wire::extension::holepunch::Holepunch;
use rarest_peer_wire::extension::metadata::MetadataMessage;
use rarest_peer_wire::extension::pex::Pex;
use rarest_peer_wire::extension::{ExtensionHandshake, donthave};
use rarest_peer_wire::limits::{MAX_INCOMING_REQUESTS, MAX_OUTPUT_BACKLOG};
use rarest_peer_wire::{Codec, Extension, Extensions, Handshake, HashRange, Message, Reserved};

const INFO_HASH: InfoHash = InfoHash([7; 20]);
const PIECES: u32 = 9;

/// Any stream gives the same messages whole and byte by byte, and each message encodes to what was read.
pub(crate) fn streams_do_no_harm(stream: &[u8]) {
    let mut codec = Codec::new();
    let mut input = BytesMut::from(stream);
    let mut messages = Vec::new();
    while let Ok(Some(message)) = codec.decode(&mut input) {
        let mut encoded = BytesMut::new();
        message.encode(&mut encoded);
        let again = Codec::new().decode(&mut encoded);
        assert_eq!(again.as_ref(), Ok(&Some(message.clone())));
        messages.push(message);
    }
    let mut codec = Codec::new();
    let mut input = BytesMut::new();
    let mut single = messages.iter();
    'stream: for &byte in stream {
        input.extend_from_slice(&[byte]);
        loop {
            match codec.decode(&mut input) {
                Ok(Some(message)) => assert_eq!(Some(&message), single.next()),
                Ok(None) => break,
                Err(_) => break 'stream,
            }
        }
    }
    assert_eq!(single.next(), None);
    let _ = Handshake::decode(&mut BytesMut::from(stream));
}

/// Any payload of an extension is read or refused, and what was read encodes to the same.
pub(crate) fn payloads_do_no_harm(payload: &[u8]) {
    if let Ok(pex) = Pex::decode(payload) {
        assert_eq!(Pex::decode(&pex.encode()), Ok(pex));
    }
    if let Ok(message) = MetadataMessage::decode(&Bytes::copy_from_slice(payload)) {
        let encoded = message.encode().into();
        assert_eq!(MetadataMessage::decode(&encoded), Ok(message));
    }
    if let Ok(message) = Holepunch::decode(payload) {
        assert_eq!(Holepunch::decode(&message.encode()), Ok(message));
    }
    if let Ok(handshake) = ExtensionHandshake::decode(payload) {
        let encoded = handshake.encode();
        assert_eq!(ExtensionHandshake::decode(&encoded), Ok(handshake));
    }
    let _ = donthave::decode(payload);
}

/// A connection on which `script` decides what the peer sends, what the owner wants and how time goes by: it does not
/// panic, answers each request at most once and all of them in the end, and holds no more than its limits allow.
pub(crate) fn connections_do_no_harm(script: &[u8]) {
    let mut script = Script(script);
    let mut world = World::new(&mut script);
    while !script.0.is_empty() {
        world.step(&mut script);
        world.check();
    }
    world.finish();
}

/// Bytes that are read as decisions. Behind the end all are 0.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    fn up_to(&mut self, limit: u32) -> u32 {
        u32::from(self.byte()) % (limit + 1)
    }

    fn bytes(&mut self) -> &[u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        self.0.split_off(..length).unwrap_or(&[])
    }
}

struct World {
    now: Instant,
    geometry: Arc<Geometry>,
    connection: Connection,
    input: BytesMut,
    /// Bytes that the peer has sent.
    sent: usize,
    /// Requests of ours without an answer.
    unanswered: HashMap<Block, u32>,
    /// Requests of the peer that are being read.
    reading: Vec<Block>,
    has: u32,
}

impl World {
    fn new(script: &mut Script<'_>) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "an arbitrary beginning of virtual time"
        )]
        let now = Instant::now();
        let length = u64::from(PIECES) * 40_000 - 39_000;
        let geometry = Arc::new(Geometry::contiguous(length, 40_000).unwrap());
        let choices = script.byte();
        let mut config = Config::new(PeerId([1; 20]));
        config.extensions = Extensions::only(Extension::ALL);
        let config = Arc::new(config);
        let addr = ([192, 0, 2, 1], 6881).into();
        let mut connection = if choices & 1 == 0 {
            Connection::outgoing(config, addr, INFO_HASH, now)
        } else {
            Connection::incoming(config, addr, now)
        };
        let mut input = BytesMut::new();
        // Mostly the peer is polite until here; the handshake itself is fuzzed as a stream.
        let handshake = Handshake {
            reserved: Reserved([0, 0, 0, 0, 0, choices & 0x10, 0, choices & 0x05]),
            info_hash: INFO_HASH,
            peer_id: PeerId([2; 20]),
        };
        input.extend_from_slice(&handshake.to_bytes());
        connection.handle_input(now, &mut input).unwrap();
        let torrent = if choices & 2 == 0 {
            LocalTorrent::new(INFO_HASH, Arc::clone(&geometry), Bitfield::full(&geometry))
        } else {
            LocalTorrent::without_metadata(INFO_HASH)
        };
        connection.accept(now, torrent);
        Self {
            now,
            geometry,
            connection,
            input,
            sent: Handshake::LENGTH,
            unanswered: HashMap::new(),
            reading: Vec::new(),
            has: 0,
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.up_to(9) {
            0 => {
                let bytes = script.bytes();
                self.sent += bytes.len();
                self.input.extend_from_slice(bytes);
                let _ = self.connection.handle_input(self.now, &mut self.input);
            }
            1..=3 => {
                let message = self.message(script);
                let before = self.input.len();
                message.encode(&mut self.input);
                self.sent += self.input.len() - before;
                let _ = self.connection.handle_input(self.now, &mut self.input);
            }
            4 | 5 => {
                let command = self.command(script);
                if let Command::Request(block) = command {
                    *self.unanswered.entry(block).or_default() += 1;
                }
                self.connection.handle_command(self.now, command);
            }
            6 => {
                self.now += Duration::from_millis(250) * script.up_to(255);
                self.connection.handle_timeout(self.now);
                let next = self.connection.next_timeout();
                assert!(next.is_none_or(|next| next > self.now));
            }
            7 => self.reading.extend(self.connection.poll_upload_request()),
            8 => {
                if let Some(block) = self.reading.pop() {
                    let data = Bytes::from(vec![0; block.length() as usize]);
                    self.connection.send_block(self.now, block, data);
                }
            }
            _ => {
                let output = self.connection.output();
                let written = (output.remaining()).min(script.byte().into());
                output.advance(written);
                let nothing = Bitfield::empty(&self.geometry);
                let geometry = Arc::clone(&self.geometry);
                let known = LocalTorrent::new(INFO_HASH, geometry, nothing);
                let _ = self.connection.handle_metadata(self.now, known);
            }
        }
    }

    /// A block that exists, so that both sides often mean the same one.
    fn block(&self, script: &mut Script<'_>) -> Block {
        let piece = self.geometry.piece(script.up_to(PIECES - 1));
        let piece = piece.unwrap();
        let count = self.geometry.block_count(piece);
        let index = script.up_to(count - 1);
        self.geometry.block_at(piece, index).unwrap()
    }

    fn message(&self, script: &mut Script<'_>) -> Message {
        let block = self.block(script);
        let request = BlockRequest::from(block);
        let piece = script.up_to(PIECES);
        match script.up_to(19) {
            0 => Message::KeepAlive,
            1 => Message::Choke,
            2 => Message::Unchoke,
            3 => Message::Interested,
            4 => Message::NotInterested,
            5 => Message::Have { piece },
            6 => Message::Bitfield(Bytes::from_static(b"\xff\x80")),
            7 => Message::Request(request),
            8 | 9 => Message::Piece {
                piece: request.piece,
                offset: request.offset,
                data: vec![0; request.length as usize].into(),
            },
            10 => Message::Cancel(request),
            11 => Message::Port(6881),
            12 => Message::SuggestPiece { piece },
            13 => Message::HaveAll,
            14 => Message::HaveNone,
            15 => Message::RejectRequest(request),
            16 => Message::AllowedFast { piece },
            17 => Message::Extended {
                id: script.byte(),
                payload: Bytes::copy_from_slice(script.bytes()),
            },
            18 => Message::HashRequest(range(script)),
            _ => Message::HashReject(range(script)),
        }
    }

    fn command(&self, script: &mut Script<'_>) -> Command {
        let block = self.block(script);
        let piece = block.piece();
        match script.up_to(16) {
            0..=3 => Command::Request(block),
            4 => Command::Cancel(block),
            5 => Command::Interested,
            6 => Command::NotInterested,
            7 => Command::Choke,
            8 => Command::Unchoke,
            9 => Command::Have(piece),
            10 => Command::AllowFast(piece),
            11 => Command::DontHave(piece),
            12 => Command::RequestHashes(Box::new(range(script))),
            13 => Command::RejectHashes(Box::new(range(script))),
            14 => Command::Extended {
                extension: Extension::Pex,
                payload: Bytes::from_static(b"de"),
            },
            15 => Command::Role(Role::Downloader),
            _ => Command::Role(Role::UploadOnly),
        }
    }

    fn check(&mut self) {
        let mut events = 0;
        while let Some(event) = self.connection.poll_event() {
            events += 1;
            match event {
                Event::Has(_) => self.has += 1,
                Event::Have(_) => assert_eq!(self.has, 1),
                Event::Block { block, data } => {
                    assert_eq!(data.len(), block.length() as usize);
                    self.answer(block);
                }
                Event::Returned(block) => self.answer(block),
                _ => {}
            }
        }
        assert!(self.has <= 1);
        // Each event is the peer's word, or the end of a request.
        assert!(events <= self.sent + 10_000);
        let waiting = self.connection.waiting_upload_requests();
        assert!(waiting <= MAX_INCOMING_REQUESTS as usize);
        let backlog = self.connection.output().waiting_overhead();
        assert!(backlog <= MAX_OUTPUT_BACKLOG);
        let is_open = self.connection.close_reason().is_none();
        assert_eq!(self.connection.next_timeout().is_some(), is_open);
        if !is_open {
            assert!(!self.connection.has_output());
            assert!(self.unanswered.values().all(|&count| count == 0));
        }
    }

    fn answer(&mut self, block: Block) {
        let count = self.unanswered.get_mut(&block).unwrap();
        *count = count.checked_sub(1).expect("one answer a request");
    }

    fn finish(mut self) {
        // A peer that falls silent is gone in the end, and has answered or given back everything.
        for _ in 0..1000 {
            let Some(next) = self.connection.next_timeout() else {
                break;
            };
            self.now = next;
            self.connection.handle_timeout(next);
            self.check();
        }
        assert!(self.connection.close_reason().is_some());
    }
}

fn range(script: &mut Script<'_>) -> HashRange {
    HashRange {
        pieces_root: [0; 32],
        base_layer: script.up_to(3),
        index: script.up_to(7),
        length: script.up_to(4),
        proof_layers: 0,
    }
}
