//! Paths made safe and told apart: no two files under one name, no file where a folder must be.

use std::collections::HashMap;

use super::{MAX_COMPONENT_LENGTH, is_navigation, safe_component, shorten, split_extension};
use crate::MetainfoError;

/// Most names that may have to be changed because another has them. Honest torrents have a handful; libtorrent stops at the same number.
pub const MAX_COLLISIONS: u32 = 500;

/// Most folders that a torrent may have. A torrent can name one with three bytes, and each costs some hundred in memory until all
/// paths are known; honest torrents have at most one for each of some 100,000 files.
pub const MAX_FOLDERS: u32 = 500_000;

/// A folder of the tree; the first is the torrent's root.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Folder(u32);

const ROOT: Folder = Folder(0);

enum Entry {
    File,
    Folder(Folder),
}

/// A folder on the way to the file that was added last.
struct OpenFolder {
    /// Its name as the torrent has it.
    raw: Box<[u8]>,
    folder: Folder,
    /// Bytes of its path, with a `/` behind it.
    path_length: usize,
}

/// Gives out paths that are safe, and differ also for those who don't tell upper from lower case.
///
/// Every folder is a node of one tree. The folders that a file shares with the file before it cost no more than a comparison, so
/// that many files in a deep folder, whose paths are far longer than the torrent, take time in proportion to the torrent.
pub(crate) struct DistinctPaths {
    /// What stands under a name in a folder; the name with its case [folded](fold_case).
    entries: HashMap<(Folder, String), Entry>,
    /// The folders whose name had to be changed, as they were asked for with their case folded: what they are called, and which they are.
    renamed_folders: HashMap<(Folder, String), (String, Folder)>,
    open: Vec<OpenFolder>,
    /// The path of the innermost open folder, with a `/` behind it.
    path: String,
    folder_count: u32,
    collisions: u32,
    /// The next number to try; never used twice, so that all searches together are linear in the number of names.
    next_suffix: u32,
}

impl DistinctPaths {
    pub(crate) fn new() -> Self {
        Self {
            entries: HashMap::new(),
            renamed_folders: HashMap::new(),
            open: Vec::new(),
            path: String::new(),
            folder_count: 1,
            collisions: 0,
            next_suffix: 1,
        }
    }

    /// The path of a file whose raw path is `raw`: its components made safe and joined with `/`, changed where others have them already.
    pub(crate) fn add_file(&mut self, raw: &[&[u8]]) -> Result<String, MetainfoError> {
        let named: Vec<&[u8]> = named_components(raw).collect();
        let (name, folders) = named
            .split_last()
            .map_or((&b""[..], &[][..]), |(name, folders)| (*name, folders));
        let parent = self.enter_all(folders)?;
        let name = safe_component(name);
        let key = (parent, fold_case(&name));
        let (name, key) = if self.entries.contains_key(&key) {
            self.free_name(parent, &name)?
        } else {
            (name, key)
        };
        self.entries.insert(key, Entry::File);
        Ok(format!("{}{name}", self.path))
    }

    /// Leaves the folders that are not on the way, and enters those that are.
    fn enter_all(&mut self, folders: &[&[u8]]) -> Result<Folder, MetainfoError> {
        let shared = self
            .open
            .iter()
            .zip(folders)
            .take_while(|(open, raw)| *open.raw == ***raw)
            .count();
        self.open.truncate(shared);
        let (mut parent, length) = self
            .open
            .last()
            .map_or((ROOT, 0), |open| (open.folder, open.path_length));
        self.path.truncate(length);
        for &raw in &folders[shared..] {
            parent = self.enter(parent, &safe_component(raw))?;
            self.path.push('/');
            self.open.push(OpenFolder {
                raw: raw.into(),
                folder: parent,
                path_length: self.path.len(),
            });
        }
        Ok(parent)
    }

    fn enter(&mut self, parent: Folder, name: &str) -> Result<Folder, MetainfoError> {
        let key = (parent, fold_case(name));
        if let Some((renamed, folder)) = self.renamed_folders.get(&key) {
            self.path.push_str(renamed);
            return Ok(*folder);
        }
        match self.entries.get(&key) {
            Some(Entry::Folder(folder)) => {
                self.path.push_str(name);
                Ok(*folder)
            }
            Some(Entry::File) => {
                let (free, free_key) = self.free_name(parent, name)?;
                self.path.push_str(&free);
                let folder = self.new_folder(free_key)?;
                self.renamed_folders.insert(key, (free, folder));
                Ok(folder)
            }
            None => {
                self.path.push_str(name);
                self.new_folder(key)
            }
        }
    }

    fn new_folder(&mut self, key: (Folder, String)) -> Result<Folder, MetainfoError> {
        if self.folder_count > MAX_FOLDERS {
            return Err(MetainfoError::TooManyFolders);
        }
        let folder = Folder(self.folder_count);
        self.folder_count += 1;
        self.entries.insert(key, Entry::Folder(folder));
        Ok(folder)
    }

    /// A name like `name`, with a number in front of the extension, that nothing in the folder has.
    fn free_name(
        &mut self,
        parent: Folder,
        name: &str,
    ) -> Result<(String, (Folder, String)), MetainfoError> {
        self.collisions += 1;
        if self.collisions > MAX_COLLISIONS {
            return Err(MetainfoError::TooManyCollisions);
        }
        let (stem, extension) = split_extension(name);
        loop {
            let ending = format!(".{}{extension}", self.next_suffix);
            self.next_suffix += 1;
            let mut free = stem.to_owned();
            shorten(&mut free, MAX_COMPONENT_LENGTH - ending.len());
            // What is left of a name that was cut may be that of a device.
            let free = safe_component((free + &ending).as_bytes());
            let key = (parent, fold_case(&free));
            if !self.entries.contains_key(&key) && !self.renamed_folders.contains_key(&key) {
                return Ok((free, key));
            }
        }
    }
}

/// The components of a raw path that name something: those that say "here", "up" or nothing are left out.
pub(crate) fn named_components<'a>(raw: &[&'a [u8]]) -> impl Iterator<Item = &'a [u8]> {
    raw.iter()
        .copied()
        .filter(|component| !is_navigation(component))
}

/// A name as file systems compare it that do not tell upper from lower case.
///
/// Lower case first, since some letters (ẞ) are the upper case of none; then upper case, which joins those of one letter (σ and ς).
/// File systems map letters to single letters, so that ß does not become SS.
fn fold_case(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_uppercase();
    }
    name.chars()
        .flat_map(char::to_lowercase)
        .map(|lower| {
            let mut upper = lower.to_uppercase();
            upper.next().filter(|_| upper.len() == 0).unwrap_or(lower)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distinct(paths: &[&str]) -> Vec<String> {
        let mut distinct = DistinctPaths::new();
        paths
            .iter()
            .map(|path| {
                let components: Vec<_> = path.split('/').map(str::as_bytes).collect();
                distinct.add_file(&components).unwrap()
            })
            .collect()
    }

    #[test]
    fn different_paths_stay_as_they_are() {
        assert_eq!(
            distinct(&["a/x", "a/y", "b/x", "x"]),
            ["a/x", "a/y", "b/x", "x"]
        );
    }

    #[test]
    fn the_same_path_twice_gets_a_number_before_its_extension() {
        assert_eq!(
            distinct(&["a/x.txt", "a/x.txt", "a/x.txt"]),
            ["a/x.txt", "a/x.1.txt", "a/x.2.txt"]
        );
    }

    #[test]
    fn names_that_differ_in_case_only_are_told_apart() {
        assert_eq!(
            distinct(&["Readme", "README", "É", "é"]),
            ["Readme", "README.1", "É", "é.2"]
        );
    }

    #[test]
    fn files_in_folders_that_differ_in_case_only_are_told_apart() {
        assert_eq!(distinct(&["Dir/x", "dir/x"]), ["Dir/x", "dir/x.1"]);
    }

    #[test]
    fn a_folder_named_as_a_file_gets_one_other_name_for_all_its_files() {
        assert_eq!(distinct(&["a", "a/b", "a/c"]), ["a", "a.1/b", "a.1/c"]);
    }

    #[test]
    fn a_file_named_as_a_folder_gets_another_name() {
        assert_eq!(distinct(&["a/b", "a"]), ["a/b", "a.1"]);
    }

    #[test]
    fn a_number_that_is_taken_is_passed_over() {
        assert_eq!(
            distinct(&["a", "a.1", "a", "a.1"]),
            ["a", "a.1", "a.2", "a.3.1"]
        );
    }

    #[test]
    fn more_collisions_than_the_limit_are_refused() {
        let name = [&b"x"[..]];
        let mut distinct = DistinctPaths::new();
        for _ in 0..=MAX_COLLISIONS {
            distinct.add_file(&name).unwrap();
        }
        assert_eq!(
            distinct.add_file(&name),
            Err(MetainfoError::TooManyCollisions)
        );
    }

    #[test]
    fn more_folders_than_the_limit_are_refused() {
        let path = vec![&b"a"[..]; MAX_FOLDERS as usize + 1];
        assert!(DistinctPaths::new().add_file(&path).is_ok());
        let path = vec![&b"a"[..]; MAX_FOLDERS as usize + 2];
        assert_eq!(
            DistinctPaths::new().add_file(&path),
            Err(MetainfoError::TooManyFolders)
        );
    }

    #[test]
    fn a_folder_that_was_left_is_found_again() {
        assert_eq!(
            distinct(&["a", "a/b/x", "c", "a/b/y", "a/z", "A/b/x"]),
            ["a", "a.1/b/x", "c", "a.1/b/y", "a.1/z", "a.1/b/x.2"]
        );
    }

    #[test]
    fn letters_with_several_lower_cases_are_one_letter() {
        assert_eq!(
            distinct(&["ΟΔΟΣ", "οδος", "οδοσ", "ẞ", "ß"]),
            ["ΟΔΟΣ", "οδος.1", "οδοσ.2", "ẞ", "ß.3"]
        );
    }

    #[test]
    fn letters_that_only_look_alike_stay_as_they_are() {
        let paths = ["ß", "ss", "ﬁ", "fi", "é", "e\u{301}", "і", "i"];
        assert_eq!(distinct(&paths), paths);
    }

    #[test]
    fn a_name_cut_for_its_number_is_no_device() {
        let name = format!("con{}x", " ".repeat(251));
        assert_eq!(distinct(&[&name, &name])[1], "_con.1");
    }

    #[test]
    fn a_long_name_with_a_number_keeps_within_the_limit() {
        let name = format!("{}.mkv", "x".repeat(251));
        let paths = distinct(&[&name, &name]);
        assert_eq!(paths[1].len(), MAX_COMPONENT_LENGTH);
        assert!(paths[1].ends_with("x.1.mkv"));
    }

    proptest::proptest! {
        #[test]
        fn no_path_is_given_out_twice_nor_below_a_file(
            paths in proptest::collection::vec(proptest::collection::vec("[aA]|a\\.[1-3]|b", 1..4), 1..40),
        ) {
            let mut distinct = DistinctPaths::new();
            let mut given: Vec<String> = Vec::new();
            for components in &paths {
                let components: Vec<_> = components.iter().map(String::as_bytes).collect();
                let path = distinct.add_file(&components).unwrap().to_lowercase();
                for earlier in &given {
                    proptest::prop_assert_ne!(earlier, &path);
                    let below = format!("{earlier}/");
                    proptest::prop_assert!(!path.starts_with(&below));
                    let below = format!("{path}/");
                    proptest::prop_assert!(!earlier.starts_with(&below));
                }
                given.push(path);
            }
        }
    }
}
