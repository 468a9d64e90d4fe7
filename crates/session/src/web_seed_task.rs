//! A web server that is asked for a torrent's blocks: the task that makes the requests and hands on what comes.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rarest_http::hyper::header::{self, HeaderValue};
use rarest_http::{Answer, Client, Error};
use rarest_metainfo::{Metainfo, Reach};
use rarest_peer_wire::connection::{Command, Event};
use rarest_swarm::{PeerKey, WebSeedEnd};
use rarest_web_seed::{Action, Get, GetId, Head, Location, Verdict, WebSeed};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Sleep;

use crate::limiter::Pace;
use crate::peer_task::{InTransit, PeerMail};
use crate::registry::Entry;
use crate::session::{Shared, now};

/// A body of which nothing comes for so long has ended.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Parts of bodies that wait while the torrent, its rate or the memory lets none in: one for all requests of a server.
const PARTS_WAITING: usize = 1;

/// What a web seed is given when its torrent wants to ask it.
pub(crate) struct WebSeedTask {
    pub(crate) shared: Arc<Shared>,
    pub(crate) entry: Arc<Entry>,
    pub(crate) metainfo: Arc<Metainfo>,
    pub(crate) location: Location,
    pub(crate) key: PeerKey,
    pub(crate) commands: mpsc::UnboundedReceiver<Vec<Command>>,
    pub(crate) torrent: mpsc::Sender<PeerMail>,
}

/// What one request brought.
enum News {
    Head(GetId, Head),
    Data(GetId, Bytes),
    BodyEnd(GetId),
    NoAnswer(GetId, String),
    /// It leads to where we do not go.
    Misdirected(GetId, String),
}

/// Why the task ends.
enum End {
    /// The torrent let go of it.
    Dismissed,
    Verdict(Verdict),
}

impl WebSeedTask {
    /// Runs until the seed is of no use or no longer wanted, and tells the torrent.
    pub(crate) async fn run(self) {
        let (torrent, peer) = (self.torrent.clone(), self.key);
        let End::Verdict(verdict) = Driver::new(self).drive().await else {
            return;
        };
        let (end, fault) = match verdict {
            Verdict::GiveUp(fault) => (WebSeedEnd::GiveUp, fault),
            Verdict::TryLater(fault) => (WebSeedEnd::TryLater, fault),
            Verdict::TryAfter(wait, fault) => (WebSeedEnd::TryAfter(wait), fault),
        };
        let reason = fault.to_string();
        // A torrent that is gone needs no word.
        let _ = torrent
            .send(PeerMail::WebSeedEnded { peer, end, reason })
            .await;
    }
}

struct Driver {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    key: PeerKey,
    seed: WebSeed,
    metainfo: Arc<Metainfo>,
    gets: HashMap<GetId, AbortHandle>,
    news: mpsc::Receiver<News>,
    /// For the requests to come.
    teller: mpsc::Sender<News>,
    /// A part that may not be let in yet.
    held: Option<(GetId, Bytes)>,
    download: Pace,
    commands: mpsc::UnboundedReceiver<Vec<Command>>,
    torrent: mpsc::Sender<PeerMail>,
    /// Nothing is let in before: the download rate is used up.
    after: Option<Instant>,
    /// Nothing is let in until the disk has caught up.
    awaits_memory: bool,
    timer: Pin<Box<Sleep>>,
}

impl Driver {
    fn new(task: WebSeedTask) -> Self {
        let (teller, news) = mpsc::channel(PARTS_WAITING);
        let of_torrent = task.entry.limiters();
        Self {
            seed: WebSeed::at(Arc::clone(&task.metainfo), task.location),
            metainfo: task.metainfo,
            gets: HashMap::new(),
            news,
            teller,
            held: None,
            download: Pace::new(of_torrent.download, Arc::clone(&task.shared.download)),
            shared: task.shared,
            entry: task.entry,
            key: task.key,
            commands: task.commands,
            torrent: task.torrent,
            after: None,
            awaits_memory: false,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }

    async fn drive(mut self) -> End {
        loop {
            if let Err(end) = self.act().await {
                return end;
            }
            let may_receive = self.held.is_none();
            tokio::select! {
                commands = self.commands.recv() => match commands {
                    Some(commands) => commands.iter().for_each(|command| self.obey(command)),
                    None => return End::Dismissed,
                },
                news = self.news.recv(), if may_receive => {
                    if let Some(news) = news {
                        self.hear(news);
                    }
                }
                () = self.shared.budget.available(&self.entry.memory), if self.awaits_memory => {
                    self.awaits_memory = false;
                }
                () = self.timer.as_mut(), if self.after.is_some() => self.after = None,
            }
            self.let_in(now());
        }
    }

    fn obey(&mut self, command: &Command) {
        match command {
            Command::Request(block) => self.seed.request(*block),
            Command::Cancel(block) => self.seed.cancel(*block),
            // A web server has no use for the rest.
            _ => {}
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Head(id, head) => self.seed.handle_head(id, &head),
            News::Data(id, data) => self.held = Some((id, data)),
            News::BodyEnd(id) => {
                self.gets.remove(&id);
                self.seed.handle_body_end(id);
            }
            News::NoAnswer(id, why) => self.seed.handle_no_answer(id, why),
            News::Misdirected(id, why) => self.seed.handle_misdirection(id, why),
        }
    }

    /// Lets a part in, when rate and memory allow.
    fn let_in(&mut self, now: Instant) {
        if self.after.is_some() || self.awaits_memory {
            return;
        }
        let Some((id, data)) = self.held.take() else {
            return;
        };
        if self.shared.budget.left(&self.entry.memory) == 0 {
            self.awaits_memory = true;
            self.held = Some((id, data));
            return;
        }
        match self.download.allowance(now, data.len()) {
            Ok(_) => {
                // What is more than the allowance is paid for by the next turns.
                self.download.moved(now, data.len());
                self.seed.handle_data(id, data);
            }
            Err(later) => {
                self.after = Some(later);
                self.timer.as_mut().reset(later.into());
                self.held = Some((id, data));
            }
        }
    }

    /// Does what the seed asks for, and tells the torrent what came, as one message.
    async fn act(&mut self) -> Result<(), End> {
        let mut events = Vec::new();
        let mut block_bytes = 0;
        let mut end = None;
        while let Some(action) = self.seed.poll_action() {
            match action {
                Action::Get(get) => self.start(get),
                Action::Abort(id) => {
                    if let Some(get) = self.gets.remove(&id) {
                        get.abort();
                    }
                }
                Action::Block(block, data) => {
                    block_bytes += data.len();
                    events.push(Event::Block { block, data });
                }
                Action::Returned(block) => events.push(Event::Returned(block)),
                Action::Lacks(file) => {
                    let pieces = self.metainfo.info().pieces_of(file);
                    events.extend(pieces.map(Event::DontHave));
                }
                Action::End(verdict) => end = Some(End::Verdict(verdict)),
            }
        }
        if !events.is_empty() {
            self.entry.totals.add_downloaded(block_bytes as u64);
            let mail = PeerMail::Events {
                peer: self.key,
                events,
                bytes: InTransit::new(&self.shared, &self.entry, block_bytes),
            };
            let sent = self.torrent.send(mail).await;
            sent.map_err(|_| End::Dismissed)?;
        }
        end.map_or(Ok(()), Err)
    }

    fn start(&mut self, get: Get) {
        let id = get.id;
        let asking = ask(self.shared.web.clone(), get, self.teller.clone());
        let handle = self.shared.runtime.spawn(asking).abort_handle();
        self.gets.insert(id, handle);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        for get in self.gets.values() {
            get.abort();
        }
    }
}

/// Makes one request, and tells all that comes of it. Who is not listened to waits.
async fn ask(http: Client, get: Get, teller: mpsc::Sender<News>) {
    let id = get.id;
    let news = match request(&http, &get).await {
        Ok(answer) => pass_on(answer, id, &teller).await,
        Err(error @ (Error::Redirect(_) | Error::NotWeb | Error::TooNear)) => {
            News::Misdirected(id, error.to_string())
        }
        Err(error) => News::NoAnswer(id, error.to_string()),
    };
    // A seed that is gone needs no word.
    let _ = teller.send(news).await;
}

/// Asks for a part of a file.
///
/// A torrent may name a server in our own network, as people have them there. It may not put a query to one: what a router or a
/// printer does on such a request is no stranger's to decide.
async fn request(http: &Client, get: &Get) -> Result<Answer, Error> {
    let mut request = rarest_http::Get::new(get.url.clone());
    if get.url.query().is_some() {
        request.nearest = Reach::Public;
    }
    let range = HeaderValue::try_from(get.range_header());
    if let Ok(range) = range {
        request.headers.insert(header::RANGE, range);
    }
    let as_it_is = HeaderValue::from_static("identity");
    request.headers.insert(header::ACCEPT_ENCODING, as_it_is);
    http.get(request).await
}

/// Passes a body on as it comes. Returns the last word on it.
async fn pass_on(mut answer: Answer, id: GetId, teller: &mpsc::Sender<News>) -> News {
    let head = answer.headers().iter().fold(
        Head::new(answer.status().as_u16()),
        |head, (name, value)| head.with(name.as_str(), value.as_bytes()),
    );
    let mut news = News::Head(id, head);
    loop {
        if teller.send(news).await.is_err() {
            return News::BodyEnd(id);
        }
        news = match tokio::time::timeout(STALL_TIMEOUT, answer.part()).await {
            Ok(Ok(Some(part))) => News::Data(id, part),
            Ok(Ok(None)) => {
                answer.keep_connection().await;
                return News::BodyEnd(id);
            }
            Ok(Err(error)) => return News::NoAnswer(id, error.to_string()),
            Err(_) => {
                let seconds = STALL_TIMEOUT.as_secs();
                return News::NoAnswer(id, format!("nothing came for {seconds} s"));
            }
        };
    }
}
