//! As much HTTP as the remote controls of other clients need: one request, one connection, the whole answer.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// A remote control that does not answer for this long hangs.
const TIMEOUT: Duration = Duration::from_secs(10);

/// No remote control has this much to say about one torrent. What does is out of order, and must not take the machine down with it.
const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Sends one request to a port of this machine. `headers` are whole lines without their ends.
pub(crate) fn request(
    method: &str,
    port: u16,
    path: &str,
    headers: &[&str],
    body: &[u8],
) -> Result<Answer> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // HTTP/1.0: the answer is never chunked and ends with the connection.
    let mut head = format!(
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {}\r\n",
        body.len()
    );
    for line in headers {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    // Some keep the connection open whatever is asked for: the length says where the answer ends.
    let mut stream = BufReader::new(stream.take(MAX_ANSWER_BYTES));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            bail!("the answer ends within its head");
        }
    }
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let mut answer = Answer {
        status: status.context("the answer has no status")?,
        head,
        body: Vec::new(),
    };
    let length: Option<u64> = answer
        .header("Content-Length")
        .map(str::parse)
        .transpose()?;
    stream
        .take(length.unwrap_or(MAX_ANSWER_BYTES))
        .read_to_end(&mut answer.body)?;
    if length.is_some_and(|length| length != answer.body.len() as u64) {
        bail!("the answer ends within its body");
    }
    Ok(answer)
}
