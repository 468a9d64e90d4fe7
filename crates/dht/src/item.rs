//! Items of BEP 44: values that anybody may store, under their hash or under a key that signs them.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use rand::{Rng, RngExt};
use rarest_bencode::{Options, Raw, RawBuf};
use rarest_hash::{Sha1, sha1};

use crate::krpc::{GotItem, PutItem};
use crate::node_id::NodeId;

/// Longest value, bencoded, in bytes (BEP 44).
pub const MAX_VALUE_LENGTH: usize = 1000;

/// Longest salt, in bytes (BEP 44).
pub const MAX_SALT_LENGTH: usize = 64;

/// How deep a value may nest: a message has a limit, and a value in it stands two levels down.
const MAX_VALUE_DEPTH: u16 = 30;

/// What is stored: one bencoded value of at most [`MAX_VALUE_LENGTH`] bytes.
///
/// It is canonical, so that who decodes and encodes it again gets the same hash.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Value(RawBuf);

/// Why bytes are no [`Value`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// There are too many.
    #[error("the value has {length} bytes, {MAX_VALUE_LENGTH} are allowed")]
    TooLong {
        /// Length in bytes.
        length: usize,
    },
    /// They are not one canonical bencoded value.
    #[error("the value is not canonical bencode: {0}")]
    NotCanonical(#[from] rarest_bencode::DecodeError),
}

impl Value {
    /// From a bencoded value.
    ///
    /// # Errors
    /// [`ValueError`].
    pub fn from_encoded(encoded: &[u8]) -> Result<Self, ValueError> {
        let length = encoded.len();
        if length > MAX_VALUE_LENGTH {
            return Err(ValueError::TooLong { length });
        }
        let options = Options::canonical().max_depth(MAX_VALUE_DEPTH);
        Ok(Self(Raw::parse_with(encoded, &options)?.to_buf()))
    }

    /// A byte string.
    ///
    /// # Errors
    /// [`ValueError::TooLong`].
    pub fn from_bytes(content: &[u8]) -> Result<Self, ValueError> {
        let mut encoded = format!("{}:", content.len()).into_bytes();
        encoded.extend(content);
        Self::from_encoded(&encoded)
    }

    /// The value as it stands in a message.
    #[must_use]
    pub fn encoded(&self) -> &[u8] {
        self.0.as_raw().as_bytes()
    }

    /// The content, if the value is a byte string.
    #[must_use]
    pub fn content(&self) -> Option<&[u8]> {
        let encoded = self.encoded();
        let colon = encoded.iter().position(|&byte| byte == b':')?;
        encoded[0].is_ascii_digit().then(|| &encoded[colon + 1..])
    }

    /// Where an immutable item with this value is stored.
    #[must_use]
    pub fn target(&self) -> NodeId {
        NodeId(sha1(self.encoded()).0)
    }

    pub(crate) fn as_raw(&self) -> Raw<'_> {
        self.0.as_raw()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.encoded().escape_ascii())
    }
}

/// Tells the items of one key apart: at most [`MAX_SALT_LENGTH`] bytes, empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Salt(Box<[u8]>);

/// A salt has more than [`MAX_SALT_LENGTH`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the salt has {length} bytes, {MAX_SALT_LENGTH} are allowed")]
pub struct SaltTooLong {
    /// Its length in bytes.
    pub length: usize,
}

impl Salt {
    /// From its bytes.
    ///
    /// # Errors
    /// [`SaltTooLong`].
    pub fn new(salt: &[u8]) -> Result<Self, SaltTooLong> {
        let length = salt.len();
        if length > MAX_SALT_LENGTH {
            return Err(SaltTooLong { length });
        }
        Ok(Self(salt.into()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

macro_rules! hex {
    ($($name:ident)*) => {$(
        /// Lower-case hex.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

hex! { PublicKey Signature }

/// An ed25519 public key, 32 bytes: who may change a mutable item.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// An ed25519 signature, 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature(pub [u8; 64]);

impl PublicKey {
    /// Where the item of this key with `salt` is stored.
    #[must_use]
    pub fn target(self, salt: &Salt) -> NodeId {
        let mut hash = Sha1::new();
        hash.update(&self.0);
        hash.update(salt.as_bytes());
        NodeId(hash.finish().0)
    }
}

/// An ed25519 key pair that signs mutable items, made from a seed of 32 bytes. Keep the seed secret.
#[derive(Clone)]
pub struct KeyPair(SigningKey);

impl KeyPair {
    /// From the 32 bytes that RFC 8032 calls the private key.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// A new one. `rng` must be one that nobody can foresee.
    pub fn random(rng: &mut impl Rng) -> Self {
        Self::from_seed(&rng.random())
    }

    /// What [`KeyPair::from_seed`] takes.
    #[must_use]
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The half that others may know.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs a value; `seq` must be higher than that of what was stored before.
    ///
    /// # Errors
    /// [`NegativeSeq`].
    pub fn sign(&self, value: Value, salt: Salt, seq: i64) -> Result<MutableItem, NegativeSeq> {
        if seq < 0 {
            return Err(NegativeSeq);
        }
        let message = signed_bytes(&value, &salt, seq);
        Ok(MutableItem {
            signature: Signature(self.0.sign(&message).to_bytes()),
            key: self.public(),
            value,
            salt,
            seq,
        })
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("public", &self.public())
            .finish_non_exhaustive()
    }
}

/// A sequence number is below 0, which no node stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sequence number of an item is 0 or more")]
pub struct NegativeSeq;

/// Why an item is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// Its signature is not that of its key.
    #[error("the signature is wrong")]
    InvalidSignature,
    /// It belongs to another target.
    #[error("the item belongs to {0}, which was not asked for")]
    WrongTarget(NodeId),
    /// A mutable item without its sequence number.
    #[error("the mutable item has no sequence number")]
    NoSeq,
}

/// A mutable item whose signature is right: private fields are the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MutableItem {
    key: PublicKey,
    salt: Salt,
    seq: i64,
    value: Value,
    signature: Signature,
}

impl MutableItem {
    /// Checks the signature.
    ///
    /// # Errors
    /// [`ItemError::InvalidSignature`].
    pub fn verify(
        key: PublicKey,
        salt: Salt,
        seq: i64,
        value: Value,
        signature: Signature,
    ) -> Result<Self, ItemError> {
        let message = signed_bytes(&value, &salt, seq);
        // Strict: a key of small order would sign anything.
        VerifyingKey::from_bytes(&key.0)
            .and_then(|verifying| verifying.verify_strict(&message, &signature.0.into()))
            .map_err(|_| ItemError::InvalidSignature)?;
        Ok(Self {
            key,
            salt,
            seq,
            value,
            signature,
        })
    }

    /// Who signed.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// Which of the key's items it is.
    #[must_use]
    pub fn salt(&self) -> &Salt {
        &self.salt
    }

    /// Higher is newer.
    #[must_use]
    pub fn seq(&self) -> i64 {
        self.seq
    }

    /// What is stored.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Over salt, number and value.
    #[must_use]
    pub fn signature(&self) -> Signature {
        self.signature
    }

    /// Where it is stored.
    #[must_use]
    pub fn target(&self) -> NodeId {
        self.key.target(&self.salt)
    }
}

/// An item that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Stored under the hash of its value.
    Immutable(Value),
    /// Stored under the hash of key and salt.
    Mutable(MutableItem),
}

impl Item {
    /// What is stored.
    #[must_use]
    pub fn value(&self) -> &Value {
        match self {
            Self::Immutable(value) => value,
            Self::Mutable(item) => item.value(),
        }
    }

    /// Where it is stored.
    #[must_use]
    pub fn target(&self) -> NodeId {
        match self {
            Self::Immutable(value) => value.target(),
            Self::Mutable(item) => item.target(),
        }
    }

    /// Believes what stands in a `put`, if it is signed.
    pub(crate) fn from_put(item: PutItem) -> Result<Self, ItemError> {
        match item {
            PutItem::Immutable(value) => Ok(Self::Immutable(value)),
            PutItem::Mutable {
                value,
                key,
                salt,
                seq,
                signature,
                ..
            } => MutableItem::verify(key, salt, seq, value, signature).map(Self::Mutable),
        }
    }

    /// Believes what stands in the answer to a `get`, if it belongs to `target` and is signed.
    pub(crate) fn from_got(
        got: GotItem,
        seq: Option<i64>,
        target: NodeId,
        salt: &Salt,
    ) -> Result<Self, ItemError> {
        let Some((key, signature)) = got.signed else {
            let found = got.value.target();
            return match found == target {
                true => Ok(Self::Immutable(got.value)),
                false => Err(ItemError::WrongTarget(found)),
            };
        };
        let found = key.target(salt);
        if found != target {
            return Err(ItemError::WrongTarget(found));
        }
        let seq = seq.ok_or(ItemError::NoSeq)?;
        MutableItem::verify(key, salt.clone(), seq, got.value, signature).map(Self::Mutable)
    }

    pub(crate) fn to_put(&self, cas: Option<i64>) -> PutItem {
        match self {
            Self::Immutable(value) => PutItem::Immutable(value.clone()),
            Self::Mutable(item) => PutItem::Mutable {
                value: item.value.clone(),
                key: item.key,
                salt: item.salt.clone(),
                seq: item.seq,
                signature: item.signature,
                cas,
            },
        }
    }
}

/// What is signed: the bencoded entries `salt` (unless empty), `seq` and `v`, one behind the other.
#[must_use]
pub fn signed_bytes(value: &Value, salt: &Salt, seq: i64) -> Vec<u8> {
    let mut message = Vec::with_capacity(128 + value.encoded().len());
    let salt = salt.as_bytes();
    if !salt.is_empty() {
        message.extend(format!("4:salt{}:", salt.len()).bytes());
        message.extend(salt);
    }
    message.extend(format!("3:seqi{seq}e1:v").bytes());
    message.extend(value.encoded());
    message
}
