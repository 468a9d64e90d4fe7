//! Whether connections are encrypted, and how each peer was reached.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rarest_peer_wire::mse::{Method, Methods};

/// Peers of which is remembered how they are reached. Forgetting one costs a dial.
const MAX_REMEMBERED: usize = 4096;

/// Whether connections to peers are encrypted (MSE, also known as protocol encryption).
///
/// It hides from those who look on what goes over the wire. It does not prove who the peer is.
///
/// Peers that are dialled the way they do not speak are dialled once more the other way, where that is allowed, and it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Encryption {
    /// For peers that we dial.
    pub outgoing: EncryptionPolicy,
    /// For peers that dial us.
    pub incoming: EncryptionPolicy,
    /// How the stream goes on behind an encrypted handshake: what we offer, and what we choose of what is offered to us.
    pub methods: Methods,
}

/// What is wanted of connections in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EncryptionPolicy {
    /// No connection is encrypted.
    Disable,
    /// Peers are dialled in the clear, and those that want it encrypted. Who dials us chooses.
    Tolerate,
    /// Peers are dialled encrypted, and in the clear those that do not understand it. Who dials us chooses.
    Prefer,
    /// Every connection is encrypted.
    Require,
}

impl Encryption {
    /// No connection is encrypted.
    pub const DISABLE: Self =
        Self::both(EncryptionPolicy::Disable, Methods::only(Method::Plaintext));

    /// Connections are encrypted with peers that want it. The default: it reaches everybody, and costs nothing with all others.
    pub const TOLERATE: Self = Self::both(
        EncryptionPolicy::Tolerate,
        Methods::preferring(Method::Plaintext),
    );

    /// Connections are encrypted with peers that know how.
    pub const PREFER: Self = Self::both(EncryptionPolicy::Prefer, Methods::preferring(Method::Rc4));

    /// Every byte of every connection is encrypted.
    pub const REQUIRE: Self = Self::both(EncryptionPolicy::Require, Methods::only(Method::Rc4));

    const fn both(policy: EncryptionPolicy, methods: Methods) -> Self {
        Self {
            outgoing: policy,
            incoming: policy,
            methods,
        }
    }
}

impl Default for Encryption {
    fn default() -> Self {
        Self::TOLERATE
    }
}

impl EncryptionPolicy {
    /// How a peer of which nothing is known is dialled.
    fn first(self) -> Opening {
        match self {
            Self::Disable | Self::Tolerate => Opening::Plaintext,
            Self::Prefer | Self::Require => Opening::Encrypted,
        }
    }

    /// Whether a peer that did not understand it may be dialled the other way.
    fn may_change(self) -> bool {
        matches!(self, Self::Tolerate | Self::Prefer)
    }
}

/// How a connection begins.
pub(crate) use rarest_peer_wire::mse::Opening;

fn other(opening: Opening) -> Opening {
    match opening {
        Opening::Plaintext => Opening::Encrypted,
        Opening::Encrypted => Opening::Plaintext,
    }
}

/// How peers are dialled, and those that are known to want it another way.
#[derive(Debug)]
pub(crate) struct Openings {
    policy: EncryptionPolicy,
    /// Peers that are not to be dialled as others are.
    exceptions: Mutex<HashMap<SocketAddr, Opening>>,
}

impl Openings {
    pub(crate) fn new(policy: EncryptionPolicy) -> Self {
        Self {
            policy,
            exceptions: Mutex::default(),
        }
    }

    /// How the peer is dialled.
    pub(crate) fn first(&self, peer: SocketAddr) -> Opening {
        let known = self.lock().get(&peer).copied();
        known.unwrap_or_else(|| self.policy.first())
    }

    /// How the peer is dialled when that failed.
    pub(crate) fn second(&self, first: Opening) -> Option<Opening> {
        self.policy.may_change().then(|| other(first))
    }

    /// The peer was reached so.
    pub(crate) fn succeeded(&self, peer: SocketAddr, opening: Opening) {
        let mut exceptions = self.lock();
        if opening == self.policy.first() {
            exceptions.remove(&peer);
            return;
        }
        if exceptions.len() >= MAX_REMEMBERED
            && !exceptions.contains_key(&peer)
            && let Some(&any) = exceptions.keys().next()
        {
            exceptions.remove(&any);
        }
        exceptions.insert(peer, opening);
    }

    /// The peer did not answer when it was dialled so: the next time it is dialled the other way, if that is allowed.
    pub(crate) fn unanswered(&self, peer: SocketAddr, opening: Opening) {
        if let Some(second) = self.second(opening) {
            self.succeeded(peer, second);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Opening>> {
        self.exceptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u16) -> SocketAddr {
        ([192, 0, 2, 1], number).into()
    }

    #[test]
    fn a_peer_is_dialled_next_time_as_it_was_reached() {
        let openings = Openings::new(EncryptionPolicy::Tolerate);
        assert_eq!(openings.first(peer(1)), Opening::Plaintext);
        assert_eq!(
            openings.second(Opening::Plaintext),
            Some(Opening::Encrypted)
        );
        openings.succeeded(peer(1), Opening::Encrypted);
        assert_eq!(openings.first(peer(1)), Opening::Encrypted);
        assert_eq!(openings.first(peer(2)), Opening::Plaintext);
        openings.succeeded(peer(1), Opening::Plaintext);
        assert_eq!(openings.first(peer(1)), Opening::Plaintext);
        assert!(openings.lock().is_empty());
    }

    #[test]
    fn a_peer_that_is_silent_is_dialled_the_other_way_next_time() {
        let openings = Openings::new(EncryptionPolicy::Prefer);
        openings.unanswered(peer(1), Opening::Encrypted);
        assert_eq!(openings.first(peer(1)), Opening::Plaintext);
        openings.unanswered(peer(1), Opening::Plaintext);
        assert_eq!(openings.first(peer(1)), Opening::Encrypted);
    }

    #[test]
    fn there_is_no_other_way_where_one_is_required() {
        for (policy, first) in [
            (EncryptionPolicy::Disable, Opening::Plaintext),
            (EncryptionPolicy::Require, Opening::Encrypted),
        ] {
            let openings = Openings::new(policy);
            assert_eq!(openings.second(first), None);
            openings.unanswered(peer(1), first);
            assert_eq!(openings.first(peer(1)), first);
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let openings = Openings::new(EncryptionPolicy::Tolerate);
        for number in 0..=u16::MAX {
            openings.succeeded(peer(number), Opening::Encrypted);
        }
        assert_eq!(openings.lock().len(), MAX_REMEMBERED);
        assert_eq!(openings.first(peer(u16::MAX)), Opening::Encrypted);
    }
}
