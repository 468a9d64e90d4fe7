//! Seeds what is on the disk: `seed FILE.torrent [FOLDER [PORT]]`. Ends when it is killed.

use std::error::Error;

use rarest_session::metainfo::Metainfo;
use rarest_session::{Event, Session};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments
        .next()
        .ok_or("usage: seed FILE.torrent [FOLDER [PORT]]")?;
    let folder = arguments.next().unwrap_or_else(|| ".".to_owned());
    let port = arguments.next().map_or(Ok(0), |port| port.parse())?;

    let session = Session::builder()
        .download_dir(folder)
        .port(port)
        .build()
        .await?;
    let mut events = session.events();
    let torrent = session
        .add(Metainfo::parse(std::fs::read(file)?)?)
        .start()
        .await?;
    torrent.completed().await?;
    println!("seeding {} at port {}", torrent.id(), session.port());

    while let Some(event) = events.next().await {
        match event {
            Event::Torrent(_, event) => println!("{event:?}"),
            Event::Missed(count) => println!("{count} events were missed"),
            _ => {}
        }
    }
    Ok(())
}
