//! What the stories share: torrents made of random bytes, sessions in folders of their own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rarest_session::metainfo::{Builder, Metainfo, Version};
use rarest_session::{
    Builder as SessionBuilder, Event, EventStream, Session, TorrentEvent, TorrentHandle,
};

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
        Self::of(
            &Builder::new(Version::V1).piece_length(piece_length),
            name,
            length,
        )
    }

    /// One file of random bytes, as the builder says.
    pub(crate) fn of(builder: &Builder, name: &str, length: usize) -> Self {
        let bytes = random_bytes(name, length);
        Self {
            metainfo: builder.build_from_bytes(name, &bytes).unwrap(),
            name: name.to_owned(),
            files: vec![(None, bytes)],
        }
    }

    /// Several files of random bytes in a folder.
    pub(crate) fn folder(name: &str, files: &[(&str, usize)], piece_length: u32) -> Self {
        let builder = Builder::new(Version::V1).piece_length(piece_length);
        Self::folder_of(&builder, name, files)
    }

    /// Several files of random bytes in a folder, as the builder says.
    pub(crate) fn folder_of(builder: &Builder, name: &str, files: &[(&str, usize)]) -> Self {
        let files: Vec<_> = files
            .iter()
            .map(|&(path, length)| (Some(path.to_owned()), random_bytes(path, length)))
            .collect();
        let named = files
            .iter()
            .map(|(path, bytes)| (path.as_deref().unwrap(), &bytes[..]));
        Self {
            metainfo: builder.build_from_files(name, named).unwrap(),
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

    /// Each file with the path by which a web server has it.
    pub(crate) fn by_path(&self) -> Vec<(String, Vec<u8>)> {
        let base = "http://host/".parse::<rarest_session::web_seed::Location>();
        let base = base.unwrap();
        let path_of = |path: &str| {
            let mut files = self.metainfo.info().files();
            let file = files.find(|file| !file.is_padding() && file.path() == path);
            base.of(file.unwrap()).path().to_owned()
        };
        let files = self.files.iter().map(|(path, bytes)| {
            let path = match path {
                Some(path) => path_of(&format!("{}/{path}", self.name)),
                None => path_of(&self.name),
            };
            (path, bytes.clone())
        });
        files.collect()
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

    pub(crate) async fn with(set_up: impl FnOnce(SessionBuilder) -> SessionBuilder) -> Self {
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

    /// Another session downloads all of `sample` from this one, and has the same bytes in the end.
    pub(crate) async fn assert_serves(&self, sample: &Sample) {
        let leech = Self::start().await;
        let torrent = leech.download(sample, &[self]).await;
        within(torrent.completed()).await.unwrap();
        sample.assert_in(leech.folder.path());
        leech.shut_down().await;
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.session.listen_addresses()[0]
    }

    pub(crate) async fn shut_down(self) {
        within(self.session.shutdown(PATIENCE)).await.unwrap();
    }
}

/// A session on 127.0.0.1 that tells no tracker.
pub(crate) fn local(folder: &Path) -> SessionBuilder {
    Session::builder()
        .download_dir(folder)
        .listen_addresses([IpAddr::V4(Ipv4Addr::LOCALHOST)])
        .without_trackers()
        .without_local_discovery()
        .without_dht()
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
