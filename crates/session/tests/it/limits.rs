//! Rates that are kept to.

use std::time::{Duration, Instant};

use rarest_session::{Limits, Rate};

use crate::world::{Peer, Sample, within};

/// How long a download takes.
async fn time_of(leech: &Peer, seed: &Peer, sample: &Sample) -> Duration {
    let began = Instant::now();
    let torrent = leech.download(sample, &[seed]).await;
    within(torrent.completed()).await.unwrap();
    sample.assert_in(leech.folder.path());
    began.elapsed()
}

/// Within a tenth above the time that the rate asks for; a busy machine may take longer.
fn assert_kept(took: Duration, bytes: usize, rate: u32) {
    let expected = Duration::from_secs_f64(bytes as f64 / f64::from(rate));
    assert!(took >= expected.mul_f64(0.9), "{took:?}, not {expected:?}");
    assert!(took <= expected.mul_f64(2.0), "{took:?}, not {expected:?}");
}

#[tokio::test]
async fn a_download_limit_holds() {
    let sample = Sample::file("down", 2_000_000, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    let limits = Limits {
        download: Rate::bytes_per_s(1_000_000),
        ..Limits::NONE
    };
    let leech = Peer::with(|builder| builder.limits(limits)).await;
    let took = time_of(&leech, &seed, &sample).await;
    assert_kept(took, 2_000_000, 1_000_000);
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn an_upload_limit_holds_for_all_torrents_together() {
    let samples = ["up one", "up two"].map(|name| Sample::file(name, 1_000_000, 32 * 1024));
    let limits = Limits {
        upload: Rate::bytes_per_s(1_000_000),
        ..Limits::NONE
    };
    let seed = Peer::with(|builder| builder.limits(limits)).await;
    for sample in &samples {
        seed.seed(sample).await;
    }
    let leech = Peer::start().await;
    let began = Instant::now();
    let [one, two] = &samples;
    tokio::join!(time_of(&leech, &seed, one), time_of(&leech, &seed, two));
    assert_kept(began.elapsed(), 2_000_000, 1_000_000);
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn a_limit_that_is_lifted_is_lifted_at_once() {
    let sample = Sample::file("lifted", 2_000_000, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    let adding = leech.session.add(sample.metainfo.clone());
    let adding = adding.peers([seed.address()]).limits(Limits {
        // The download would take half an hour.
        download: Rate::kib_per_s(1),
        ..Limits::NONE
    });
    let torrent = adding.start().await.unwrap();
    let mut stats = torrent.stats();
    within(stats.wait_for(|stats| stats.connected_peers > 0))
        .await
        .unwrap();
    torrent.set_limits(Limits::NONE);
    within(torrent.completed()).await.unwrap();
    leech.shut_down().await;
    seed.shut_down().await;
}
