//! Serving: to everybody who asks, in turn and no faster than is decent.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rarest_peer_wire::extension::metadata::{METADATA_PIECE_LENGTH, MetadataMessage};

use super::{part_count, part_length};
use crate::limits::{
    MAX_METADATA_WAITING, METADATA_BURST, METADATA_COPIES_SERVED, METADATA_SERVED_PER_SECOND,
};

/// Time in which one part may be sent.
const TIME_PER_PART: Duration = Duration::from_nanos(
    1_000_000_000 * METADATA_PIECE_LENGTH as u64 / METADATA_SERVED_PER_SECOND as u64,
);

/// The info dictionary, for peers that ask for it.
///
/// A request is a hundred bytes, its answer 16 KiB: so answers leave at a bounded [rate](METADATA_SERVED_PER_SECOND), one part for each
/// peer in turn, and nobody gets more than a few copies.
#[derive(Debug)]
pub struct Serving<P> {
    raw: Bytes,
    askers: BTreeMap<P, Asker>,
    /// Who has requests that wait, in the order of their turns.
    turns: VecDeque<P>,
    /// When the rate would have been kept to exactly by what was sent.
    sent_until: Instant,
}

#[derive(Debug, Default)]
struct Asker {
    waiting: VecDeque<u32>,
    served: u32,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// It is answered when its turn comes, see [`Serving::poll_part`].
    Soon,
    /// It is to be refused now.
    Reject,
}

impl<P: Copy + Ord> Serving<P> {
    /// Serves the raw bytes of an info dictionary.
    #[must_use]
    pub fn new(raw: Bytes, now: Instant) -> Self {
        Self {
            raw,
            askers: BTreeMap::new(),
            turns: VecDeque::new(),
            sent_until: long_ago(now).unwrap_or(now),
        }
    }

    /// The raw bytes.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    fn size(&self) -> u32 {
        u32::try_from(self.raw.len()).unwrap_or(u32::MAX)
    }

    /// A peer asks for a part.
    pub fn handle_request(&mut self, peer: P, part: u32) -> Answer {
        let size = self.size();
        if part_length(size, part).is_none() {
            return Answer::Reject;
        }
        let most = part_count(size).saturating_mul(METADATA_COPIES_SERVED);
        let asker = self.askers.entry(peer).or_default();
        if asker.served >= most || asker.waiting.len() >= MAX_METADATA_WAITING {
            return Answer::Reject;
        }
        asker.served += 1;
        asker.waiting.push_back(part);
        if asker.waiting.len() == 1 {
            self.turns.push_back(peer);
        }
        Answer::Soon
    }

    /// The connection ended.
    pub fn peer_left(&mut self, peer: P) {
        if let Some(asker) = self.askers.remove(&peer)
            && !asker.waiting.is_empty()
        {
            self.turns.retain(|&waiting| waiting != peer);
        }
    }

    /// The next part to send, if the rate allows one.
    pub fn poll_part(&mut self, now: Instant) -> Option<(P, MetadataMessage)> {
        if self.next_timeout()? > now {
            return None;
        }
        let peer = self.turns.pop_front()?;
        let asker = self.askers.get_mut(&peer)?;
        let part = asker.waiting.pop_front()?;
        if !asker.waiting.is_empty() {
            self.turns.push_back(peer);
        }
        // What was not sent in the past is not saved up without bound.
        let earliest = long_ago(now).unwrap_or(self.sent_until);
        self.sent_until = self.sent_until.max(earliest) + TIME_PER_PART;
        Some((peer, self.part(part)?))
    }

    /// When the next part may be sent; the past when one may now, `None` while nobody waits.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        (!self.turns.is_empty()).then_some(self.sent_until)
    }

    fn part(&self, part: u32) -> Option<MetadataMessage> {
        let total_size = self.size();
        let length = part_length(total_size, part)? as usize;
        let start = part as usize * METADATA_PIECE_LENGTH as usize;
        Some(MetadataMessage::Data {
            piece: part,
            total_size,
            data: self.raw.slice(start..start + length),
        })
    }
}

/// Since when a whole burst has been saved up.
fn long_ago(now: Instant) -> Option<Instant> {
    now.checked_sub(TIME_PER_PART * METADATA_BURST)
}
