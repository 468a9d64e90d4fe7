//! Names from torrents made safe: one component at a time, then told apart.
//!
//! A torrent names its files as it likes. What comes out of here is a name that every platform can hold and that cannot
//! lead out of its folder, so that the same torrent lies under the same names everywhere.

mod distinct;

pub(crate) use distinct::{DistinctPaths, named_components};
pub use distinct::{MAX_COLLISIONS, MAX_FOLDERS};

/// Longest name of a file or folder, in bytes. Linux file systems hold no longer one, and what fits here fits the 255
/// UTF-16 units of NTFS and APFS.
pub const MAX_COMPONENT_LENGTH: usize = 255;

/// Longest extension that is kept when a name is cut, in bytes with its dot. What is longer is no extension that any program knows.
const MAX_EXTENSION_LENGTH: usize = 32;

/// Names that Windows takes for devices in every folder.
const DEVICES: &[&str] = &["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// The same of names that have one digit behind them.
const NUMBERED_DEVICES: &[&str] = &["COM", "LPT"];

/// Stands for what cannot stay, and for a name of which nothing is left.
const REPLACEMENT: char = '_';

/// Makes one component of a path safe on every platform.
///
/// Invalid UTF-8 becomes U+FFFD; control characters, separators and `?<>"|*:` become `_`; bidi and zero-width characters
/// are cut, as are dots and spaces at the end; names that Windows reserves get a `_` in front; what is longer than
/// [`MAX_COMPONENT_LENGTH`] is cut before the extension. Never empty, never `.` or `..`; doing it twice changes nothing.
#[must_use]
pub fn safe_component(raw: &[u8]) -> String {
    let mut name: String = String::from_utf8_lossy(raw)
        .chars()
        .filter_map(safe_char)
        .collect();
    trim_end(&mut name);
    shorten(&mut name, MAX_COMPONENT_LENGTH);
    if is_reserved(&name) {
        name.insert(0, REPLACEMENT);
        shorten(&mut name, MAX_COMPONENT_LENGTH);
    }
    if name.is_empty() {
        name.push(REPLACEMENT);
    }
    name
}

/// Whether a component says "here", "up" or nothing: it names no file and is left out of paths.
pub(crate) fn is_navigation(raw: &[u8]) -> bool {
    matches!(raw, b"" | b"." | b"..")
}

fn safe_char(c: char) -> Option<char> {
    match c {
        '/' | '\\' | '?' | '<' | '>' | '"' | '|' | '*' | ':' => Some(REPLACEMENT),
        // Line and paragraph separator break a list of names as a line feed does.
        '\u{2028}' | '\u{2029}' => Some(REPLACEMENT),
        c if c.is_control() => Some(REPLACEMENT),
        c if is_invisible(c) => None,
        c => Some(c),
    }
}

/// Characters that change how a name looks without being seen: `gpj.exe` shown as `exe.jpg`.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' // bidi marks, embeddings, isolates
        | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}' // zero width
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' // interlinear marks, tags
    )
}

/// Windows drops dots and spaces at the end of a name, so two names would become one.
fn trim_end(name: &mut String) {
    name.truncate(name.trim_end_matches(['.', ' ']).len());
}

/// Whether Windows takes the name for a device, whatever its extension.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ');
    if DEVICES
        .iter()
        .any(|device| stem.eq_ignore_ascii_case(device))
    {
        return true;
    }
    let Some((port, number)) = stem.split_at_checked(3) else {
        return false;
    };
    NUMBERED_DEVICES
        .iter()
        .any(|device| port.eq_ignore_ascii_case(device))
        && matches!(
            number,
            "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"
        )
}

/// Cuts a name to `limit` bytes, in front of its extension.
fn shorten(name: &mut String, limit: usize) {
    if name.len() <= limit {
        return;
    }
    let (stem, extension) = split_extension(name);
    let mut end = limit - extension.len();
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    let mut short = format!("{}{extension}", &stem[..end]);
    trim_end(&mut short);
    *name = short;
}

/// A name as what stands before its extension, and the extension with its dot; one that is too long, alone or with a space is none.
fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.').map(|dot| name.split_at(dot)) {
        Some((stem, extension))
            if !stem.is_empty()
                && extension.len() <= MAX_EXTENSION_LENGTH
                && !extension.contains(' ') =>
        {
            (stem, extension)
        }
        _ => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_and_drive_letters_stay_inside_one_component() {
        for raw in [
            "/etc/passwd",
            "..\\..\\x",
            "C:\\x",
            "a/../../x",
            "\\\\host\\share",
        ] {
            let safe = safe_component(raw.as_bytes());
            assert!(!safe.contains(['/', '\\', ':']), "{raw} became {safe}");
        }
    }

    #[test]
    fn dots_and_nothing_become_a_name() {
        for raw in ["", ".", "..", "...", " ", ". .", "\u{200b}", "\u{202e}."] {
            assert_eq!(safe_component(raw.as_bytes()), "_");
        }
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        assert_eq!(safe_component(b"a\xffb"), "a\u{fffd}b");
    }

    #[test]
    fn control_bidi_and_zero_width_characters_are_cleaned() {
        assert_eq!(safe_component("a\0b\nc\u{7f}\u{85}".as_bytes()), "a_b_c__");
        assert_eq!(
            safe_component("\u{202e}gpj.exe\u{200b}\u{feff}".as_bytes()),
            "gpj.exe"
        );
        assert_eq!(
            safe_component("\u{2066}a\u{2069}\u{200e}\u{61c}b".as_bytes()),
            "ab"
        );
    }

    #[test]
    fn windows_devices_get_another_name() {
        for raw in [
            "CON",
            "con",
            "aux.txt",
            "NUL.tar.gz",
            "com1.log",
            "LPT9",
            "COM¹",
            "conin$",
            "con .txt",
        ] {
            assert_eq!(safe_component(raw.as_bytes()), format!("_{raw}"));
        }
        for raw in ["CONSOLE", "com10", "COM", "auxiliary", "nul_", "lpt"] {
            assert_eq!(safe_component(raw.as_bytes()), raw);
        }
    }

    #[test]
    fn a_device_that_appears_by_trimming_gets_another_name() {
        assert_eq!(safe_component(b"con. "), "_con");
        let long = format!("con{}x", " ".repeat(300));
        assert_eq!(safe_component(long.as_bytes()), "_con");
        assert_eq!(safe_component("c\u{200b}on".as_bytes()), "_con");
    }

    #[test]
    fn trailing_dots_and_spaces_are_cut_and_windows_characters_replaced() {
        assert_eq!(safe_component(b"dot. ."), "dot");
        assert_eq!(safe_component(b" leading"), " leading");
        assert_eq!(safe_component(br#"a?<>"|*:b"#), "a_______b");
    }

    #[test]
    fn a_long_name_keeps_its_extension() {
        let safe = safe_component(format!("{}.mkv", "x".repeat(300)).as_bytes());
        assert_eq!(safe.len(), MAX_COMPONENT_LENGTH);
        assert!(safe.ends_with("x.mkv"));
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let safe = safe_component(format!("{}.txt", "é".repeat(200)).as_bytes());
        assert!(safe.len() <= MAX_COMPONENT_LENGTH);
        assert!(safe.ends_with("é.txt"));
    }

    #[test]
    fn a_very_long_extension_is_none() {
        let safe = safe_component(format!("a.{}", "x".repeat(300)).as_bytes());
        assert_eq!(safe.len(), MAX_COMPONENT_LENGTH);
    }

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for raw in [
            "a.txt",
            ".hidden",
            "日本語.mkv",
            "e\u{301}",
            "a b",
            "x.tar.gz",
            "[Group] Show - 01 (1080p).mkv",
        ] {
            assert_eq!(safe_component(raw.as_bytes()), raw);
        }
    }

    proptest::proptest! {
        #[test]
        fn every_component_is_safe_and_stays_as_it_is(raw: Vec<u8>) {
            let safe = safe_component(&raw);
            proptest::prop_assert!(!is_navigation(safe.as_bytes()));
            proptest::prop_assert!(safe.len() <= MAX_COMPONENT_LENGTH);
            proptest::prop_assert!(!safe.contains(['/', '\\', '\0', ':']));
            proptest::prop_assert_eq!(safe_component(safe.as_bytes()), safe);
        }

        #[test]
        fn every_text_is_safe_and_stays_as_it_is(raw in "(\\PC|[ ./\\\\:\u{200b}\u{202e}]){0,300}(con|aux|\\.|\\. )?") {
            let safe = safe_component(raw.as_bytes());
            proptest::prop_assert!(!is_navigation(safe.as_bytes()));
            proptest::prop_assert!(safe.len() <= MAX_COMPONENT_LENGTH);
            proptest::prop_assert_eq!(safe_component(safe.as_bytes()), safe);
        }
    }
}
