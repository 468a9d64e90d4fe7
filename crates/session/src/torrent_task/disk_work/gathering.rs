//! Whole pieces that wait until there are enough to be hashed side by side.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rarest_swarm::{BlockData, CompletePiece};

/// Bytes that one job hashes and writes at most, unless a single piece has more: the memory is soon free again and every thread has work.
const MAX_JOB_BYTES: usize = 8 * 1024 * 1024;

/// Bytes for which a job is worth waking a thread, when pieces are small.
const GOOD_JOB_BYTES: usize = 2 * 1024 * 1024;

/// How long a piece waits for others. Nobody notices that peers are told so much later, and at rates where a batch does not fill
/// in this time, hashing costs next to nothing.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// The pieces, oldest first.
#[derive(Debug)]
pub(super) struct Gathering {
    pieces: VecDeque<CompletePiece>,
    bytes: usize,
    /// How many are hashed sooner together than one after the other.
    side_by_side: usize,
    /// Since when pieces have been waiting that no job took.
    since: Option<Instant>,
}

impl Gathering {
    pub(super) fn new(side_by_side: usize) -> Self {
        Self {
            pieces: VecDeque::new(),
            bytes: 0,
            side_by_side,
            since: None,
        }
    }

    pub(super) fn add(&mut self, now: Instant, piece: CompletePiece) {
        self.bytes += bytes_of(&piece);
        self.pieces.push_back(piece);
        self.since.get_or_insert(now);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// When no piece waits for others any longer.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + LONGEST_WAIT)
    }

    /// Whether a job is worth starting, or the pieces have waited long enough.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        let is_full = self.pieces.len() >= self.side_by_side && self.bytes >= GOOD_JOB_BYTES;
        is_full || self.bytes >= MAX_JOB_BYTES || self.due().is_some_and(|due| due <= now)
    }

    /// The oldest pieces, as many as make a job.
    pub(super) fn take(&mut self, now: Instant) -> Vec<CompletePiece> {
        let mut bytes = 0;
        let fits = |piece: &&CompletePiece| {
            bytes += bytes_of(piece);
            bytes <= MAX_JOB_BYTES
        };
        let mut count = self.pieces.iter().take_while(fits).count();
        if count > self.side_by_side {
            count -= count % self.side_by_side;
        }
        let count = count.max(1).min(self.pieces.len());
        let job: Vec<_> = self.pieces.drain(..count).collect();
        self.bytes -= job.iter().map(bytes_of).sum::<usize>();
        self.since = (!self.is_empty()).then_some(now);
        job
    }

    /// Forgets all of them. Returns how many bytes they had in memory.
    pub(super) fn clear(&mut self) -> usize {
        self.pieces.clear();
        self.since = None;
        std::mem::take(&mut self.bytes)
    }
}

/// Bytes of a piece that are in memory.
pub(super) fn bytes_of(piece: &CompletePiece) -> usize {
    let length = |part: &BlockData| match part {
        BlockData::Memory(bytes) => bytes.len(),
        _ => 0,
    };
    piece.parts.iter().map(length).sum()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rarest_metainfo::Geometry;
    use rarest_swarm::Digests;

    use super::*;

    const MIB: u32 = 1024 * 1024;

    fn gathered(now: Instant, count: u32, length: u32) -> Gathering {
        let geometry = Geometry::contiguous(u64::from(count * length), length).unwrap();
        let mut gathering = Gathering::new(4);
        for piece in geometry.pieces() {
            let bytes = Bytes::from(vec![0; length as usize]);
            let piece = CompletePiece {
                piece,
                parts: vec![BlockData::Memory(bytes)],
                digests: Digests::Unneeded,
            };
            gathering.add(now, piece);
        }
        gathering
    }

    #[test]
    fn a_job_begins_when_as_many_pieces_are_there_as_are_hashed_side_by_side() {
        let now = Instant::now();
        assert!(!gathered(now, 3, MIB).is_ready(now));
        let mut gathering = gathered(now, 4, MIB);
        assert!(gathering.is_ready(now));
        assert_eq!(gathering.take(now).len(), 4);
        assert!(gathering.is_empty());
        assert_eq!(gathering.due(), None);
    }

    #[test]
    fn a_piece_that_remains_alone_is_written_soon() {
        let now = Instant::now();
        let mut gathering = gathered(now, 1, MIB);
        let due = gathering.due().unwrap();
        assert!(due - now <= Duration::from_millis(50));
        assert!(gathering.is_ready(due));
        assert_eq!(gathering.take(due).len(), 1);
    }

    #[test]
    fn small_pieces_make_a_job_together() {
        let now = Instant::now();
        assert!(!gathered(now, 100, 16 * 1024).is_ready(now));
        assert!(gathered(now, 128, 16 * 1024).is_ready(now));
    }

    #[test]
    fn large_pieces_do_not_fill_the_memory() {
        let now = Instant::now();
        let mut gathering = gathered(now, 2, 4 * MIB);
        assert!(gathering.is_ready(now));
        assert_eq!(gathering.take(now).len(), 2);
        let mut gathering = gathered(now, 2, 16 * MIB);
        assert!(gathering.is_ready(now));
        assert_eq!(gathering.take(now).len(), 1);
        assert!(gathering.is_ready(now));
    }

    #[test]
    fn where_many_are_hashed_side_by_side_a_job_is_full_before_all_lanes_are() {
        let now = Instant::now();
        let sixteen_lanes = |count, length| Gathering {
            side_by_side: 16,
            ..gathered(now, count, length)
        };
        assert!(!sixteen_lanes(7, MIB).is_ready(now));
        let mut gathering = sixteen_lanes(8, MIB);
        assert!(gathering.is_ready(now));
        assert_eq!(gathering.take(now).len(), 8);
        let mut gathering = sixteen_lanes(17, MIB / 4);
        assert!(gathering.is_ready(now));
        assert_eq!(gathering.take(now).len(), 16);
    }

    #[test]
    fn no_lane_is_left_empty_while_others_wait() {
        let now = Instant::now();
        let mut gathering = gathered(now, 7, MIB);
        assert_eq!(gathering.take(now).len(), 4);
        assert!(!gathering.is_ready(now), "three wait for a fourth");
        assert_eq!(gathering.take(now).len(), 3);
    }
}
