//! A network of nodes in memory and in virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rarest_dht::item::{Item, KeyPair, Salt, Value};
use rarest_dht::krpc::{
    Body, ErrorReply, Message, Method, NodeInfo, PutItem, Query, Response, Service, Transaction,
    Want,
};
use rarest_dht::{Config, Event, Families, Family, LookupId, LookupSummary, Node, NodeId};

/// How long a datagram travels.
const LATENCY: Duration = Duration::from_millis(40);

#[expect(clippy::disallowed_methods, reason = "virtual time needs an origin")]
pub(crate) fn origin() -> Instant {
    Instant::now()
}

pub(crate) fn public_v4(number: u32) -> SocketAddr {
    // Spread over the networks of the world, one a /24.
    let [_, a, b, c] = number.to_be_bytes();
    SocketAddr::from(([20 + a, b, c, 7], 6881))
}

/// What a host does with datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// What the protocol says.
    Honest,
    /// Nothing.
    Dead,
    /// Answers every question for nodes with eight close to the target that do not exist, and for peers with one that does not.
    Liar,
}

struct Host {
    node: Node,
    nature: Nature,
    timer: Option<Instant>,
    events: Vec<Event>,
}

enum Happening {
    Arrival {
        from: SocketAddr,
        to: SocketAddr,
        datagram: Vec<u8>,
    },
    Timer {
        host: SocketAddr,
    },
}

/// Hosts, and what travels between them.
pub(crate) struct Network {
    pub(crate) now: Instant,
    rng: StdRng,
    hosts: BTreeMap<SocketAddr, Host>,
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    happenings: HashMap<u64, Happening>,
    next: u64,
    /// Of a hundred datagrams, how many are lost.
    pub(crate) loss_percent: u32,
    pub(crate) delivered: u64,
    pub(crate) longest: usize,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: origin(),
            rng: StdRng::seed_from_u64(seed),
            hosts: BTreeMap::new(),
            queue: BinaryHeap::new(),
            happenings: HashMap::new(),
            next: 0,
            loss_percent: 0,
            delivered: 0,
            longest: 0,
        }
    }

    /// A node at `addr` with an id of its address, which knows nobody.
    pub(crate) fn add(&mut self, addr: SocketAddr) -> SocketAddr {
        self.add_with(addr, Config::default())
    }

    pub(crate) fn add_with(&mut self, addr: SocketAddr, mut config: Config) -> SocketAddr {
        config.families = match Family::of(addr.ip()) {
            Family::V4 => Families::V4,
            Family::V6 => Families::V6,
        };
        config.external_ips.push(addr.ip());
        let node = Node::new(config, self.rng.random(), self.now);
        self.add_node(addr, node);
        addr
    }

    pub(crate) fn add_node(&mut self, addr: SocketAddr, node: Node) {
        let host = Host {
            node,
            nature: Nature::Honest,
            timer: None,
            events: Vec::new(),
        };
        self.hosts.insert(addr, host);
        self.settle(addr);
    }

    /// `count` nodes that found their places one after the other, all beginning at the first.
    pub(crate) fn joined(seed: u64, count: u32) -> (Self, Vec<SocketAddr>) {
        let mut network = Self::new(seed);
        let hosts: Vec<_> = (0..count)
            .map(|number| network.add(public_v4(number)))
            .collect();
        for host in &hosts[1..] {
            let first = hosts[0];
            network.act(*host, |node, now| node.bootstrap(now, &[first]));
            network.run(Duration::from_millis(500));
        }
        network.run(Duration::from_secs(10));
        (network, hosts)
    }

    pub(crate) fn node(&self, addr: SocketAddr) -> &Node {
        &self.hosts[&addr].node
    }

    pub(crate) fn set_nature(&mut self, addr: SocketAddr, nature: Nature) {
        self.hosts.get_mut(&addr).unwrap().nature = nature;
    }

    /// Does something with a node, and sends what comes of it.
    pub(crate) fn act<T>(
        &mut self,
        addr: SocketAddr,
        action: impl FnOnce(&mut Node, Instant) -> T,
    ) -> T {
        let now = self.now;
        let result = action(&mut self.hosts.get_mut(&addr).unwrap().node, now);
        self.settle(addr);
        result
    }

    /// A datagram that no node sent.
    pub(crate) fn inject(&mut self, from: SocketAddr, to: SocketAddr, datagram: Vec<u8>) {
        self.schedule(
            self.now + LATENCY,
            Happening::Arrival { from, to, datagram },
        );
    }

    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(&Reverse((at, key))) = self.queue.peek() {
            if at > end {
                break;
            }
            self.queue.pop();
            self.now = self.now.max(at);
            match self.happenings.remove(&key) {
                Some(Happening::Arrival { from, to, datagram }) => self.arrive(from, to, &datagram),
                Some(Happening::Timer { host: addr }) => {
                    let now = self.now;
                    let Some(host) = self.hosts.get_mut(&addr) else {
                        continue;
                    };
                    if host.timer.is_some_and(|timer| timer <= now) {
                        host.timer = None;
                        if host.nature == Nature::Honest {
                            host.node.handle_timeout(now);
                            self.settle(addr);
                        }
                    }
                }
                None => {}
            }
        }
        self.now = end;
    }

    /// What happened at a host since it was asked last.
    pub(crate) fn events(&mut self, addr: SocketAddr) -> Vec<Event> {
        std::mem::take(&mut self.hosts.get_mut(&addr).unwrap().events)
    }

    /// Runs until these lookups of a host are done, and returns what they found.
    pub(crate) fn finish(&mut self, addr: SocketAddr, lookup: LookupId) -> Outcome {
        let mut outcome = Outcome::default();
        for _ in 0..600 {
            for event in self.events(addr) {
                match event {
                    Event::Peers { lookup: of, peers } if of == lookup => {
                        outcome.peers.extend(peers);
                    }
                    Event::Item { lookup: of, item } if of == lookup => outcome.item = Some(*item),
                    Event::Samples {
                        lookup: of,
                        samples,
                        ..
                    } if of == lookup => {
                        outcome.samples.extend(samples.info_hashes);
                    }
                    Event::Done {
                        lookup: of,
                        summary,
                    } if of == lookup => {
                        outcome.summary = summary;
                        return outcome;
                    }
                    _ => {}
                }
            }
            self.run(Duration::from_millis(100));
        }
        panic!("the lookup did not end within a minute");
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&to) else {
            return;
        };
        self.delivered += 1;
        match host.nature {
            Nature::Honest => {
                host.node.handle_datagram(now, from, datagram);
                self.settle(to);
            }
            Nature::Dead => {}
            Nature::Liar => {
                let id = host.node.id(Family::of(to.ip())).unwrap();
                if let Some(lie) = self.lie(id, from, datagram) {
                    self.inject(to, from, lie);
                }
            }
        }
    }

    fn lie(&mut self, id: NodeId, from: SocketAddr, datagram: &[u8]) -> Option<Vec<u8>> {
        let message = Message::decode(datagram).ok()?;
        let Body::Query(query) = message.body else {
            return None;
        };
        let mut response = Response::new(id);
        let target = match query.method {
            Method::FindNode { target } | Method::Get { target, .. } => target,
            Method::GetPeers { info_hash, .. } => {
                response.peers = vec![SocketAddr::from(([66, 6, 6, 6], 666))];
                info_hash.into()
            }
            _ => id,
        };
        response.token = Some(b"liar".as_slice().into());
        response.nodes = (0..8)
            .map(|_| NodeInfo {
                id: target.random_sharing(40, &mut self.rng),
                addr: SocketAddr::from((
                    [
                        self.rng.random_range(100..200),
                        self.rng.random(),
                        self.rng.random(),
                        9,
                    ],
                    1,
                )),
            })
            .collect();
        let body = Body::Response(response);
        Some(
            Message {
                transaction: message.transaction,
                version: None,
                seen_as: Some(from),
                body,
            }
            .encode(),
        )
    }

    fn settle(&mut self, addr: SocketAddr) {
        let (now, loss) = (self.now, self.loss_percent);
        let host = self.hosts.get_mut(&addr).unwrap();
        let mut sent = Vec::new();
        while let Some(transmit) = host.node.poll_transmit() {
            self.longest = self.longest.max(transmit.datagram.len());
            if self.rng.random_range(0..100) >= loss {
                sent.push((transmit.to, transmit.datagram.to_vec()));
            }
        }
        while let Some(event) = host.node.poll_event() {
            host.events.push(event);
        }
        let timer = host.node.next_timeout();
        let earlier = match (timer, host.timer) {
            (Some(new), Some(old)) => new < old,
            (new, _) => new.is_some(),
        };
        if earlier {
            host.timer = timer;
        }
        for (to, datagram) in sent {
            self.schedule(
                now + LATENCY,
                Happening::Arrival {
                    from: addr,
                    to,
                    datagram,
                },
            );
        }
        if let Some(at) = timer.filter(|_| earlier) {
            self.schedule(at, Happening::Timer { host: addr });
        }
    }

    fn schedule(&mut self, at: Instant, happening: Happening) {
        self.queue.push(Reverse((at, self.next)));
        self.happenings.insert(self.next, happening);
        self.next += 1;
    }
}

/// What a lookup found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) peers: HashSet<SocketAddr>,
    pub(crate) item: Option<Item>,
    pub(crate) samples: HashSet<rarest_metainfo::InfoHash>,
    pub(crate) summary: LookupSummary,
}

/// One node that is asked by hand.
pub(crate) struct Lone {
    pub(crate) node: Node,
    pub(crate) now: Instant,
    pub(crate) from: SocketAddr,
}

impl Default for Lone {
    fn default() -> Self {
        let now = origin();
        let config = Config {
            families: Families::V4,
            ..Config::default()
        };
        Self {
            node: Node::new(config, [1; 32], now),
            now,
            from: public_v4(1),
        }
    }
}

impl Lone {
    /// The answer to a query, if there is one.
    pub(crate) fn ask(&mut self, method: Method) -> Option<Result<Response, ErrorReply>> {
        self.ask_as(Service::ReadOnly, Want::Unsaid, method)
    }

    pub(crate) fn ask_as(
        &mut self,
        service: Service,
        want: Want,
        method: Method,
    ) -> Option<Result<Response, ErrorReply>> {
        let body = Body::Query(Query {
            id: NodeId([9; 20]),
            service,
            want,
            method,
        });
        let transaction = Transaction::new(b"aa".as_slice()).unwrap();
        let message = Message {
            transaction: transaction.clone(),
            version: None,
            seen_as: None,
            body,
        };
        self.send(&message.encode());
        self.answers()
            .into_iter()
            .find(|message| message.transaction == transaction)
            .and_then(|message| {
                assert_eq!(message.seen_as, Some(self.from));
                match message.body {
                    Body::Response(response) => Some(Ok(response)),
                    Body::Error(error) => Some(Err(error)),
                    Body::Query(_) => None,
                }
            })
    }

    pub(crate) fn send(&mut self, datagram: &[u8]) {
        self.node.handle_datagram(self.now, self.from, datagram);
    }

    /// All that the node sent since.
    pub(crate) fn answers(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.node.poll_transmit())
            .map(|transmit| Message::decode(&transmit.datagram).unwrap())
            .collect()
    }

    pub(crate) fn token(&mut self) -> bytes::Bytes {
        let method = Method::Get {
            target: NodeId([0; 20]),
            newer_than: None,
        };
        self.ask(method).unwrap().unwrap().token.unwrap()
    }

    /// Puts a mutable item; returns the error's code.
    pub(crate) fn put(&mut self, seq: i64, cas: Option<i64>) -> Option<i64> {
        let key = KeyPair::from_seed(&[3; 32]);
        let value = Value::from_bytes(seq.to_string().as_bytes()).unwrap();
        let item = key.sign(value, Salt::default(), seq).unwrap();
        let item = PutItem::Mutable {
            value: item.value().clone(),
            key: item.key(),
            salt: item.salt().clone(),
            seq,
            signature: item.signature(),
            cas,
        };
        let token = self.token();
        let answer = self.ask(Method::Put { item, token }).unwrap();
        answer.err().map(|error| error.code.0)
    }
}
