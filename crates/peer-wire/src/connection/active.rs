//! A connection after both handshakes: choke and interest, requests, pieces.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rarest_metainfo::{Bitfield, Block, BlockRequest, Geometry, PieceIndex};

use super::hash_requests::HashRequests;
use super::outward::Outward;
use super::remote_pieces::{FirstWord, RemotePieces, known_piece};
use super::requests::{Answer, Cancelled, Requests};
use super::uploads::Uploads;
use super::{Command, Config, Dialect, Event, LocalTorrent, ProtocolViolation, Role};
use crate::extension::{Extension, ExtensionHandshake, donthave};
use crate::handshake::{Handshake, Reserved};
use crate::limits::{MAX_ALLOWED_FAST, MAX_SUGGESTIONS};
use crate::message::{HashRange, Message};
use crate::{Codec, limits};

#[derive(Debug)]
pub(super) struct Active {
    config: Arc<Config>,
    pub(super) remote: Handshake,
    dialect: Dialect,
    codec: Codec,
    geometry: Option<Arc<Geometry>>,
    /// What we told that we have, and so what the peer may request.
    told: Option<Bitfield>,
    remote_pieces: RemotePieces,
    we_choke: bool,
    we_are_interested: bool,
    peer_chokes: bool,
    peer_is_interested: bool,
    /// Pieces that the peer serves while it chokes us, by number: before the metadata is known they cannot be judged.
    allowed_fast: Vec<u32>,
    suggestions_left: u32,
    requests: Requests,
    pub(super) uploads: Uploads,
    hash_requests: HashRequests,
    /// Under which number the peer wants each extension; 0 is not at all.
    remote_ids: [u8; Extension::ALL.len()],
    pub(super) last_received: Instant,
}

impl Active {
    /// Begins with what we have and, where both sides speak it, the extension handshake.
    pub(super) fn begin(
        config: Arc<Config>,
        remote: Handshake,
        remote_ip: IpAddr,
        torrent: LocalTorrent,
        now: Instant,
        out: &mut Outward,
    ) -> Self {
        // We always set both bits, so what the peer sets is what was negotiated.
        let dialect = if remote.reserved.has(Reserved::FAST) {
            Dialect::Fast
        } else {
            Dialect::Base
        };
        let mut codec = Codec::new();
        let (geometry, told) = match torrent.pieces {
            Some(pieces) => (Some(pieces.geometry), Some(pieces.have)),
            None => (None, None),
        };
        if let Some(geometry) = &geometry {
            codec.set_geometry(geometry);
        }
        if let Some(first_word) = first_word(dialect, told.as_ref()) {
            out.send(now, &first_word);
        }
        let this = Self {
            dialect,
            codec,
            geometry,
            told,
            remote_pieces: RemotePieces::Silent,
            we_choke: true,
            we_are_interested: false,
            peer_chokes: true,
            peer_is_interested: false,
            allowed_fast: Vec::new(),
            suggestions_left: MAX_SUGGESTIONS,
            requests: Requests::new(dialect, config.request_timeout),
            uploads: Uploads::new(config.max_incoming_requests),
            hash_requests: HashRequests::default(),
            remote_ids: [0; Extension::ALL.len()],
            last_received: now,
            config,
            remote,
        };
        if this.speaks_extensions() {
            let handshake =
                this.extension_handshake(remote_ip, torrent.metadata_size, torrent.role);
            this.send_extension_handshake(now, &handshake, out);
        }
        if let Some(port) = this.config.dht_port
            && remote.reserved.has(Reserved::DHT)
        {
            out.send(now, &Message::Port(port));
        }
        this
    }

    /// Reads all whole messages of `input`.
    pub(super) fn handle_input(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
        out: &mut Outward,
    ) -> Result<(), ProtocolViolation> {
        self.last_received = now;
        while let Some(message) = self.codec.decode(input)? {
            self.handle_message(now, message, out)?;
        }
        self.send_requests(now, out);
        Ok(())
    }

    /// Bytes that are missing until the message at the front of `input` is whole.
    pub(super) fn missing(&self, input: &[u8]) -> usize {
        self.codec.missing(input)
    }

    fn handle_message(
        &mut self,
        now: Instant,
        message: Message,
        out: &mut Outward,
    ) -> Result<(), ProtocolViolation> {
        self.require_first_word(&message, out)?;
        match message {
            Message::Piece {
                piece,
                offset,
                data,
            } => return self.handle_block(now, piece, offset, data, out),
            Message::Request(request) => self.handle_request(now, request, out),
            Message::Cancel(request) => self.handle_cancel(now, request, out),
            Message::Have { piece } => {
                let news = self.remote_pieces.insert(piece, self.geometry.as_deref())?;
                out.events.extend(news.map(Event::Have));
            }
            Message::KeepAlive => {}
            Message::Choke => self.handle_choke(now, out),
            Message::Unchoke => self.handle_unchoke(out),
            Message::Interested => {
                if !std::mem::replace(&mut self.peer_is_interested, true) {
                    out.event(Event::Interested);
                }
            }
            Message::NotInterested => {
                if std::mem::replace(&mut self.peer_is_interested, false) {
                    out.event(Event::NotInterested);
                }
            }
            Message::Bitfield(bytes) => self.say(FirstWord::Bitfield(bytes), out)?,
            Message::HaveAll => {
                self.require_fast()?;
                self.say(FirstWord::All, out)?;
            }
            Message::HaveNone => {
                self.require_fast()?;
                self.say(FirstWord::None, out)?;
            }
            Message::RejectRequest(request) => {
                self.require_fast()?;
                return self.handle_reject(request, out);
            }
            Message::SuggestPiece { piece } => {
                self.require_fast()?;
                return self.handle_suggestion(piece, out);
            }
            Message::AllowedFast { piece } => {
                self.require_fast()?;
                return self.handle_allowed_fast(piece, out);
            }
            Message::Port(port) => out.event(Event::Port(port)),
            Message::Extended { id, payload } => {
                return self.handle_extended(now, id, payload, out);
            }
            Message::HashRequest(range) => {
                if self.hash_requests.push_theirs(now, range) {
                    out.event(Event::HashesRequested(Box::new(range)));
                } else {
                    out.send(now, &Message::HashReject(range));
                }
            }
            Message::Hashes { range, hashes } => {
                self.end_hash_request(&range)?;
                let range = Box::new(range);
                out.event(Event::Hashes { range, hashes });
            }
            Message::HashReject(range) => {
                self.end_hash_request(&range)?;
                out.event(Event::HashesReturned(Box::new(range)));
            }
        }
        Ok(())
    }

    /// BEP 6: "exactly one of" bitfield, have-all and have-none "must appear", first. BEP 3: a bitfield "is only ever
    /// sent as the first message". Messages that say nothing of pieces are let pass before: some clients begin with
    /// the extension handshake.
    fn require_first_word(
        &mut self,
        message: &Message,
        out: &mut Outward,
    ) -> Result<(), ProtocolViolation> {
        let is_first_word = matches!(
            message,
            Message::Bitfield(_) | Message::HaveAll | Message::HaveNone
        );
        match (self.remote_pieces.is_silent(), is_first_word) {
            (true, true) | (false, false) => Ok(()),
            (false, true) => Err(ProtocolViolation::PiecesNotFirst),
            (true, false) => match message {
                Message::KeepAlive | Message::Extended { .. } | Message::Port(_) => Ok(()),
                _ if self.dialect == Dialect::Fast => Err(ProtocolViolation::PiecesMissing),
                _ => self.say(FirstWord::None, out),
            },
        }
    }

    fn require_fast(&self) -> Result<(), ProtocolViolation> {
        match self.dialect {
            Dialect::Fast => Ok(()),
            Dialect::Base => Err(ProtocolViolation::FastNotNegotiated),
        }
    }

    fn say(&mut self, word: FirstWord, out: &mut Outward) -> Result<(), ProtocolViolation> {
        let pieces = self.remote_pieces.begin(word, self.geometry.as_deref())?;
        out.events.extend(pieces.map(Event::Has));
        Ok(())
    }

    fn handle_block(
        &mut self,
        now: Instant,
        piece: u32,
        offset: u32,
        data: Bytes,
        out: &mut Outward,
    ) -> Result<(), ProtocolViolation> {
        let length = data.len();
        let unrequested = ProtocolViolation::UnrequestedBlock {
            piece,
            offset,
            length,
        };
        let Ok(block_length) = u32::try_from(length) else {
            return Err(unrequested);
        };
        let key = BlockRequest {
            piece,
            offset,
            length: block_length,
        };
        match self.requests.answer_with_block(now, key) {
            Answer::Expected(block) => {
                out.received.blocks += u64::from(block_length);
                out.event(Event::Block { block, data });
                Ok(())
            }
            Answer::Late => {
                out.received.late_blocks += u64::from(block_length);
                Ok(())
            }
            Answer::Unrequested => Err(unrequested),
        }
    }

    fn handle_reject(
        &mut self,
        request: BlockRequest,
        out: &mut Outward,
    ) -> Result<(), ProtocolViolation> {
        match self.requests.answer_with_reject(request) {
            Answer::Expected(block) => out.event(Event::Returned(block)),
            Answer::Late => {}
            Answer::Unrequested => {
                let piece = request.piece;
                return Err(ProtocolViolation::UnrequestedReject { piece });
            }
        }
        Ok(())
    }

    fn handle_choke(&mut self, now: Instant, out: &mut Outward) {
        if std::mem::replace(&mut self.peer_chokes, true) {
            return;
        }
        out.event(Event::Choked);
        let allowed = &self.allowed_fast;
        self.requests.choke(
            now,
            |block| allowed.contains(&block.piece().get()),
            |block| out.event(Event::Returned(block)),
        );
    }

    fn handle_unchoke(&mut self, out: &mut Outward) {
        if !std::mem::replace(&mut self.peer_chokes, false) {
            return;
        }
        self.requests
            .unchoke(|block| out.event(Event::Returned(block)));
        out.event(Event::Unchoked);
    }

    /// Queues what we are willing to serve, and refuses the rest.
    fn handle_request(&mut self, now: Instant, request: BlockRequest, out: &mut Outward) {
        let block = self.servable(request);
        let is_accepted = block.is_some_and(|block| {
            (!self.we_choke || self.uploads.use_allowed_fast(block.piece()))
                && self.uploads.push(block)
        });
        if !is_accepted {
            self.refuse(now, request, out);
        }
    }

    /// The block of a request for something that exists and that we told we have.
    fn servable(&self, request: BlockRequest) -> Option<Block> {
        let block = self.geometry.as_ref()?.block(request).ok()?;
        let is_told = self.told.as_ref()?.contains(block.piece());
        (is_told && block.length() <= limits::MAX_BLOCK_LENGTH).then_some(block)
    }

    /// BEP 6: "when a request is not answered with a piece, a reject is sent". BEP 3 knows no such message.
    fn refuse(&self, now: Instant, request: BlockRequest, out: &mut Outward) {
        if self.dialect == Dialect::Fast {
            out.send(now, &Message::RejectRequest(request));
        }
    }

    fn handle_cancel(&mut self, now: Instant, request: BlockRequest, out: &mut Outward) {
        let block = self.servable(request);
        if block.is_some_and(|block| self.uploads.cancel(block)) {
            self.refuse(now, request, out);
        }
    }

    fn handle_suggestion(
        &mut self,
        piece: u32,
        out: &mut Outward,
    ) -> Result<(), ProtocolViolation> {
        let Some(geometry) = &self.geometry else {
            return Ok(());
        };
        let piece = known_piece(piece, geometry)?;
        if self.suggestions_left > 0 {
            self.suggestions_left -= 1;
            out.event(Event::Suggested(piece));
        }
        Ok(())
    }

    fn handle_allowed_fast(
        &mut self,
        piece: u32,
        out: &mut Outward,
    ) -> Result<(), ProtocolViolation> {
        let index = match &self.geometry {
            Some(geometry) => Some(known_piece(piece, geometry)?),
            None => None,
        };
        if self.allowed_fast.len() < MAX_ALLOWED_FAST && !self.allowed_fast.contains(&piece) {
            self.allowed_fast.push(piece);
            out.events.extend(index.map(Event::AllowedFast));
        }
        Ok(())
    }

    fn end_hash_request(&mut self, range: &HashRange) -> Result<(), ProtocolViolation> {
        if self.hash_requests.finish_ours(range) {
            Ok(())
        } else {
            Err(ProtocolViolation::UnrequestedHashes)
        }
    }

    fn handle_extended(
        &mut self,
        now: Instant,
        id: u8,
        payload: Bytes,
        out: &mut Outward,
    ) -> Result<(), ProtocolViolation> {
        if !self.speaks_extensions() {
            return Err(ProtocolViolation::ExtensionProtocolNotNegotiated);
        }
        if id == 0 {
            let handshake = ExtensionHandshake::decode(&payload)?;
            for (extension, remote_id) in Extension::ALL.into_iter().zip(&mut self.remote_ids) {
                *remote_id = handshake.id(extension).unwrap_or(*remote_id);
            }
            if let Some(limit) = handshake.request_queue {
                self.requests.set_peer_limit(limit);
            }
            out.event(Event::ExtensionHandshake(Box::new(handshake)));
            return Ok(());
        }
        match self.config.extensions.by_local_id(id) {
            Some(Extension::DontHave) => {
                let piece = donthave::decode(&payload)?;
                self.handle_dont_have(now, piece, out)?;
            }
            Some(extension) => out.event(Event::Extended { extension, payload }),
            // A number that we gave to nothing.
            None => {}
        }
        Ok(())
    }

    fn handle_dont_have(
        &mut self,
        now: Instant,
        piece: u32,
        out: &mut Outward,
    ) -> Result<(), ProtocolViolation> {
        let lost = self.remote_pieces.remove(piece, self.geometry.as_deref())?;
        if let Some(piece) = lost {
            out.event(Event::DontHave(piece));
            // While it had all, it may not have heard of every piece of ours.
            if self.told.as_ref().is_some_and(|told| told.contains(piece)) {
                out.send(now, &Message::Have { piece: piece.get() });
            }
        }
        Ok(())
    }

    pub(super) fn handle_command(&mut self, now: Instant, command: Command, out: &mut Outward) {
        match command {
            Command::Request(block) => self.request(block, out),
            Command::Cancel(block) => self.cancel(now, block, out),
            Command::Interested => {
                if !std::mem::replace(&mut self.we_are_interested, true) {
                    out.send(now, &Message::Interested);
                }
            }
            Command::NotInterested => {
                if std::mem::replace(&mut self.we_are_interested, false) {
                    out.send(now, &Message::NotInterested);
                }
            }
            Command::Choke => self.choke(now, out),
            Command::Unchoke => {
                if std::mem::replace(&mut self.we_choke, false) {
                    out.send(now, &Message::Unchoke);
                }
            }
            Command::Have(piece) => self.tell_have(now, piece, out),
            Command::DontHave(piece) => self.tell_dont_have(now, piece, out),
            Command::AllowFast(piece) => self.allow_fast(now, piece, out),
            Command::Suggest(piece) => {
                if self.dialect == Dialect::Fast {
                    out.send(now, &Message::SuggestPiece { piece: piece.get() });
                }
            }
            Command::UploadOnly => self.tell_upload_only(now, out),
            Command::Extended { extension, payload } => {
                self.send_extended(now, extension, &payload, out);
            }
            Command::RequestHashes(range) => {
                if self.hash_requests.push_ours(*range) {
                    out.send(now, &Message::HashRequest(*range));
                } else {
                    out.event(Event::HashesReturned(range));
                }
            }
            Command::SendHashes { range, hashes } => {
                if self.hash_requests.finish_theirs(&range) {
                    let range = *range;
                    out.send(now, &Message::Hashes { range, hashes });
                }
            }
            Command::RejectHashes(range) => {
                if self.hash_requests.finish_theirs(&range) {
                    out.send(now, &Message::HashReject(*range));
                }
            }
        }
    }

    /// Sends the requests that the peer has room for.
    pub(super) fn send_requests(&mut self, now: Instant, out: &mut Outward) {
        while let Some(block) = self.requests.next_to_send(now) {
            out.send(now, &Message::Request(block.into()));
        }
    }

    /// Queues a request that the peer can answer; returns any other at once.
    fn request(&mut self, block: Block, out: &mut Outward) {
        let is_served = !self.peer_chokes || self.allowed_fast.contains(&block.piece().get());
        let can_be_answered = is_served && self.remote_pieces.has(block.piece());
        if !(can_be_answered && self.requests.push(block)) {
            out.event(Event::Returned(block));
        }
    }

    fn cancel(&mut self, now: Instant, block: Block, out: &mut Outward) {
        let cancelled = self.requests.cancel(block);
        if matches!(cancelled, Cancelled::AnswerFollows | Cancelled::GivenUp) {
            out.send(now, &Message::Cancel(block.into()));
        }
        if matches!(cancelled, Cancelled::BeforeSending | Cancelled::GivenUp) {
            out.event(Event::Returned(block));
        }
    }

    /// BEP 6: the choke goes out first, then a reject for each request that it ends.
    fn choke(&mut self, now: Instant, out: &mut Outward) {
        if std::mem::replace(&mut self.we_choke, true) {
            return;
        }
        out.send(now, &Message::Choke);
        let mut ended = Vec::new();
        self.uploads.choke(|block| ended.push(block));
        for block in ended {
            self.refuse(now, block.into(), out);
        }
    }

    /// A peer that has every piece never requests one, so it is not told.
    fn tell_have(&mut self, now: Instant, piece: PieceIndex, out: &mut Outward) {
        let is_news = self.told.as_mut().is_some_and(|told| told.insert(piece));
        if is_news && !self.remote_pieces.has_all() {
            out.send(now, &Message::Have { piece: piece.get() });
        }
    }

    fn tell_dont_have(&mut self, now: Instant, piece: PieceIndex, out: &mut Outward) {
        if !self.told.as_mut().is_some_and(|told| told.remove(piece)) {
            return;
        }
        let mut ended = Vec::new();
        self.uploads.forget_piece(piece, |block| ended.push(block));
        for block in ended {
            self.refuse(now, block.into(), out);
        }
        let payload = Bytes::copy_from_slice(&donthave::encode(piece.get()));
        self.send_extended(now, Extension::DontHave, &payload, out);
    }

    fn allow_fast(&mut self, now: Instant, piece: PieceIndex, out: &mut Outward) {
        if self.dialect == Dialect::Base {
            return;
        }
        let Some(geometry) = &self.geometry else {
            return;
        };
        if self.uploads.allow_fast(piece, geometry.block_count(piece)) {
            out.send(now, &Message::AllowedFast { piece: piece.get() });
        }
    }

    fn tell_upload_only(&self, now: Instant, out: &mut Outward) {
        if self.speaks_extensions() {
            let handshake = ExtensionHandshake {
                upload_only: Some(true),
                ..ExtensionHandshake::default()
            };
            self.send_extension_handshake(now, &handshake, out);
        }
    }

    /// Sends a message of an extension under the number that the peer chose, if it chose one.
    fn send_extended(
        &self,
        now: Instant,
        extension: Extension,
        payload: &Bytes,
        out: &mut Outward,
    ) {
        let known = Extension::ALL.into_iter().zip(self.remote_ids);
        let ids = known.filter(|&(each, id)| each == extension && id != 0);
        for (_, id) in ids {
            let payload = payload.clone();
            out.send(now, &Message::Extended { id, payload });
        }
    }

    fn speaks_extensions(&self) -> bool {
        self.remote.reserved.has(Reserved::EXTENSION_PROTOCOL)
    }

    fn extension_handshake(
        &self,
        remote_ip: IpAddr,
        metadata_size: Option<u32>,
        role: Role,
    ) -> ExtensionHandshake {
        ExtensionHandshake {
            ids: self
                .config
                .extensions
                .iter()
                .map(|extension| (extension.name().to_owned(), extension.local_id()))
                .collect(),
            client: self.config.client.clone(),
            listen_port: self.config.listen_port,
            request_queue: u32::try_from(self.uploads.limit()).ok(),
            your_ip: Some(remote_ip),
            metadata_size,
            upload_only: (role == Role::UploadOnly).then_some(true),
            ..ExtensionHandshake::default()
        }
    }

    fn send_extension_handshake(
        &self,
        now: Instant,
        handshake: &ExtensionHandshake,
        out: &mut Outward,
    ) {
        let payload = handshake.encode().into();
        out.send(now, &Message::Extended { id: 0, payload });
    }

    /// The metadata of a magnet link is known: judges what the peer has said until now.
    pub(super) fn handle_metadata(
        &mut self,
        now: Instant,
        geometry: Arc<Geometry>,
        have: &Bitfield,
        out: &mut Outward,
    ) -> Result<(), ProtocolViolation> {
        if self.geometry.is_some() {
            return Ok(());
        }
        self.codec.set_geometry(&geometry);
        let pieces = self.remote_pieces.resolve(&geometry)?;
        out.events.extend(pieces.map(Event::Has));
        for &piece in &self.allowed_fast {
            out.event(Event::AllowedFast(known_piece(piece, &geometry)?));
        }
        self.told = Some(Bitfield::empty(&geometry));
        self.geometry = Some(geometry);
        for piece in have.iter() {
            self.tell_have(now, piece, out);
        }
        Ok(())
    }

    pub(super) fn send_block(
        &mut self,
        now: Instant,
        block: Block,
        data: Bytes,
        out: &mut Outward,
    ) {
        if !self.uploads.finish(block) {
            return;
        }
        if data.len() == block.length() as usize {
            out.send_block(now, block, data);
        } else {
            debug_assert!(false, "{} bytes are not {block:?}", data.len());
            self.refuse(now, block.into(), out);
        }
    }

    pub(super) fn reject(&mut self, now: Instant, block: Block, out: &mut Outward) {
        if self.uploads.finish(block) {
            self.refuse(now, block.into(), out);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Outward) {
        let Self {
            requests,
            allowed_fast,
            peer_chokes,
            ..
        } = self;
        requests.handle_timeout(
            now,
            |block| !*peer_chokes || allowed_fast.contains(&block.piece().get()),
            |block| out.event(Event::Returned(block)),
        );
        while let Some(range) = self.hash_requests.pop_overdue(now) {
            out.send(now, &Message::HashReject(range));
        }
        self.send_requests(now, out);
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        [
            self.requests.next_timeout(),
            self.hash_requests.next_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The connection ends: every request of ours is answered.
    pub(super) fn end(&mut self, out: &mut Outward) {
        self.requests
            .drain(|block| out.event(Event::Returned(block)));
        for range in self.hash_requests.drain_ours() {
            out.event(Event::HashesReturned(Box::new(range)));
        }
    }
}

/// What we say of our pieces first; without the fast extension, nothing says that we have none.
fn first_word(dialect: Dialect, have: Option<&Bitfield>) -> Option<Message> {
    let bitfield = |have: &Bitfield| Message::Bitfield(Bytes::copy_from_slice(have.as_bytes()));
    match (dialect, have) {
        (Dialect::Fast, Some(have)) if have.is_full() => Some(Message::HaveAll),
        (Dialect::Fast, Some(have)) if !have.is_empty() => Some(bitfield(have)),
        (Dialect::Fast, _) => Some(Message::HaveNone),
        (Dialect::Base, Some(have)) if !have.is_empty() => Some(bitfield(have)),
        (Dialect::Base, _) => None,
    }
}
