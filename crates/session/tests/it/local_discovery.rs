//! Sessions on one machine that find each other without being told (BEP 14), over the loopback interface.

use std::net::{IpAddr, Ipv4Addr};

use rarest_session::Session;
use rarest_session::metainfo::{Builder, Version};

use crate::world::{PATIENCE, Sample, within};

async fn session(folder: &std::path::Path) -> Session {
    let builder = Session::builder()
        .download_dir(folder)
        .without_trackers()
        .without_dht();
    let builder = builder.listen_addresses([IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    builder.build().await.unwrap()
}

#[tokio::test]
async fn sessions_in_one_network_find_each_other_but_not_for_private_torrents() {
    let builder = Builder::new(Version::Hybrid).piece_length(32 * 1024);
    // Others that run the same test on this machine at this moment have other torrents.
    let name = format!("near-{}", std::process::id());
    let public = Sample::of(&builder.clone(), &name, 500_000);
    let private = Sample::of(&builder.private(), &format!("{name}-secret"), 100_000);
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let seed = session(here.path()).await;
    for sample in [&public, &private] {
        sample.write_to(here.path());
        let adding = seed.add(sample.metainfo.clone());
        within(adding.start().await.unwrap().completed())
            .await
            .unwrap();
    }
    let leech = session(there.path()).await;
    let secret = leech.add(private.metainfo.clone()).start().await.unwrap();
    let torrent = leech.add(public.metainfo.clone()).start().await.unwrap();
    within(torrent.completed()).await.unwrap();
    public.assert_in(there.path());
    assert_eq!(secret.stats().borrow().known_peers, 0);
    within(leech.shutdown(PATIENCE)).await.unwrap();
    within(seed.shutdown(PATIENCE)).await.unwrap();
}
