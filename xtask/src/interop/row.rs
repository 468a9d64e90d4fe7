//! The rows of the matrix: who trades what with whom, and how they find each other.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::client::{Client, DhtPart, Encryption, Finding, Form, Goal, Job, Running};
use super::libtorrent;
use super::payload::{self, EmptyFiles, Payload, Torrent};
use super::port;
use super::process::Deadline;
use super::tracker::{Scheme, Tracker};
use super::web::{Way, WebServer};

/// How long a row may take. The slowest clients look for peers every 10 s and raise their speed once a second.
const ROW_TIMEOUT: Duration = Duration::from_secs(90);

/// Speed of the seed from which a download that is to be interrupted comes, in bytes a second: the payload takes seconds.
const INTERRUPTED_RATE: u64 = 4_000_000;

/// What ours stores in the DHT.
const ITEM_FROM_US: &str = "from rarest";

/// The share of the payload after which a download is interrupted.
const INTERRUPTED_SHARE: f64 = 0.3;

/// Speed of who introduces others to each other, in bytes a second: it has nothing to give before the row ends.
const INTRODUCER_RATE: u64 = 2000;

/// What happens in a row; clients are named by their place in the list of all.
#[derive(Clone, Debug)]
pub(crate) enum Story {
    /// `seed` serves, `fetch` downloads.
    Trade {
        seed: &'static str,
        fetch: &'static str,
        /// What `fetch` is given of the torrent; `seed` has all of it.
        form: Form,
    },
    /// `begin` is stopped in the middle of a download, `finish` goes on in the same folder.
    TakeOver {
        begin: &'static str,
        finish: &'static str,
    },
    /// `seed` and `fetch` hear of each other in the local network (BEP 14).
    Neighbours {
        seed: &'static str,
        fetch: &'static str,
    },
    /// `introducer`, which has nothing to give, knows `seed`, and `fetch` knows it alone (BEP 11).
    Introduce {
        introducer: &'static str,
        seed: &'static str,
        fetch: &'static str,
    },
    /// nginx is all that `fetch` finds (BEP 19).
    WebSeed { fetch: &'static str, way: Way },
    /// As a trade, with a magnet link alone: no tracker, and a DHT in which each knows one node to begin at (BEP 5).
    OverDht {
        seed: &'static str,
        fetch: &'static str,
    },
    /// Ours and libtorrent's nodes of the DHT get the items that the other stored (BEP 44).
    DhtItems,
    /// Ours creates the torrent; libtorrent finds the files complete.
    Create,
}

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) story: Story,
    pub(crate) payload: Payload,
    pub(crate) scheme: Scheme,
    pub(crate) encrypted: EncryptedBy,
}

/// Who requires connections to be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EncryptedBy {
    Nobody,
    /// The other client. Ours is told nothing.
    TheOther,
    /// Both, so that nothing goes in the clear unseen.
    Both,
}

const OURS: &str = "rarest";

/// All rows in the order in which they are started. Rows without our client prove the harness; they run only when named.
pub(crate) fn all(clients: &[&dyn Client]) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |name: String, story: Story, payload: Payload, scheme: Scheme| {
        rows.push(Row {
            name,
            story,
            payload,
            scheme,
            encrypted: EncryptedBy::Nobody,
        });
    };
    for client in clients.iter().filter(|client| client.name() != OURS) {
        let name = client.name();
        for (payload, scheme) in [
            (Payload::Single, Scheme::Http),
            (Payload::Multi, Scheme::Udp),
            (Payload::Hybrid, Scheme::Http),
            (Payload::V2, Scheme::Udp),
        ] {
            if client.can(payload) {
                for (seed, fetch) in [(name, OURS), (OURS, name)] {
                    add(
                        trade_name(seed, fetch, payload),
                        Story::Trade {
                            seed,
                            fetch,
                            form: Form::File,
                        },
                        payload,
                        client.scheme(scheme),
                    );
                }
            }
        }
        for (begin, finish) in [(name, OURS), (OURS, name)] {
            let row = format!("{finish}-finishes-{begin}");
            add(
                row,
                Story::TakeOver { begin, finish },
                Payload::Multi,
                Scheme::Http,
            );
        }
    }
    for (seed, fetch) in [("libtorrent", OURS), (OURS, "libtorrent")] {
        let name = format!("https.{seed}-to-{fetch}");
        add(
            name,
            Story::Trade {
                seed,
                fetch,
                form: Form::File,
            },
            Payload::Single,
            Scheme::Https,
        );
    }
    for (form, payload) in [
        (Form::Bare, Payload::V2),
        (Form::Bare, Payload::Hybrid),
        (Form::Magnet, Payload::Multi),
        (Form::Magnet, Payload::V2),
        (Form::Magnet, Payload::Hybrid),
        (Form::V2Magnet, Payload::Hybrid),
    ] {
        for (seed, fetch) in [("libtorrent", OURS), (OURS, "libtorrent"), (OURS, OURS)] {
            // libtorrent takes no file that lacks piece layers.
            if form == Form::Bare && fetch != OURS {
                continue;
            }
            let name = format!("{}.{}", form.name(), trade_name(seed, fetch, payload));
            add(
                name,
                Story::Trade { seed, fetch, form },
                payload,
                Scheme::Http,
            );
        }
    }
    for client in ["transmission", "qbittorrent"] {
        let payload = Payload::Multi;
        for (seed, fetch) in [(client, OURS), (OURS, client)] {
            let form = Form::Magnet;
            let name = format!("{}.{}", form.name(), trade_name(seed, fetch, payload));
            let story = Story::Trade { seed, fetch, form };
            add(name, story, payload, Scheme::Http);
        }
    }
    for payload in [
        Payload::Single,
        Payload::Multi,
        Payload::Hybrid,
        Payload::V2,
    ] {
        add(
            format!("create.{}", payload.name()),
            Story::Create,
            payload,
            Scheme::Http,
        );
    }
    for payload in [
        Payload::Single,
        Payload::Multi,
        Payload::Hybrid,
        Payload::V2,
    ] {
        let story = Story::WebSeed {
            fetch: OURS,
            way: Way::Straight,
        };
        let name = format!("nginx-to-{OURS}.{}", payload.name());
        add(name, story, payload, Scheme::Http);
    }
    let story = Story::WebSeed {
        fetch: OURS,
        way: Way::Redirected,
    };
    let name = format!("nginx-redirects-{OURS}.multi");
    add(name, story, Payload::Multi, Scheme::Http);
    for (seed, fetch) in [("libtorrent", OURS), (OURS, "libtorrent")] {
        let name = format!("neighbours.{seed}-to-{fetch}");
        let story = Story::Neighbours { seed, fetch };
        add(name, story, Payload::Single, Scheme::Http);
    }
    for (introducer, other) in [("libtorrent", OURS), (OURS, "libtorrent")] {
        let name = format!("{introducer}-introduces-{other}");
        let story = Story::Introduce {
            introducer,
            seed: other,
            fetch: other,
        };
        add(name, story, Payload::Single, Scheme::Http);
    }
    for (seed, fetch) in [("libtorrent", OURS), (OURS, "libtorrent"), (OURS, OURS)] {
        for payload in [Payload::Multi, Payload::V2] {
            let name = format!("dht.{}", trade_name(seed, fetch, payload));
            add(name, Story::OverDht { seed, fetch }, payload, Scheme::Http);
        }
    }
    let items = "dht.items".to_owned();
    add(items, Story::DhtItems, Payload::Single, Scheme::Http);
    let reference = "libtorrent";
    for client in clients
        .iter()
        .filter(|client| ![OURS, reference].contains(&client.name()))
    {
        let name = client.name();
        for (seed, fetch) in [(name, reference), (reference, name)] {
            for (payload, scheme) in [
                (Payload::Single, Scheme::Https),
                (Payload::Multi, Scheme::Udp),
                (Payload::Hybrid, Scheme::Http),
                (Payload::V2, Scheme::Http),
            ] {
                if client.can(payload) {
                    let row = format!("reference.{}", trade_name(seed, fetch, payload));
                    let story = Story::Trade {
                        seed,
                        fetch,
                        form: Form::File,
                    };
                    add(row, story, payload, client.scheme(scheme));
                }
            }
            if (seed, fetch) == ("rtorrent", reference) {
                // libtorrent 2.0.8 maps files to memory, and stops with an error at the empty ones that rTorrent leaves where it has
                // fetched nothing yet.
                continue;
            }
            let row = format!("reference.{fetch}-finishes-{seed}");
            add(
                row,
                Story::TakeOver {
                    begin: seed,
                    finish: fetch,
                },
                Payload::Multi,
                Scheme::Http,
            );
        }
    }
    rows.extend(encrypted(clients));
    rows
}

/// Rows in which nothing goes over the wire in the clear.
fn encrypted(clients: &[&dyn Client]) -> Vec<Row> {
    let row = |name, seed, fetch, encrypted| Row {
        name,
        story: Story::Trade {
            seed,
            fetch,
            form: Form::File,
        },
        payload: Payload::Single,
        scheme: Scheme::Http,
        encrypted,
    };
    let others = clients
        .iter()
        .map(|client| client.name())
        .filter(|&name| name != OURS);
    others
        .flat_map(|other| {
            let name = |seed, fetch| format!("encrypted.{seed}-to-{fetch}");
            let by_default = format!("{}.unasked", name(other, OURS));
            [
                row(name(other, OURS), other, OURS, EncryptedBy::Both),
                row(name(OURS, other), OURS, other, EncryptedBy::Both),
                row(by_default, other, OURS, EncryptedBy::TheOther),
            ]
        })
        .collect()
}

fn trade_name(seed: &str, fetch: &str, payload: Payload) -> String {
    format!("{seed}-to-{fetch}.{}", payload.name())
}

impl Row {
    /// Whether it runs only when it is named.
    pub(crate) fn is_reference(&self) -> bool {
        self.name.starts_with("reference.")
    }

    /// Plays the row in `folder`, which keeps the logs; how long it took.
    pub(crate) fn play(&self, clients: &[&dyn Client], folder: &Path) -> Result<Duration> {
        let began = Instant::now();
        let mut stage = Stage::prepare(self, clients, folder)?;
        match self.story {
            Story::Trade { seed, fetch, form } => stage.trade(seed, fetch, form)?,
            Story::TakeOver { begin, finish } => stage.take_over(begin, finish)?,
            Story::WebSeed { fetch, way } => stage.web_seed(fetch, way)?,
            Story::Neighbours { seed, fetch } => stage.neighbours(seed, fetch)?,
            Story::Introduce {
                introducer,
                seed,
                fetch,
            } => stage.introduce(introducer, seed, fetch)?,
            Story::OverDht { seed, fetch } => stage.over_dht(seed, fetch)?,
            Story::DhtItems => stage.dht_items()?,
            Story::Create => stage.create()?,
        }
        Ok(began.elapsed())
    }
}

/// What a row plays with: files, torrent, tracker.
struct Stage<'a> {
    clients: &'a [&'a dyn Client],
    payload: Payload,
    encrypted: EncryptedBy,
    folder: PathBuf,
    original: PathBuf,
    copy: PathBuf,
    total: u64,
    torrent: Torrent,
    tracker: Tracker,
    deadline: Deadline,
}

impl<'a> Stage<'a> {
    fn prepare(row: &Row, clients: &'a [&'a dyn Client], folder: &Path) -> Result<Self> {
        let (original, copy) = (folder.join("original"), folder.join("copy"));
        fs::create_dir_all(&copy)?;
        // The contents follow from the name, so that rows side by side never trade with each other.
        let seed = row.name.bytes().fold(0, |seed: u64, byte| {
            seed.wrapping_mul(257) + u64::from(byte)
        });
        let total = payload::write(row.payload, &original, seed)?;
        let mut tracker = Tracker::new(row.scheme, &folder.join("tracker"))?;
        let torrent = payload::torrent(
            row.payload,
            &original,
            &folder.join("of.torrent"),
            tracker.url(),
        )?;
        tracker.serve(&torrent.info_hashes)?;
        Ok(Self {
            clients,
            payload: row.payload,
            encrypted: row.encrypted,
            folder: folder.to_owned(),
            original,
            copy,
            total,
            torrent,
            tracker,
            deadline: Deadline::after(ROW_TIMEOUT),
        })
    }

    fn client(&self, name: &str) -> Result<&'a dyn Client> {
        let client = self.clients.iter().find(|client| client.name() == name);
        Ok(*client.with_context(|| format!("there is no client `{name}`"))?)
    }

    fn job(&self, name: &str, scratch: &str, goal: Goal, data: &Path) -> Job {
        Job {
            goal,
            torrent: self.torrent.clone(),
            form: Form::File,
            data: data.to_owned(),
            scratch: self.folder.join(scratch),
            port: port::free(),
            dht: DhtPart::None,
            upload_limit: None,
            download_limit: None,
            finding: Finding::Tracker,
            encryption: match self.encrypted {
                EncryptedBy::Both => Encryption::Required,
                EncryptedBy::TheOther if name != OURS => Encryption::Required,
                EncryptedBy::TheOther | EncryptedBy::Nobody => Encryption::Default,
            },
            ca_file: self.tracker.ca_file().map(Path::to_owned),
        }
    }

    fn seed(
        &self,
        name: &str,
        scratch: &str,
        upload_limit: Option<u64>,
    ) -> Result<Box<dyn Running>> {
        let client = self.client(name)?;
        if self.payload == Payload::Hybrid && !client.can(Payload::V2) {
            payload::write_padding(self.payload, &self.original)?;
        }
        let job = Job {
            upload_limit,
            ..self.job(name, scratch, Goal::Seed, &self.original)
        };
        let mut seed = client.start(&job)?;
        self.deadline
            .until(&format!("{name} seeds"), || seed.is_complete())?;
        Ok(seed)
    }

    /// Starts a seed and a download, in the order in which they find each other: who dials comes second.
    fn pair(
        &self,
        (seed, fetch): (&str, &str),
        form: Form,
        scratch: &str,
        upload_limit: Option<u64>,
    ) -> Result<Pair> {
        let fetcher = self.client(fetch)?;
        let scratch_of_fetch = format!("{scratch}-{fetch}-fetches");
        let job = Job {
            form,
            ..self.job(fetch, &scratch_of_fetch, Goal::Download, &self.copy)
        };
        let scratch = format!("{scratch}-{seed}-seeds");
        if fetcher.dials_loopback() {
            let seed = self.seed(seed, &scratch, upload_limit)?;
            self.first_is_known()?;
            return Ok(Pair {
                seed,
                fetch: fetcher.start(&job)?,
            });
        }
        let fetch = fetcher.start(&job)?;
        self.first_is_known()?;
        Ok(Pair {
            seed: self.seed(seed, &scratch, upload_limit)?,
            fetch,
        })
    }

    fn first_is_known(&self) -> Result<()> {
        self.deadline.until("the tracker knows the first peer", || {
            Ok(self.tracker.peers(&self.torrent.info_hashes[0])? > 0)
        })
    }

    fn is_as_the_original(&self, fetch: &str) -> Result<()> {
        let empty_files = if fetch == OURS {
            EmptyFiles::MustBeThere
        } else {
            EmptyFiles::MayLack
        };
        payload::compare(self.payload, empty_files, &self.original, &self.copy)
    }

    fn trade(&self, seed: &str, fetch: &str, form: Form) -> Result<()> {
        let mut pair = self.pair((seed, fetch), form, "trade", None)?;
        self.deadline
            .until(&format!("{fetch} is complete"), || pair.fetch.is_complete())?;
        pair.fetch.stop()?;
        self.is_as_the_original(fetch)
    }

    fn take_over(&mut self, begin: &str, finish: &str) -> Result<()> {
        let Pair { seed, mut fetch } = self.pair(
            ("libtorrent", begin),
            Form::File,
            "1",
            Some(INTERRUPTED_RATE),
        )?;
        self.deadline
            .until(&format!("{begin} has fetched a part"), || {
                Ok(payload::written(self.payload, &self.copy) > INTERRUPTED_SHARE)
            })?;
        // The seed first: clients go on fetching while they end.
        drop(seed);
        fetch.stop()?;
        let share = payload::written(self.payload, &self.copy);
        if share >= 1.0 {
            bail!("{begin} was done before it was stopped");
        }
        // A tracker that knows nobody, as those who were there are gone.
        self.tracker.serve(&self.torrent.info_hashes)?;
        let mut second = self.pair(("libtorrent", finish), Form::File, "2", None)?;
        self.deadline.until(&format!("{finish} is complete"), || {
            second.fetch.is_complete()
        })?;
        second.fetch.stop()?;
        second.seed.stop()?;
        self.is_as_the_original(finish)?;
        // Half of what was there, at least, must not be fetched once more.
        let uploaded = second
            .seed
            .uploaded()?
            .context("libtorrent tells what it sent")?;
        #[expect(clippy::cast_precision_loss, reason = "a share of some MB")]
        let fetched = uploaded as f64 / self.total as f64;
        if fetched > 1.0 - share / 2.0 {
            bail!(
                "{finish} fetched {fetched:.2} of the payload although {share:.2} of it was there"
            );
        }
        Ok(())
    }

    /// A torrent that names no tracker, made by ours with further arguments.
    fn untracked(&self, arguments: &[&str]) -> Result<Torrent> {
        let torrent = self.folder.join("untracked.torrent");
        let path = self.original.join(payload::NAME);
        let command = self.client(OURS)?.create(self.payload, &path, &torrent);
        let mut command = command.context("our client creates torrents")?;
        crate::cargo::output(command.args(arguments))?;
        Ok(Torrent {
            path: torrent,
            info_hashes: Vec::new(),
        })
    }

    /// Waits for a download, and compares it.
    fn completes(&self, fetch: &str, job: &Job) -> Result<()> {
        let mut fetching = self.client(fetch)?.start(job)?;
        self.deadline
            .until(&format!("{fetch} is complete"), || fetching.is_complete())?;
        fetching.stop()?;
        self.is_as_the_original(fetch)
    }

    fn neighbours(&self, seed: &str, fetch: &str) -> Result<()> {
        let torrent = self.untracked(&[])?;
        let job = |name, scratch, goal, data| Job {
            torrent: torrent.clone(),
            finding: Finding::LocalNetwork,
            ..self.job(name, scratch, goal, data)
        };
        let seeding = job(seed, "seeds", Goal::Seed, &self.original);
        let mut seeding = self.client(seed)?.start(&seeding)?;
        self.deadline
            .until(&format!("{seed} seeds"), || seeding.is_complete())?;
        let fetching = job(fetch, "fetches", Goal::Download, &self.copy);
        self.completes(fetch, &fetching)
    }

    fn introduce(&self, introducer: &str, seed: &str, fetch: &str) -> Result<()> {
        let torrent = self.untracked(&[])?;
        let nothing = self.folder.join("nothing");
        fs::create_dir_all(&nothing)?;
        let seeding = Job {
            torrent: torrent.clone(),
            ..self.job(seed, "seeds", Goal::Seed, &self.original)
        };
        let introducing = Job {
            torrent: torrent.clone(),
            download_limit: Some(INTRODUCER_RATE),
            finding: Finding::Acquaintance(seeding.port),
            ..self.job(introducer, "introduces", Goal::Download, &nothing)
        };
        let fetching = Job {
            torrent,
            finding: Finding::Acquaintance(introducing.port),
            ..self.job(fetch, "fetches", Goal::Download, &self.copy)
        };
        let mut seed = self.client(seed)?.start(&seeding)?;
        self.deadline
            .until("the seed seeds", || seed.is_complete())?;
        let _introducer = self.client(introducer)?.start(&introducing)?;
        self.deadline.until("the introducer listens", || {
            Ok(TcpStream::connect(("127.0.0.1", introducing.port)).is_ok())
        })?;
        self.completes(fetch, &fetching)
    }

    fn web_seed(&self, fetch: &str, way: Way) -> Result<()> {
        let server = WebServer::start(&self.folder.join("web"), &self.original)?;
        let job = Job {
            torrent: self.untracked(&["--web-seed", &server.url(way)])?,
            ..self.job(fetch, fetch, Goal::Download, &self.copy)
        };
        self.completes(fetch, &job)
    }

    fn over_dht(&self, seed: &str, fetch: &str) -> Result<()> {
        let others = self.job("libtorrent", "others", Goal::Seed, &self.original);
        let mut nodes = libtorrent::DhtNodes::start(&others, ITEM_FROM_US)?;
        self.deadline
            .until("there is a DHT", || nodes.has_stored())?;
        let mut seeds = self.job(seed, "seeds", Goal::Seed, &self.original);
        let mut fetches = self.job(fetch, "fetches", Goal::Download, &self.copy);
        seeds.dht = DhtPart::From(others.port);
        fetches.dht = DhtPart::From(others.port);
        fetches.form = Form::TrackerlessMagnet;
        let mut seeding = self.client(seed)?.start(&seeds)?;
        self.deadline
            .until(&format!("{seed} seeds"), || seeding.is_complete())?;
        let mut fetching = self.client(fetch)?.start(&fetches)?;
        self.deadline
            .until(&format!("{fetch} is complete"), || fetching.is_complete())?;
        fetching.stop()?;
        self.is_as_the_original(fetch)
    }

    fn dht_items(&self) -> Result<()> {
        let job = self.job("libtorrent", "libtorrent", Goal::Seed, &self.original);
        let mut nodes = libtorrent::DhtNodes::start(&job, ITEM_FROM_US)?;
        self.deadline
            .until("libtorrent has stored its item", || nodes.has_stored())?;
        let bootstrap = format!("127.0.0.1:{}", job.port);
        let ask = |arguments: &[&str]| {
            let ours = self.client(OURS)?.ask_dht(&bootstrap, arguments);
            crate::cargo::output(&mut ours.context("our client has a DHT")?)
        };
        let got = ask(&["get", libtorrent::ITEM_TARGET])?;
        if got.trim() != libtorrent::ITEM {
            bail!(
                "ours got {got:?} where libtorrent stored {:?}",
                libtorrent::ITEM
            );
        }
        ask(&["put", ITEM_FROM_US])?;
        self.deadline
            .until("libtorrent gets our item", || nodes.have_got())
    }

    fn create(&self) -> Result<()> {
        let ours = self.folder.join("ours.torrent");
        let path = self.original.join(payload::NAME);
        let command = self.client(OURS)?.create(self.payload, &path, &ours);
        let mut command = command.context("our client creates torrents")?;
        crate::cargo::output(&mut command)?;
        let job = Job {
            torrent: Torrent {
                path: ours,
                info_hashes: Vec::new(),
            },
            ..self.job("libtorrent", "libtorrent", Goal::Seed, &self.original)
        };
        let mut checked = self.client("libtorrent")?.start(&job)?;
        self.deadline
            .until("libtorrent finds the files complete", || {
                checked.is_complete()
            })
    }
}

/// A seed and a download that were started together.
struct Pair {
    seed: Box<dyn Running>,
    fetch: Box<dyn Running>,
}
