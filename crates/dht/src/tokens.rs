//! Write tokens: who shows one has received at its address what we sent there.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rarest_hash::Sha1;

/// How often the secret behind the tokens changes (BEP 5).
pub const TOKEN_ROTATION: Duration = Duration::from_secs(5 * 60);

/// How many secrets before the present one are accepted: every token is good for ten minutes at least, and fifteen at most.
const OLD_SECRETS: u64 = 2;

/// Bytes of a token: nobody guesses them within its life.
const TOKEN_LENGTH: usize = 8;

/// Makes and checks tokens. Nothing is kept for each: a token is a hash of a secret, the time and the address.
#[derive(Debug)]
pub(crate) struct Tokens {
    secret: [u8; 16],
    since: Instant,
}

impl Tokens {
    pub(crate) fn new(secret: [u8; 16], now: Instant) -> Self {
        Self { secret, since: now }
    }

    /// The token that a node at `ip` gets now.
    pub(crate) fn issue(&self, now: Instant, ip: IpAddr) -> Bytes {
        Bytes::copy_from_slice(&self.token(self.period(now), ip))
    }

    /// Whether `token` was given to a node at `ip` a short while ago.
    pub(crate) fn is_valid(&self, now: Instant, ip: IpAddr, token: &[u8]) -> bool {
        let present = self.period(now);
        (present.saturating_sub(OLD_SECRETS)..=present)
            .any(|period| self.token(period, ip) == token)
    }

    fn period(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.since).as_secs() / TOKEN_ROTATION.as_secs()
    }

    fn token(&self, period: u64, ip: IpAddr) -> [u8; TOKEN_LENGTH] {
        let mut hash = Sha1::new();
        hash.update(&self.secret);
        hash.update(&period.to_be_bytes());
        match ip.to_canonical() {
            IpAddr::V4(ip) => hash.update(&ip.octets()),
            IpAddr::V6(ip) => hash.update(&ip.octets()),
        }
        let digest = hash.finish().0;
        let (token, _) = digest
            .split_first_chunk()
            .expect("a digest of 20 bytes is longer than a token");
        *token
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_token_is_good_for_ten_minutes_whenever_it_was_given_and_not_for_longer_than_fifteen() {
        let start = origin();
        let tokens = Tokens::new([7; 16], start);
        let ip = "9.9.9.9".parse().unwrap();
        for given_after in 0..15 {
            let given = start + given_after * MINUTE;
            let token = tokens.issue(given, ip);
            assert!(tokens.is_valid(given + 10 * MINUTE, ip, &token));
            assert!(!tokens.is_valid(given + 15 * MINUTE, ip, &token));
        }
    }

    #[test]
    fn a_token_is_good_for_one_address_only() {
        let now = origin();
        let tokens = Tokens::new([7; 16], now);
        let token = tokens.issue(now, "9.9.9.9".parse().unwrap());
        assert!(tokens.is_valid(now, "::ffff:9.9.9.9".parse().unwrap(), &token));
        assert!(!tokens.is_valid(now, "9.9.9.8".parse().unwrap(), &token));
        let other_node = Tokens::new([8; 16], now);
        assert!(!other_node.is_valid(now, "9.9.9.9".parse().unwrap(), &token));
    }
}
