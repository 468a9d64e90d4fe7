//! Help, version, completions, manual page, and command lines that make no sense.

use crate::process::{fails, succeeds};

#[test]
fn help_tells_exit_statuses_and_units() {
    let help = succeeds(["--help"]);
    for text in ["130", "verify: pieces are missing or damaged", "2MiB"] {
        assert!(help.contains(text), "{text}");
    }
}

#[test]
fn version_names_the_program() {
    assert_eq!(
        succeeds(["--version"]),
        concat!("rarest ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = succeeds(["completions", shell]);
        for command in [
            "download", "seed", "verify", "create", "inspect", "scrape", "demo",
        ] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}

#[test]
fn the_manual_page_has_a_section_for_each_command() {
    let page = succeeds(["man"]);
    assert!(page.contains(".TH rarest"));
    assert!(page.contains("RAREST DOWNLOAD"));
    assert!(page.contains("limit\\-down"));
    assert!(page.contains("2MiB"));
    assert!(!page.contains("download(1)"), "there is one page");
}

#[test]
fn a_wrong_flag_is_one_line_and_status_2() {
    let line = fails(2, ["download", "x.torrent", "--outptu", "."]);
    assert!(
        line.contains("--outptu") && line.contains("--output"),
        "{line}"
    );
    assert!(line.contains("found; a similar argument exists"), "{line}");
    for arguments in [
        &[
            "download",
            "x.torrent",
            "--output",
            ".",
            "--limit-down",
            "fast",
        ][..],
        &["download", "x.torrent", "--output", ".", "--limit-up", "0"],
        &[
            "download",
            "x.torrent",
            "--output",
            ".",
            "--peer",
            "localhost",
        ],
        &["download", "x.torrent", "--output", ".", "--files", "2-1"],
        &[
            "seed",
            "x.torrent",
            "--output",
            ".",
            "--listen-port",
            "65536",
        ],
        &["create", "x", "--format", "v3"],
        &["dance"],
        &[""],
    ] {
        fails(2, arguments);
    }
}
