//! A value that callers may watch, at the price of a channel only while somebody does.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Like a [`watch::Sender`], which takes some hundred bytes more, and of which thousands of torrents need none.
#[derive(Debug, Default)]
pub(crate) struct Watched<T>(Mutex<Seen<T>>);

#[derive(Debug)]
enum Seen<T> {
    ByNobody(T),
    Through(watch::Sender<T>),
    /// It changes no more.
    Last(T),
}

impl<T: Default> Default for Seen<T> {
    fn default() -> Self {
        Self::ByNobody(T::default())
    }
}

impl<T: Clone> Watched<T> {
    /// Changes the value and wakes those who watch it.
    pub(crate) fn send_modify(&self, change: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            change(value);
            true
        });
    }

    /// Changes the value; wakes those who watch it if `change` says so.
    pub(crate) fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) {
        let mut seen = self.lock();
        match &mut *seen {
            Seen::ByNobody(value) => _ = change(value),
            Seen::Through(sender) => {
                sender.send_if_modified(change);
                if sender.receiver_count() == 0 {
                    // Nobody can come in between: whoever wants to watch needs the lock.
                    let value = sender.borrow().clone();
                    *seen = Seen::ByNobody(value);
                }
            }
            Seen::Last(_) => {}
        }
    }

    /// The value stays as it is: the channels of those who watch it close, and those of whoever comes later are closed.
    pub(crate) fn close(&self) {
        let mut seen = self.lock();
        let last = match &*seen {
            Seen::ByNobody(value) | Seen::Last(value) => value.clone(),
            Seen::Through(sender) => sender.borrow().clone(),
        };
        *seen = Seen::Last(last);
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<T> {
        let mut seen = self.lock();
        match &mut *seen {
            Seen::Through(sender) => sender.subscribe(),
            Seen::ByNobody(value) => {
                let (sender, receiver) = watch::channel(value.clone());
                *seen = Seen::Through(sender);
                receiver
            }
            Seen::Last(value) => watch::channel(value.clone()).1,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_channel<T>(watched: &Watched<T>) -> bool {
        matches!(&*watched.0.lock().unwrap(), Seen::Through(_))
    }

    #[tokio::test]
    async fn whoever_watches_what_changes_no_more_does_not_wait() {
        let watched = Watched::<u32>::default();
        watched.send_modify(|value| *value = 1);
        let mut before = watched.subscribe();
        watched.close();
        watched.send_modify(|value| *value = 2);
        assert!(before.changed().await.is_err());
        let mut after = watched.subscribe();
        assert!(after.changed().await.is_err());
        assert_eq!((*before.borrow(), *after.borrow()), (1, 1));
    }

    #[test]
    fn there_is_a_channel_only_while_somebody_watches() {
        let watched = Watched::<u32>::default();
        watched.send_modify(|value| *value = 1);
        assert!(!has_channel(&watched));
        let mut receiver = watched.subscribe();
        assert_eq!(*receiver.borrow_and_update(), 1);
        watched.send_modify(|value| *value = 2);
        assert!(receiver.has_changed().unwrap());
        assert_eq!(*receiver.borrow_and_update(), 2);
        watched.send_if_modified(|_| false);
        assert!(!receiver.has_changed().unwrap());
        drop(receiver);
        watched.send_modify(|value| *value = 3);
        assert!(!has_channel(&watched));
        assert_eq!(*watched.subscribe().borrow(), 3);
    }
}
