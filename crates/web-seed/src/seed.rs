//! One web seed: blocks that are wanted of it, requests that are under way, and what it is worth.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use rarest_metainfo::{Block, FileIndex, Geometry, Info, Metainfo};
use url::Url;

use crate::job::{Cut, Ending, Job, Phase, Step};
use crate::limits::{
    MAX_LACKING, MAX_REQUESTS, MAX_RUN_LENGTH, MAX_SCRAPS, MAX_SKIPPED, MIN_PART, MIN_RUN_BESIDE,
};
use crate::{ContentRange, Fault, Head, InvalidWebSeed, Location, Verdict};

/// A request of a web seed. The number of one that ended is not given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GetId(u64);

/// A request to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Get {
    /// Which.
    pub id: GetId,
    /// Where the file is.
    pub url: Url,
    /// The bytes of the file that are wanted, at least one.
    pub range: Range<u64>,
}

impl Get {
    /// The value of the header `Range`.
    #[must_use]
    pub fn range_header(&self) -> String {
        format!("bytes={}-{}", self.range.start, self.range.end - 1)
    }
}

/// Something to do for whoever drives a web seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the server. Ends in [`handle_body_end`](WebSeed::handle_body_end), [`handle_no_answer`](WebSeed::handle_no_answer) or `Abort`.
    Get(Get),
    /// Give a request up; nothing need be told of it any more.
    Abort(GetId),
    /// A block that was wanted has come, not verified yet.
    Block(Block, Bytes),
    /// A block that was wanted will not come for now.
    Returned(Block),
    /// The server does not have this file. Its blocks are not to be wanted of it any more.
    Lacks(FileIndex),
    /// The server is not to be asked any more, for now or for ever: nothing follows.
    End(Verdict),
}

/// A web server that has the files of a torrent, as a state machine without sockets or clocks.
///
/// Tell it which blocks are wanted and what the server answers, then do what [`poll_action`](Self::poll_action) asks for until it gives `None`.
/// Each block that is wanted ends in exactly one `Block` or `Returned`, unless the seed ends.
#[derive(Debug)]
pub struct WebSeed {
    metainfo: Arc<Metainfo>,
    location: Location,
    /// Blocks that nobody asked for.
    waiting: BTreeSet<Block>,
    /// Where the last request ended: what follows is asked for next.
    cursor: Option<Block>,
    jobs: Vec<Job>,
    ranges: Ranges,
    /// Files with bytes to ask for.
    files: usize,
    lacking: BTreeSet<FileIndex>,
    lacking_in_a_row: usize,
    scraps_in_a_row: usize,
    actions: VecDeque<Action>,
    next_get: u64,
    course: Course,
}

/// Whether the server gives parts of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ranges {
    /// So far.
    Given,
    /// It sends whole files whatever it is asked for.
    Ignored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Running,
    Ended,
}

impl WebSeed {
    /// A web seed of that URL, which nothing is wanted of.
    ///
    /// # Errors
    /// [`InvalidWebSeed`].
    pub fn new(metainfo: Arc<Metainfo>, url: &str) -> Result<Self, InvalidWebSeed> {
        Ok(Self::at(metainfo, url.parse()?))
    }

    /// A web seed at that place, which nothing is wanted of.
    #[must_use]
    pub fn at(metainfo: Arc<Metainfo>, location: Location) -> Self {
        let files = metainfo.info().files();
        let files = files.filter(|file| !file.is_padding() && file.length() > 0);
        Self {
            files: files.count(),
            metainfo,
            location,
            waiting: BTreeSet::new(),
            cursor: None,
            jobs: Vec::new(),
            ranges: Ranges::Given,
            lacking: BTreeSet::new(),
            lacking_in_a_row: 0,
            scraps_in_a_row: 0,
            actions: VecDeque::new(),
            next_get: 0,
            course: Course::Running,
        }
    }

    fn info(&self) -> &Info {
        self.metainfo.info()
    }

    fn geometry(&self) -> &Geometry {
        self.metainfo.info().geometry()
    }

    /// A block is wanted.
    pub fn request(&mut self, block: Block) {
        self.waiting.insert(block);
    }

    /// A block is no longer wanted. It still ends in `Block` or `Returned`.
    pub fn cancel(&mut self, block: Block) {
        if self.waiting.remove(&block) {
            self.actions.push_back(Action::Returned(block));
            return;
        }
        let Some(index) = self.jobs.iter_mut().position(|job| job.cancel(block)) else {
            return;
        };
        if self.jobs[index].is_unwanted() {
            let job = self.jobs.swap_remove(index);
            self.drop_job(job);
        }
    }

    /// Whether nothing is wanted of it.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.jobs.is_empty()
    }

    /// The next thing to do. Drain it after each input.
    pub fn poll_action(&mut self) -> Option<Action> {
        if self.course == Course::Running {
            self.start_jobs();
        }
        self.actions.pop_front()
    }

    /// The head of an answer is there.
    pub fn handle_head(&mut self, id: GetId, head: &Head) {
        let Some(index) = self.job_of(id) else { return };
        let Phase::Asked { file, range, .. } = &self.jobs[index].phase else {
            return;
        };
        let (file, range) = (*file, range.clone());
        let length = self.info().file(file).length();
        match judge(head, &range, length) {
            Judgement::Part { range, rest } => {
                self.lacking_in_a_row = 0;
                let length = range.end - range.start;
                if rest.is_empty() || length >= MIN_PART {
                    self.scraps_in_a_row = 0;
                } else {
                    self.scraps_in_a_row += 1;
                }
                if self.scraps_in_a_row > MAX_SCRAPS {
                    return self.end(Verdict::GiveUp(Fault::Scraps { length }));
                }
                let job = &mut self.jobs[index];
                if !rest.is_empty() {
                    job.push_front(Step::Get { file, range: rest });
                }
                job.phase = Phase::Reading {
                    get: id,
                    file,
                    skip: 0,
                    range,
                    ending: Ending::Exact,
                };
            }
            Judgement::Whole => {
                let is_part = range.end - range.start < length;
                if is_part {
                    self.ranges = Ranges::Ignored;
                }
                if range.start > MAX_SKIPPED {
                    let offset = range.start;
                    return self.end(Verdict::GiveUp(Fault::NoRanges { offset }));
                }
                self.lacking_in_a_row = 0;
                self.jobs[index].phase = Phase::Reading {
                    get: id,
                    file,
                    skip: range.start,
                    range,
                    ending: Ending::RestOfFile,
                };
            }
            Judgement::Lacks => self.lacks(index, file),
            Judgement::Fault(verdict) => self.end(verdict),
        }
    }

    /// A part of the body came.
    pub fn handle_data(&mut self, id: GetId, mut data: Bytes) {
        let Some(index) = self.job_of(id) else { return };
        let mut cut = Vec::new();
        let mut is_beyond = false;
        while !data.is_empty() {
            let job = &mut self.jobs[index];
            let Phase::Reading {
                skip,
                range,
                ending,
                ..
            } = &mut job.phase
            else {
                break;
            };
            if *skip > 0 {
                let skipped = prefix(&data, *skip);
                *skip -= skipped as u64;
                drop(data.split_to(skipped));
                continue;
            }
            if !range.is_empty() {
                let part = data.split_to(prefix(&data, range.end - range.start));
                range.start += part.len() as u64;
                job.feed(part, &mut cut);
                continue;
            }
            if *ending == Ending::Exact {
                self.pass_on(cut);
                return self.end(Verdict::TryLater(Fault::Long));
            }
            if !self.extend(index) {
                is_beyond = true;
                break;
            }
        }
        self.pass_on(cut);
        if is_beyond {
            // The rest of the file is not wanted.
            self.actions.push_back(Action::Abort(id));
            self.go_on(index);
        }
    }

    /// The body has ended in good order.
    pub fn handle_body_end(&mut self, id: GetId) {
        let Some(index) = self.job_of(id) else { return };
        match &self.jobs[index].phase {
            Phase::Reading { skip, range, .. } if *skip == 0 && range.is_empty() => {
                self.go_on(index);
            }
            Phase::Reading { skip, range, .. } => {
                let missing = skip + range.end - range.start;
                self.end(Verdict::TryLater(Fault::Short { missing }));
            }
            Phase::Asked { .. } | Phase::Between => {}
        }
    }

    /// There was no answer, or it broke in the middle: why, in one sentence.
    pub fn handle_no_answer(&mut self, id: GetId, why: impl Into<String>) {
        if self.job_of(id).is_some() {
            self.end(Verdict::TryLater(Fault::NoAnswer(why.into())));
        }
    }

    /// The server leads to where we do not go: why, in one sentence.
    pub fn handle_misdirection(&mut self, id: GetId, why: impl Into<String>) {
        if self.job_of(id).is_some() {
            self.end(Verdict::GiveUp(Fault::NoAnswer(why.into())));
        }
    }

    fn job_of(&self, id: GetId) -> Option<usize> {
        self.jobs.iter().position(|job| job.get() == Some(id))
    }

    /// Makes requests of what waits, as long as it is worth one.
    fn start_jobs(&mut self) {
        let most = match self.ranges {
            Ranges::Given => MAX_REQUESTS,
            Ranges::Ignored => 1,
        };
        while self.jobs.len() < most
            && let Some(run) = self.next_run()
        {
            for block in &run {
                self.waiting.remove(block);
            }
            self.cursor = run.back().copied();
            let job = Job::new(self.geometry(), self.info(), run);
            self.jobs.push(job);
            self.go_on(self.jobs.len() - 1);
        }
    }

    /// Blocks in a row that are to be fetched next: those that follow what was asked for last, else the first.
    fn next_run(&self) -> Option<VecDeque<Block>> {
        let behind = self
            .cursor
            .and_then(|cursor| self.waiting.range(cursor..).next());
        let first = *behind.or_else(|| self.waiting.first())?;
        let geometry = self.geometry();
        let start = geometry.range(first).start;
        let mut end = start;
        let mut run = VecDeque::new();
        for &block in self.waiting.range(first..) {
            let range = geometry.range(block);
            let is_next = range.start == end && range.end - start <= MAX_RUN_LENGTH;
            if !is_next && !run.is_empty() {
                break;
            }
            end = range.end;
            run.push_back(block);
        }
        let is_worth_it = self.jobs.is_empty() || end - start >= MIN_RUN_BESIDE;
        is_worth_it.then_some(run)
    }

    /// Goes on with a job whose last request has ended.
    fn go_on(&mut self, index: usize) {
        let mut cut = Vec::new();
        let job = &mut self.jobs[index];
        job.phase = Phase::Between;
        let step = job.next_step(&mut cut);
        match step {
            Some(Step::Get { file, range }) => {
                let get = GetId(self.next_get);
                self.next_get += 1;
                job.phase = Phase::Asked {
                    get,
                    file,
                    range: range.clone(),
                };
                let url = self.location.of(self.info().file(file));
                let id = get;
                self.actions.push_back(Action::Get(Get { id, url, range }));
            }
            Some(Step::Zeros(_)) | None => {
                let mut job = self.jobs.swap_remove(index);
                debug_assert!(job.is_done() || !cut.is_empty(), "all of a job comes");
                let left = job.give_up();
                self.pass_on(std::mem::take(&mut cut));
                self.return_all(left);
            }
        }
        self.pass_on(cut);
    }

    /// Has more of a file come that is being sent anyway: what waits next to what was asked for. Says whether there was any.
    fn extend(&mut self, index: usize) -> bool {
        let job = &self.jobs[index];
        let Phase::Reading { file, range, .. } = &job.phase else {
            return false;
        };
        let file_range = self.info().file(*file).range();
        let (end, geometry) = (job.end(), self.geometry());
        let next = self.cursor.and_then(|cursor| {
            let mut behind = self.waiting.range(cursor..);
            behind.next().copied()
        });
        let Some(block) = next.filter(|&block| {
            let place = geometry.range(block);
            place.start == end && place.end <= file_range.end
        }) else {
            return false;
        };
        if !job.is_in_last_step() || range.end + file_range.start != end {
            return false;
        }
        let length = u64::from(block.length());
        self.waiting.remove(&block);
        self.cursor = Some(block);
        let metainfo = Arc::clone(&self.metainfo);
        let job = &mut self.jobs[index];
        job.extend(metainfo.info().geometry(), block);
        if let Phase::Reading { range, .. } = &mut job.phase {
            range.end += length;
        }
        true
    }

    fn pass_on(&mut self, cut: Vec<Cut>) {
        self.actions.extend(cut.into_iter().map(|cut| match cut {
            Cut::Block(block, data) => Action::Block(block, data),
            Cut::Cancelled(block) => Action::Returned(block),
        }));
    }

    fn return_all(&mut self, blocks: impl IntoIterator<Item = Block>) {
        let returned = blocks.into_iter().map(Action::Returned);
        self.actions.extend(returned);
    }

    fn drop_job(&mut self, mut job: Job) {
        if let Some(id) = job.get() {
            self.actions.push_back(Action::Abort(id));
        }
        self.return_all(job.give_up());
    }

    /// The server lacks a file, or has another in its place.
    fn lacks(&mut self, index: usize, file: FileIndex) {
        let job = self.jobs.swap_remove(index);
        self.drop_job(job);
        if self.lacking.insert(file) {
            self.actions.push_back(Action::Lacks(file));
            self.lacking_in_a_row += 1;
        }
        // What waits of the file is not asked for.
        let info = self.metainfo.info();
        let range = info.file(file).range();
        let geometry = info.geometry();
        let (lost, waiting): (BTreeSet<Block>, _) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|&block| {
                let place = geometry.range(block);
                place.start < range.end && range.start < place.end
            });
        self.waiting = waiting;
        self.return_all(lost);
        if self.lacking.len() >= self.files || self.lacking_in_a_row >= MAX_LACKING {
            self.end(Verdict::GiveUp(Fault::LacksFiles));
        }
    }

    fn end(&mut self, verdict: Verdict) {
        for job in std::mem::take(&mut self.jobs) {
            self.drop_job(job);
        }
        let waiting = std::mem::take(&mut self.waiting);
        self.return_all(waiting);
        if self.course == Course::Running {
            self.course = Course::Ended;
            self.actions.push_back(Action::End(verdict));
        }
    }
}

/// As much of `data` as `most` bytes.
fn prefix(data: &Bytes, most: u64) -> usize {
    usize::try_from(most).map_or(data.len(), |most| most.min(data.len()))
}

/// What the head of an answer means.
enum Judgement {
    /// What was asked for, or a part of it.
    Part {
        range: Range<u64>,
        rest: Range<u64>,
    },
    /// The file from its beginning.
    Whole,
    Lacks,
    Fault(Verdict),
}

fn judge(head: &Head, asked: &Range<u64>, file_length: u64) -> Judgement {
    match head.status {
        200 | 206 if head.is_encoded => Judgement::Fault(Verdict::GiveUp(Fault::Encoded)),
        206 => match head.content_range {
            Some(range) => judge_range(head, range, asked, file_length),
            None => Judgement::Fault(Verdict::GiveUp(Fault::OtherRange)),
        },
        200 if head.content_length.is_some_and(|it| it != file_length) => Judgement::Lacks,
        200 => Judgement::Whole,
        401 | 403 | 404 | 410 | 416 => Judgement::Lacks,
        status @ (429 | 503) => Judgement::Fault(match head.retry_after {
            Some(wait) => Verdict::TryAfter(wait, Fault::Busy(wait)),
            None => Verdict::TryLater(Fault::Status(status)),
        }),
        status @ (408 | 500..) => Judgement::Fault(Verdict::TryLater(Fault::Status(status))),
        status => Judgement::Fault(Verdict::GiveUp(Fault::Status(status))),
    }
}

fn judge_range(
    head: &Head,
    range: ContentRange,
    asked: &Range<u64>,
    file_length: u64,
) -> Judgement {
    if range.of.is_some_and(|length| length != file_length) {
        return Judgement::Lacks;
    }
    let end = range.last + 1;
    let is_length_right = (head.content_length).is_none_or(|length| length == range.length());
    if range.first != asked.start || end > asked.end || !is_length_right {
        return Judgement::Fault(Verdict::GiveUp(Fault::OtherRange));
    }
    Judgement::Part {
        range: asked.start..end,
        rest: end..asked.end,
    }
}
