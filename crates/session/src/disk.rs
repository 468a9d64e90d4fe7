//! The threads that touch the disk, so that a slow one never holds up the network.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rarest_piece_store::{Fault, Operation, StoreError};
use tokio::sync::oneshot;

use crate::session::now;

/// A piece of work that may block.
type Job = Box<dyn FnOnce() + Send>;

/// How long a job that can wait is passed over. Loading thousands of torrents takes seconds, and what is saved after that is saved faster;
/// but checks may take hours, and what they found is not to be lost with the power.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A few plain threads and one queue.
///
/// The queue needs no bound of its own: a torrent and a peer each have a fixed number of jobs under way,
/// and what they hold is counted by the memory budget.
pub(crate) struct Disk {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Those that can wait until there is nothing else to do, and since when they do.
    idle_jobs: VecDeque<(Instant, Job)>,
    closed: bool,
}

impl Disk {
    /// Starts `threads` threads of that name, at least one.
    pub(crate) fn start(name: &str, threads: usize) -> io::Result<Self> {
        let disk = Self {
            shared: Arc::default(),
            threads: Mutex::default(),
        };
        for number in 0..threads.max(1) {
            let shared = Arc::clone(&disk.shared);
            let thread = std::thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || shared.work())?;
            disk.lock_threads().push(thread);
        }
        Ok(disk)
    }

    /// Runs `job` on one of the threads, as soon as one is free. After the end it is dropped.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        self.enqueue(|queue| queue.jobs.push_back(Box::new(job)));
    }

    /// Runs `job` when no other job waits, or it has waited long. After the end it is dropped.
    pub(crate) fn run_when_idle(&self, job: impl FnOnce() + Send + 'static) {
        self.enqueue(|queue| queue.idle_jobs.push_back((now(), Box::new(job))));
    }

    fn enqueue(&self, add: impl FnOnce(&mut Queue)) {
        let mut queue = self.shared.lock();
        if !queue.closed {
            add(&mut queue);
            drop(queue);
            self.shared.work.notify_one();
        }
    }

    /// Runs `job` and waits for what it returns; `None` when the threads have ended, or it panicked.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, result) = oneshot::channel();
        self.run(move || {
            // Whoever asked may have gone.
            let _ = reply.send(job());
        });
        result.await.ok()
    }

    /// Ends the threads once everything in the queue is done, and waits for them. Blocks.
    pub(crate) fn finish(&self) {
        self.close();
        let threads = std::mem::take(&mut *self.lock_threads());
        for thread in threads {
            // No job ends its thread.
            let _ = thread.join();
        }
    }

    fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_all();
    }

    fn lock_threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Disk {
    /// The threads end by themselves: waiting here could block the network.
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

/// Uses the storage of a torrent, whose code may be somebody else's: should it panic, that is an error of the storage like others.
///
/// What is left half done is sound: the store marks nothing before it is done, and its locks outlive a panic.
pub(crate) fn caught<T>(
    operation: Operation,
    torrent: &str,
    work: impl FnOnce() -> T,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let message = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
            (Some(message), _) => (*message).to_owned(),
            (None, Some(message)) => message.clone(),
            (None, None) => "it said nothing that can be shown".to_owned(),
        };
        StoreError::new(operation, torrent, Fault::Panicked { message })
    })
}

impl Queue {
    fn next(&mut self) -> Option<Job> {
        let is_overdue = |(since, _): &(Instant, Job)| now() - *since >= LONGEST_WAIT;
        let can_wait = !self.idle_jobs.front().is_some_and(is_overdue);
        if can_wait && let Some(job) = self.jobs.pop_front() {
            return Some(job);
        }
        self.idle_jobs.pop_front().map(|(_, job)| job)
    }
}

impl Shared {
    fn work(&self) {
        let mut queue = self.lock();
        loop {
            match queue.next() {
                Some(job) => {
                    drop(queue);
                    // What panicked was told on stderr, and to whoever waits for it; the thread has others to serve.
                    let _ = catch_unwind(AssertUnwindSafe(job));
                    queue = self.lock();
                }
                None if queue.closed => return,
                None => {
                    queue = self
                        .work
                        .wait(queue)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn everything_in_the_queue_is_done_before_the_end() {
        let disk = Disk::start("test", 2).unwrap();
        let (sender, receiver) = mpsc::channel();
        for number in 0..100 {
            let sender = sender.clone();
            disk.run(move || sender.send(number).unwrap());
        }
        drop(sender);
        disk.finish();
        assert_eq!(receiver.iter().count(), 100);
    }

    #[test]
    fn jobs_that_can_wait_do_and_are_done_all_the_same() {
        let disk = Disk::start("test", 1).unwrap();
        let (sender, receiver) = mpsc::channel();
        let (begin, begun) = mpsc::channel();
        disk.run(move || begun.recv().unwrap());
        let (later, first) = (sender.clone(), sender);
        disk.run_when_idle(move || later.send("later").unwrap());
        disk.run(move || first.send("first").unwrap());
        begin.send(()).unwrap();
        disk.finish();
        assert_eq!(receiver.iter().collect::<Vec<_>>(), ["first", "later"]);
    }

    #[test]
    fn jobs_that_can_wait_do_not_wait_for_ever() {
        let mut queue = Queue::default();
        let (sender, receiver) = mpsc::channel();
        for name in ["first", "second"] {
            let sender = sender.clone();
            queue
                .jobs
                .push_back(Box::new(move || sender.send(name).unwrap()));
        }
        let long_ago = now().checked_sub(LONGEST_WAIT).unwrap();
        for (since, name) in [(long_ago, "overdue"), (now(), "later")] {
            let sender = sender.clone();
            let job = Box::new(move || sender.send(name).unwrap());
            queue.idle_jobs.push_back((since, job));
        }
        while let Some(job) = queue.next() {
            job();
        }
        let order: Vec<_> = receiver.try_iter().collect();
        assert_eq!(order, ["overdue", "first", "second", "later"]);
    }

    #[tokio::test]
    async fn a_job_that_panics_costs_no_thread() {
        let disk = Disk::start("test", 1).unwrap();
        let panicking = disk.call(|| panic!("a job failed, as the test wants"));
        assert_eq!(panicking.await.map(|()| 0), None);
        assert_eq!(disk.call(|| 7).await, Some(7));
        disk.finish();
    }

    #[tokio::test]
    async fn a_job_after_the_end_is_refused_rather_than_waited_for() {
        let disk = Disk::start("test", 1).unwrap();
        disk.finish();
        assert_eq!(disk.call(|| 7).await, None);
    }
}
