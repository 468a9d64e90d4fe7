//! The files of `tests/fixtures`.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

pub(crate) fn read(name: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", name]
        .iter()
        .collect();
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The entries of a JSON file that holds a list.
pub(crate) fn entries(name: &str) -> Vec<Value> {
    serde_json::from_slice(&read(name)).unwrap()
}

/// A field that is a text.
pub(crate) fn text<'a>(entry: &'a Value, field: &str) -> &'a str {
    entry[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} of {entry}"))
}

/// A field that is a number.
pub(crate) fn number(entry: &Value, field: &str) -> u64 {
    entry[field]
        .as_u64()
        .unwrap_or_else(|| panic!("{field} of {entry}"))
}

/// A list of texts; an absent one is empty.
pub(crate) fn texts(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

/// Whether good readers differ about the field.
pub(crate) fn is_open(entry: &Value, field: &str) -> bool {
    texts(&entry["not_compared"]).contains(&field)
}
