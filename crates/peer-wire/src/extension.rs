//! The extension protocol: extensions by name, each with a number of the receiver's choice.
//!
//! Source: [BEP 10](https://www.bittorrent.org/beps/bep_0010.html).

pub mod donthave;
mod handshake;
pub mod holepunch;
pub mod metadata;
pub mod pex;

pub use handshake::{ExtensionHandshake, ExtensionHandshakeError};

/// An extension that this crate knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Extension {
    /// Peer exchange, `ut_pex` ([BEP 11](https://www.bittorrent.org/beps/bep_0011.html)).
    Pex,
    /// The info dictionary in parts, `ut_metadata` ([BEP 9](https://www.bittorrent.org/beps/bep_0009.html)).
    Metadata,
    /// `ut_holepunch` ([BEP 55](https://www.bittorrent.org/beps/bep_0055.html)).
    Holepunch,
    /// A piece that is gone, `lt_donthave` ([BEP 54](https://www.bittorrent.org/beps/bep_0054.html)).
    DontHave,
}

impl Extension {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pex, Self::Metadata, Self::Holepunch, Self::DontHave];

    /// The name in the `m` dictionary.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pex => "ut_pex",
            Self::Metadata => "ut_metadata",
            Self::Holepunch => "ut_holepunch",
            Self::DontHave => "lt_donthave",
        }
    }

    /// The number under which we want to receive it; 0 is the handshake.
    #[must_use]
    pub fn local_id(self) -> u8 {
        match self {
            Self::Pex => 1,
            Self::Metadata => 2,
            Self::Holepunch => 3,
            Self::DontHave => 4,
        }
    }

    fn bit(self) -> u8 {
        1 << self.local_id()
    }
}

/// A set of [`Extension`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions(u8);

impl Extensions {
    /// Those and no others.
    pub fn only(extensions: impl IntoIterator<Item = Extension>) -> Self {
        Self(extensions.into_iter().fold(0, |bits, it| bits | it.bit()))
    }

    /// Those of the set that are not in `others`.
    #[must_use]
    pub fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether the extension is in the set.
    #[must_use]
    pub fn contains(self, extension: Extension) -> bool {
        self.0 & extension.bit() != 0
    }

    /// The extensions of the set.
    pub fn iter(self) -> impl Iterator<Item = Extension> {
        Extension::ALL
            .into_iter()
            .filter(move |&extension| self.contains(extension))
    }

    /// The extension of the set that we receive under that number.
    #[must_use]
    pub fn by_local_id(self, id: u8) -> Option<Extension> {
        self.iter().find(|extension| extension.local_id() == id)
    }
}
