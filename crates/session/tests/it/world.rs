//! What the stories share: torrents made of random bytes, sessions in folders of their own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rarest_metainfo::Metainfo;
use rarest_session::{Builder, Event, EventStream, Session, TorrentEvent, TorrentHandle};

/// Long enough for whatever should happen, so that a story that goes wrong ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A torrent and the bytes of its files.
pub(crate) struct Sample {
    pub(crate) metainfo: Metainfo,
    pub(crate) name: String,
    /// By path below the torrent's folder; one without a path for a single file.
    files: Vec<(Option<String>, Vec<u8>)>,
}

impl Sample {
    /// One file of random bytes.
    pub(crate) fn file(name: &str, length: usize, piece_length: u32) -> Self {
        let files = vec![(None, random_bytes(name, length))];
        Self::new(name, files, piece_length, &[])
    }

    /// One file of random bytes, announced to trackers, each in a tier of its own.
    pub(crate) fn tracked(name: &str, length: usize, trackers: &[&str]) -> Self {
        let files = vec![(None, random_bytes(name, length))];
        Self::new(name, files, 64 * 1024, trackers)
    }

    /// Several files of random bytes in a folder.
    pub(crate) fn folder(name: &str, files: &[(&str, usize)], piece_length: u32) -> Self {
        let files = files
            .iter()
            .map(|&(path, length)| (Some(path.to_owned()), random_bytes(path, length)))
            .collect();
        Self::new(name, files, piece_length, &[])
    }

    fn new(
        name: &str,
        files: Vec<(Option<String>, Vec<u8>)>,
        piece_length: u32,
        trackers: &[&str],
    ) -> Self {
        let all: Vec<u8> = files.iter().flat_map(|(_, bytes)| bytes).copied().collect();
        let hashes: Vec<u8> = all
            .chunks(piece_length as usize)
            .flat_map(|piece| rarest_hash::sha1(piece).0)
            .collect();
        let torrent = rarest_bencode::encode_dict(|torrent| {
            if !trackers.is_empty() {
                torrent.list("announce-list", |tiers| {
                    for tracker in trackers {
                        tiers.list(|tier| {
                            tier.bytes(tracker);
                        });
                    }
                });
            }
            torrent.dict("info", |info| {
                match &files[..] {
                    [(None, bytes)] => {
                        info.int("length", bytes.len() as u64);
                    }
                    _ => {
                        info.list("files", |list| {
                            for (path, bytes) in &files {
                                list.dict(|file| {
                                    file.int("length", bytes.len() as u64);
                                    file.list("path", |components| {
                                        let path = path.as_deref().unwrap();
                                        for component in path.split('/') {
                                            components.bytes(component);
                                        }
                                    });
                                });
                            }
                        });
                    }
                }
                info.bytes("name", name);
                info.int("piece length", u64::from(piece_length));
                info.bytes("pieces", &hashes);
            });
        });
        Self {
            metainfo: Metainfo::parse(torrent.unwrap()).unwrap(),
            name: name.to_owned(),
            files,
        }
    }

    /// Where a session puts a file of the torrent.
    pub(crate) fn path(&self, folder: &Path, file: usize) -> PathBuf {
        match &self.files[file].0 {
            Some(path) => folder.join(&self.name).join(path),
            None => folder.join(&self.name),
        }
    }

    /// Puts the files where a session looks for them.
    pub(crate) fn write_to(&self, folder: &Path) {
        for (file, (_, bytes)) in self.files.iter().enumerate() {
            let path = self.path(folder, file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }

    /// Compares what a session wrote, byte for byte.
    pub(crate) fn assert_in(&self, folder: &Path) {
        for file in 0..self.files.len() {
            self.assert_file_in(folder, file);
        }
    }

    /// Compares one file that a session wrote, byte for byte.
    pub(crate) fn assert_file_in(&self, folder: &Path, file: usize) {
        let path = self.path(folder, file);
        let found = std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert!(found == self.files[file].1, "{path:?} differs");
    }

    /// The bytes of all files.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let bytes = self.files.iter().flat_map(|(_, bytes)| bytes);
        bytes.copied().collect()
    }
}

/// Always the same bytes for the same name.
fn random_bytes(name: &str, length: usize) -> Vec<u8> {
    let seed = name.bytes().fold(7, |sum: u64, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    let mut bytes = vec![0; length];
    rand::rngs::StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// A session in a folder of its own.
pub(crate) struct Peer {
    pub(crate) session: Session,
    pub(crate) folder: tempfile::TempDir,
}

impl Peer {
    pub(crate) async fn start() -> Self {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(set_up: impl FnOnce(Builder) -> Builder) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let session = set_up(local(folder.path())).build().await.unwrap();
        Self { session, folder }
    }

    /// A session that has all of `sample` and seeds it.
    pub(crate) async fn seeding(sample: &Sample) -> Self {
        let peer = Self::start().await;
        peer.seed(sample).await;
        peer
    }

    pub(crate) async fn seed(&self, sample: &Sample) -> TorrentHandle {
        sample.write_to(self.folder.path());
        let torrent = self.download(sample, &[]).await;
        within(torrent.completed()).await.unwrap();
        torrent
    }

    /// Downloads `sample` of `others`.
    pub(crate) async fn download(&self, sample: &Sample, others: &[&Self]) -> TorrentHandle {
        let peers = others.iter().map(|other| other.address());
        let adding = self.session.add(sample.metainfo.clone()).peers(peers);
        adding.start().await.unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.session.listen_addresses()[0]
    }

    pub(crate) async fn shut_down(self) {
        within(self.session.shutdown(PATIENCE)).await.unwrap();
    }
}

/// A session on 127.0.0.1 that tells no tracker.
pub(crate) fn local(folder: &Path) -> Builder {
    Session::builder()
        .download_dir(folder)
        .listen_addresses([IpAddr::V4(Ipv4Addr::LOCALHOST)])
        .without_trackers()
}

/// Fails rather than waits for ever.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    let patient = tokio::time::timeout(PATIENCE, future);
    patient.await.expect("it takes too long")
}

/// Waits for an event of a kind.
pub(crate) async fn until<T>(
    events: &mut EventStream,
    mut wanted: impl FnMut(TorrentEvent) -> Option<T>,
) -> T {
    let searching = async {
        loop {
            match events.next().await.expect("the events ended") {
                Event::Torrent(_, event) => {
                    if let Some(found) = wanted(event) {
                        return found;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    };
    within(searching).await
}
