//! How the stream goes on behind the handshake.

/// What protects the stream behind the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Nothing: only the handshake was hidden.
    Plaintext,
    /// RC4, with the first 1,024 bytes of its keystream thrown away.
    Rc4,
}

impl Method {
    /// Its bit in `crypto_provide` and `crypto_select`.
    #[must_use]
    pub const fn bit(self) -> u32 {
        match self {
            Self::Plaintext => 1,
            Self::Rc4 => 2,
        }
    }
}

/// The methods that one side takes part in, at least one, the one it likes best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Methods {
    first: Method,
    second: Option<Method>,
}

impl Methods {
    /// No other than this one.
    #[must_use]
    pub const fn only(method: Method) -> Self {
        Self {
            first: method,
            second: None,
        }
    }

    /// All methods, and this one where both sides know it.
    #[must_use]
    pub const fn preferring(method: Method) -> Self {
        let second = match method {
            Method::Plaintext => Method::Rc4,
            Method::Rc4 => Method::Plaintext,
        };
        Self {
            first: method,
            second: Some(second),
        }
    }

    /// The method of these that a responder chooses of what it was offered.
    pub(super) fn choose(self, offered: u32) -> Option<Method> {
        self.iter().find(|method| offered & method.bit() != 0)
    }

    /// The method of these that a responder has chosen: exactly one.
    pub(super) fn chosen(self, selected: u32) -> Option<Method> {
        self.iter().find(|method| selected == method.bit())
    }

    /// What is offered, as bits.
    pub(super) fn bits(self) -> u32 {
        self.iter().fold(0, |bits, method| bits | method.bit())
    }

    fn iter(self) -> impl Iterator<Item = Method> {
        std::iter::once(self.first).chain(self.second)
    }
}
