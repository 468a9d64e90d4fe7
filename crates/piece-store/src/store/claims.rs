//! Pieces that a thread is working on, so that no other writes to them meanwhile.

use std::{
    collections::HashSet,
    sync::{Condvar, Mutex, PoisonError},
};

use rarest_metainfo::PieceIndex;

/// The pieces that are claimed. A claim takes all its pieces at once, so claims cannot wait for each other in a circle.
#[derive(Debug, Default)]
pub(super) struct Claims {
    claimed: Mutex<HashSet<PieceIndex>>,
    released: Condvar,
}

/// Pieces that nobody else may write to until this is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Claim<'a> {
    claims: &'a Claims,
    pieces: HashSet<PieceIndex>,
}

impl Claims {
    /// Waits until nobody holds any of `pieces`, and takes them.
    pub(super) fn claim(&self, pieces: impl IntoIterator<Item = PieceIndex>) -> Claim<'_> {
        let pieces: HashSet<_> = pieces.into_iter().collect();
        let claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut claimed = self
            .released
            .wait_while(claimed, |claimed| !claimed.is_disjoint(&pieces))
            .unwrap_or_else(PoisonError::into_inner);
        claimed.extend(&pieces);
        let claims = self;
        Claim { claims, pieces }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let claimed = &self.claims.claimed;
        let mut claimed = claimed.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in &self.pieces {
            claimed.remove(piece);
        }
        self.claims.released.notify_all();
    }
}
