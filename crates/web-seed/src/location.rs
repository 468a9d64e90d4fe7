//! Where a web seed has the files of a torrent.
//!
//! Source: [BEP 19](https://www.bittorrent.org/beps/bep_0019.html), "HTTP Seed/FTP Seed URLs".

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rarest_metainfo::File;
use url::Url;

use crate::InvalidWebSeed;
use crate::limits::MAX_URL_LENGTH;

/// What stands in a path as it is (RFC 3986, 2.3). Everything else is escaped, whatever the server would take.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The URL of a web seed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location(Url);

impl Location {
    /// Where a file is.
    ///
    /// The URL itself, when the torrent is one file and the URL does not end with a slash; else the path of the file stands behind it, with the torrent's
    /// name in front.
    #[must_use]
    pub fn of(&self, file: File<'_>) -> Url {
        let path = file.raw_path();
        let base = self.0.path();
        // Only a torrent without a folder has files with one component.
        if path.len() == 1 && !base.ends_with('/') {
            return self.0.clone();
        }
        let mut place = base.strip_suffix('/').unwrap_or(base).to_owned();
        for component in path {
            place.push('/');
            place.extend(percent_encode(component, ESCAPED));
        }
        let mut url = self.0.clone();
        url.set_path(&place);
        url
    }
}

impl FromStr for Location {
    type Err = InvalidWebSeed;

    fn from_str(text: &str) -> Result<Self, InvalidWebSeed> {
        let text = text.trim();
        if text.len() > MAX_URL_LENGTH {
            return Err(InvalidWebSeed::TooLong { length: text.len() });
        }
        let mut url: Url = text.parse()?;
        url.set_fragment(None);
        match url.scheme() {
            "http" | "https" => Ok(Self(url)),
            other => Err(InvalidWebSeed::UnknownProtocol {
                scheme: other.to_owned(),
            }),
        }
    }
}

/// The URL.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
