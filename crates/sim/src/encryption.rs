//! What stands between a wire and a connection: nothing, or encryption.

use bytes::{Bytes, BytesMut};
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use rarest_metainfo::InfoHash;
use rarest_peer_wire::connection::Connection;
use rarest_peer_wire::limits::MAX_MSE_PAD_LENGTH;
use rarest_peer_wire::mse::{
    Decryptor, Encryptor, Initiator, Method, Methods, Opening, Pad, PrivateKey, Responder, Secrets,
    SkeyDigest,
};

use crate::network::take_turn;

/// What a node thinks of encryption (MSE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// It has never heard of it.
    Unknown,
    /// It dials encrypted, and in the clear who does not understand that; it answers both.
    Preferred,
    /// It speaks with nobody in the clear.
    Required,
}

impl Encryption {
    /// How a node dials that it knows nothing of.
    pub(crate) fn first(self) -> Opening {
        match self {
            Self::Unknown => Opening::Plaintext,
            Self::Preferred | Self::Required => Opening::Encrypted,
        }
    }

    /// How a node dials that did not understand that.
    pub(crate) fn second(self, first: Opening) -> Option<Opening> {
        match (self, first) {
            (Self::Unknown | Self::Required, _) => None,
            (Self::Preferred, Opening::Encrypted) => Some(Opening::Plaintext),
            (Self::Preferred, Opening::Plaintext) => Some(Opening::Encrypted),
        }
    }
}

/// One end's side of it.
#[derive(Debug)]
pub(crate) struct Layer {
    stage: Stage,
    /// What the handshake has to say, in front of what the connection has.
    words: BytesMut,
}

#[derive(Debug)]
enum Stage {
    Clear,
    /// The other end dialled, and shows how with its first bytes.
    Undecided(Encryption, Box<Responder>),
    Initiating(Box<Initiator>),
    Responding(Box<Responder>),
    Encrypted(Decryptor, Encryptor),
}

/// The other end does not speak as this one wants.
#[derive(Debug)]
pub(crate) struct Misunderstood;

/// Whether the connection has something to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Stream,
    NothingYet,
}

impl Layer {
    /// Of the end that dialled. The handshake of its connection is in its output, and travels along.
    pub(crate) fn dialling(
        opening: Opening,
        skey: InfoHash,
        connection: &mut Connection,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Self {
        match opening {
            Opening::Plaintext => Self::of(Stage::Clear),
            Opening::Encrypted => {
                let secrets = secrets(rng);
                let mut initiator = Initiator::new(skey, METHODS, secrets, connection.output());
                let words = initiator.output().split();
                let stage = Stage::Initiating(Box::new(initiator));
                Self { stage, words }
            }
        }
    }

    /// Of the end that was dialled.
    pub(crate) fn accepting(encryption: Encryption, rng: &mut Xoshiro256PlusPlus) -> Self {
        Self::of(match encryption {
            Encryption::Unknown => Stage::Clear,
            Encryption::Preferred | Encryption::Required => {
                let responder = Responder::new(METHODS, secrets(rng));
                Stage::Undecided(encryption, Box::new(responder))
            }
        })
    }

    fn of(stage: Stage) -> Self {
        let words = BytesMut::new();
        Self { stage, words }
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self.stage, Stage::Encrypted(..))
    }

    /// Reads what came: the bytes of `input` from `start` on.
    pub(crate) fn hear(
        &mut self,
        input: &mut BytesMut,
        start: usize,
        skey: InfoHash,
    ) -> Result<Heard, Misunderstood> {
        let established = match &mut self.stage {
            Stage::Clear => return Ok(Heard::Stream),
            Stage::Encrypted(decryptor, _) => {
                decryptor.decrypt(&mut input[start..]);
                return Ok(Heard::Stream);
            }
            Stage::Undecided(encryption, _) => {
                let encryption = *encryption;
                match Opening::of(input) {
                    None => return Ok(Heard::NothingYet),
                    Some(Opening::Plaintext) if encryption == Encryption::Required => {
                        return Err(Misunderstood);
                    }
                    Some(Opening::Plaintext) => self.stage = Stage::Clear,
                    Some(Opening::Encrypted) => self.respond(),
                }
                return self.hear(input, start, skey);
            }
            Stage::Initiating(initiator) => {
                let established = initiator.handle_input(input);
                self.words.unsplit(initiator.output().split());
                established
            }
            Stage::Responding(responder) => {
                let find = |digest| (digest == SkeyDigest::of(skey)).then_some(skey);
                let established = responder.handle_input(input, find);
                self.words.unsplit(responder.output().split());
                established
            }
        };
        let Some(established) = established.map_err(|_| Misunderstood)? else {
            return Ok(Heard::NothingYet);
        };
        self.stage = match (established.decryptor, established.encryptor) {
            (Some(decryptor), Some(encryptor)) => Stage::Encrypted(decryptor, encryptor),
            _ => unreachable!("nodes offer RC4 alone"),
        };
        Ok(Heard::Stream)
    }

    fn respond(&mut self) {
        let stage = std::mem::replace(&mut self.stage, Stage::Clear);
        self.stage = match stage {
            Stage::Undecided(_, responder) => Stage::Responding(responder),
            other => other,
        };
    }

    pub(crate) fn has_output(&self, connection: &Connection) -> bool {
        let may_speak = matches!(self.stage, Stage::Clear | Stage::Encrypted(..));
        !self.words.is_empty() || (may_speak && connection.has_output())
    }

    /// Takes what one turn on the line sends, at most `allowed` bytes.
    pub(crate) fn take_turn(
        &mut self,
        connection: &mut Connection,
        allowed: usize,
        per_second: u64,
    ) -> Bytes {
        if !self.words.is_empty() {
            return take_turn(&mut self.words, allowed, per_second);
        }
        let output = connection.output();
        match &mut self.stage {
            Stage::Clear => take_turn(output, allowed, per_second),
            Stage::Encrypted(_, encryptor) => {
                let sent = take_turn(&mut encryptor.chunk(output), allowed, per_second);
                encryptor.advance(sent.len(), output);
                sent
            }
            Stage::Undecided(..) | Stage::Initiating(_) | Stage::Responding(_) => Bytes::new(),
        }
    }
}

const METHODS: Methods = Methods::only(Method::Rc4);

/// Secrets that follow from the seed of the world.
fn secrets(rng: &mut Xoshiro256PlusPlus) -> Secrets {
    let mut pad = || {
        let length = rng.random_range(0..=MAX_MSE_PAD_LENGTH);
        Pad::new(vec![0x5a; length]).expect("it is no longer than allowed")
    };
    let (open_pad, encrypted_pad) = (pad(), pad());
    Secrets {
        private_key: PrivateKey::from_bytes(rng.random()),
        open_pad,
        encrypted_pad,
    }
}
