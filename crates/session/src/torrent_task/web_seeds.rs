//! The web seeds of a torrent: where they are, and the tasks that ask them.

use std::collections::HashMap;
use std::sync::Arc;

use rarest_metainfo::Metainfo;
use rarest_peer_wire::connection::Command;
use rarest_swarm::limits::MAX_WEB_SEEDS;
use rarest_swarm::{DisconnectReason, PeerKey, WebSeedEnd, WebSeedId};
use rarest_web_seed::Location;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use super::{Driver, Stage};
use crate::TorrentEvent;
use crate::session::now;
use crate::web_seed_task::WebSeedTask;

/// Where web seeds are, by their number in the machine, and those that are being asked.
#[derive(Debug)]
pub(super) struct WebSeeds {
    locations: Vec<Location>,
    /// Number of those that the metainfo names.
    named: usize,
    links: HashMap<PeerKey, Link>,
    /// Opened while there was no mailbox for what they bring.
    waiting: Vec<Opened>,
}

/// A web seed that is being asked. Dropping it ends that.
#[derive(Debug)]
struct Link {
    web_seed: WebSeedId,
    commands: mpsc::UnboundedSender<Vec<Command>>,
}

#[derive(Debug)]
struct Opened {
    key: PeerKey,
    web_seed: WebSeedId,
    commands: mpsc::UnboundedReceiver<Vec<Command>>,
}

impl WebSeeds {
    /// Those that the metainfo names and that are understood.
    pub(super) fn of(metainfo: &Metainfo) -> Self {
        let locations = metainfo.web_seeds().iter().filter_map(|url| {
            let location = url.parse();
            if let Err(error) = &location {
                tracing::info!(url, %error, "a web seed is left out");
            }
            location.ok()
        });
        let locations: Vec<_> = locations.take(MAX_WEB_SEEDS).collect();
        Self {
            named: locations.len(),
            locations,
            links: HashMap::new(),
            waiting: Vec::new(),
        }
    }

    /// Whether the metainfo names all there are, and none is being asked.
    pub(super) fn are_blank(&self) -> bool {
        self.locations.len() == self.named && self.links.is_empty()
    }

    pub(super) fn are_idle(&self) -> bool {
        self.links.is_empty()
    }

    /// Ends all requests.
    pub(super) fn close(&mut self) {
        self.links.clear();
        self.waiting.clear();
    }
}

impl Driver {
    /// Tells a new machine of them.
    pub(super) fn introduce_web_seeds(&mut self) {
        let now = now();
        if let Stage::Active(torrent) = &mut self.stage {
            for _ in &self.web_seeds.locations {
                torrent.add_web_seed(now);
            }
        }
    }

    pub(super) fn add_web_seeds(&mut self, locations: Vec<Location>) {
        for location in locations {
            let is_known = self.web_seeds.locations.contains(&location);
            if is_known || self.web_seeds.locations.len() >= MAX_WEB_SEEDS {
                continue;
            }
            self.web_seeds.locations.push(location);
            if let Stage::Active(torrent) = &mut self.stage {
                torrent.add_web_seed(now());
            }
        }
    }

    pub(super) fn open_web_seed(&mut self, key: PeerKey, web_seed: WebSeedId) {
        let (commands, received) = mpsc::unbounded_channel();
        self.web_seeds
            .links
            .insert(key, Link { web_seed, commands });
        self.web_seeds.waiting.push(Opened {
            key,
            web_seed,
            commands: received,
        });
        self.observed.changed();
    }

    /// Starts the tasks of those that were opened, once there is a mailbox for what they bring.
    pub(super) fn start_web_seeds(&mut self) {
        let Some(mail) = &self.peer_mail else { return };
        for opened in std::mem::take(&mut self.web_seeds.waiting) {
            let number = opened.web_seed.get() as usize;
            let Some(location) = self.web_seeds.locations.get(number) else {
                continue;
            };
            let task = WebSeedTask {
                shared: Arc::clone(&self.shared),
                entry: Arc::clone(&self.entry),
                metainfo: Arc::clone(&self.metainfo),
                location: location.clone(),
                key: opened.key,
                commands: opened.commands,
                torrent: mail.clone(),
            };
            let span = tracing::debug_span!("web seed", %location);
            self.shared.tasks.spawn(task.run().instrument(span));
        }
    }

    /// Whether the commands were for a web seed.
    pub(super) fn command_web_seed(&self, key: PeerKey, commands: Vec<Command>) {
        if let Some(link) = self.web_seeds.links.get(&key) {
            // One that has just ended says so in its last mail.
            let _ = link.commands.send(commands);
        }
    }

    /// The machine has let go of a web seed.
    pub(super) fn close_web_seed(&mut self, key: PeerKey, reason: DisconnectReason) {
        let Some(link) = self.web_seeds.links.remove(&key) else {
            return;
        };
        self.web_seeds.waiting.retain(|opened| opened.key != key);
        self.observed.changed();
        if reason == DisconnectReason::Banned {
            self.tell_of_web_seed(link.web_seed, "it sent corrupt data".to_owned());
        }
    }

    pub(super) fn web_seed_ended(&mut self, key: PeerKey, end: WebSeedEnd, reason: String) {
        let Some(link) = self.web_seeds.links.remove(&key) else {
            return;
        };
        if let Some(torrent) = self.machine() {
            torrent.handle_web_seed_ended(now(), key, end);
        }
        self.observed.changed();
        self.tell_of_web_seed(link.web_seed, reason);
    }

    fn tell_of_web_seed(&self, web_seed: WebSeedId, reason: String) {
        if let Some(location) = self.web_seeds.locations.get(web_seed.get() as usize) {
            let url = location.to_string();
            self.tell(TorrentEvent::WebSeedFailed { url, reason });
        }
    }

    pub(super) fn handle_add_web_seeds(
        &mut self,
        locations: Vec<Location>,
        done: oneshot::Sender<()>,
    ) {
        self.add_web_seeds(locations);
        let _ = done.send(());
    }
}
