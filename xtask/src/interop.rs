//! `interop`: our client trades with other clients, over real sockets of this machine.

mod aria2;
mod client;
mod http;
mod install;
mod libtorrent;
mod payload;
mod port;
mod process;
mod qbittorrent;
mod rarest;
mod row;
mod rtorrent;
mod tracker;
mod transmission;
mod web;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use lexopt::ValueExt as _;

use crate::{Task, table};
use client::Client;
use row::Row;

pub(crate) const TASK: Task = Task {
    name: "interop",
    flags: "[--only TEXT] [--list] [--jobs N] [--keep]",
    about: "Ours downloads from, seeds to, takes over from and hands over to Transmission, libtorrent, aria2,
        qBittorrent and rTorrent, found through opentracker over HTTP, UDP and HTTPS, through each other or in the local
        network, and downloads from nginx; every byte is compared.
        Debian 12 as root; missing clients are installed. --only takes rows whose name holds TEXT (`reference` for
        rows without our client, which prove the harness); $RAREST_BIN names the client, else a release build is made.
        Mend: read the logs of the folder it names; run the row alone; compare with the row of `reference`.",
    run,
};

/// Rows that run side by side. They wait more than they work.
const DEFAULT_JOBS: usize = 4;

/// Where the environment names our client.
const PROGRAM_VARIABLE: &str = "RAREST_BIN";

/// The names of the rows that a run without flags plays.
pub(crate) fn row_names() -> Vec<String> {
    let ours = rarest::Rarest {
        program: PathBuf::new(),
    };
    row::all(&clients(&ours))
        .into_iter()
        .filter(|row| !row.is_reference())
        .map(|row| row.name)
        .collect()
}

fn clients(ours: &rarest::Rarest) -> [&dyn Client; 6] {
    [
        ours,
        &libtorrent::Libtorrent,
        &transmission::Transmission,
        &qbittorrent::Qbittorrent,
        &aria2::Aria2,
        &rtorrent::Rtorrent,
    ]
}

/// The binary of our client.
fn our_program() -> Result<PathBuf> {
    match std::env::var_os(PROGRAM_VARIABLE) {
        Some(program) => Ok(fs::canonicalize(program)?),
        None => crate::cargo::client("release"),
    }
}

struct Options {
    only: Option<String>,
    list: bool,
    jobs: usize,
    keep: bool,
}

fn run(mut parser: lexopt::Parser) -> Result<()> {
    let mut options = Options {
        only: None,
        list: false,
        jobs: DEFAULT_JOBS,
        keep: false,
    };
    while let Some(arg) = parser.next()? {
        match arg {
            lexopt::Arg::Long("only") => options.only = Some(parser.value()?.string()?),
            lexopt::Arg::Long("list") => options.list = true,
            lexopt::Arg::Long("jobs") => options.jobs = parser.value()?.parse()?,
            lexopt::Arg::Long("keep") => options.keep = true,
            other => return Err(other.unexpected().into()),
        }
    }
    let is_wanted = |row: &Row| match &options.only {
        None => !row.is_reference(),
        Some(text) => row.name.contains(text.as_str()),
    };
    let mut ours = rarest::Rarest {
        program: PathBuf::new(),
    };
    let mut rows = row::all(&clients(&ours));
    if options.list {
        rows.iter().for_each(|row| println!("{}", row.name));
        return Ok(());
    }
    rows.retain(is_wanted);
    if rows.is_empty() {
        bail!("no row has such a name; --list shows them");
    }
    if !rows.iter().all(Row::is_reference) {
        ours.program = our_program()?;
    }
    let clients = clients(&ours);
    install::install(&clients)?;
    let folder = std::env::temp_dir().join(format!("rarest-interop-{}", std::process::id()));
    let results = play(&rows, &clients, &folder, options.jobs);
    let failures: Vec<String> = results
        .iter()
        .filter_map(|(row, result)| Some(format!("{}: {:#}", row.name, result.as_ref().err()?)))
        .collect();
    print(&results);
    if failures.is_empty() && !options.keep {
        fs::remove_dir_all(&folder)?;
    } else {
        println!("logs: {}", folder.display());
    }
    crate::report(
        &crate::count(rows.len(), "row"),
        &failures,
        "read the logs, run the row alone with --only",
    )
}

/// Plays all rows, some side by side; results in the order of the rows.
fn play<'a>(
    rows: &'a [Row],
    clients: &[&dyn Client],
    folder: &Path,
    jobs: usize,
) -> Vec<(&'a Row, Result<Duration>)> {
    let queue = Mutex::new(rows.iter().enumerate());
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, rows.len()) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no row panics with the lock").next();
                    let Some((index, row)) = next else { break };
                    let mut place = folder.join(&row.name);
                    let mut result = row.play(clients, &place);
                    if let Err(error) = &result {
                        // Other clients announce and dial at times of their own, which a busy machine may cross. What is broken fails twice.
                        println!("  again   {}: {error:#}", row.name);
                        place = folder.join(format!("{}.again", row.name));
                        result = row.play(clients, &place);
                    }
                    match &result {
                        Ok(time) => {
                            println!("  ok      {} ({:.1} s)", row.name, time.as_secs_f64());
                            // The payloads of all rows together are large; of a row that failed they tell something.
                            for part in ["original", "copy"] {
                                let _ = fs::remove_dir_all(place.join(part));
                            }
                        }
                        Err(error) => println!("  FAILED  {}: {error:#}", row.name),
                    }
                    results
                        .lock()
                        .expect("no row panics with the lock")
                        .push((index, row, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no row panics with the lock");
    results.sort_by_key(|(index, ..)| *index);
    results
        .into_iter()
        .map(|(_, row, result)| (row, result))
        .collect()
}

fn print(results: &[(&Row, Result<Duration>)]) {
    let rows: Vec<Vec<String>> = results
        .iter()
        .map(|(row, result)| {
            let (verdict, time) = match result {
                Ok(time) => ("ok", format!("{:.1}", time.as_secs_f64())),
                Err(_) => ("FAILED", String::new()),
            };
            let tracker = format!("{:?}", row.scheme).to_lowercase();
            vec![
                row.name.clone(),
                row.payload.name().to_owned(),
                tracker,
                verdict.to_owned(),
                time,
            ]
        })
        .collect();
    table::print(&["row", "torrent", "tracker", "result", "seconds"], &rows);
}
