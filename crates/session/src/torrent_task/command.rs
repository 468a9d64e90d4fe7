//! What a caller wants of a torrent, through its handle.

use std::net::SocketAddr;

use rarest_swarm::{PeerSource, Privacy};
use rarest_web_seed::Location;
use tokio::sync::oneshot;

use super::{Driver, Stage, Wish};
use crate::session::now;
use crate::{CommandError, FilePriority, TorrentEvent};

/// A command, and where its answer goes. Whoever asked may have gone in the meantime.
#[derive(Debug)]
pub(crate) enum Command {
    Pause(oneshot::Sender<()>),
    Resume(oneshot::Sender<()>),
    AddPeers(Vec<SocketAddr>, oneshot::Sender<()>),
    AddWebSeeds(Vec<Location>, oneshot::Sender<()>),
    Recheck(oneshot::Sender<Result<u32, CommandError>>),
    SetFilePriorities(
        Vec<(usize, FilePriority)>,
        oneshot::Sender<Result<(), CommandError>>,
    ),
    RemoveKeepingFiles(oneshot::Sender<()>),
    RemoveAndDeleteFiles(oneshot::Sender<Result<(), CommandError>>),
}

/// How a torrent leaves the session by its caller's wish.
#[derive(Debug)]
pub(super) enum Departure {
    KeepFiles(oneshot::Sender<()>),
    DeleteFiles(oneshot::Sender<Result<(), CommandError>>),
}

impl Driver {
    pub(super) fn handle_command(&mut self, command: Command) -> Option<Departure> {
        match command {
            Command::Pause(done) => self.pause(done),
            Command::Resume(done) => {
                self.resume();
                let _ = done.send(());
            }
            Command::AddPeers(peers, done) => {
                self.add_peers(PeerSource::User, peers);
                let _ = done.send(());
            }
            Command::AddWebSeeds(locations, done) => self.handle_add_web_seeds(locations, done),
            Command::Recheck(done) => self.recheck(done),
            Command::SetFilePriorities(priorities, done) => self.select_files(priorities, done),
            Command::RemoveKeepingFiles(done) => return Some(Departure::KeepFiles(done)),
            Command::RemoveAndDeleteFiles(done) => return Some(Departure::DeleteFiles(done)),
        }
        None
    }

    fn pause(&mut self, done: oneshot::Sender<()>) {
        if self.wish == Wish::Run {
            let now = now();
            self.stop_running();
            // What was gathered goes to the disk before resume data says so.
            self.carry_out_decisions(now);
            self.start_writing(now);
            self.publish_stats(now);
            self.tell(TorrentEvent::Paused);
        }
        self.save_then(done);
    }

    /// Closes the connections, and moves no data until it is resumed.
    pub(super) fn stop_running(&mut self) {
        self.wish = Wish::Pause;
        if let Some(torrent) = self.machine() {
            torrent.pause(now());
            self.shared.announcer.stop(self.entry.id);
            let hashes = self.metainfo.info_hashes();
            self.shared.local_discovery.stop(hashes);
        }
        self.observed.changed();
    }

    fn resume(&mut self) {
        if self.wish == Wish::Pause {
            self.wish = Wish::Run;
            let was_given_up = self.disk.given_up().is_some();
            self.rely_on_storage_again();
            self.observed.resumed(now());
            self.publish_stats(now());
            self.tell(TorrentEvent::Resumed);
            match self.stage {
                Stage::Unreadable if was_given_up => self.look_at_everything(),
                _ => self.run_if_wished(),
            }
        }
    }

    /// Lets the machine run and tells the trackers, if the caller wants that and all is known.
    pub(super) fn run_if_wished(&mut self) {
        if self.wish == Wish::Run
            && let Stage::Active(torrent) = &mut self.stage
        {
            torrent.resume(now());
            self.shared.announcer.start(&self.entry);
            let hashes = self.metainfo.info_hashes();
            match self.privacy() {
                Privacy::Public => self.shared.local_discovery.start(hashes),
                // As a magnet link it did not say so.
                Privacy::Private => self.shared.local_discovery.stop(hashes),
            }
        }
    }
}
