//! What a handler is known by, and the search for it in a folder.
use std::{
    collections::{HashMap, HashSet},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::seal::archive::{Archive, Content, Entry};

/// Files of fewer bytes tell nothing: too many others are the same.
const MIN_BYTES: usize = 16;

/// The digests of a handler's files, by their sizes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Traces(HashMap<u64, HashSet<[u8; 32]>>);

/// What a search has come to.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// Files that were looked at.
    pub(super) files: usize,
    /// Those that are the handler's.
    pub(super) found: Vec<PathBuf>,
}

impl Traces {
    /// Of the author's files, and of what a build has made of them.
    #[must_use]
    pub fn of(archive: &Archive) -> Self {
        let mut traces = Self::default();
        let built = archive.places().ok().flatten().unwrap_or_default();
        let built = built.iter().flat_map(|place| place.entries.iter().copied());
        for Entry { content, .. } in archive.entries().chain(built) {
            if let Content::File(bytes) = content
                && bytes.len() >= MIN_BYTES
            {
                let digests = traces.0.entry(bytes.len() as u64).or_default();
                digests.insert(Sha256::digest(bytes).into());
            }
        }
        traces
    }

    /// How many files are looked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().map(HashSet::len).sum()
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks through all regular files below a folder, on its own filesystem. What goes away meanwhile is
    /// not there any more.
    pub(super) fn search(&self, root: &Path) -> io::Result<Search> {
        let device = fs::symlink_metadata(root)?.dev();
        let mut search = Search::default();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in gone(fs::read_dir(&folder))?.into_iter().flatten() {
                let path = entry?.path();
                let Some(status) = gone(fs::symlink_metadata(&path))? else {
                    continue;
                };
                if status.is_dir() && status.dev() == device {
                    folders.push(path);
                } else if status.is_file() {
                    search.files += 1;
                    if self.has(&path, status.len())? {
                        search.found.push(path);
                    }
                }
            }
        }
        Ok(search)
    }

    fn has(&self, path: &Path, size: u64) -> io::Result<bool> {
        let Some(digests) = self.0.get(&size) else {
            return Ok(false);
        };
        let Some(bytes) = gone(fs::read(path))? else {
            return Ok(false);
        };
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        Ok(digests.contains(&digest))
    }
}

fn gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::archive::{Built, BuiltFile, Survey};

    const SOURCE: &str = "package function, secret";
    const PROGRAM: &str = "the program of the handler";

    #[test]
    fn source_and_program_are_found_whatever_their_names() {
        let handler = tempfile::tempdir().unwrap();
        fs::write(handler.path().join("handler.go"), SOURCE).unwrap();
        fs::write(handler.path().join("tiny"), "x").unwrap();
        let program = BuiltFile {
            path: "/home/app/handler".into(),
            mode: 0o755,
            content: zeroize::Zeroizing::new(PROGRAM.into()),
        };
        let built = Built {
            files: vec![program],
            places: vec!["/home/app/handler".into()],
        };
        let archive = Survey::of(handler.path())
            .unwrap()
            .read_with(built)
            .unwrap();
        let traces = Traces::of(&archive);
        assert_eq!(traces.len(), 2);

        let root = tempfile::tempdir().unwrap();
        let planted = ["overlay2/a/diff/x", "tmp/y"].map(|path| root.path().join(path));
        for (path, text) in planted.iter().zip([SOURCE, PROGRAM]) {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::write(root.path().join("other"), SOURCE.to_uppercase()).unwrap();
        fs::write(root.path().join("tiny"), "x").unwrap();
        let mut search = traces.search(root.path()).unwrap();
        search.found.sort();
        assert_eq!((search.files, search.found), (4, planted.to_vec()));
    }
}
