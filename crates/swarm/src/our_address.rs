//! Our own address, as peers see it.

use std::net::IpAddr;

/// Our address in each family. One peer alone is not believed: two of different addresses have to say the same.
#[derive(Debug, Default)]
pub(crate) struct OurAddress {
    v4: Seen,
    v6: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    believed: Option<IpAddr>,
    /// What was said last, and by whom.
    said: Option<(IpAddr, IpAddr)>,
}

impl OurAddress {
    /// A peer says how it sees us (BEP 10, `yourip`).
    pub(crate) fn said(&mut self, ours: IpAddr, by: IpAddr) {
        let ours = ours.to_canonical();
        let seen = match ours {
            IpAddr::V4(_) => &mut self.v4,
            IpAddr::V6(_) => &mut self.v6,
        };
        if seen
            .said
            .is_some_and(|(said, who)| said == ours && who != by)
        {
            seen.believed = Some(ours);
        }
        seen.said = Some((ours, by));
    }

    /// Our address in the family of a peer, if it is known.
    pub(crate) fn towards(&self, peer: IpAddr) -> Option<IpAddr> {
        match peer.to_canonical() {
            IpAddr::V4(_) => self.v4.believed,
            IpAddr::V6(_) => self.v6.believed,
        }
    }
}
