//! A web server that does what it is told, right or wrong.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rarest_tracker::TrackerUrl;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What is done with each request.
#[derive(Clone)]
pub(super) enum Script {
    /// Send these bytes and wait for the next request.
    Answer(Vec<u8>),
    /// Send these bytes and close.
    AnswerAndClose(Vec<u8>),
    /// Send the first bytes, and the second without end.
    AnswerAndRepeat(Vec<u8>, Vec<u8>),
    /// Send nothing.
    Silence,
}

pub(super) struct ScriptedServer {
    pub(super) address: SocketAddr,
    log: Arc<Log>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Log {
    connections: AtomicUsize,
    heads: Mutex<Vec<String>>,
}

impl ScriptedServer {
    pub(super) async fn start(script: Script) -> Self {
        Self::start_at("127.0.0.1:0", script).await
    }

    pub(super) async fn start_at(address: &str, script: Script) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log::default());
        let mut tasks = JoinSet::new();
        let accept_log = Arc::clone(&log);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accept_log.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(serve(stream, script.clone(), Arc::clone(&accept_log)));
            }
        });
        Self {
            address,
            log,
            _tasks: tasks,
        }
    }

    pub(super) fn url(&self) -> TrackerUrl {
        format!("http://{}/announce?k=1", self.address)
            .parse()
            .unwrap()
    }

    /// The heads of the requests so far.
    pub(super) fn heads(&self) -> Vec<String> {
        self.log.heads.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.log.connections.load(Ordering::SeqCst)
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite, script: Script, log: Arc<Log>) {
    let mut stream = std::pin::pin!(stream);
    while let Some(head) = read_head(&mut stream).await {
        log.heads.lock().unwrap().push(head);
        match &script {
            Script::Answer(answer) => {
                if stream.write_all(answer).await.is_err() {
                    return;
                }
            }
            Script::AnswerAndClose(answer) => {
                let _client_left = stream.write_all(answer).await;
                return;
            }
            Script::AnswerAndRepeat(begin, again) => {
                let mut sent = stream.write_all(begin).await;
                while sent.is_ok() {
                    sent = stream.write_all(again).await;
                }
                return;
            }
            Script::Silence => {}
        }
    }
}

/// The next request, up to its empty line.
pub(super) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// A good answer with this body.
pub(super) fn ok(body: &[u8]) -> Vec<u8> {
    answer("200 OK", "", body)
}

/// An answer with this status and these further header lines.
pub(super) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

pub(super) fn redirect(to: &str) -> Vec<u8> {
    answer("302 Found", &format!("location: {to}\r\n"), b"")
}
