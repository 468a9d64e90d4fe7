//! Downloads a torrent: `download FILE.torrent [FOLDER [PEER:PORT ...]]`.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use rarest_session::Session;
use rarest_session::metainfo::Metainfo;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments
        .next()
        .ok_or("usage: download FILE.torrent [FOLDER [PEER:PORT ...]]")?;
    let folder = arguments.next().unwrap_or_else(|| ".".to_owned());
    let peers: Vec<SocketAddr> = arguments
        .map(|peer| peer.parse())
        .collect::<Result<_, _>>()?;

    let session = Session::builder().download_dir(folder).build().await?;
    let metainfo = Metainfo::parse(std::fs::read(file)?)?;
    let torrent = session.add(metainfo).peers(peers).start().await?;

    let mut stats = torrent.stats();
    let progress = tokio::spawn(async move {
        while stats.changed().await.is_ok() {
            let now = *stats.borrow_and_update();
            let percent = now.progress() * 100.0;
            let (rate, peers) = (now.download_rate / 1000, now.connected_peers);
            println!("{percent:5.1} %  {rate:>7} kB/s  {peers} peers");
        }
    });
    let outcome = torrent.completed().await;
    progress.abort();
    session.shutdown(Duration::from_secs(5)).await?;
    Ok(outcome?)
}
