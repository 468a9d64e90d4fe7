//! The key exchange of Diffie and Hellman with 768-bit numbers.

use std::fmt;

use crypto_bigint::modular::{ConstMontyForm, ConstMontyParams};
use crypto_bigint::{U192, U768, const_monty_params};
use rand::CryptoRng;

const_monty_params!(
    Prime,
    U768,
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a63a36210000000000090563",
    "The prime of the specification. Half of what lies under it is prime as well, so that only 1 and the prime less one have small orders."
);

type Residue = ConstMontyForm<Prime, { U768::LIMBS }>;

/// The generator of the specification.
const GENERATOR: Residue = Residue::new(&U768::from_u8(2));

/// A random number that is never told.
#[derive(Clone)]
pub struct PrivateKey([u8; Self::LENGTH]);

impl PrivateKey {
    /// Length in bytes. More would not make the exchange any safer, says the specification.
    pub const LENGTH: usize = Self::BITS as usize / 8;

    const BITS: u32 = 160;

    /// A number, with its most significant byte first.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// A number from a generator that nobody can foresee.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; Self::LENGTH];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// What the other side is told. One exponentiation.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(to_bytes(&self.raise(&GENERATOR)))
    }

    /// What both sides, and nobody else, come to. One exponentiation.
    #[must_use]
    pub fn agree(&self, theirs: &PublicKey) -> SharedSecret {
        let theirs = Residue::new(&U768::from_be_slice(&theirs.0));
        SharedSecret(to_bytes(&self.raise(&theirs)))
    }

    /// Takes as long for one key as for another.
    fn raise(&self, base: &Residue) -> Residue {
        let mut bytes = [0; U192::BYTES];
        bytes[U192::BYTES - Self::LENGTH..].copy_from_slice(&self.0);
        let exponent = U192::from_be_slice(&bytes);
        base.pow_bounded_exp(&exponent, Self::BITS)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// What each side begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; Self::LENGTH]);

/// A public key with which anybody could tell the shared secret, or that is no number below the prime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the public key of the peer is degenerate")]
pub struct DegenerateKey;

impl PublicKey {
    /// Length in bytes, zeros in front included.
    pub const LENGTH: usize = 96;

    /// A key as it came.
    ///
    /// # Errors
    /// [`DegenerateKey`] for 0, 1, and from one below the prime on.
    pub fn from_bytes(bytes: [u8; Self::LENGTH]) -> Result<Self, DegenerateKey> {
        let key = U768::from_be_slice(&bytes);
        let last = Prime::PARAMS.modulus().get().wrapping_sub(&U768::ONE);
        if key <= U768::ONE || key >= last {
            return Err(DegenerateKey);
        }
        Ok(Self(bytes))
    }

    /// The bytes of the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

/// What both sides, and nobody else, know.
#[derive(Clone)]
pub struct SharedSecret([u8; PublicKey::LENGTH]);

impl SharedSecret {
    /// The number, with zeros in front.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PublicKey::LENGTH] {
        &self.0
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(..)")
    }
}

fn to_bytes(residue: &Residue) -> [u8; PublicKey::LENGTH] {
    residue.retrieve().to_be_bytes().into()
}
