//! Which files are wanted, and how much.

use std::collections::VecDeque;
use std::time::Instant;

use rarest_metainfo::{File, FileIndex, PieceIndex};
use rarest_piece_store::{Operation, StoreError};
use rarest_swarm::Priority;
use tokio::sync::oneshot;

use super::{DiskMail, Driver, Stage};
use crate::session::now;
use crate::{CommandError, FilePriority};

/// Changes of what is wanted: one after the other, as each is made to the outcome of the one before.
#[derive(Debug, Default)]
pub(super) struct Selecting {
    under_way: Change,
    waiting: VecDeque<Wanted>,
}

impl Selecting {
    pub(super) fn is_idle(&self) -> bool {
        self.under_way == Change::None && self.waiting.is_empty()
    }
}

/// A change that waits, and where its answer goes.
#[derive(Debug)]
struct Wanted {
    changes: Vec<(usize, FilePriority)>,
    done: oneshot::Sender<Result<(), CommandError>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Change {
    #[default]
    None,
    UnderWay,
}

impl Driver {
    /// Changes how much files are wanted: after the changes asked for before, and after the check that runs.
    pub(in crate::torrent_task) fn select_files(
        &mut self,
        changes: Vec<(usize, FilePriority)>,
        done: oneshot::Sender<Result<(), CommandError>>,
    ) {
        let count = self.metainfo.info().file_count() as usize;
        if let Some(&(index, _)) = changes.iter().find(|&&(index, _)| index >= count) {
            let _ = done.send(Err(CommandError::NoSuchFile { index, count }));
            return;
        }
        self.disk
            .selecting
            .waiting
            .push_back(Wanted { changes, done });
        self.start_selecting();
    }

    /// Begins the next change. Their bytes are moved first, where that is needed.
    pub(super) fn start_selecting(&mut self) {
        // The first look at the disk sets up what was wanted when it began, and must not overrule a later change.
        let is_busy = self.disk.selecting.under_way == Change::UnderWay
            || self.disk.is_looking()
            || matches!(self.stage, Stage::New);
        if is_busy {
            return;
        }
        let Some(Wanted { changes, done }) = self.disk.selecting.waiting.pop_front() else {
            return;
        };
        self.disk.selecting.under_way = Change::UnderWay;
        let info = self.metainfo.info();
        let count = info.file_count() as usize;
        let mut priorities = match &self.disk.priorities {
            Some(priorities) => priorities.clone(),
            None => vec![FilePriority::Normal; count].into(),
        };
        for (index, priority) in changes {
            priorities[index] = priority;
        }
        let files: Vec<FileIndex> = info.files().map(File::index).collect();
        let (wanted, skipped): (Vec<_>, Vec<_>) = files
            .into_iter()
            .zip(&priorities)
            .partition(|&(_, &priority)| priority != FilePriority::Skip);
        let index = |(file, _): (FileIndex, &FilePriority)| file;
        let wanted: Vec<_> = wanted.into_iter().map(index).collect();
        let skipped: Vec<_> = skipped.into_iter().map(index).collect();
        self.run_job(
            |shared| &shared.disk,
            Operation::Move,
            move |store| {
                store.want(wanted.into_iter().filter(|&file| !store.is_wanted(file)))?;
                store.skip(skipped.into_iter().filter(|&file| store.is_wanted(file)))?;
                store.create_empty_files()
            },
            move |result| DiskMail::Selected {
                priorities,
                result,
                done,
            },
        );
    }

    pub(super) fn handle_selected(
        &mut self,
        now: Instant,
        priorities: Box<[FilePriority]>,
        result: Result<(), StoreError>,
        done: oneshot::Sender<Result<(), CommandError>>,
    ) {
        self.disk.selecting.under_way = Change::None;
        if let Err(error) = result {
            self.give_up_after_panic(&error);
            let _ = done.send(Err(CommandError::Storage(error)));
            return;
        }
        self.disk.priorities = Some(priorities);
        self.prioritise();
        self.observe_finish();
        self.outdate_resume_data(now);
        let _ = done.send(Ok(()));
    }

    /// Tells the machine how much each piece is wanted: as much as the file that is wanted most of those in it.
    pub(in crate::torrent_task) fn prioritise(&mut self) {
        let (Some(priorities), Stage::Active(torrent)) = (&self.disk.priorities, &mut self.stage)
        else {
            return;
        };
        let info = self.metainfo.info();
        let mut of_pieces = vec![Priority::Off; info.geometry().piece_count() as usize];
        for (file, &priority) in info.files().zip(priorities) {
            if file.is_padding() {
                continue;
            }
            for piece in info.pieces_of(file.index()) {
                let of_piece = &mut of_pieces[piece.as_usize()];
                *of_piece = (*of_piece).max(priority.of_pieces());
            }
        }
        let changes: Vec<(PieceIndex, Priority)> =
            info.geometry().pieces().zip(of_pieces).collect();
        torrent.set_piece_priorities(now(), &changes);
    }
}
