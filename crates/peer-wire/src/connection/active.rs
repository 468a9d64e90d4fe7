//! A connection after both handshakes: choke and interest, requests, pieces.

mod downloading;
mod extended;
mod uploading;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rarest_metainfo::{Bitfield, Geometry, PieceIndex};

use super::hash_requests::HashRequests;
use super::outward::Outward;
use super::remote_pieces::{FirstWord, RemotePieces, known_piece};
use super::requests::Requests;
use super::uploads::Uploads;
use super::{
    Command, Config, Dialect, Event, LocalPieces, LocalTorrent, Privacy, ProtocolViolation,
};
use crate::Codec;
use crate::extension::{Extension, ExtensionHandshake, Extensions, donthave};
use crate::handshake::{Handshake, Reserved};
use crate::limits::{MAX_LATE_HAVE_ALLS, MAX_SUGGESTIONS};
use crate::message::{HashRange, Message};

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
    late_have_alls_left: u32,
    requests: Requests,
    pub(super) uploads: Uploads,
    hash_requests: HashRequests,
    /// Those that we speak in this swarm.
    extensions: Extensions,
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
            late_have_alls_left: MAX_LATE_HAVE_ALLS,
            requests: Requests::new(dialect, config.request_timeout),
            uploads: Uploads::new(config.max_incoming_requests),
            hash_requests: HashRequests::default(),
            extensions: torrent.privacy.allowed(config.extensions),
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
            && torrent.privacy == Privacy::Public
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
    /// sent as the first message"; but a bitfield that comes later is taken for many `have`s, as aria2 means it.
    /// Messages that say nothing of pieces are let pass before: some clients begin with the extension handshake.
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
            // aria2 sends its bitfield again, or have-all, in the place of many `have`s.
            (false, true) if !matches!(message, Message::HaveNone) => Ok(()),
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
        if !self.remote_pieces.is_silent() {
            if matches!(word, FirstWord::All) {
                if self.remote_pieces.has_all() || self.late_have_alls_left == 0 {
                    return Ok(());
                }
                self.late_have_alls_left -= 1;
            }
            let news = self.remote_pieces.extend(word, self.geometry.as_deref())?;
            out.events.extend(news.into_iter().map(Event::Have));
            return Ok(());
        }
        let pieces = self.remote_pieces.begin(word, self.geometry.as_deref())?;
        out.events.extend(pieces.map(Event::Has));
        Ok(())
    }

    fn end_hash_request(&mut self, range: &HashRange) -> Result<(), ProtocolViolation> {
        if self.hash_requests.finish_ours(range) {
            Ok(())
        } else {
            Err(ProtocolViolation::UnrequestedHashes)
        }
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
            Command::Unchoke => self.unchoke(now, out),
            Command::Have(piece) => self.tell_have(now, piece, out),
            Command::DontHave(piece) => self.tell_dont_have(now, piece, out),
            Command::AllowFast(piece) => self.allow_fast(now, piece, out),
            Command::Suggest(piece) => {
                if self.dialect == Dialect::Fast {
                    out.send(now, &Message::SuggestPiece { piece: piece.get() });
                }
            }
            Command::Role(role) => self.tell_role(now, role, out),
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
        if self.dialect == Dialect::Base && !ended.is_empty() {
            // Nothing else tells such a peer that it waits in vain (BEP 3: a choke drops its requests).
            self.choke(now, out);
            self.unchoke(now, out);
        }
        for block in ended {
            let request = self.uploads.asked(block);
            self.refuse(now, request, out);
        }
        let payload = Bytes::copy_from_slice(&donthave::encode(piece.get()));
        self.send_extended(now, Extension::DontHave, &payload, out);
    }

    /// The metadata of a magnet link is known: judges what the peer has said until now.
    pub(super) fn handle_metadata(
        &mut self,
        now: Instant,
        torrent: LocalTorrent,
        out: &mut Outward,
    ) -> Result<(), ProtocolViolation> {
        let (None, Some(LocalPieces { geometry, have })) = (&self.geometry, torrent.pieces) else {
            return Ok(());
        };
        let spoken = torrent.privacy.allowed(self.extensions);
        let ended = std::mem::replace(&mut self.extensions, spoken).without(spoken);
        let handshake = ExtensionHandshake {
            ids: ended.iter().map(|it| (it.name().to_owned(), 0)).collect(),
            metadata_size: torrent.metadata_size,
            ..ExtensionHandshake::default()
        };
        if self.speaks_extensions() && handshake != ExtensionHandshake::default() {
            self.send_extension_handshake(now, &handshake, out);
        }
        self.codec.set_geometry(&geometry);
        let pieces = self.remote_pieces.resolve(&geometry)?;
        out.events.extend(pieces.map(Event::Has));
        for &piece in &self.allowed_fast {
            out.event(Event::AllowedFast(known_piece(piece, &geometry)?));
        }
        self.told = Some(Bitfield::empty(&geometry));
        self.geometry = Some(geometry);
        let before = out.output.waiting_overhead();
        for piece in have.iter() {
            self.tell_have(now, piece, out);
        }
        // It is not the peer's fault that we have so much to say at once.
        out.backlog_limit += out.output.waiting_overhead() - before;
        Ok(())
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
