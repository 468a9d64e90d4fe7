//! What one block costs a torrent, from its arrival to the request that follows it, over sizes of torrents and swarms.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a bench begins at some instant, and ends when something fails"
)]

mod growth;
mod swarm;

use divan::Bencher;
use rarest_peer_wire::connection::Event;

use swarm::{BLOCKS, Peers, Swarm};

fn main() {
    divan::main();
}

#[divan::bench(args = [1_000, 10_000, 100_000, 2_000_000], sample_count = 5, sample_size = 1)]
fn block_of_one_seed(bencher: Bencher<'_, '_>, pieces: u32) {
    receive(bencher, pieces, 1, Peers::Seeds);
}

#[divan::bench(args = [1, 10, 100, 1_000], sample_count = 5, sample_size = 1)]
fn block_among_seeds(bencher: Bencher<'_, '_>, peers: usize) {
    receive(bencher, 100_000, peers, Peers::Seeds);
}

#[divan::bench(args = [1, 10, 100, 1_000], sample_count = 3, sample_size = 1)]
fn block_among_halves(bencher: Bencher<'_, '_>, peers: usize) {
    receive(bencher, 20_000, peers, Peers::Halves);
}

#[divan::bench(args = [10, 100], sample_count = 3, sample_size = 1)]
fn block_of_two_million_pieces_among_halves(bencher: Bencher<'_, '_>, peers: usize) {
    receive(bencher, 2_000_000, peers, Peers::Halves);
}

fn receive(bencher: Bencher<'_, '_>, pieces: u32, peers: usize, kind: Peers) {
    bencher
        .with_inputs(|| {
            let mut swarm = Swarm::new(pieces, peers, kind);
            // The pipelines open first.
            swarm.receive(BLOCKS);
            swarm
        })
        .counter(divan::counter::ItemsCount::new(BLOCKS))
        .bench_local_refs(|swarm| swarm.receive(BLOCKS));
}

#[divan::bench(args = [1_000, 100_000, 2_000_000])]
fn have(bencher: Bencher<'_, '_>, pieces: u32) {
    let mut swarm = Swarm::new(pieces, 50, Peers::Seeds);
    let peer = swarm.keys[0];
    let piece = swarm.geometry.piece(pieces / 2).unwrap();
    bencher.bench_local(|| {
        let events = vec![Event::DontHave(piece), Event::Have(piece)];
        swarm.torrent.handle_peer_events(swarm.now, peer, events);
    });
}

#[divan::bench(args = [1_000, 100_000, 2_000_000], sample_count = 10, sample_size = 1)]
fn partial_peer_joins(bencher: Bencher<'_, '_>, pieces: u32) {
    let mut swarm = Swarm::new(pieces, 1, Peers::Seeds);
    let peer = swarm.keys[0];
    let has = swarm.pieces_of(7, Peers::Halves);
    bencher
        .with_inputs(|| vec![Event::Has(has.clone()), Event::Unchoked])
        .bench_local_values(|events| {
            swarm.torrent.handle_peer_events(swarm.now, peer, events);
        });
}

#[divan::bench(args = [1_000, 100_000, 2_000_000], sample_count = 5, sample_size = 1)]
fn new_torrent(bencher: Bencher<'_, '_>, pieces: u32) {
    bencher.bench_local(|| Swarm::new(pieces, 0, Peers::Seeds));
}
