//! The handshake of who dialled.

use bytes::{Buf, BufMut, BytesMut};
use rarest_metainfo::InfoHash;

use super::session_keys::{self, SkeyDigest};
use super::steps::{
    Ciphers, Step, Synchronized, VERIFICATION, pad_length, skip_pad, skip_to, take,
};
use super::{
    Decryptor, Encryptor, Established, Method, Methods, MseError, Pad, PrivateKey, PublicKey,
    Secrets, SharedSecret,
};
use crate::limits::MAX_MSE_PAYLOAD_LENGTH;

/// The side of a handshake that dialled, and knows which torrent it comes for.
#[derive(Debug)]
pub struct Initiator {
    state: State,
    skey: InfoHash,
    methods: Methods,
    output: BytesMut,
}

#[derive(Debug)]
enum State {
    AwaitingKey {
        private_key: PrivateKey,
        encrypted_pad: Pad,
        payload: Vec<u8>,
    },
    /// The padding of the responder is skipped until the verification shows.
    Synchronizing {
        ciphers: Ciphers,
        /// The verification as it looks encrypted.
        verification: [u8; VERIFICATION.len()],
        skipped: usize,
    },
    AwaitingSelection(Ciphers),
    AwaitingPad {
        ciphers: Ciphers,
        method: Method,
        left: usize,
    },
    Established,
    Failed(MseError),
}

impl Initiator {
    /// Begins a handshake for a torrent. Our key is in the output.
    ///
    /// What is in `payload` (most often the handshake of BitTorrent) is taken, at most [`MAX_MSE_PAYLOAD_LENGTH`] bytes of it, and sent along, encrypted: this
    /// saves a round trip.
    pub fn new(skey: InfoHash, methods: Methods, secrets: Secrets, payload: &mut impl Buf) -> Self {
        let Secrets {
            private_key,
            open_pad,
            encrypted_pad,
        } = secrets;
        let mut output = BytesMut::new();
        output.put_slice(private_key.public_key().as_bytes());
        output.put_slice(open_pad.bytes());
        let mut sent_along = vec![0; payload.remaining().min(MAX_MSE_PAYLOAD_LENGTH.into())];
        payload.copy_to_slice(&mut sent_along);
        Self {
            state: State::AwaitingKey {
                private_key,
                encrypted_pad,
                payload: sent_along,
            },
            skey,
            methods,
            output,
        }
    }

    /// What is to be written to the socket, all of it before anything else. Advance it by what was written.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Reads what came from the peer; what comes next is to be put behind what is left in `input`.
    ///
    /// `Some` when the handshake is done: then what is left is the stream behind it, decrypted.
    ///
    /// # Errors
    /// Why the handshake failed, now or before.
    pub fn handle_input(&mut self, input: &mut BytesMut) -> Result<Option<Established>, MseError> {
        loop {
            let state = std::mem::replace(&mut self.state, State::Established);
            match self.step(state, input) {
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

    fn step(&mut self, state: State, input: &mut BytesMut) -> Result<Step<State>, MseError> {
        Ok(match state {
            State::AwaitingKey {
                private_key,
                encrypted_pad,
                payload,
            } => match take::<{ PublicKey::LENGTH }>(input) {
                Some(key) => {
                    let secret = private_key.agree(&PublicKey::from_bytes(key)?);
                    Step::Next(self.request(&secret, &encrypted_pad, &payload))
                }
                None => Step::Wait(State::AwaitingKey {
                    private_key,
                    encrypted_pad,
                    payload,
                }),
            },
            State::Synchronizing {
                ciphers,
                verification,
                mut skipped,
            } => match skip_to(&verification, input, &mut skipped)? {
                Synchronized::Yes => Step::Next(State::AwaitingSelection(ciphers)),
                Synchronized::NotYet => Step::Wait(State::Synchronizing {
                    ciphers,
                    verification,
                    skipped,
                }),
            },
            State::AwaitingSelection(mut ciphers) => match take::<6>(input) {
                Some(mut selection) => {
                    ciphers.incoming.apply(&mut selection);
                    let [m0, m1, m2, m3, l0, l1] = selection;
                    let selected = u32::from_be_bytes([m0, m1, m2, m3]);
                    let method = self.methods.chosen(selected);
                    Step::Next(State::AwaitingPad {
                        ciphers,
                        method: method.ok_or(MseError::MethodNotOffered { selected })?,
                        left: pad_length([l0, l1])?,
                    })
                }
                None => Step::Wait(State::AwaitingSelection(ciphers)),
            },
            State::AwaitingPad {
                mut ciphers,
                method,
                mut left,
            } => {
                skip_pad(&mut ciphers.incoming, input, &mut left);
                if left > 0 {
                    return Ok(Step::Wait(State::AwaitingPad {
                        ciphers,
                        method,
                        left,
                    }));
                }
                Step::Done(self.establish(ciphers, method, input))
            }
            State::Established => Step::Wait(State::Established),
            State::Failed(error) => return Err(error),
        })
    }

    /// Says which torrent we come for, what we offer, and the payload.
    fn request(&mut self, secret: &SharedSecret, pad: &Pad, payload: &[u8]) -> State {
        let mut ciphers = Ciphers {
            incoming: session_keys::responder_cipher(secret, self.skey),
            outgoing: session_keys::initiator_cipher(secret, self.skey),
        };
        let digest = SkeyDigest::of(self.skey).masked(secret);
        let output = &mut self.output;
        output.put_slice(&session_keys::synchronization(secret));
        output.put_slice(&digest.0);
        let clear = output.len();
        output.put_slice(&VERIFICATION);
        output.put_u32(self.methods.bits());
        output.put_u16(pad.length());
        output.put_slice(pad.bytes());
        output.put_u16(u16::try_from(payload.len()).expect("no longer payload is taken"));
        output.put_slice(payload);
        ciphers.outgoing.apply(&mut output[clear..]);
        let mut verification = VERIFICATION;
        ciphers.incoming.apply(&mut verification);
        State::Synchronizing {
            ciphers,
            verification,
            skipped: 0,
        }
    }

    fn establish(&self, ciphers: Ciphers, method: Method, input: &mut BytesMut) -> Established {
        let (mut decryptor, encryptor) = match method {
            Method::Plaintext => (None, None),
            Method::Rc4 => (
                Some(Decryptor::endless(ciphers.incoming)),
                Some(Encryptor::new(ciphers.outgoing)),
            ),
        };
        if let Some(decryptor) = &mut decryptor {
            decryptor.decrypt(input);
        }
        Established {
            info_hash: self.skey,
            method,
            decryptor,
            encryptor,
        }
    }
}
