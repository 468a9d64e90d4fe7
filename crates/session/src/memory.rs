//! The bytes between sockets and disk: how many there may be, and the buffers that are used again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use tokio::sync::Notify;

/// A bound on the bytes that were read from sockets and are not on the disk yet.
///
/// It is asked before a socket is read; when it is spent, nobody reads until the disk has caught up. No torrent may hold all of
/// it, so that one whose disk hangs leaves the others something.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    limit: usize,
    used: AtomicUsize,
    /// Those of `used` that are of pieces that are begun.
    partial: AtomicUsize,
    freed: Notify,
}

/// The bytes that one torrent holds.
#[derive(Debug, Default)]
pub(crate) struct Held(AtomicUsize);

impl MemoryBudget {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            used: AtomicUsize::new(0),
            partial: AtomicUsize::new(0),
            freed: Notify::new(),
        }
    }

    /// Bytes that may still be read for a torrent.
    pub(crate) fn left(&self, held: &Held) -> usize {
        let left = self.limit.saturating_sub(self.used());
        let share = self.limit / 8 * 7;
        left.min(share.saturating_sub(held.0.load(Ordering::Relaxed)))
    }

    /// Whether so little is left that nobody should hold on to what could go to the disk.
    pub(crate) fn is_short(&self) -> bool {
        self.used() > self.limit / 4 * 3
    }

    /// How many bytes of partial pieces a torrent may keep: any number while there is room.
    ///
    /// Whole pieces leave by themselves as fast as the disk takes them; to spill blocks beside them would only keep it from that. Partial
    /// pieces may stay for ever, so they may not fill the budget: whoever adds to them when they nearly do gives up all it can.
    /// So sockets are never left unread for good.
    pub(crate) fn spill_target(&self) -> Option<usize> {
        let partial = self.partial.load(Ordering::Relaxed);
        if partial > self.limit / 4 * 3 {
            Some(0)
        } else if partial > self.limit / 2 {
            Some(self.limit / 8)
        } else {
            None
        }
    }

    /// Replaces the number of bytes that a torrent holds of pieces that are begun.
    pub(crate) fn recount_partial(&self, before: usize, after: usize) {
        self.partial
            .fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Counts bytes that were read.
    pub(crate) fn add(&self, held: &Held, bytes: usize) {
        held.0.fetch_add(bytes, Ordering::Relaxed);
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes no longer, and lets those read who wait for it.
    pub(crate) fn release(&self, held: &Held, bytes: usize) {
        if bytes > 0 {
            held.0.fetch_sub(bytes, Ordering::Relaxed);
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            self.freed.notify_waiters();
        }
    }

    /// Waits until something may be read for a torrent.
    pub(crate) async fn available(&self, held: &Held) {
        let mut freed = std::pin::pin!(self.freed.notified());
        loop {
            // Enlisted before the look, so that nothing that is freed in between goes unnoticed.
            freed.as_mut().enable();
            if self.left(held) > 0 {
                return;
            }
            freed.as_mut().await;
            freed.set(self.freed.notified());
        }
    }

    fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// Length of the largest read of a socket, and of the pooled buffers: 256 KiB, beyond which a system call gains nothing.
pub(crate) const LARGE_BUFFER: usize = 256 * 1024;

/// Read buffers whose blocks went to the disk, to be used again: allocating each anew would have the kernel map and clear it each time.
#[derive(Debug)]
pub(crate) struct BufferPool {
    /// Blocks may still point into them.
    retired: Mutex<Vec<BytesMut>>,
    /// Most that are remembered: as many as the memory budget fills.
    limit: usize,
}

impl BufferPool {
    pub(crate) fn new(memory_budget: usize) -> Self {
        Self {
            retired: Mutex::default(),
            limit: memory_budget / LARGE_BUFFER,
        }
    }

    /// An empty buffer with room for [`LARGE_BUFFER`] bytes.
    pub(crate) fn take(&self) -> BytesMut {
        let mut retired = self.lock();
        // All are looked at, some dozens: a new buffer costs the kernel more, which has to find and clear its pages.
        let free = retired
            .iter_mut()
            .position(|buffer| buffer.try_reclaim(LARGE_BUFFER));
        if let Some(free) = free {
            return retired.swap_remove(free);
        }
        drop(retired);
        BytesMut::with_capacity(LARGE_BUFFER)
    }

    /// Remembers a buffer whose content is no longer needed, though blocks may still point into it.
    pub(crate) fn retire(&self, mut buffer: BytesMut) {
        buffer.clear();
        let mut retired = self.lock();
        if retired.len() < self.limit {
            retired.push(buffer);
        }
    }

    /// Forgets all buffers, to give the memory back when a download is done.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<BytesMut>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_goes_on_when_the_disk_has_caught_up() {
        let (budget, held) = (MemoryBudget::new(1000), Held::default());
        budget.add(&held, 1200);
        assert_eq!(budget.left(&held), 0);
        let waiting = async {
            budget.available(&held).await;
            budget.left(&held)
        };
        let freeing = async { budget.release(&held, 900) };
        let (left, ()) = tokio::join!(waiting, freeing);
        assert_eq!(left, 575);
    }

    #[test]
    fn one_torrent_leaves_the_others_something() {
        let (budget, hanging) = (MemoryBudget::new(1000), Held::default());
        budget.add(&hanging, budget.left(&hanging));
        assert_eq!(budget.left(&hanging), 0);
        assert_eq!(budget.left(&Held::default()), 125);
    }

    #[test]
    fn partial_pieces_are_given_up_before_the_budget_is_spent() {
        let budget = MemoryBudget::new(1000);
        budget.recount_partial(0, 500);
        assert_eq!(budget.spill_target(), None);
        budget.recount_partial(500, 600);
        assert_eq!(budget.spill_target(), Some(125));
        budget.recount_partial(600, 800);
        assert_eq!(budget.spill_target(), Some(0));
    }

    #[test]
    fn the_budget_is_short_before_it_is_spent_whoever_spends_it() {
        let (budget, one, other) = (MemoryBudget::new(1000), Held::default(), Held::default());
        budget.add(&one, 500);
        budget.add(&other, 250);
        assert!(!budget.is_short());
        budget.add(&other, 1);
        assert!(budget.is_short());
        budget.release(&one, 500);
        assert!(!budget.is_short());
    }

    #[test]
    fn nothing_is_spilled_while_whole_pieces_fill_the_budget() {
        let (budget, held) = (MemoryBudget::new(1000), Held::default());
        budget.add(&held, 875);
        budget.recount_partial(0, 275);
        assert_eq!(budget.spill_target(), None);
    }

    #[test]
    fn a_buffer_is_used_again_once_its_blocks_are_gone() {
        let pool = BufferPool::new(1 << 20);
        let mut buffer = pool.take();
        buffer.extend_from_slice(&[7; 1000]);
        let block = buffer.split_to(1000).freeze();
        let address = block.as_ptr();
        pool.retire(buffer);
        let other = pool.take();
        assert_ne!(other.as_ptr(), address, "the block still needs its bytes");
        assert_eq!(block, vec![7; 1000]);
        drop(block);
        let mut again = pool.take();
        again.extend_from_slice(b"x");
        assert_eq!(again.as_ptr(), address);
    }
}
