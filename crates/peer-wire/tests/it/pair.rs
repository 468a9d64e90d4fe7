//! Two connections wired together in virtual time, and one wired to a script.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use rarest_metainfo::{Bitfield, Block, Geometry, InfoHash, PeerId};
use rarest_peer_wire::connection::{CloseReason, Command, Config, Connection, Event, LocalTorrent};
use rarest_peer_wire::{Codec, Handshake, Message, Reserved};

pub(crate) const INFO_HASH: InfoHash = InfoHash([7; 20]);
pub(crate) const LEFT_ID: PeerId = PeerId(*b"-RA0000-llllllllllll");
pub(crate) const RIGHT_ID: PeerId = PeerId(*b"-RA0000-rrrrrrrrrrrr");

/// Ten pieces of four blocks; the last one has one block and a bit.
pub(crate) fn geometry() -> Arc<Geometry> {
    Arc::new(Geometry::contiguous(9 * 65_536 + 20_000, 65_536).unwrap())
}

pub(crate) fn addr() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 6881))
}

pub(crate) fn config(peer_id: PeerId) -> Config {
    Config::new(peer_id)
}

/// The `index`th block of a piece.
pub(crate) fn block(piece: u32, index: u32) -> Block {
    let geometry = geometry();
    let piece = geometry.piece(piece).unwrap();
    geometry.block_at(piece, index).unwrap()
}

/// The bytes that everybody has for a block.
pub(crate) fn content(block: Block) -> Bytes {
    let seed = block.piece().get() * 31 + block.offset() / 16_384;
    vec![u8::try_from(seed % 251).unwrap(); block.length() as usize].into()
}

pub(crate) fn all() -> Bitfield {
    Bitfield::full(&geometry())
}

pub(crate) fn none() -> Bitfield {
    Bitfield::empty(&geometry())
}

pub(crate) fn only(pieces: &[u32]) -> Bitfield {
    let mut bitfield = none();
    for &piece in pieces {
        bitfield.insert(geometry().piece(piece).unwrap());
    }
    bitfield
}

/// The clock of a test. The only place that asks for the real time, as a point to count from.
pub(crate) fn start() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "an arbitrary beginning of virtual time"
    )]
    Instant::now()
}

/// One end: a connection, what came and was not a whole message, and the events until now.
pub(crate) struct End {
    pub(crate) connection: Connection,
    torrent: LocalTorrent,
    input: BytesMut,
    events: Vec<Event>,
}

impl End {
    fn new(connection: Connection, torrent: LocalTorrent) -> Self {
        Self {
            connection,
            torrent,
            input: BytesMut::new(),
            events: Vec::new(),
        }
    }

    pub(crate) fn receive(&mut self, now: Instant, bytes: &[u8]) -> Result<(), CloseReason> {
        self.input.extend_from_slice(bytes);
        let mut result = self.connection.handle_input(now, &mut self.input);
        if result.is_ok() && self.connection.awaiting_accept().is_some() {
            self.connection.accept(now, self.torrent.clone());
            result = self.connection.handle_input(now, &mut self.input);
        }
        self.events
            .extend(std::iter::from_fn(|| self.connection.poll_event()));
        result
    }

    /// What waits to be sent.
    pub(crate) fn output(&mut self) -> Bytes {
        let output = self.connection.output();
        let length = output.remaining();
        output.copy_to_bytes(length)
    }

    /// The events since the last call.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        self.events
            .extend(std::iter::from_fn(|| self.connection.poll_event()));
        std::mem::take(&mut self.events)
    }

    /// The events since the last call, as text that can be compared.
    pub(crate) fn told(&mut self) -> Vec<String> {
        self.events().iter().map(describe).collect()
    }

    /// Answers all requests of the peer.
    pub(crate) fn serve(&mut self, now: Instant) {
        while let Some(block) = self.connection.poll_upload_request() {
            self.connection.send_block(now, block, content(block));
        }
    }
}

/// Two connections to each other.
pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) left: End,
    pub(crate) right: End,
}

impl Pair {
    /// The left dialled the right, both have said hello.
    pub(crate) fn connected(left_has: Bitfield, right_has: Bitfield) -> Self {
        Self::with_configs(config(LEFT_ID), left_has, config(RIGHT_ID), right_has)
    }

    pub(crate) fn with_configs(
        left: Config,
        left_has: Bitfield,
        right: Config,
        right_has: Bitfield,
    ) -> Self {
        let now = start();
        let torrent = |have| LocalTorrent::new(INFO_HASH, geometry(), have);
        let left = Connection::outgoing(Arc::new(left), addr(), INFO_HASH, now);
        let right = Connection::incoming(Arc::new(right), addr(), now);
        let mut pair = Self {
            now,
            left: End::new(left, torrent(left_has)),
            right: End::new(right, torrent(right_has)),
        };
        pair.run();
        pair
    }

    /// Carries bytes until both are silent.
    pub(crate) fn run(&mut self) {
        loop {
            let (to_right, to_left) = (self.left.output(), self.right.output());
            if to_right.is_empty() && to_left.is_empty() {
                return;
            }
            // A closed connection is seen by its reason.
            let _ = self.right.receive(self.now, &to_right);
            let _ = self.left.receive(self.now, &to_left);
        }
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.left.connection.handle_timeout(self.now);
        self.right.connection.handle_timeout(self.now);
    }

    pub(crate) fn left_does(&mut self, command: Command) {
        self.left.connection.handle_command(self.now, command);
    }

    pub(crate) fn right_does(&mut self, command: Command) {
        self.right.connection.handle_command(self.now, command);
    }
}

/// A connection whose peer is a script that can say anything.
pub(crate) struct Scripted {
    pub(crate) now: Instant,
    pub(crate) end: End,
    codec: Codec,
    unread: BytesMut,
}

impl Scripted {
    /// We dialled, the script answers with these reserved bits; we have these pieces.
    pub(crate) fn connected(reserved: Reserved, have: Bitfield) -> Self {
        Self::with_config(config(LEFT_ID), reserved, have)
    }

    pub(crate) fn with_config(config: Config, reserved: Reserved, have: Bitfield) -> Self {
        let torrent = LocalTorrent::new(INFO_HASH, geometry(), have);
        Self::with_all(config, reserved, torrent)
    }

    /// The same, but with another torrent.
    pub(crate) fn with_torrent(reserved: Reserved, torrent: LocalTorrent) -> Self {
        Self::with_all(config(LEFT_ID), reserved, torrent)
    }

    pub(crate) fn with_all(config: Config, reserved: Reserved, torrent: LocalTorrent) -> Self {
        let now = start();
        let connection = Connection::outgoing(Arc::new(config), addr(), INFO_HASH, now);
        let mut this = Self {
            now,
            end: End::new(connection, torrent),
            codec: Codec::new(),
            unread: BytesMut::new(),
        };
        let ours = this.end.output();
        assert_eq!(ours.len(), Handshake::LENGTH);
        let handshake = Handshake {
            reserved,
            info_hash: INFO_HASH,
            peer_id: RIGHT_ID,
        };
        this.end.receive(now, &handshake.to_bytes()).unwrap();
        this
    }

    /// The script says something.
    pub(crate) fn say(&mut self, messages: &[Message]) -> Result<(), CloseReason> {
        let mut bytes = Vec::new();
        for message in messages {
            message.encode(&mut bytes);
        }
        self.end.receive(self.now, &bytes)
    }

    /// What the script hears.
    pub(crate) fn heard(&mut self) -> Vec<Message> {
        let output = self.end.output();
        self.unread.extend_from_slice(&output);
        std::iter::from_fn(|| self.codec.decode(&mut self.unread).unwrap()).collect()
    }

    pub(crate) fn does(&mut self, command: Command) {
        self.end.connection.handle_command(self.now, command);
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.end.connection.handle_timeout(self.now);
    }
}

/// A block as a message.
pub(crate) fn piece(block: Block) -> Message {
    Message::Piece {
        piece: block.piece().get(),
        offset: block.offset(),
        data: content(block),
    }
}

/// An event in few words: `block 1+16384`, `returned 1+16384`, `have 3`.
fn describe(event: &Event) -> String {
    let place = |block: Block| format!("{}+{}", block.piece().get(), block.offset());
    match event {
        Event::Has(pieces) => format!("has {}", pieces.count()),
        Event::Have(piece) => format!("have {}", piece.get()),
        Event::DontHave(piece) => format!("donthave {}", piece.get()),
        Event::Block { block, data } => {
            assert_eq!(*data, content(*block));
            format!("block {}", place(*block))
        }
        Event::Returned(block) => format!("returned {}", place(*block)),
        Event::Suggested(piece) => format!("suggested {}", piece.get()),
        Event::AllowedFast(piece) => format!("allowed fast {}", piece.get()),
        Event::Uploaded { bytes } => format!("uploaded {bytes}"),
        Event::ExtensionHandshake(_) => "extension handshake".to_owned(),
        Event::Extended { extension, .. } => format!("extended {}", extension.name()),
        Event::Port(port) => format!("port {port}"),
        Event::HashesRequested(_) => "hashes requested".to_owned(),
        Event::Hashes { .. } => "hashes".to_owned(),
        Event::HashesReturned(_) => "hashes returned".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}
