//! `rarest scrape`: how many peers the trackers of a torrent know.

use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use rarest_metainfo::InfoHash;
use rarest_tracker::client::{Client, HttpClient, HttpConfig, UdpClient, UdpConfig};
use rarest_tracker::{Error, Family, SwarmCounts, TrackerUrl};
use serde::Serialize;
use tokio::time::timeout;

use crate::args::Scrape;
use crate::source::{self, Authorities};
use crate::{Outcome, network, printable, say};

/// Somebody waits: shorter than the patience of announces, long enough for one lost datagram.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Trackers that are asked side by side. Torrents with a hundred dead ones are common, and each costs the whole time-out.
const ASKED_AT_ONCE: usize = 32;

/// What one tracker said.
#[derive(Debug, Serialize)]
struct Answer {
    tracker: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seeders: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leechers: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    downloads: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Asks all trackers, and prints their answers in the order of the torrent.
pub(crate) fn run(arguments: &Scrape) -> Result<Outcome> {
    let authorities = Authorities::read(arguments.ca_file.as_deref())?;
    let (info_hashes, trackers) = what_to_ask(&arguments.torrent)?;
    let runtime = network::runtime()?;
    let answered = runtime.block_on(async {
        let config = HttpConfig {
            extra_roots_pem: authorities.map_or_else(Vec::new, |authorities| authorities.pem),
            ..HttpConfig::default()
        };
        let client = Client::new(
            HttpClient::new(config)?,
            UdpClient::new(UdpConfig::default())?,
        );
        let mut answered = 0;
        for trackers in trackers.chunks(ASKED_AT_ONCE) {
            let asked: Vec<_> = trackers
                .iter()
                .map(|tracker| {
                    let (client, tracker) = (client.clone(), tracker.clone());
                    let info_hashes = info_hashes.clone();
                    tokio::spawn(async move { ask(&client, &tracker, &info_hashes).await })
                })
                .collect();
            for answer in asked {
                let answer = answer.await?;
                answered += usize::from(answer.error.is_none());
                if arguments.json {
                    say(serde_json::to_string(&answer)?)?;
                } else {
                    answer.print()?;
                }
            }
        }
        anyhow::Ok(answered)
    });
    // A look-up of a name may hang on longer than anybody waits.
    runtime.shutdown_background();
    ensure!(answered? > 0, "no tracker answered");
    Ok(Outcome::Done)
}

/// Under which hashes the torrent is known, and to whom.
fn what_to_ask(torrent: &Path) -> Result<(Vec<InfoHash>, Vec<String>)> {
    let magnet = match source::magnet(torrent)? {
        Some(magnet) => magnet,
        None => source::read_torrent(torrent)?.magnet(),
    };
    ensure!(
        !magnet.trackers.is_empty(),
        "the torrent names no tracker, so there is nobody to ask"
    );
    Ok((magnet.info_hashes().swarms().collect(), magnet.trackers))
}

async fn ask(client: &Client, tracker: &str, info_hashes: &[InfoHash]) -> Answer {
    let answer = |counts: SwarmCounts, error| Answer {
        tracker: tracker.to_owned(),
        seeders: counts.seeders,
        leechers: counts.leechers,
        downloads: counts.downloads,
        error,
    };
    let url: TrackerUrl = match tracker.parse() {
        Ok(url) => url,
        Err(error) => return answer(SwarmCounts::default(), Some(format!("{error}"))),
    };
    let scraped = async {
        match client.scrape(&url, Family::V4, info_hashes).await {
            Err(Error::NoAddress(_)) => client.scrape(&url, Family::V6, info_hashes).await,
            reply => reply,
        }
    };
    let reply = timeout(ANSWER_TIMEOUT, scraped)
        .await
        .unwrap_or(Err(Error::TimedOut(ANSWER_TIMEOUT)));
    match reply {
        // A hybrid is two swarms of the same peers; the larger count of each kind is the better one.
        Ok(reply) => answer(
            reply
                .swarms
                .into_values()
                .fold(SwarmCounts::default(), |sum, swarm| SwarmCounts {
                    seeders: sum.seeders.max(swarm.seeders),
                    leechers: sum.leechers.max(swarm.leechers),
                    downloads: sum.downloads.max(swarm.downloads),
                    downloaders: sum.downloaders.max(swarm.downloaders),
                }),
            None,
        ),
        Err(error) => answer(SwarmCounts::default(), Some(error.to_string())),
    }
}

impl Answer {
    fn print(&self) -> io::Result<()> {
        let tracker = printable(&self.tracker);
        if let Some(error) = &self.error {
            return say(format_args!("{tracker}: {}", printable(error)));
        }
        let shown =
            |count: Option<u32>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
        say(format_args!(
            "{tracker}: {} seeders, {} leechers, {} downloads",
            shown(self.seeders),
            shown(self.leechers),
            shown(self.downloads),
        ))
    }
}
