//! Where reports go: a bar on a terminal, lines elsewhere, or JSON.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget};
use rarest_session::{Stats, TorrentState};

use crate::byte_bar::bar_style;
use crate::printable;
use crate::quantity::counted;
use crate::report::Report;

/// How often lines of progress are printed where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum Style {
    Bar(ProgressBar),
    Lines,
    Json,
}

/// Tells reports to the user.
#[derive(Debug)]
pub(crate) struct Reporter {
    style: Style,
    last_progress: Option<Instant>,
    /// What each tracker that fails was last told to have said.
    failing: HashMap<String, String>,
    /// Peers that the user named, and why each was last told to be out of reach. Of others only JSON tells that: many are.
    named_peers: HashMap<SocketAddr, Option<String>>,
}

impl Reporter {
    /// JSON if asked for, else a bar of `total` bytes on a terminal, else lines.
    pub(crate) fn new(report: crate::args::Report, total: u64) -> Self {
        let style = match report.json {
            true => Style::Json,
            false if io::stdout().is_terminal() => Style::Bar(transfer_bar(total)),
            false => Style::Lines,
        };
        Self {
            style,
            last_progress: None,
            failing: HashMap::new(),
            named_peers: HashMap::new(),
        }
    }

    /// The user named these peers, and is told when they cannot be reached.
    pub(crate) fn name_peers(&mut self, peers: &[SocketAddr]) {
        self.named_peers = peers.iter().map(|&peer| (peer, None)).collect();
    }

    /// Tells one thing.
    pub(crate) fn tell(&mut self, report: &Report) {
        self.tell_all(std::slice::from_ref(report));
    }

    /// Tells several things at once. Errors of standard output are those of a reader who left, who misses nothing.
    pub(crate) fn tell_all(&mut self, reports: &[Report]) {
        let mut lines = String::new();
        for report in reports {
            if self.is_repeated(report) || self.is_of_no_concern(report) {
                continue;
            }
            match &self.style {
                Style::Bar(bar) => {
                    if report.is_for_terminals() {
                        bar.println(printable(&report.to_string()));
                    }
                    if let Report::Ready { torrents } = report {
                        // Until there is something to tell of the only one.
                        let torrents = counted(*torrents as u64, "torrent");
                        bar.set_message(format!("serving {torrents}"));
                    }
                }
                Style::Lines => {
                    lines.push_str(&printable(&report.to_string()));
                    lines.push('\n');
                }
                Style::Json => {
                    if let Ok(line) = serde_json::to_string(report) {
                        lines.push_str(&line);
                        lines.push('\n');
                    }
                }
            }
        }
        if !lines.is_empty() {
            let _ = io::stdout().write_all(lines.as_bytes());
        }
    }

    /// Whether a tracker fails as it did the last time. It is asked over IPv4 and IPv6, for each torrent, and again and again.
    fn is_repeated(&mut self, report: &Report) -> bool {
        match report {
            Report::AnnounceFailed { tracker, reason } => {
                let last = self.failing.insert(tracker.clone(), reason.clone());
                last.as_ref() == Some(reason)
            }
            Report::Announced { tracker, .. } => {
                self.failing.remove(tracker);
                false
            }
            _ => false,
        }
    }

    /// Whether a peer cannot be reached that the user did not name, or was told of. It is dialled again and again.
    fn is_of_no_concern(&mut self, report: &Report) -> bool {
        match (&self.style, report) {
            (Style::Json, _) => false,
            (_, Report::PeerUnreachable { peer, reason }) => match self.named_peers.get_mut(peer) {
                Some(told) => told.replace(reason.clone()).as_ref() == Some(reason),
                None => true,
            },
            (_, Report::PeerConnected { peer }) => {
                if let Some(told) = self.named_peers.get_mut(peer) {
                    *told = None;
                }
                false
            }
            _ => false,
        }
    }

    /// When how far a torrent is may be told again: at once on a bar, now and then in lines. `None` is at once.
    pub(crate) fn next_progress(&self) -> Option<Instant> {
        match self.style {
            Style::Bar(_) => None,
            Style::Lines | Style::Json => self.last_progress.map(|last| last + LINE_INTERVAL),
        }
    }

    /// Tells how far a torrent is; not before [`next_progress`](Self::next_progress).
    pub(crate) fn tell_progress(&mut self, stats: &Stats) {
        if stats.state == TorrentState::Checking {
            // What is there is not known yet.
            return;
        }
        if let Style::Bar(bar) = &self.style {
            bar.set_length(stats.verified_bytes + stats.missing_bytes);
            bar.set_position(stats.verified_bytes);
            bar.set_message(Report::bar_text(stats));
            return;
        }
        self.last_progress = Some(Instant::now());
        self.tell(&Report::progress(stats));
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if let Style::Bar(bar) = &self.style {
            bar.finish_and_clear();
        }
    }
}

fn transfer_bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stdout());
    bar.set_style(bar_style());
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_was_named_is_told_to_be_out_of_reach_once() {
        let mut reporter = Reporter::new(crate::args::Report { json: false }, 0);
        let [named, other] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        reporter.name_peers(&[named]);
        let unreachable = |peer, reason: &str| Report::PeerUnreachable {
            peer,
            reason: reason.to_owned(),
        };
        assert!(reporter.is_of_no_concern(&unreachable(other, "refused")));
        assert!(!reporter.is_of_no_concern(&unreachable(named, "refused")));
        assert!(reporter.is_of_no_concern(&unreachable(named, "refused")));
        assert!(!reporter.is_of_no_concern(&unreachable(named, "timed out")));
        assert!(!reporter.is_of_no_concern(&Report::PeerConnected { peer: named }));
        assert!(!reporter.is_of_no_concern(&unreachable(named, "timed out")));
        let mut json = Reporter::new(crate::args::Report { json: true }, 0);
        assert!(!json.is_of_no_concern(&unreachable(other, "refused")));
    }

    #[test]
    fn a_tracker_that_goes_on_failing_is_told_once() {
        let mut reporter = Reporter::new(crate::args::Report { json: false }, 0);
        let failed = |reason: &str| Report::AnnounceFailed {
            tracker: "http://tracker.example/announce".to_owned(),
            reason: reason.to_owned(),
        };
        let answered = Report::Announced {
            tracker: "http://tracker.example/announce".to_owned(),
            peers: 0,
            warning: None,
        };
        assert!(!reporter.is_repeated(&failed("refused")));
        assert!(reporter.is_repeated(&failed("refused")));
        assert!(!reporter.is_repeated(&failed("timed out")));
        assert!(!reporter.is_repeated(&answered));
        assert!(!reporter.is_repeated(&failed("timed out")));
    }
}
