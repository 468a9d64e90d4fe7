//! `rarest scrape`: how many peers the trackers of a torrent know.

use std::fs;
use std::io;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rarest_metainfo::{InfoHash, Magnet};
use rarest_tracker::client::{Client, HttpClient, HttpConfig, UdpClient, UdpConfig};
use rarest_tracker::{Error, Family, SwarmCounts, TrackerUrl};
use serde::Serialize;
use tokio::time::timeout;

use crate::args::Scrape;
use crate::{Outcome, inspect, network, printable, say};

/// Somebody waits: shorter than the patience of announces, long enough for one lost datagram.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

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

/// Asks each tracker, one after the other.
pub(crate) fn run(arguments: &Scrape) -> Result<Outcome> {
    let (info_hashes, trackers) = what_to_ask(arguments)?;
    let mut config = HttpConfig::default();
    if let Some(file) = &arguments.ca_file {
        config.extra_roots_pem =
            fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    let answered = network::runtime()?.block_on(async {
        let client = Client::new(
            HttpClient::new(config)?,
            UdpClient::new(UdpConfig::default())?,
        );
        let mut answered = 0;
        for tracker in trackers {
            let answer = ask(&client, &tracker, &info_hashes).await;
            answered += usize::from(answer.error.is_none());
            if arguments.json {
                say(serde_json::to_string(&answer)?)?;
            } else {
                answer.print()?;
            }
        }
        anyhow::Ok(answered)
    })?;
    if answered == 0 {
        bail!("no tracker answered");
    }
    Ok(Outcome::Done)
}

fn what_to_ask(arguments: &Scrape) -> Result<(Vec<InfoHash>, Vec<String>)> {
    let magnet = match arguments
        .torrent
        .to_str()
        .filter(|text| inspect::is_magnet(text))
    {
        Some(text) => text.parse::<Magnet>()?,
        None => inspect::read_torrent(&arguments.torrent)?.magnet(),
    };
    if magnet.trackers.is_empty() {
        bail!("the torrent names no tracker, so there is nobody to ask");
    }
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
