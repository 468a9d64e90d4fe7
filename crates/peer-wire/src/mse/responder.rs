//! The handshake of who was dialled.

use bytes::{BufMut, BytesMut};
use rarest_metainfo::InfoHash;

use super::session_keys::{self, SkeyDigest};
use super::steps::{
    Ciphers, Step, Synchronized, VERIFICATION, pad_length, skip_pad, skip_to, take,
};
use super::{
    Decryptor, Encryptor, Established, Method, Methods, MseError, Pad, PublicKey, Secrets,
    SharedSecret,
};

/// The side of a handshake that was dialled. It finds out which torrent the peer comes for, if it has it.
#[derive(Debug)]
pub struct Responder {
    state: State,
    methods: Methods,
    output: BytesMut,
}

#[derive(Debug)]
enum State {
    AwaitingKey(Secrets),
    /// The padding of the initiator is skipped until a digest of the secret shows.
    Synchronizing {
        secret: SharedSecret,
        encrypted_pad: Pad,
        mark: [u8; 20],
        skipped: usize,
    },
    AwaitingSkey {
        secret: SharedSecret,
        encrypted_pad: Pad,
    },
    AwaitingOffer(Found),
    AwaitingPad {
        found: Found,
        method: Method,
        left: usize,
    },
    AwaitingPayloadLength {
        found: Found,
        method: Method,
    },
    Established,
    Failed(MseError),
}

/// The torrent that the peer came for, and what follows of it.
#[derive(Debug)]
struct Found {
    skey: InfoHash,
    ciphers: Ciphers,
    encrypted_pad: Pad,
}

impl Responder {
    /// A handshake that the other side has begun.
    #[must_use]
    pub fn new(methods: Methods, secrets: Secrets) -> Self {
        Self {
            state: State::AwaitingKey(secrets),
            methods,
            output: BytesMut::new(),
        }
    }

    /// What is to be written to the socket, all of it before anything else. Advance it by what was written.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Reads what came from the peer; what comes next is to be put behind what is left in `input`.
    ///
    /// `find` is asked, once at most, for the torrent of a digest.
    ///
    /// `Some` when the handshake is done: then what is left is the stream behind it, decrypted, beginning with the payload that the
    /// initiator has sent along. The whole of that need not have come yet.
    ///
    /// # Errors
    /// Why the handshake failed, now or before.
    pub fn handle_input(
        &mut self,
        input: &mut BytesMut,
        mut find: impl FnMut(SkeyDigest) -> Option<InfoHash>,
    ) -> Result<Option<Established>, MseError> {
        loop {
            let state = std::mem::replace(&mut self.state, State::Established);
            match self.step(state, input, &mut find) {
                Ok(Step::Next(state)) => self.state = state,
                Ok(Step::Wait(state)) => {
                    self.state = state;
                    return Ok(None);
                }
                Ok(Step::Done(established)) => return Ok(Some(established)),
                Err(error) => {
                    self.state = State::Failed(error.clone());
                    return Err(error);
                }
            }
        }
    }

    fn step(
        &mut self,
        state: State,
        input: &mut BytesMut,
        find: impl FnOnce(SkeyDigest) -> Option<InfoHash>,
    ) -> Result<Step<State>, MseError> {
        Ok(match state {
            State::AwaitingKey(secrets) => match take::<{ PublicKey::LENGTH }>(input) {
                Some(key) => Step::Next(self.exchange_keys(key, secrets)?),
                None => Step::Wait(State::AwaitingKey(secrets)),
            },
            State::Synchronizing {
                secret,
                encrypted_pad,
                mark,
                mut skipped,
            } => match skip_to(&mark, input, &mut skipped)? {
                Synchronized::Yes => Step::Next(State::AwaitingSkey {
                    secret,
                    encrypted_pad,
                }),
                Synchronized::NotYet => Step::Wait(State::Synchronizing {
                    secret,
                    encrypted_pad,
                    mark,
                    skipped,
                }),
            },
            State::AwaitingSkey {
                secret,
                encrypted_pad,
            } => match take(input) {
                Some(masked) => {
                    let skey = find(SkeyDigest(masked).masked(&secret));
                    let skey = skey.ok_or(MseError::UnknownTorrent)?;
                    Step::Next(State::AwaitingOffer(Found {
                        skey,
                        ciphers: Ciphers {
                            incoming: session_keys::initiator_cipher(&secret, skey),
                            outgoing: session_keys::responder_cipher(&secret, skey),
                        },
                        encrypted_pad,
                    }))
                }
                None => Step::Wait(State::AwaitingSkey {
                    secret,
                    encrypted_pad,
                }),
            },
            State::AwaitingOffer(found) => match take::<14>(input) {
                Some(offer) => Step::Next(self.choose(offer, found)?),
                None => Step::Wait(State::AwaitingOffer(found)),
            },
            State::AwaitingPad {
                mut found,
                method,
                mut left,
            } => {
                skip_pad(&mut found.ciphers.incoming, input, &mut left);
                match left {
                    0 => Step::Next(State::AwaitingPayloadLength { found, method }),
                    left => Step::Wait(State::AwaitingPad {
                        found,
                        method,
                        left,
                    }),
                }
            }
            State::AwaitingPayloadLength { mut found, method } => match take::<2>(input) {
                Some(mut length) => {
                    found.ciphers.incoming.apply(&mut length);
                    let length = u16::from_be_bytes(length);
                    Step::Done(self.establish(found, method, length.into(), input))
                }
                None => Step::Wait(State::AwaitingPayloadLength { found, method }),
            },
            State::Established => Step::Wait(State::Established),
            State::Failed(error) => return Err(error),
        })
    }

    /// Two exponentiations.
    fn exchange_keys(
        &mut self,
        key: [u8; PublicKey::LENGTH],
        secrets: Secrets,
    ) -> Result<State, MseError> {
        let theirs = PublicKey::from_bytes(key)?;
        let Secrets {
            private_key,
            open_pad,
            encrypted_pad,
        } = secrets;
        self.output.put_slice(private_key.public_key().as_bytes());
        self.output.put_slice(open_pad.bytes());
        let secret = private_key.agree(&theirs);
        Ok(State::Synchronizing {
            mark: session_keys::synchronization(&secret),
            secret,
            encrypted_pad,
            skipped: 0,
        })
    }

    fn choose(&self, mut offer: [u8; 14], mut found: Found) -> Result<State, MseError> {
        found.ciphers.incoming.apply(&mut offer);
        let [verification @ .., o0, o1, o2, o3, l0, l1] = offer;
        if verification != VERIFICATION {
            return Err(MseError::WrongVerification);
        }
        let offered = u32::from_be_bytes([o0, o1, o2, o3]);
        let method = self.methods.choose(offered);
        Ok(State::AwaitingPad {
            found,
            method: method.ok_or(MseError::NoCommonMethod { offered })?,
            left: pad_length([l0, l1])?,
        })
    }

    /// Says what we chose.
    fn establish(
        &mut self,
        found: Found,
        method: Method,
        payload: usize,
        input: &mut BytesMut,
    ) -> Established {
        let Found {
            skey,
            mut ciphers,
            encrypted_pad,
        } = found;
        let clear = self.output.len();
        self.output.put_slice(&VERIFICATION);
        self.output.put_u32(method.bit());
        self.output.put_u16(encrypted_pad.length());
        self.output.put_slice(encrypted_pad.bytes());
        ciphers.outgoing.apply(&mut self.output[clear..]);
        let (mut decryptor, encryptor) = match method {
            Method::Plaintext => (Decryptor::of_payload(ciphers.incoming, payload), None),
            Method::Rc4 => (
                Decryptor::endless(ciphers.incoming),
                Some(Encryptor::new(ciphers.outgoing)),
            ),
        };
        decryptor.decrypt(input);
        Established {
            info_hash: skey,
            method,
            decryptor: (!decryptor.is_finished()).then_some(decryptor),
            encryptor,
        }
    }
}
