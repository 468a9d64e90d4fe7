//! The order of pieces against a naive one that is made anew for each question.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::*;

/// So few that every class is tried wholly, and the answer must be exact.
const PIECES: u32 = 24;

#[derive(Clone, Debug)]
enum Step {
    Join(Vec<bool>),
    Leave(usize),
    Gain(usize, u32),
    Lose(usize, u32),
    Open(u32, Priority),
    Close(u32),
    Pick(Vec<bool>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let has = || vec(any::<bool>(), PIECES as usize);
    let piece = || 0..PIECES;
    let priority = prop_oneof![
        Just(Priority::Off),
        Just(Priority::Low),
        Just(Priority::Normal),
        Just(Priority::High)
    ];
    let step = prop_oneof![
        has().prop_map(Step::Join),
        Just(Step::Join(vec![true; PIECES as usize])),
        any::<usize>().prop_map(Step::Leave),
        (any::<usize>(), piece()).prop_map(|(peer, piece)| Step::Gain(peer, piece)),
        (any::<usize>(), piece()).prop_map(|(peer, piece)| Step::Lose(peer, piece)),
        (piece(), priority).prop_map(|(piece, priority)| Step::Open(piece, priority)),
        piece().prop_map(Step::Close),
        has().prop_map(Step::Pick),
    ];
    vec(step, 0..200)
}

/// Every peer's pieces, and the priority of every open piece.
struct Naive {
    geometry: Arc<Geometry>,
    peers: Vec<Has>,
    open: Vec<Priority>,
}

impl Naive {
    fn copies(&self, piece: PieceIndex) -> u32 {
        let count = self.peers.iter().filter(|has| has.contains(piece)).count();
        u32::try_from(count).unwrap()
    }

    /// The best rank that a peer can give, as priority and copies.
    fn best(&self, has: &Has) -> Option<(Priority, u32)> {
        let is_open = |piece: PieceIndex| self.open[piece.as_usize()] != Priority::Off;
        self.geometry
            .pieces()
            .filter(|&piece| is_open(piece) && has.contains(piece))
            .map(|piece| (self.open[piece.as_usize()], self.copies(piece)))
            .min_by_key(|&(priority, copies)| (std::cmp::Reverse(priority), copies))
    }
}

fn bitfield(geometry: &Geometry, has: &[bool]) -> Bitfield {
    let mut bitfield = Bitfield::empty(geometry);
    for (piece, has) in geometry.pieces().zip(has) {
        if *has {
            bitfield.insert(piece);
        }
    }
    bitfield
}

fn run(steps: Vec<Step>) {
    let geometry = Arc::new(Geometry::contiguous(u64::from(PIECES) * 16384, 16384).unwrap());
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
    let mut availability = Availability::new(Arc::clone(&geometry));
    let mut naive = Naive {
        geometry: Arc::clone(&geometry),
        peers: Vec::new(),
        open: vec![Priority::Off; PIECES as usize],
    };
    for step in steps {
        match step {
            Step::Join(has) => {
                let has = Has::new(bitfield(&geometry, &has));
                availability.join(&has);
                naive.peers.push(has);
            }
            Step::Leave(peer) if !naive.peers.is_empty() => {
                let peer = peer % naive.peers.len();
                availability.leave(&naive.peers.swap_remove(peer));
            }
            Step::Gain(peer, piece) if !naive.peers.is_empty() => {
                let (peer, piece) = (peer % naive.peers.len(), geometry.piece(piece).unwrap());
                if let Has::Some(pieces) = &mut naive.peers[peer]
                    && pieces.insert(piece)
                {
                    availability.gain(piece);
                }
            }
            Step::Lose(peer, piece) if !naive.peers.is_empty() => {
                let (peer, piece) = (peer % naive.peers.len(), geometry.piece(piece).unwrap());
                match &mut naive.peers[peer] {
                    Has::Some(pieces) => {
                        if pieces.remove(piece) {
                            availability.lose(piece);
                        }
                    }
                    has @ Has::All => {
                        let mut pieces = Bitfield::full(&geometry);
                        pieces.remove(piece);
                        availability.seed_became_partial(&pieces);
                        *has = Has::Some(pieces);
                    }
                    Has::Unknown => {}
                }
            }
            Step::Open(piece, priority) => {
                let piece = geometry.piece(piece).unwrap();
                if naive.open[piece.as_usize()] == Priority::Off {
                    availability.open(piece, priority);
                    naive.open[piece.as_usize()] = priority;
                }
            }
            Step::Close(piece) => {
                let piece = geometry.piece(piece).unwrap();
                availability.close(piece);
                naive.open[piece.as_usize()] = Priority::Off;
            }
            Step::Pick(has) => {
                let has = Has::new(bitfield(&geometry, &has));
                // Whoever is asked is one of the peers.
                availability.join(&has);
                naive.peers.push(has.clone());
                let picked = availability.pick(&has, &mut rng).map(|piece| {
                    assert!(has.contains(piece));
                    (naive.open[piece.as_usize()], naive.copies(piece))
                });
                assert_eq!(picked, naive.best(&has));
            }
            _ => {}
        }
        for piece in geometry.pieces() {
            assert_eq!(availability.copies(piece), naive.copies(piece));
        }
        let least = geometry.pieces().map(|piece| naive.copies(piece)).min();
        assert_eq!(Some(availability.distributed_copies().0), least);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn the_order_is_that_of_a_naive_count(steps in steps()) {
        run(steps);
    }
}

#[test]
fn a_piece_is_found_among_many_that_the_peer_lacks() {
    let geometry = Arc::new(Geometry::contiguous(200_000 * 16384, 16384).unwrap());
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
    let mut availability = Availability::new(Arc::clone(&geometry));
    availability.sort_later();
    geometry
        .pieces()
        .for_each(|piece| availability.open(piece, Priority::Normal));
    let only = geometry.piece(165_432).unwrap();
    let mut has = Bitfield::empty(&geometry);
    has.insert(only);
    let has = Has::new(has);
    // Another has all the rest, so that the class of the piece holds nearly all.
    let mut rest = Bitfield::full(&geometry);
    rest.remove(only);
    availability.join(&Has::new(rest));
    availability.join(&has);
    assert_eq!(availability.pick(&has, &mut rng), Some(only));
    availability.close(only);
    assert_eq!(availability.pick(&has, &mut rng), None);
}
