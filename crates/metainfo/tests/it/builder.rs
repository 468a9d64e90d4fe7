//! Torrents that are made, and read back.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use rarest_metainfo::{
    BuildError, Builder, DEFAULT_MAX_TORRENT_LENGTH, FileKind, MAX_BUILD_PIECE_LENGTH,
    MAX_DEFAULT_PIECE_LENGTH, MAX_URL_LENGTH, Metainfo, Oddity, Progress, Version,
    pieces_side_by_side, verify_pieces,
};

use tempfile::TempDir;

use crate::content::ramp;

const ALL: [Version; 3] = [Version::V1, Version::V2, Version::Hybrid];

fn write(folder: &TempDir, path: &str, data: &[u8]) {
    let path = folder.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, data).unwrap();
}

fn silent(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// All pieces of the torrent, put together from the files that `read` gives, match their hashes.
fn assert_pieces_match(torrent: &Metainfo, read: impl Fn(&str) -> Vec<u8>) {
    let info = torrent.info();
    for piece in info.geometry().pieces() {
        let start = info.geometry().piece_offset(piece);
        let mut data = Vec::new();
        for span in info.spans(start..start + u64::from(info.geometry().piece_length(piece))) {
            let range = span.offset as usize..(span.offset + span.length) as usize;
            if span.is_padding {
                data.extend(vec![0; range.len()]);
            } else {
                data.extend_from_slice(&read(info.file(span.file).path())[range]);
            }
        }
        let hash = torrent.piece_hash(piece).unwrap();
        assert_eq!(verify_pieces(&[(hash, &[&data])]), [true]);
        data[0] ^= 1;
        assert_eq!(verify_pieces(&[(hash, &[&data])]), [false]);
    }
}

#[test]
fn a_file_in_memory_becomes_a_torrent_of_each_version() {
    let data = ramp(100_000);
    for version in ALL {
        let torrent = Builder::new(version)
            .piece_length(16_384)
            .build_from_bytes("a.bin", &data)
            .unwrap();
        assert_eq!(torrent.info().version(), version);
        assert_eq!(torrent.info().geometry().piece_count(), 7);
        assert_eq!(torrent.remarks(), []);
        assert_pieces_match(&torrent, |_| data.clone());
    }
}

#[test]
fn a_folder_in_memory_becomes_a_torrent_of_each_version() {
    let files = [
        ("z", ramp(5)),
        ("a/b", ramp(70_000)),
        ("a/empty", Vec::new()),
        ("a.b", ramp(16_384)),
    ];
    for version in ALL {
        let torrent = Builder::new(version)
            .piece_length(32_768)
            .build_from_files(
                "folder",
                files.iter().map(|(path, data)| (*path, data.as_slice())),
            )
            .unwrap();
        let paths: Vec<_> = torrent
            .info()
            .files()
            .filter(|file| !file.is_padding())
            .map(rarest_metainfo::File::path)
            .collect();
        assert_eq!(
            paths,
            ["folder/a/b", "folder/a/empty", "folder/a.b", "folder/z"]
        );
        assert_eq!(torrent.info().total_length(), 86_389);
        assert_eq!(torrent.remarks(), []);
        assert_pieces_match(&torrent, |path| {
            let path = path.strip_prefix("folder/").unwrap();
            files
                .iter()
                .find(|(name, _)| *name == path)
                .unwrap()
                .1
                .clone()
        });
    }
}

#[test]
fn a_folder_on_disk_gives_the_same_torrent_as_its_content_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("b", ramp(40_000)),
        ("a/x.txt", ramp(3)),
        ("empty", Vec::new()),
    ];
    for (path, data) in &files {
        write(&folder, path, data);
    }
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    for version in ALL {
        let builder = Builder::new(version).piece_length(16_384);
        let on_disk = builder.build(folder.path(), silent).unwrap();
        let in_memory = builder.build_from_files(
            name,
            files.iter().map(|(path, data)| (*path, data.as_slice())),
        );
        assert_eq!(on_disk.to_bytes(), in_memory.unwrap().to_bytes());
    }
}

#[test]
fn padding_is_zeros_also_where_a_buffer_held_a_full_piece_before() {
    // More pieces than are hashed together: full ones first, then short ones.
    let files: Vec<(String, Vec<u8>)> = (0..150)
        .map(|number| {
            (
                format!("{number:03}"),
                vec![0xff; if number < 100 { 16_384 } else { 100 }],
            )
        })
        .collect();
    let in_memory = files
        .iter()
        .map(|(path, data)| (path.as_str(), data.as_slice()));
    let torrent = Builder::new(Version::Hybrid)
        .piece_length(16_384)
        .build_from_files("full-and-short", in_memory)
        .unwrap();
    assert_pieces_match(&torrent, |path| {
        let name = path.rsplit('/').next().unwrap();
        files
            .iter()
            .find(|(path, _)| path == name)
            .unwrap()
            .1
            .clone()
    });
}

#[test]
fn a_single_file_on_disk_lies_in_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "a.bin", &ramp(20_000));
    let torrent = Builder::new(Version::Hybrid)
        .build(folder.path().join("a.bin"), silent)
        .unwrap();
    assert_eq!(torrent.info().file_at(0).unwrap().path(), "a.bin");
    assert_eq!(torrent.info().file_count(), 1);
}

#[test]
fn progress_reaches_the_whole_and_can_cancel() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "a.bin", &ramp(200_000));
    let builder = Builder::new(Version::V1).piece_length(100);
    let mut seen = Vec::new();
    let note = |progress| {
        seen.push(progress);
        ControlFlow::Continue(())
    };
    builder.build(folder.path(), note).unwrap();
    assert!(seen.len() > 1);
    assert_eq!(
        seen.last(),
        Some(&Progress {
            hashed_bytes: 200_000,
            total_bytes: 200_000
        })
    );
    let cancelled = builder.build(folder.path(), |_| ControlFlow::Break(()));
    assert!(matches!(cancelled, Err(BuildError::Cancelled)));
}

#[test]
fn all_that_a_torrent_says_is_read_back() {
    let torrent = Builder::new(Version::V1)
        .tier([""; 0])
        .tier(["http://a.example/announce", "http://b.example/announce"])
        .tracker("udp://c.example:1")
        .web_seed("http://seed.example/")
        .private()
        .source("HERE")
        .comment("a comment")
        .created_by("a program")
        .creation_date(1_700_000_000)
        .build_from_bytes("a", b"x")
        .unwrap();
    assert_eq!(
        torrent.trackers(),
        [
            vec!["http://a.example/announce", "http://b.example/announce"],
            vec!["udp://c.example:1"]
        ]
    );
    assert_eq!(torrent.web_seeds(), ["http://seed.example/"]);
    assert!(torrent.info().is_private());
    assert_eq!(torrent.comment(), Some("a comment"));
    assert_eq!(torrent.created_by(), Some("a program"));
    assert_eq!(torrent.creation_date(), Some(1_700_000_000));
    let raw = torrent.info().raw();
    assert!(raw.windows(13).any(|part| part == b"6:source4:HER"));
    let file = torrent.to_bytes();
    assert!(
        file.windows(22)
            .any(|part| part == b"13:announce-listll25:h"),
        "no tier is empty"
    );
}

#[test]
fn another_source_is_another_torrent() {
    let hashes = |source: &str| {
        Builder::new(Version::V2)
            .source(source)
            .build_from_bytes("a", b"x")
            .unwrap()
            .info_hashes()
    };
    assert_ne!(hashes("a"), hashes("b"));
}

#[test]
fn the_piece_length_grows_with_the_size_up_to_a_limit() {
    let piece_length = |bytes: usize| {
        let torrent = Builder::new(Version::V1)
            .build_from_bytes("a", &vec![0; bytes])
            .unwrap();
        torrent.info().geometry().nominal_piece_length()
    };
    assert_eq!(piece_length(1), 16_384);
    assert_eq!(piece_length(40_000_000), 32_768);
    assert!(MAX_DEFAULT_PIECE_LENGTH.is_power_of_two());
}

#[test]
fn an_odd_piece_length_is_for_v1_only() {
    let build = |version, length| {
        Builder::new(version)
            .piece_length(length)
            .build_from_bytes("a", &[1; 1000])
    };
    assert_eq!(
        build(Version::V1, 333)
            .unwrap()
            .info()
            .geometry()
            .piece_count(),
        4
    );
    for version in [Version::V1, Version::V2] {
        assert!(build(version, MAX_BUILD_PIECE_LENGTH).is_ok());
    }
    for (version, length) in [
        (Version::V1, 0),
        (Version::V2, 333),
        (Version::Hybrid, 8192),
        (Version::V2, 40_000),
        (Version::V1, MAX_BUILD_PIECE_LENGTH + 1),
        (Version::V2, MAX_BUILD_PIECE_LENGTH * 2),
    ] {
        assert!(matches!(
            build(version, length),
            Err(BuildError::PieceLength { .. })
        ));
    }
}

#[test]
fn nothing_makes_no_torrent() {
    let built = Builder::new(Version::V1).build_from_files("a", [("empty", &[][..])]);
    assert!(matches!(built, Err(BuildError::Empty)));
}

#[test]
fn paths_that_lead_out_or_clash_are_refused() {
    let build = |files: &[&'static str]| {
        Builder::new(Version::V1).build_from_files("a", files.iter().map(|path| (*path, &b"x"[..])))
    };
    for path in ["../x", "/x", "a//b", "", "a/./b"] {
        assert!(
            matches!(build(&[path]), Err(BuildError::Path { .. })),
            "{path}"
        );
    }
    assert!(matches!(
        build(&["a", "a"]),
        Err(BuildError::DuplicatePath { .. })
    ));
    assert!(matches!(
        build(&["a/b", "a"]),
        Err(BuildError::DuplicatePath { .. })
    ));
    let deep = "d/".repeat(100) + "x";
    let built = Builder::new(Version::V2).build_from_files("a", [(deep.as_str(), &b"x"[..])]);
    assert!(matches!(built, Err(BuildError::TooDeep { .. })));
}

#[test]
fn files_of_the_same_content_share_a_piece_layer() {
    let data = ramp(50_000);
    let torrent = Builder::new(Version::V2)
        .piece_length(16_384)
        .build_from_files("a", [("x", data.as_slice()), ("y", data.as_slice())])
        .unwrap();
    assert!(torrent.has_all_piece_layers());
    assert_pieces_match(&torrent, |_| data.clone());
}

#[test]
fn a_file_that_is_not_there_is_an_error_with_its_path() {
    let built = Builder::new(Version::V1).build(Path::new("/nonexistent/file"), silent);
    assert!(
        matches!(built, Err(BuildError::Io { path, .. }) if path == Path::new("/nonexistent/file"))
    );
}

#[cfg(unix)]
#[test]
fn links_inside_the_folder_stay_links_and_others_give_their_content() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    write(&outside, "far", b"far away");
    write(&folder, "shared/dir/real", b"real");
    symlink("dir/real", folder.path().join("shared/link")).unwrap();
    symlink(outside.path().join("far"), folder.path().join("shared/far")).unwrap();
    for version in ALL {
        let torrent = Builder::new(version)
            .build(folder.path().join("shared"), silent)
            .unwrap();
        let find = |name: &str| {
            torrent
                .info()
                .files()
                .find(|file| file.path() == format!("shared/{name}"))
                .unwrap()
        };
        assert_eq!(
            (find("link").kind(), find("link").symlink_target()),
            (FileKind::Symlink, Some("dir/real"))
        );
        assert_eq!(
            (find("far").kind(), find("far").length()),
            (FileKind::Regular, 8)
        );
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused_or_left_out_and_told() {
    use std::os::unix::{fs::symlink, net::UnixListener};
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    write(&outside, "far", b"far away");
    write(&folder, "shared/real", b"real");
    let shared = folder.path().join("shared");
    symlink(outside.path().join("far"), shared.join("far")).unwrap();
    symlink("nothing", shared.join("dangling")).unwrap();
    symlink("circle", shared.join("circle")).unwrap();
    let _socket = UnixListener::bind(shared.join("socket")).unwrap();

    let builder = Builder::new(Version::V1);
    let refused = builder.build(&shared, silent);
    assert!(matches!(refused, Err(BuildError::NotAFile { .. })));

    let mut told = Vec::new();
    let torrent = builder.build_leaving_out(
        &shared,
        |oddity| {
            let (what, path) = match oddity {
                Oddity::LeftOut(path) => ("left out", path),
                Oddity::LinkElsewhere(path) => ("followed", path),
                _ => unreachable!("there are two"),
            };
            told.push((what, path.file_name().unwrap().to_owned()));
        },
        silent,
    );
    told.sort();
    let expected = [
        ("followed", "far"),
        ("left out", "circle"),
        ("left out", "dangling"),
        ("left out", "socket"),
    ];
    assert_eq!(told, expected.map(|(what, name)| (what, name.into())));
    let torrent = torrent.unwrap();
    let paths: Vec<_> = torrent
        .info()
        .files()
        .map(rarest_metainfo::File::path)
        .collect();
    assert_eq!(paths, ["shared/far", "shared/real"]);
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_would_be_kept_as_others_are_refused() {
    for (names, changed) in [
        (&["CON"][..], "CON"),
        (&["dir/a\nb"], "dir/a\nb"),
        (&["a", "A"], "a"),
        (&["ends."], "ends."),
    ] {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            write(&folder, &format!("shared/{name}"), b"x");
        }
        for version in ALL {
            let built = Builder::new(version).build(folder.path().join("shared"), silent);
            assert!(
                matches!(&built, Err(BuildError::Name { path, .. }) if path == changed),
                "{built:?}"
            );
        }
    }
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "nul.txt", b"x");
    let built = Builder::new(Version::V1).build(folder.path().join("nul.txt"), silent);
    assert!(matches!(built, Err(BuildError::Name { kept_as, .. }) if kept_as == "_nul.txt"));
}

#[test]
fn a_torrent_that_nobody_would_read_is_not_made() {
    let data = vec![0; DEFAULT_MAX_TORRENT_LENGTH / 20 + 1];
    let built = Builder::new(Version::V1)
        .piece_length(1)
        .build_from_bytes("a", &data);
    assert!(matches!(built, Err(BuildError::TooLong { .. })));
    let long = "x".repeat(DEFAULT_MAX_TORRENT_LENGTH);
    let built = Builder::new(Version::V2)
        .comment(long)
        .build_from_bytes("a", b"x");
    assert!(matches!(built, Err(BuildError::TooLong { .. })));
}

#[test]
fn urls_that_readers_would_drop_are_refused() {
    let long = format!("http://a/{}", "x".repeat(MAX_URL_LENGTH));
    for url in [
        "http:/tracker/announce",
        "http:///announce",
        "http://:80/announce",
        "http://",
        "tracker.example",
        "gopher://tracker.example",
        "http://a/\nb",
        "",
        &long,
    ] {
        let builder = Builder::new(Version::V1);
        for builder in [builder.clone().tracker(url), builder.web_seed(url)] {
            let built = builder.build_from_bytes("a", b"x");
            assert!(matches!(built, Err(BuildError::Url { .. })), "{url:?}");
        }
    }
}

#[test]
fn pieces_of_v2_need_no_others_to_be_hashed_side_by_side() {
    assert_eq!(pieces_side_by_side(Version::V2), 1);
    let of_v1 = pieces_side_by_side(Version::V1);
    assert!(of_v1 >= 1);
    assert_eq!(pieces_side_by_side(Version::Hybrid), of_v1);
}
