//! `rarest dht`, with a node of this machine.

use std::net::{Ipv4Addr, SocketAddr};

use rarest_dht::driver::{Dht, DhtConfig};
use tokio::runtime::Runtime;

use crate::payload::Folder;
use crate::process::{Running, fails, succeeds, words};

/// A node that runs as long as this lives.
struct Node {
    address: String,
    _dht: Dht,
    _runtime: Runtime,
}

impl Node {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let inside = runtime.enter();
        let dht = Dht::start(DhtConfig {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            ..DhtConfig::default()
        });
        let dht = dht.unwrap();
        let address = dht.local_addresses()[0].to_string();
        drop(inside);
        Self {
            address,
            _dht: dht,
            _runtime: runtime,
        }
    }

    fn ask(&self, words: &[&str]) -> String {
        let here = ["--bootstrap", &self.address, "--bind", "127.0.0.1"];
        succeeds([&["dht"], words, &here].concat())
    }
}

#[test]
fn a_text_that_was_put_is_got_by_its_target() {
    let node = Node::start();
    let put = node.ask(&["put", "hello"]);
    let target = put.lines().find_map(|line| line.strip_prefix("target "));
    assert_eq!(node.ask(&["get", target.unwrap()]), "hello\n");
}

#[test]
fn who_has_the_key_can_change_what_it_signed() {
    let node = Node::start();
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let key = key.to_str().unwrap();
    node.ask(&["put", "first", "--key", key]);
    let put = node.ask(&["put", "second", "--key", key]);
    let public = put.lines().find_map(|line| line.strip_prefix("key "));
    assert_eq!(node.ask(&["get", public.unwrap()]), "second\n");
}

#[test]
fn peers_that_were_announced_are_printed() {
    let node = Node::start();
    let hash = "ab".repeat(20);
    assert_eq!(node.ask(&["get-peers", &hash, "--announce", "4321"]), "");
    assert_eq!(node.ask(&["get-peers", &hash]), "127.0.0.1:4321\n");
}

#[test]
fn what_nobody_has_is_said() {
    let node = Node::start();
    let target = "cd".repeat(20);
    let ask = |what| {
        let here = ["--bootstrap", &node.address, "--bind", "127.0.0.1"];
        fails(1, [&["dht", what, &target], &here[..]].concat())
    };
    assert!(ask("get").contains("nobody has such an item"));
    assert!(ask("get-peers").contains("nobody has announced that torrent"));
}

#[test]
fn a_link_without_trackers_has_the_dht_to_ask() {
    let node = Node::start();
    let folder = Folder::with_file(1_000);
    let link = format!("magnet:?xt=urn:btih:{}", "ef".repeat(20));
    let download = words!["download", link, "--output", folder.copy()];
    let listening = |dht: &[std::ffi::OsString]| {
        let mut running = Running::start([&download[..], dht].concat());
        running.wait_for("listening");
        running
    };
    let next = |running: &mut Running| running.next().unwrap()["event"].clone();
    assert_eq!(next(&mut listening(&[])), "nobody_to_ask");
    let mut running = listening(&words!["--dht-bootstrap", &node.address]);
    let mut told = next(&mut running);
    // The node may name a peer first, whom nobody can reach.
    while told == "peer_unreachable" {
        told = next(&mut running);
    }
    assert_eq!(told, "fetching_metadata");
}
