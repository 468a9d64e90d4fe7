//! Names, links and what becomes of those that are not safe.

use rarest_metainfo::{FileKind, FileTreeError, MAX_COLLISIONS, Metainfo, MetainfoError, Remark};

use crate::fixtures::read;

use super::{folder, parse_info, paths, v2};

#[test]
fn no_path_leads_out_of_the_download_folder() {
    let torrent = folder(
        b"../..",
        &[
            &[b"..", b"..", b"etc", b"passwd"],
            &[b"/etc/shadow"],
            &[b"C:\\windows", b"x"],
            &[b"a", b".", b"", b"b"],
            &[b"", b""],
            &[b"..\\..\\up"],
        ],
    )
    .unwrap();
    assert_eq!(
        paths(&torrent),
        [
            ".._../etc/passwd",
            ".._../_etc_shadow",
            ".._../C__windows/x",
            ".._../a/b",
            ".._../_",
            ".._../.._.._up"
        ]
        .map(|path| path.replacen(".._..", ".._", 1))
    );
}

#[test]
fn raw_names_are_kept() {
    let torrent = folder(b"t/u", &[&[b"a\xff", b"b"], &[b"plain"]]).unwrap();
    let raw: Vec<_> = torrent
        .info()
        .files()
        .map(rarest_metainfo::File::raw_path)
        .collect();
    assert_eq!(
        raw,
        [vec![&b"t/u"[..], b"a\xff", b"b"], vec![b"t/u", b"plain"]]
    );
    assert_eq!(torrent.info().raw_name(), b"t/u");
    assert_eq!(torrent.remarks(), [Remark::ChangedPaths { count: 1 }]);
}

#[test]
fn an_empty_list_of_components_is_refused() {
    assert!(matches!(
        folder(b"t", &[&[]]),
        Err(MetainfoError::Invalid { key: "path", .. })
    ));
}

#[test]
fn names_are_cleaned_of_what_is_no_text() {
    let torrent = folder(
        b"t",
        &[&[b"a\xffb"], &["\u{202e}gpj.exe".as_bytes()], &[b"x\0y\n"]],
    )
    .unwrap();
    assert_eq!(paths(&torrent), ["t/a\u{fffd}b", "t/gpj.exe", "t/x_y_"]);
}

#[test]
fn a_utf8_name_wins_over_one_in_another_encoding() {
    let torrent = Metainfo::parse(read("made/name-utf8-key-a.torrent")).unwrap();
    assert_eq!(paths(&torrent), ["测试/文件"]);
}

#[test]
fn names_that_a_platform_cannot_hold_are_changed() {
    let long = [b"x".repeat(300), b".mkv".to_vec()].concat();
    let torrent = folder(
        b"t",
        &[&[b"CON"], &[b"aux.txt"], &[b"a:b?"], &[b"dot. "], &[&long]],
    )
    .unwrap();
    let cut = format!("t/{}.mkv", "x".repeat(251));
    assert_eq!(
        paths(&torrent),
        ["t/_CON", "t/_aux.txt", "t/a_b_", "t/dot", cut.as_str()]
    );
}

#[test]
fn names_that_are_the_same_are_told_apart() {
    let torrent = folder(
        b"t",
        &[
            &[b"a"],
            &[b"A"],
            &[b"a"],
            &[b"a", b"b"],
            &[b"x\xfe"],
            &[b"x\xff"],
        ],
    )
    .unwrap();
    assert_eq!(
        paths(&torrent),
        [
            "t/a",
            "t/A.1",
            "t/a.2",
            "t/a.3/b",
            "t/x\u{fffd}",
            "t/x\u{fffd}.4"
        ]
    );
}

#[test]
fn too_many_names_that_are_the_same_are_refused() {
    let path: &[&[u8]] = &[b"a"];
    assert!(folder(b"t", &vec![path; MAX_COLLISIONS as usize + 1]).is_ok());
    let refused = folder(b"t", &vec![path; MAX_COLLISIONS as usize + 2]);
    assert_eq!(refused, Err(MetainfoError::TooManyCollisions));
}

#[test]
fn files_in_padding_folders_do_not_collide() {
    let torrent = Metainfo::parse(read("made/hybrid-multi-a.torrent")).unwrap();
    assert_eq!(torrent.remarks(), []);
}

fn with_link(target: &[&[u8]], length: i32) -> Metainfo {
    let torrent = parse_info(|info| {
        info.bytes("name", "t")
            .int("piece length", 16_384)
            .bytes("pieces", [1; 20]);
        info.list("files", |files| {
            files.dict(|file| {
                file.int("length", 1).list("path", |path| {
                    path.bytes("a");
                });
            });
            files.dict(|file| {
                file.bytes("attr", "l")
                    .int("length", length)
                    .list("path", |path| {
                        path.bytes("link");
                    });
                file.list("symlink path", |path| {
                    for component in target {
                        path.bytes(component);
                    }
                });
            });
        });
    });
    torrent.unwrap()
}

#[test]
fn a_symlink_stays_inside_the_torrent_and_is_empty() {
    let torrent = with_link(&[b"dir", b"real"], 425);
    let link = torrent.info().file_at(1).unwrap();
    assert_eq!(
        (link.kind(), link.length(), link.symlink_target()),
        (FileKind::Symlink, 0, Some("dir/real"))
    );
}

#[test]
fn a_v1_symlink_that_leads_out_becomes_an_empty_file() {
    let targets: [&[&[u8]]; 5] = [
        &[b"..", b"x"],
        &[b"a", b"..", b"..", b"x"],
        &[b"/etc/passwd"],
        &[b""],
        &[],
    ];
    for target in targets {
        let torrent = with_link(target, 0);
        let link = torrent.info().file_at(1).unwrap();
        assert_eq!(
            (link.kind(), link.symlink_target()),
            (FileKind::Regular, None)
        );
        assert_eq!(torrent.remarks(), [Remark::SymlinkOutside { file: 1 }]);
    }
}

#[test]
fn a_v2_symlink_that_leads_out_is_refused() {
    let refused = v2(
        |tree| {
            tree.dict("a", |node| {
                node.dict("", |file| {
                    file.bytes("attr", "l").int("length", 0);
                    file.list("symlink path", |path| {
                        path.bytes("..").bytes("x");
                    });
                });
            });
        },
        &[],
    );
    assert_eq!(
        refused,
        Err(MetainfoError::FileTree(FileTreeError::BadSymlink))
    );
}

#[test]
fn no_file_lies_below_a_symlink() {
    let torrent = Metainfo::parse(read("made/v1-file-below-symlink-a.torrent")).unwrap();
    assert_eq!(
        paths(&torrent),
        ["winter-logs/d", "winter-logs/d.1/x", "winter-logs/e/y"]
    );
}

#[test]
fn an_empty_name_falls_back_to_the_info_hash() {
    for name in [&b""[..], b"..", b".", b"...", "\u{200b}".as_bytes()] {
        let torrent = folder(name, &[&[b"a"]]).unwrap();
        let hash = torrent.info_hashes().v1.unwrap().to_string();
        assert_eq!(torrent.info().name(), hash);
        assert_eq!(paths(&torrent), [format!("{hash}/a")]);
        assert!(torrent.remarks().contains(&Remark::NoName));
    }
}

#[test]
fn a_single_file_without_a_name_is_called_by_the_info_hash() {
    for name in ["", ".", "..", "/"] {
        let torrent = parse_info(|info| {
            info.bytes("name", name)
                .int("length", 1)
                .int("piece length", 16_384)
                .bytes("pieces", [1; 20]);
        })
        .unwrap();
        let hash = torrent.info_hashes().v1.unwrap().to_string();
        assert_eq!(paths(&torrent), [hash]);
    }
}

#[test]
fn padding_without_a_path_is_no_changed_path() {
    let torrent = parse_info(|info| {
        info.bytes("name", "t")
            .int("piece length", 16_384)
            .bytes("pieces", [1; 20]);
        info.list("files", |files| {
            files.dict(|file| {
                file.int("length", 1).list("path", |path| {
                    path.bytes("a");
                });
            });
            files.dict(|file| {
                file.int("length", 7).bytes("attr", "p");
            });
        });
    })
    .unwrap();
    assert_eq!(torrent.remarks(), []);
}

#[test]
fn a_missing_name_is_refused() {
    let refused = parse_info(|info| {
        info.int("length", 1)
            .int("piece length", 16_384)
            .bytes("pieces", [1; 20]);
    });
    assert_eq!(refused, Err(MetainfoError::Missing { key: "name" }));
}
