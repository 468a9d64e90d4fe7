//! The command line: what help, manual page and completions are made of.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use rarest_metainfo::{HostAddr, InfoHash, InfoHashV1, InfoHashV2, InvalidInfoHash};

use crate::quantity::{ByteCount, ByteRate};
use crate::selection::Selection;

/// What stands below the help.
const AFTER_HELP: &str = "\
Exit status:
    0  done
    1  failed; the line on standard error says what to do
    2  the command line cannot be understood
    3  verify: pieces are missing or damaged
  130  stopped by Ctrl-C, with everything saved; a second Ctrl-C stops at once

Sizes and rates:
    A number of bytes, or one with a unit: k, M, G are 1000, 1000^2, 1000^3; Ki, Mi, Gi are 1024, 1024^2, 1024^3.
    A B may follow the unit, and a rate may end in /s: 500k, 2MiB, 1.5 MB/s.";

/// Downloads, seeds, verifies, creates, inspects and scrapes torrents, from .torrent files and magnet links.
#[derive(Debug, Parser)]
#[command(name = "rarest", version, about, after_help = AFTER_HELP)]
#[command(propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Download a torrent, continuing where an earlier download stopped
    Download(Download),
    /// Serve complete or partial torrents; prints a line with READY once all are served
    Seed(Seed),
    /// Check the files of a torrent against its hashes
    Verify(Verify),
    /// Make a .torrent of a file or a folder
    Create(Create),
    /// Show what a .torrent or a magnet link says
    Inspect(Inspect),
    /// Fetch the .torrent of a magnet link from peers
    Metadata(Metadata),
    /// Ask a torrent's trackers how many peers they know
    Scrape(Scrape),
    /// Ask the DHT for peers, or store and fetch items there
    #[command(subcommand)]
    Dht(DhtCommand),
    /// Trade made-up files between a tracker, a seed and a download on this machine
    Demo(Demo),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

#[derive(Debug, Args)]
pub(crate) struct Download {
    /// A .torrent file, an http: or https: URL of one, or a magnet link
    #[arg(value_name = "TORRENT|URL|MAGNET", value_hint = ValueHint::FilePath)]
    pub(crate) torrent: String,
    /// Folder that gets the torrent's file, or its folder of files. What is there is checked first; a file of the same name of which
    /// nothing is right is replaced, and that is told before
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: PathBuf,
    /// A peer to dial, beside those that trackers name; may be given often
    #[arg(long = "peer", value_name = "HOST:PORT", value_parser = peer)]
    pub(crate) peers: Vec<PeerHost>,
    /// Go on serving when the download is complete
    #[arg(long)]
    pub(crate) seed: bool,
    /// Download only these files, by the numbers that `inspect` shows: 0,2-4. By default those that a magnet link names, or all
    #[arg(long, value_name = "LIST")]
    pub(crate) files: Option<Selection>,
    #[command(flatten)]
    pub(crate) network: Network,
    #[command(flatten)]
    pub(crate) report: Report,
}

/// Where a peer listens.
#[derive(Clone, Debug)]
pub(crate) struct PeerHost {
    /// A name, or an address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for PeerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

fn peer(text: &str) -> Result<PeerHost, &'static str> {
    const HOW: &str =
        "write a host and a port: 192.0.2.1:6881, [2001:db8::1]:6881 or host.example:6881";
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(PeerHost {
            host: address.ip().to_string(),
            port: address.port(),
        });
    }
    let (host, port) = text.rsplit_once(':').ok_or(HOW)?;
    let port = port.parse().map_err(|_| HOW)?;
    // An IPv6 address without brackets could be one with or without a port.
    let is_name = !host.is_empty() && !host.contains([':', '[', ']', '/', ' ']);
    match is_name && port != 0 && host.parse::<IpAddr>().is_err() {
        true => Ok(PeerHost {
            host: host.to_owned(),
            port,
        }),
        false => Err(HOW),
    }
}

#[derive(Debug, Args)]
pub(crate) struct Seed {
    /// .torrent files, and folders of them
    #[arg(required = true, value_name = "TORRENT|FOLDER", value_hint = ValueHint::AnyPath)]
    pub(crate) torrents: Vec<PathBuf>,
    /// Folder that holds the torrents' files
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) network: Network,
    #[command(flatten)]
    pub(crate) report: Report,
}

/// What download and seed share.
#[derive(Debug, Args)]
pub(crate) struct Network {
    /// Port to listen on for peers; any free one by default
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) listen_port: u16,
    /// Most bytes a second to receive: 500k, 2MiB
    #[arg(long, value_name = "RATE")]
    pub(crate) limit_down: Option<ByteRate>,
    /// Most bytes a second to send: 500k, 2MiB
    #[arg(long, value_name = "RATE")]
    pub(crate) limit_up: Option<ByteRate>,
    /// Whether connections to peers are encrypted (MSE)
    #[arg(long, value_enum, value_name = "POLICY", default_value_t = Encryption::Tolerate)]
    pub(crate) encryption: Encryption,
    /// Do not look for peers in the local network, nor tell it of torrents
    #[arg(long)]
    pub(crate) no_local_discovery: bool,
    #[command(flatten)]
    pub(crate) dht: DhtFlags,
    /// Certificates (PEM) of authorities to trust beside the system's, for https: trackers
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) ca_file: Option<PathBuf>,
}

/// The part in the DHT of who trades.
#[derive(Debug, Args)]
pub(crate) struct DhtFlags {
    /// Take no part in the DHT
    #[arg(long, conflicts_with = "hosts")]
    pub(crate) no_dht: bool,
    /// A node of the DHT to begin at, instead of the well-known ones; may be given often
    #[arg(id = "hosts", long = "dht-bootstrap", value_name = "HOST:PORT")]
    pub(crate) bootstrap: Vec<HostAddr>,
}

/// Whether connections are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Encryption {
    /// None is
    Disable,
    /// Those with peers that want it
    Tolerate,
    /// Those with peers that know how
    Prefer,
    /// All are; other peers are not spoken to
    Require,
}

/// How progress is told.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Report {
    /// Print one JSON object a line for each event, instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The .torrent file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) torrent: PathBuf,
    /// Folder that holds the torrent's file, or its folder of files
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: PathBuf,
    /// Print one JSON object, instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The file or folder to share. A link to something inside of the folder stays a link; of a link to a file elsewhere the content
    /// is taken. Pipes, devices and links to nothing or to folders elsewhere are left out; both is told
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) path: PathBuf,
    /// Where to write the torrent; NAME.torrent in the current folder by default. A torrent that is there is replaced
    #[arg(short, long, value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// A tracker; each further one is a tier behind the ones before
    #[arg(long = "tracker", value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) trackers: Vec<String>,
    /// A web seed (BEP 19); may be given often
    #[arg(long = "web-seed", value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) web_seeds: Vec<String>,
    /// The format: v1 for every client, v2 for new ones, hybrid for both
    #[arg(long, value_enum, default_value_t = Format::V1)]
    pub(crate) format: Format,
    /// Length of a piece in bytes: 262144, 1MiB; chosen by the size by default
    #[arg(long, value_name = "N")]
    pub(crate) piece_length: Option<ByteCount>,
    /// Let peers be found through the trackers alone (BEP 27)
    #[arg(long)]
    pub(crate) private: bool,
    /// A comment for people
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
}

/// The format of a new torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    V1,
    V2,
    Hybrid,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A .torrent file or a magnet link
    #[arg(value_name = "TORRENT|MAGNET", value_hint = ValueHint::FilePath)]
    pub(crate) what: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Metadata {
    /// The magnet link
    #[arg(value_name = "MAGNET")]
    pub(crate) magnet: PathBuf,
    /// Where to write the torrent; NAME.torrent in the current folder by default. A torrent that is there is replaced
    #[arg(short, long, value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// A peer to dial, beside those that the link and trackers name; may be given often
    #[arg(long = "peer", value_name = "HOST:PORT", value_parser = peer)]
    pub(crate) peers: Vec<PeerHost>,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) network: Network,
    #[command(flatten)]
    pub(crate) report: Report,
}

#[derive(Debug, Args)]
pub(crate) struct Scrape {
    /// The .torrent file, or a magnet link
    #[arg(value_name = "TORRENT|MAGNET", value_hint = ValueHint::FilePath)]
    pub(crate) torrent: PathBuf,
    /// Certificates (PEM) of authorities to trust beside the system's, for https: trackers
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) ca_file: Option<PathBuf>,
    /// Print one JSON object a line for each tracker
    #[arg(long)]
    pub(crate) json: bool,
}

/// What the DHT is asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum DhtCommand {
    /// Look for the peers of a torrent; prints one address a line
    GetPeers {
        /// Info-hash of 40 hex digits, 32 of base32 or 64 hex digits (v2)
        #[arg(value_name = "HASH")]
        info_hash: SwarmHash,
        /// Announce this TCP port as a peer, too
        #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
        announce: Option<u16>,
        #[command(flatten)]
        node: DhtNode,
    },
    /// Store a text (BEP 44); prints the target to get it by
    Put {
        /// The text, of at most 996 bytes
        #[arg(value_name = "TEXT")]
        text: String,
        /// Sign it, to be able to change it: file of the 32 bytes of an ed25519 seed, made when it is missing
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        key: Option<PathBuf>,
        /// Tells the items of one key apart
        #[arg(long, value_name = "TEXT", requires = "key")]
        salt: Option<String>,
        #[command(flatten)]
        node: DhtNode,
    },
    /// Fetch an item (BEP 44); prints its value
    Get {
        /// Target of an immutable item (40 hex digits), or public key of a mutable one (64)
        #[arg(value_name = "TARGET|KEY")]
        target: ItemName,
        /// The salt of a mutable item
        #[arg(long, value_name = "TEXT")]
        salt: Option<String>,
        #[command(flatten)]
        node: DhtNode,
    },
}

/// The node that asks.
#[derive(Debug, Args)]
pub(crate) struct DhtNode {
    /// A node to begin at, instead of the well-known ones; may be given often
    #[arg(long = "bootstrap", value_name = "HOST:PORT")]
    pub(crate) bootstrap: Vec<HostAddr>,
    /// Address to send from
    #[arg(long, value_name = "IP")]
    pub(crate) bind: Option<IpAddr>,
    /// UDP port to send from; any free one by default
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) listen_port: u16,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
}

/// The 20 bytes by which the DHT knows a swarm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SwarmHash(pub(crate) InfoHash);

impl FromStr for SwarmHash {
    type Err = InvalidInfoHash;

    fn from_str(text: &str) -> Result<Self, InvalidInfoHash> {
        let v1 = text.parse::<InfoHashV1>().map(InfoHash::from);
        v1.or_else(|_| text.parse::<InfoHashV2>().map(InfoHash::from))
            .map(Self)
    }
}

/// By what an item is fetched.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ItemName {
    /// The hash of its value.
    Target([u8; 20]),
    /// The key that signs it.
    Key([u8; 32]),
}

impl FromStr for ItemName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        // Hex of the same lengths as info-hashes.
        if let (40, Ok(hash)) = (text.len(), text.parse::<InfoHashV1>()) {
            return Ok(Self::Target(hash.0.0));
        }
        let key = text.parse::<InfoHashV2>();
        key.map(|key| Self::Key(key.0.0))
            .map_err(|_| "write 40 hex digits of a target, or 64 of a public key")
    }
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Bytes to trade, in all
    #[arg(long, value_name = "SIZE", default_value = "384MiB")]
    pub(crate) size: ByteCount,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
