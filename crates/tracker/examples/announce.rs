//! Announces to a tracker, scrapes it, and takes leave: `announce URL INFO_HASH`.

use std::error::Error;

use rarest_metainfo::{InfoHash, PeerId};
use rarest_tracker::client::{Client, HttpClient, HttpConfig, UdpClient, UdpConfig};
use rarest_tracker::{Announce, Event, Family, TrackerUrl};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(tracker), Some(hash)) = (arguments.next(), arguments.next()) else {
        return Err("usage: announce URL INFO_HASH".into());
    };
    let tracker: TrackerUrl = tracker.parse()?;
    let digits = u128::from_str_radix(hash.get(..32).unwrap_or_default(), 16)?.to_be_bytes();
    let rest = u32::from_str_radix(hash.get(32..).unwrap_or_default(), 16)?.to_be_bytes();
    let info_hash = InfoHash(
        [&digits[..], &rest]
            .concat()
            .try_into()
            .map_err(|_| "no hash")?,
    );
    let http = HttpClient::new(HttpConfig::default())?;
    let client = Client::new(http, UdpClient::new(UdpConfig::default())?);
    #[rustfmt::skip]
    let mut announce = Announce {
        info_hash, peer_id: PeerId(*b"-RA0100-announce.rs!"), port: 6881, key: 42,
        uploaded: 0, downloaded: 0, left: 1, event: Event::Started, num_want: None, tracker_id: None,
    };
    for family in [Family::V4, Family::V6] {
        announce.event = Event::Started;
        match client.announce(&tracker, family, &announce).await {
            Ok(reply) => println!("{family:?}: {reply:#?}"),
            Err(error) => println!("{family:?}: {error}"),
        }
        println!("{:?}", client.scrape(&tracker, family, &[info_hash]).await);
        announce.event = Event::Stopped;
        println!(
            "{:?}",
            client
                .announce(&tracker, family, &announce)
                .await
                .map(|_| "left")
        );
    }
    Ok(())
}
