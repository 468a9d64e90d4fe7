//! The digests as types, so that neither can be taken for the other.

use core::fmt;

macro_rules! digest {
    ($name:ident, $length:literal, $algorithm:literal) => {
        #[doc = concat!("A ", $algorithm, " digest: ", stringify!($length), " bytes.")]
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// Length of a digest, in bytes.
            pub const LENGTH: usize = $length;

            /// The digest that a final chaining value stands for.
            #[cfg(all(feature = "accelerated", target_arch = "x86_64"))]
            pub(crate) fn from_words(words: [u32; $length / 4]) -> Self {
                let mut bytes = [0; $length];
                for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
                    *bytes = word.to_be_bytes();
                }
                Self(bytes)
            }

            /// The bytes of the digest.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl From<[u8; $length]> for $name {
            fn from(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }
        }

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
    };
}

digest!(Sha1Digest, 20, "SHA-1");
digest!(Sha256Digest, 32, "SHA-256");
