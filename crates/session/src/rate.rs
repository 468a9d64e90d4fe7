//! Speeds that a caller allows.

use std::fmt;
use std::time::Duration;

/// A bound on a speed, in bytes of a connection a second.
///
/// ```
/// # use rarest_session::Rate;
/// assert_eq!(Rate::mib_per_s(2), Rate::bytes_per_s(2 * 1024 * 1024));
/// assert_eq!(Rate::UNLIMITED.to_bytes_per_s(), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    /// No bound.
    pub const UNLIMITED: Self = Self(u64::MAX);

    /// That many bytes a second. Zero lets nothing through.
    #[must_use]
    pub const fn bytes_per_s(bytes: u64) -> Self {
        Self(bytes)
    }

    /// That many KiB (1,024 bytes) a second.
    #[must_use]
    pub const fn kib_per_s(kib: u64) -> Self {
        Self(kib.saturating_mul(1024))
    }

    /// That many MiB (1,048,576 bytes) a second.
    #[must_use]
    pub const fn mib_per_s(mib: u64) -> Self {
        Self(mib.saturating_mul(1024 * 1024))
    }

    /// The bound in bytes a second; `None` when there is none.
    #[must_use]
    pub const fn to_bytes_per_s(self) -> Option<u64> {
        if self.0 == u64::MAX {
            None
        } else {
            Some(self.0)
        }
    }

    /// How long `bytes` take at this speed; `None` when they never pass.
    pub(crate) fn time_for(self, bytes: usize) -> Option<Duration> {
        let Some(rate) = self.to_bytes_per_s() else {
            return Some(Duration::ZERO);
        };
        let nanos = (bytes as u128 * 1_000_000_000).checked_div(u128::from(rate))?;
        Some(Duration::from_nanos(
            u64::try_from(nanos).unwrap_or(u64::MAX),
        ))
    }
}

impl Default for Rate {
    fn default() -> Self {
        Self::UNLIMITED
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_bytes_per_s() {
            Some(bytes) => write!(f, "{bytes} B/s"),
            None => f.write_str("unlimited"),
        }
    }
}

/// The speeds that a torrent, or the whole session, keeps to.
///
/// What is read from peers counts as download, with the protocol's overhead. Of what is sent only blocks
/// count as upload: holding back a `have` or a request would slow down the download instead.
///
/// ```
/// # use rarest_session::{Limits, Rate};
/// let limits = Limits { download: Rate::mib_per_s(2), ..Limits::NONE };
/// assert_eq!(limits.upload, Rate::UNLIMITED);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The bound on what is read from peers.
    pub download: Rate,
    /// The bound on the blocks that are sent to peers.
    pub upload: Rate,
}

impl Limits {
    /// No bound on either.
    pub const NONE: Self = Self {
        download: Rate::UNLIMITED,
        upload: Rate::UNLIMITED,
    };
}
