//! What a block costs as pieces, peers and torrents grow in number.

use std::fmt;
use std::time::{Duration, Instant};

use divan::Bencher;
use divan::counter::ItemsCount;

use crate::swarm::{BATCH, BLOCKS, Peers, Swarm};

/// The data of a torrent, and how it is cut.
struct Size {
    name: &'static str,
    total_length: u64,
    piece_length: u32,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const GIB: u64 = 1 << 30;

const SIZES: [Size; 5] = [
    Size {
        name: "1 GiB in 16 KiB",
        total_length: GIB,
        piece_length: 16 << 10,
    },
    // As many pieces as a torrent may have.
    Size {
        name: "32 GiB in 16 KiB",
        total_length: 32 * GIB,
        piece_length: 16 << 10,
    },
    Size {
        name: "1 GiB in 256 KiB",
        total_length: GIB,
        piece_length: 256 << 10,
    },
    Size {
        name: "100 GiB in 256 KiB",
        total_length: 100 * GIB,
        piece_length: 256 << 10,
    },
    Size {
        name: "1 TiB in 4 MiB",
        total_length: 1024 * GIB,
        piece_length: 4 << 20,
    },
];

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn pieces_from_one_seed(bencher: Bencher<'_, '_>, size: &Size) {
    receive(bencher, size, 1, Peers::Seeds);
}

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn pieces_from_ten_halves(bencher: Bencher<'_, '_>, size: &Size) {
    receive(bencher, size, 10, Peers::Halves);
}

#[divan::bench(args = [1, 10, 100, 1_000], sample_count = 5, sample_size = 1)]
fn peers_that_have_half_of_4_mib_pieces(bencher: Bencher<'_, '_>, peers: usize) {
    let size = Size {
        name: "",
        total_length: 64 * GIB,
        piece_length: 4 << 20,
    };
    receive(bencher, &size, peers, Peers::Halves);
}

fn receive(bencher: Bencher<'_, '_>, size: &Size, peers: usize, kind: Peers) {
    bencher
        .with_inputs(|| {
            let mut swarm = Swarm::of(size.total_length, size.piece_length, peers, kind);
            // The pipelines open first.
            swarm.receive(BLOCKS);
            swarm
        })
        .counter(ItemsCount::new(BLOCKS))
        .bench_local_refs(|swarm| swarm.receive(BLOCKS));
}

fn torrents(count: usize) -> Vec<Swarm> {
    let torrent = || Swarm::of(4 * GIB, 4 << 20, 1, Peers::Seeds);
    (0..count).map(|_| torrent()).collect()
}

/// Blocks that come for one torrent after the other, in batches.
#[divan::bench(args = [1, 100, 10_000], sample_count = 5, sample_size = 1)]
fn torrents_in_turn(bencher: Bencher<'_, '_>, count: usize) {
    const BATCHES: usize = 2_500;
    let mut torrents = torrents(count);
    for torrent in &mut torrents {
        torrent.receive(16 * BATCH);
    }
    let mut turns = (0..count).cycle();
    let blocks = ItemsCount::new(BATCHES * BATCH);
    bencher.counter(blocks).bench_local(|| {
        for turn in turns.by_ref().take(BATCHES) {
            torrents[turn].receive(BATCH);
        }
    });
}

/// What it takes to make machines with one peer each.
#[divan::bench(args = [1, 100, 10_000], sample_count = 5, sample_size = 1)]
fn torrents_made(bencher: Bencher<'_, '_>, count: usize) {
    bencher
        .counter(ItemsCount::new(count))
        .bench_local(|| torrents(count));
}

/// When something is due in each, and what is then done.
#[divan::bench(args = [1, 100, 10_000], sample_count = 5, sample_size = 1)]
fn torrents_with_something_due(bencher: Bencher<'_, '_>, count: usize) {
    let mut torrents = torrents(count);
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        let due = |swarm: &Swarm| swarm.torrent.next_timeout();
        let next: Option<Instant> = torrents.iter().filter_map(due).max();
        let now = next.expect("there are peers") + Duration::from_secs(1);
        for swarm in &mut torrents {
            swarm.torrent.handle_timeout(now);
            while swarm.torrent.poll_output().is_some() {}
        }
    });
}
