//! Answers that are wrong, huge, slow or never come.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use rarest_tracker::client::MAX_BODY_LENGTH;
use rarest_tracker::{Error, ReplyError};

use super::scripted::{Script, ScriptedServer, answer, ok};
use super::{REPLY, announce_to, client, client_with};

async fn outcome(script: Script) -> Result<Vec<String>, Error> {
    let server = ScriptedServer::start(script).await;
    announce_to(&client(), &server.url()).await
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn compressed(body: &[u8]) -> Script {
    Script::Answer(answer("200 OK", "content-encoding: gzip\r\n", body))
}

#[tokio::test]
async fn garbage_is_no_answer() {
    for body in [
        &b""[..],
        b"<html></html>",
        b"i5e",
        &REPLY[..20],
        &[0xff; 5000],
    ] {
        let outcome = outcome(Script::Answer(ok(body))).await;
        assert!(matches!(outcome, Err(Error::Reply(_))), "{outcome:?}");
    }
    for no_http in [
        &b"\xff\xff\xff\xff"[..],
        b"HTTP/9.9 ???\r\n\r\n",
        b"SSH-2.0-x\r\n",
    ] {
        let outcome = outcome(Script::AnswerAndClose(no_http.to_vec())).await;
        assert!(matches!(outcome, Err(Error::Network(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_network_failure() {
    let whole = ok(REPLY);
    for length in [0, 5, whole.len() - REPLY.len(), whole.len() - 1] {
        let outcome = outcome(Script::AnswerAndClose(whole[..length].to_vec())).await;
        assert!(
            matches!(outcome, Err(Error::Network(_))),
            "{length}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_host_that_does_not_listen_is_a_network_failure() {
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let tracker = format!("http://{unused}/announce").parse().unwrap();
    assert!(matches!(
        announce_to(&client(), &tracker).await,
        Err(Error::Network(_))
    ));
}

#[tokio::test]
async fn an_answer_that_never_comes_or_never_ends_is_given_up() {
    let patience = Duration::from_secs(30);
    let client = client_with(|config| config.request_timeout = patience);
    let begin = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nd5:peers".to_vec();
    for script in [
        Script::Silence,
        Script::Answer(begin),
        Script::Answer(b"HTTP/1.1 200 OK\r\nx: ".to_vec()),
    ] {
        let server = ScriptedServer::start(script).await;
        tokio::time::pause();
        let outcome = announce_to(&client, &server.url()).await;
        tokio::time::resume();
        assert!(
            matches!(outcome, Err(Error::TimedOut(after)) if after == patience),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_not_read() {
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let huge = b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n".to_vec();
    let until_closed = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let chunk = [&b"1000\r\n"[..], &[b'x'; 4096], b"\r\n"].concat();
    for script in [
        Script::AnswerAndRepeat(chunked, chunk),
        Script::AnswerAndRepeat(huge, vec![b'x'; 4096]),
        Script::AnswerAndRepeat(until_closed, vec![b'x'; 4096]),
    ] {
        let outcome = outcome(script).await;
        assert!(
            matches!(
                outcome,
                Err(Error::TooLong {
                    limit: MAX_BODY_LENGTH
                })
            ),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_head_without_end_is_not_read() {
    for line in [&b"x: y\r\n"[..], b"yyyyyyyyyyyyyyyy"] {
        let script = Script::AnswerAndRepeat(b"HTTP/1.1 200 OK\r\nx: ".to_vec(), line.to_vec());
        let outcome = outcome(script).await;
        assert!(matches!(outcome, Err(Error::Network(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_compressed_answer_is_unpacked() {
    let peers = outcome(compressed(&gzip(REPLY))).await.unwrap();
    assert_eq!(peers, ["1.2.3.4:6881"]);
}

#[tokio::test]
async fn names_of_compressions_have_no_case() {
    let headers = "content-encoding: GZip\r\n";
    let script = Script::Answer(answer("200 OK", headers, &gzip(REPLY)));
    assert_eq!(outcome(script).await.unwrap(), ["1.2.3.4:6881"]);
}

#[tokio::test]
async fn a_compressed_answer_is_bounded_by_what_it_unpacks_to() {
    let bomb = gzip(&vec![0; 20 * MAX_BODY_LENGTH]);
    assert!(bomb.len() < MAX_BODY_LENGTH);
    let outcome = outcome(compressed(&bomb)).await;
    assert!(
        matches!(
            outcome,
            Err(Error::TooLong {
                limit: MAX_BODY_LENGTH
            })
        ),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn damaged_compression_is_no_answer() {
    let whole = gzip(REPLY);
    let unknown = Script::Answer(answer("200 OK", "content-encoding: br\r\n", &whole));
    for script in [
        compressed(&whole[..whole.len() - 1]),
        compressed(REPLY),
        compressed(b""),
        unknown,
    ] {
        let outcome = outcome(script).await;
        assert!(
            matches!(outcome, Err(Error::Reply(ReplyError::Compression))),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_bad_status_is_told_unless_the_tracker_says_why() {
    let gone = Script::Answer(answer("404 Not Found", "", b"<html>"));
    assert!(matches!(outcome(gone).await, Err(Error::Status(404))));
    let why = Script::Answer(answer(
        "403 Forbidden",
        "",
        b"d14:failure reason11:no pass ke",
    ));
    assert!(matches!(outcome(why).await, Err(Error::Status(403))));
    let why = Script::Answer(answer(
        "403 Forbidden",
        "",
        b"d14:failure reason11:no pass keye",
    ));
    let outcome = outcome(why).await;
    assert!(
        matches!(&outcome, Err(Error::Refused(failure)) if failure.reason == "no pass key"),
        "{outcome:?}"
    );
}
