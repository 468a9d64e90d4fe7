//! `rarest dht`: peers of a torrent, and items, without any tracker.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rarest_dht::driver::{Dht, DhtConfig, Found};
use rarest_dht::item::{Item, KeyPair, Salt, Value};
use rarest_dht::krpc::{AnnouncedPort, PeerKind, Service};
use rarest_dht::{Announce, Config, GetTarget, NodeId};
use rarest_metainfo::HostAddr;
use rarest_session::DHT_BOOTSTRAP;

use crate::args::{DhtCommand, DhtNode, ItemName, SwarmHash};
use crate::quantity::counted;
use crate::{Outcome, network, say};

/// How often it is looked whether the first node has answered.
const JOIN_INTERVAL: Duration = Duration::from_millis(20);

/// Asks the DHT.
pub(crate) fn run(command: &DhtCommand) -> Result<Outcome> {
    let (DhtCommand::GetPeers { node, .. }
    | DhtCommand::Put { node, .. }
    | DhtCommand::Get { node, .. }) = command;
    let patience = Duration::from_secs(node.timeout);
    let runtime = network::runtime()?;
    let outcome = runtime.block_on(async {
        let asked = tokio::time::timeout(patience, ask(command, node)).await;
        asked.unwrap_or_else(|_| bail!("the DHT did not answer within {} s", node.timeout))
    });
    // A name that nobody answers for must not keep the program alive.
    runtime.shutdown_background();
    outcome
}

async fn ask(command: &DhtCommand, node: &DhtNode) -> Result<Outcome> {
    let dht = join(node).await?;
    match command {
        DhtCommand::GetPeers {
            info_hash,
            announce,
            ..
        } => get_peers(&dht, *info_hash, *announce).await,
        DhtCommand::Put {
            text, key, salt, ..
        } => put(&dht, text, key.as_deref(), salt.as_deref()).await,
        DhtCommand::Get { target, salt, .. } => get(&dht, *target, salt.as_deref()).await,
    }
}

/// A node that others have answered. It is gone in a moment, so nobody is to rely on it.
async fn join(node: &DhtNode) -> Result<Dht> {
    let mut config = DhtConfig {
        node: Config {
            service: Service::ReadOnly,
            ..Config::default()
        },
        bootstrap: match node.bootstrap.is_empty() {
            true => DHT_BOOTSTRAP
                .iter()
                .filter_map(|(host, port)| HostAddr::new(host, *port).ok())
                .collect(),
            false => node.bootstrap.clone(),
        },
        ..DhtConfig::default()
    };
    if let Some(ip) = node.bind {
        config.listen = vec![SocketAddr::new(ip, 0)];
    }
    let listen = config.listen.iter_mut();
    listen.for_each(|address| address.set_port(node.listen_port));
    let dht = Dht::start(config)?;
    loop {
        let stats = dht.stats().await?;
        // The search for our own place is a lookup; behind it the closest nodes are known.
        if stats.nodes_v4 + stats.nodes_v6 > 0 && stats.lookups == 0 {
            return Ok(dht);
        }
        tokio::time::sleep(JOIN_INTERVAL).await;
    }
}

async fn get_peers(dht: &Dht, SwarmHash(hash): SwarmHash, port: Option<u16>) -> Result<Outcome> {
    let mut lookup = match port {
        None => dht.get_peers(hash).await?,
        Some(port) => {
            let announce = Announce {
                port: AnnouncedPort::Explicit(port),
                kind: PeerKind::Downloader,
            };
            dht.announce(hash, announce).await?
        }
    };
    let mut count = 0;
    while let Some(found) = lookup.next().await {
        match found {
            Found::Peers(peers) => {
                count += peers.len();
                peers.iter().try_for_each(say)?;
            }
            Found::Done(summary) if port.is_some() && summary.stored == 0 => {
                bail!("no node took the announce");
            }
            _ => {}
        }
    }
    // Who announces may well be the first.
    ensure!(
        count > 0 || port.is_some(),
        "nobody has announced that torrent"
    );
    Ok(Outcome::Done)
}

async fn put(dht: &Dht, text: &str, key: Option<&Path>, salt: Option<&str>) -> Result<Outcome> {
    let value = Value::from_bytes(text.as_bytes())?;
    let (item, cas) = match key {
        None => (Item::Immutable(value), None),
        Some(path) => {
            let key = key_pair(path)?;
            let salt = salt_of(salt)?;
            let target = GetTarget::Mutable {
                key: key.public(),
                salt: salt.clone(),
            };
            let stored = match dht.get(target).await? {
                Some(Item::Mutable(stored)) => Some(stored.seq()),
                _ => None,
            };
            let seq = stored.map_or(1, |seq| seq.saturating_add(1));
            say(format_args!("key {}", key.public()))?;
            // Not over what somebody with the same key stored meanwhile.
            (Item::Mutable(key.sign(value, salt, seq)?), stored)
        }
    };
    say(format_args!("target {}", item.target()))?;
    let (summary, newer) = dht.put(item, cas).await?;
    if newer.is_some() {
        bail!("a newer item is stored under this key; try again");
    }
    if summary.stored == 0 {
        bail!("no node took the item");
    }
    let nodes = counted(u64::from(summary.stored), "node");
    say(format_args!("stored at {nodes}"))?;
    Ok(Outcome::Done)
}

async fn get(dht: &Dht, name: ItemName, salt: Option<&str>) -> Result<Outcome> {
    let target = match name {
        ItemName::Target(target) => GetTarget::Immutable(NodeId(target)),
        ItemName::Key(key) => GetTarget::Mutable {
            key: rarest_dht::item::PublicKey(key),
            salt: salt_of(salt)?,
        },
    };
    let item = dht.get(target).await?.context("nobody has such an item")?;
    let value = item.value();
    // What is no text is printed as it is stored.
    let content = value.content().unwrap_or(value.encoded());
    let mut out = std::io::stdout().lock();
    out.write_all(content)?;
    out.write_all(b"\n")?;
    Ok(Outcome::Done)
}

fn salt_of(salt: Option<&str>) -> Result<Salt> {
    Ok(Salt::new(salt.unwrap_or_default().as_bytes())?)
}

/// The key pair of a file; a new one if there is none.
fn key_pair(path: &Path) -> Result<KeyPair> {
    match std::fs::read(path) {
        Ok(seed) => {
            let seed = <[u8; 32]>::try_from(seed).ok();
            let seed =
                seed.with_context(|| format!("{} is no key: it has not 32 bytes", path.display()))?;
            Ok(KeyPair::from_seed(&seed))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = KeyPair::from_seed(&rand::random());
            write_secret(path, &key.seed())
                .with_context(|| format!("cannot write the key to {}", path.display()))?;
            Ok(key)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a file that only we can read.
fn write_secret(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)?.write_all(content)
}
