//! `contests [FILTER]`: `rarest` beside other libraries at the same work, in turns, as one table.
#![forbid(unsafe_code)]

mod bencode;
mod hash;

use std::env;
use std::io;

use rarest_bench::contest::{Contest, Outcome};
use rarest_bench::libtorrent::Libtorrent;

fn main() -> io::Result<()> {
    let filter = env::args().nth(1).unwrap_or_default();
    let libtorrent = Libtorrent::compile()?;
    println!("| work | by | time | rate | ratio |");
    println!("|---|---|---|---|---|");
    bencode::contests(libtorrent.as_ref(), &mut |contest, bytes| {
        show(contest, bytes, &filter);
    })?;
    hash::contests(&mut |contest, bytes| show(contest, bytes, &filter));
    Ok(())
}

/// Runs a contest over as many bytes, if its name holds the filter.
fn show(contest: Contest<'_>, bytes: usize, filter: &str) {
    if !contest.work().contains(filter) {
        return;
    }
    let Outcome { work, times } = contest.run();
    for its in &times {
        println!(
            "| {work} | {} | {} | {} | {:.2} |",
            its.name,
            time(its.secs),
            rate(bytes, its.secs),
            its.ratio
        );
    }
}

fn time(secs: f64) -> String {
    match secs {
        secs if secs < 1e-6 => format!("{:.0} ns", secs * 1e9),
        secs if secs < 1e-3 => format!("{:.1} us", secs * 1e6),
        secs => format!("{:.2} ms", secs * 1e3),
    }
}

fn rate(bytes: usize, secs: f64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    let bytes = bytes as f64;
    format!("{:.0} MB/s", bytes / secs / 1e6)
}
