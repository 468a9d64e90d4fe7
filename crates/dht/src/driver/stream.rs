//! What a lookup finds, as it finds it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::mpsc;

use super::Command;
use crate::item::Item;
use crate::krpc::{NodeInfo, Samples};
use crate::lookup::{LookupId, LookupSummary};

/// What a lookup found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// Peers that it had not found before.
    Peers(Vec<SocketAddr>),
    /// An item, newer than the ones before.
    Item(Box<Item>),
    /// Swarms that a node stores.
    Samples(NodeInfo, Samples),
    /// It ended. Nothing comes behind this.
    Done(LookupSummary),
}

/// What a lookup finds, in order; ends behind [`Found::Done`]. Dropping it ends the lookup.
///
/// What waits here is bounded, as a lookup tells of each peer once and of so many at most.
#[derive(Debug)]
pub struct LookupStream {
    id: LookupId,
    found: mpsc::UnboundedReceiver<Found>,
    commands: mpsc::WeakSender<Command>,
}

impl LookupStream {
    pub(super) fn new(
        id: LookupId,
        commands: mpsc::WeakSender<Command>,
    ) -> (mpsc::UnboundedSender<Found>, Self) {
        let (sender, found) = mpsc::unbounded_channel();
        let stream = Self {
            id,
            found,
            commands,
        };
        (sender, stream)
    }

    /// What is found next; `None` at the end.
    pub async fn next(&mut self) -> Option<Found> {
        self.found.recv().await
    }

    /// The last item that is found, and how the lookup went; `None` for that if the node ended before.
    pub(super) async fn item(mut self) -> (Option<Item>, Option<LookupSummary>) {
        let (mut item, mut summary) = (None, None);
        while let Some(found) = self.next().await {
            match found {
                Found::Item(newer) => item = Some(*newer),
                Found::Done(done) => summary = Some(done),
                Found::Peers(_) | Found::Samples(..) => {}
            }
        }
        (item, summary)
    }
}

impl Stream for LookupStream {
    type Item = Found;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Found>> {
        self.found.poll_recv(context)
    }
}

impl Drop for LookupStream {
    fn drop(&mut self) {
        // When there is no room, the task notices by itself that nobody reads.
        if !self.found.is_closed()
            && let Some(commands) = self.commands.upgrade()
        {
            let _ = commands.try_send(Command::Cancel(self.id));
        }
    }
}
