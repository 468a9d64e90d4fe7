//! Paths told apart: no two files under one name, no file where a folder must be.

use std::collections::HashMap;

use super::{MAX_COMPONENT_LENGTH, shorten, split_extension};

/// Most names that may have to be changed because another has them. Honest torrents have a handful; libtorrent stops at the same number.
pub const MAX_COLLISIONS: u32 = 500;

/// More than [`MAX_COLLISIONS`] names collide.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooManyCollisions;

/// A folder of the tree; the first is the torrent's root.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Folder(u32);

enum Entry {
    File,
    Folder(Folder),
}

/// Gives out paths that differ also for those who don't tell upper from lower case.
///
/// Memory and time are linear in the number of components given, because every folder is a node of one tree.
pub(crate) struct DistinctPaths {
    /// What stands under a name in a folder; the name in lower case.
    entries: HashMap<(Folder, String), Entry>,
    /// The folders whose name had to be changed, as they were asked for in lower case: what they are called, and which they are.
    renamed_folders: HashMap<(Folder, String), (String, Folder)>,
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
            folder_count: 1,
            collisions: 0,
            next_suffix: 1,
        }
    }

    /// The path of a file: `components` (safe ones, at least one) joined with `/`, changed where others have them already.
    pub(crate) fn add_file(&mut self, components: &[String]) -> Result<String, TooManyCollisions> {
        let (name, folders) = components.split_last().expect("a path has a component");
        let mut path = String::with_capacity(components.iter().map(|c| c.len() + 1).sum());
        let mut parent = Folder(0);
        for folder in folders {
            parent = self.enter(parent, folder, &mut path)?;
            path.push('/');
        }
        let key = (parent, name.to_lowercase());
        if self.entries.contains_key(&key) {
            let (free, key) = self.free_name(parent, name)?;
            self.entries.insert(key, Entry::File);
            path.push_str(&free);
        } else {
            self.entries.insert(key, Entry::File);
            path.push_str(name);
        }
        Ok(path)
    }

    fn enter(
        &mut self,
        parent: Folder,
        name: &str,
        path: &mut String,
    ) -> Result<Folder, TooManyCollisions> {
        let key = (parent, name.to_lowercase());
        if let Some((renamed, folder)) = self.renamed_folders.get(&key) {
            path.push_str(renamed);
            return Ok(*folder);
        }
        match self.entries.get(&key) {
            Some(Entry::Folder(folder)) => {
                path.push_str(name);
                Ok(*folder)
            }
            Some(Entry::File) => {
                let (free, free_key) = self.free_name(parent, name)?;
                path.push_str(&free);
                let folder = self.new_folder(free_key);
                self.renamed_folders.insert(key, (free, folder));
                Ok(folder)
            }
            None => {
                path.push_str(name);
                Ok(self.new_folder(key))
            }
        }
    }

    fn new_folder(&mut self, key: (Folder, String)) -> Folder {
        let folder = Folder(self.folder_count);
        self.folder_count += 1;
        self.entries.insert(key, Entry::Folder(folder));
        folder
    }

    /// A name like `name`, with a number in front of the extension, that nothing in the folder has.
    fn free_name(
        &mut self,
        parent: Folder,
        name: &str,
    ) -> Result<(String, (Folder, String)), TooManyCollisions> {
        self.collisions += 1;
        if self.collisions > MAX_COLLISIONS {
            return Err(TooManyCollisions);
        }
        let (stem, extension) = split_extension(name);
        loop {
            let ending = format!(".{}{extension}", self.next_suffix);
            self.next_suffix += 1;
            let mut free = stem.to_owned();
            shorten(&mut free, MAX_COMPONENT_LENGTH - ending.len());
            free.push_str(&ending);
            let key = (parent, free.to_lowercase());
            if !self.entries.contains_key(&key) && !self.renamed_folders.contains_key(&key) {
                return Ok((free, key));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distinct(paths: &[&str]) -> Vec<String> {
        let mut distinct = DistinctPaths::new();
        paths
            .iter()
            .map(|path| {
                let components: Vec<_> = path.split('/').map(str::to_owned).collect();
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
        let name = ["x".to_owned()];
        let mut distinct = DistinctPaths::new();
        for _ in 0..=MAX_COLLISIONS {
            distinct.add_file(&name).unwrap();
        }
        assert_eq!(distinct.add_file(&name), Err(TooManyCollisions));
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
                let path = distinct.add_file(components).unwrap().to_lowercase();
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
