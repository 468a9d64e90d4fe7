//! URLs of trackers and web seeds as they stand in torrents and magnet links: trimmed, sorted out, each kept once.

use std::collections::HashSet;

/// Longest URL that is kept, in bytes. Browsers and servers stop at 8 KiB; tracker URLs with passkeys have some hundred bytes.
pub const MAX_URL_LENGTH: usize = 8 * 1024;

/// Most trackers, and most web seeds, that are kept of one torrent or magnet link. The longest public lists have a few hundred,
/// and each would be asked again and again.
pub const MAX_URLS: usize = 1000;

/// Schemes by which a tracker may be reached; `ws` and `wss` are those of WebTorrent.
const TRACKER_SCHEMES: &[&str] = &["http", "https", "udp", "ws", "wss"];

/// Schemes by which a web seed may be reached (BEP 17, 19).
const WEB_SEED_SCHEMES: &[&str] = &["http", "https", "ftp"];

/// Collects URLs; a bad one is dropped and counted, not fatal.
#[derive(Debug)]
pub(crate) struct UrlList {
    schemes: &'static [&'static str],
    seen: HashSet<String>,
    dropped: u32,
}

impl UrlList {
    pub(crate) fn of_trackers() -> Self {
        Self {
            schemes: TRACKER_SCHEMES,
            seen: HashSet::new(),
            dropped: 0,
        }
    }

    pub(crate) fn of_web_seeds() -> Self {
        Self {
            schemes: WEB_SEED_SCHEMES,
            seen: HashSet::new(),
            dropped: 0,
        }
    }

    /// Number of URLs that were neither good nor a repeat.
    pub(crate) fn dropped(&self) -> u32 {
        self.dropped
    }

    /// The URL without white space around it, if it is a good one that has not been seen yet. Spaces in the paths of web
    /// seeds, which name files, are escaped.
    pub(crate) fn accept(&mut self, raw: &[u8]) -> Option<String> {
        let url = self.good(raw);
        if url.is_none() && !raw.trim_ascii().is_empty() {
            self.dropped += 1;
        }
        let url = url?;
        self.seen.insert(url.clone()).then_some(url)
    }

    fn good(&self, raw: &[u8]) -> Option<String> {
        let url = std::str::from_utf8(raw).ok()?.trim();
        let url = match self.schemes {
            WEB_SEED_SCHEMES => url.replace(' ', "%20"),
            _ => url.to_owned(),
        };
        let (scheme, rest) = url.split_once("://")?;
        let known = self
            .schemes
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known));
        let fits = url.len() <= MAX_URL_LENGTH && self.seen.len() < MAX_URLS;
        // A line feed or NUL in a request line would end it and begin what the torrent's author likes.
        let printable = !rest.contains(char::is_control);
        let is_good = known && fits && printable && !rest.is_empty();
        is_good.then_some(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_url_among_good_ones_is_dropped_and_counted() {
        let mut list = UrlList::of_trackers();
        let raw: [&[u8]; 8] = [
            b" udp://a:1\n",
            b"garbage",
            b"ftp://x/",
            b"http://",
            b"http://a/\r\nHost: b",
            b"\xff",
            b"",
            b"udp://a:1",
        ];
        let kept: Vec<_> = raw.iter().filter_map(|url| list.accept(url)).collect();
        assert_eq!((kept, list.dropped()), (vec!["udp://a:1".to_owned()], 5));
    }

    #[test]
    fn spaces_of_a_web_seed_are_escaped() {
        assert_eq!(
            UrlList::of_web_seeds().accept(b"http://a/b c/").as_deref(),
            Some("http://a/b%20c/")
        );
    }

    #[test]
    fn no_more_urls_than_the_limit_are_kept() {
        let mut list = UrlList::of_trackers();
        let kept = (0..2 * MAX_URLS)
            .filter_map(|n| list.accept(format!("http://{n}/").as_bytes()))
            .count();
        assert_eq!(kept, MAX_URLS);
    }

    #[test]
    fn a_url_over_the_limit_is_dropped() {
        let long = format!("http://{}", "x".repeat(MAX_URL_LENGTH));
        assert_eq!(UrlList::of_trackers().accept(long.as_bytes()), None);
        let long_once_escaped = format!("http://a/{}b", " ".repeat(MAX_URL_LENGTH / 2));
        let mut list = UrlList::of_web_seeds();
        assert_eq!(list.accept(long_once_escaped.as_bytes()), None);
    }
}
