//! The options behind an announce: the path and query of the tracker's URL.

use crate::url::TrackerUrl;

const END_OF_OPTIONS: u8 = 0;
const NOP: u8 = 1;
const URL_DATA: u8 = 2;

/// An option holds at most this many bytes; longer data goes into several.
const MAX_CHUNK_LENGTH: usize = 255;

/// Path and query of a tracker's URL, as a UDP announce carries them.
///
/// Source: [BEP 41](https://www.bittorrent.org/beps/bep_0041.html).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UrlData(Vec<u8>);

/// Why the bytes behind an announce are no options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// An option is longer than the packet.
    #[error("option {kind} runs past the end of the packet")]
    Truncated {
        /// The kind of option.
        kind: u8,
    },
}

impl UrlData {
    /// Takes path and query from a URL.
    #[must_use]
    pub fn of(url: &TrackerUrl) -> Self {
        Self(url.path_and_query().into_bytes())
    }

    /// Path and query, from the slash on; empty when the URL has neither.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Appends the options; without path and query there are none.
    pub(crate) fn encode(&self, packet: &mut Vec<u8>) {
        for chunk in self.0.chunks(MAX_CHUNK_LENGTH) {
            let length = u8::try_from(chunk.len()).expect("chunks have at most 255 bytes");
            packet.extend([URL_DATA, length]);
            packet.extend(chunk);
        }
    }

    /// Reads the options behind an announce. Unknown ones are skipped.
    ///
    /// # Errors
    /// [`OptionsError::Truncated`] when an option runs past the end.
    pub fn decode(options: &[u8]) -> Result<Self, OptionsError> {
        let mut data = Vec::new();
        let mut rest = options;
        while let Some((&kind, behind)) = rest.split_first() {
            rest = behind;
            match kind {
                END_OF_OPTIONS => break,
                NOP => {}
                kind => {
                    let truncated = OptionsError::Truncated { kind };
                    let (&length, behind) = rest.split_first().ok_or(truncated)?;
                    let (chunk, behind) =
                        behind.split_at_checked(length.into()).ok_or(truncated)?;
                    if kind == URL_DATA {
                        data.extend(chunk);
                    }
                    rest = behind;
                }
            }
        }
        Ok(Self(data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_urls_are_split_into_chunks_of_255_bytes() {
        let url = format!("udp://t.example:1/{}", "y".repeat(600));
        let data = UrlData::of(&url.parse().unwrap());
        let mut options = Vec::new();
        data.encode(&mut options);
        assert_eq!(options.len(), 601 + 3 * 2);
        assert_eq!((options[1], options[258], options[515]), (255, 255, 91));
        assert_eq!(UrlData::decode(&options), Ok(data));
    }

    #[test]
    fn unknown_options_and_padding_are_skipped() {
        let options = [1, 1, 77, 2, 9, 9, 2, 2, b'/', b'a', 0, 2, 255];
        assert_eq!(UrlData::decode(&options).unwrap().as_bytes(), b"/a");
    }
}
