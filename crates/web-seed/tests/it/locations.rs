//! Where files are.

use rarest_metainfo::{Builder, Metainfo, Version};
use rarest_web_seed::limits::MAX_URL_LENGTH;
use rarest_web_seed::{InvalidWebSeed, Location};

fn single(name: &str) -> Metainfo {
    let builder = Builder::new(Version::V1);
    builder.build_from_bytes(name, b"x").unwrap()
}

fn url(metainfo: &Metainfo, base: &str) -> String {
    let location: Location = base.parse().unwrap();
    let file = metainfo.info().files().last().unwrap();
    location.of(file).to_string()
}

#[test]
fn a_single_file_is_where_the_url_says_or_below_it() {
    let file = single("a b.iso");
    assert_eq!(url(&file, "http://host/x.iso"), "http://host/x.iso");
    assert_eq!(url(&file, "http://host/get?id=7"), "http://host/get?id=7");
    assert_eq!(url(&file, "http://host/dir/"), "http://host/dir/a%20b.iso");
    assert_eq!(url(&file, "http://host"), "http://host/a%20b.iso");
}

#[test]
fn several_files_are_below_the_name_of_the_torrent() {
    for version in [Version::V1, Version::V2] {
        let builder = Builder::new(version);
        let files = [("sub dir/q?#%/ü+&.txt", &b"x"[..])];
        let torrent = builder.build_from_files("na me", files).unwrap();
        let path = "na%20me/sub%20dir/q%3F%23%25/%C3%BC%2B%26.txt";
        for (base, expected) in [
            ("http://host/files/", format!("http://host/files/{path}")),
            ("http://host/files", format!("http://host/files/{path}")),
            (
                "https://u:p@host:81/f/?k=1",
                format!("https://u:p@host:81/f/{path}?k=1"),
            ),
        ] {
            assert_eq!(url(&torrent, base), expected, "{version:?}");
        }
    }
}

#[test]
fn a_single_file_of_v2_is_one_as_well() {
    let file = Builder::new(Version::V2)
        .build_from_bytes("n", b"x")
        .unwrap();
    assert_eq!(url(&file, "http://host/there"), "http://host/there");
}

#[test]
fn what_is_no_web_seed_is_refused() {
    let parse = |text: &str| text.parse::<Location>().unwrap_err();
    let long = format!("http://host/{}", "x".repeat(MAX_URL_LENGTH));
    assert!(matches!(parse(&long), InvalidWebSeed::TooLong { .. }));
    assert!(matches!(parse("host/file"), InvalidWebSeed::Malformed(_)));
    assert!(matches!(
        parse("ftp://host/"),
        InvalidWebSeed::UnknownProtocol { .. }
    ));
}
