//! Resume data that somebody else made, or that a disk has damaged.

use std::sync::LazyLock;

use rarest_metainfo::Metainfo;
use rarest_piece_store::Resume;

/// Four pieces, the last of one byte.
pub(crate) static METAINFO: LazyLock<Metainfo> = LazyLock::new(|| {
    let head = b"d4:infod6:lengthi49153e4:name1:a12:piece lengthi16384e6:pieces80:";
    Metainfo::parse([head, &[b'a'; 80][..], b"ee"].concat()).expect("a torrent of four pieces")
});

/// It is refused, or read as something that can be written and read again.
pub(crate) fn resume_data_does_no_harm(bytes: &[u8]) {
    if let Ok(resume) = Resume::decode(bytes, &METAINFO) {
        let again = Resume::decode(&resume.encode(&METAINFO), &METAINFO);
        assert_eq!(again, Ok(resume));
    }
}
