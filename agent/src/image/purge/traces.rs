//! What a handler is known by, and the search for it in a folder.
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::{
    not_found::ignore_not_found,
    seal::archive::{Archive, Content, Entry},
};

/// Files of fewer bytes tell nothing: too many others are the same.
const MIN_BYTES: usize = 16;

/// SHA-256 of a file's content.
type ContentDigest = [u8; 32];

/// The digests of a handler's files, by their sizes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Traces(HashMap<u64, HashSet<ContentDigest>>);

/// What a search has come to.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// Files that were looked at.
    pub(super) files: usize,
    /// How many contents were looked for.
    pub(super) contents: usize,
    /// The files that are the handler's.
    pub(super) found: BTreeMap<PathBuf, ContentDigest>,
}

impl Search {
    /// Passes over every content that one of these files has: it is no secret, wherever else it is.
    pub(super) fn pass_over(&mut self, open: impl Fn(&Path) -> bool) {
        let found = self.found.iter().filter(|(path, _)| open(path));
        let known: HashSet<ContentDigest> = found.map(|(_, digest)| *digest).collect();
        self.found.retain(|_, digest| !known.contains(digest));
        self.contents -= known.len();
    }
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

    /// Looks through all regular files below a folder. The folders in it may be file systems of their own, as where volumes
    /// have a disk; what is mounted further down is what containers see of the same files. What goes away meanwhile is not
    /// there any more.
    pub(super) fn search(&self, root: &Path) -> io::Result<Search> {
        let device = fs::metadata(root)?.dev();
        let mut search = Search {
            contents: self.len(),
            ..Search::default()
        };
        let mut folders = vec![(root.to_owned(), device)];
        while let Some((folder, device)) = folders.pop() {
            let is_root = folder == root;
            for entry in ignore_not_found(fs::read_dir(&folder))?
                .into_iter()
                .flatten()
            {
                let path = entry?.path();
                let Some(status) = ignore_not_found(fs::symlink_metadata(&path))? else {
                    continue;
                };
                if status.is_dir() && (is_root || status.dev() == device) {
                    folders.push((path, status.dev()));
                } else if status.is_file() {
                    search.files += 1;
                    if let Some(digest) = self.digest(&path, status.len())? {
                        search.found.insert(path, digest);
                    }
                }
            }
        }
        Ok(search)
    }

    /// A file's digest, where the handler has it, too.
    fn digest(&self, path: &Path, size: u64) -> io::Result<Option<ContentDigest>> {
        let Some(digests) = self.0.get(&size) else {
            return Ok(None);
        };
        let Some(bytes) = ignore_not_found(fs::read(path))? else {
            return Ok(None);
        };
        let digest = Sha256::digest(bytes).into();
        Ok(digests.contains(&digest).then_some(digest))
    }
}

#[cfg(test)]
mod tests {
    use nix::mount::{MsFlags, mount};

    use super::*;
    use crate::{
        little_memory::with_little_memory,
        seal::archive::{Built, BuiltFile, Survey},
    };

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
        let search = traces.search(root.path()).unwrap();
        assert_eq!((search.files, search.contents), (4, 2));
        assert!(search.found.keys().eq(&planted));
    }

    #[test]
    fn a_folder_with_a_disk_of_its_own_is_searched_and_what_containers_have_mounted_is_not() {
        let handler = tempfile::tempdir().unwrap();
        fs::write(handler.path().join("handler.py"), SOURCE).unwrap();
        let traces = Traces::of(&Survey::of(handler.path()).unwrap().read().unwrap());
        with_little_memory("64k", |root| {
            let [volumes, shm] = ["volumes", "containers/a/shm"].map(|path| root.join(path));
            for place in [&volumes, &shm] {
                fs::create_dir_all(place).unwrap();
                let kind = Some("tmpfs");
                mount(kind, place, kind, MsFlags::empty(), None::<&str>).unwrap();
                fs::write(place.join("x"), SOURCE).unwrap();
            }
            let search = traces.search(root).unwrap();
            assert!(search.found.keys().eq([&volumes.join("x")]));
        });
    }

    #[test]
    fn what_the_base_has_is_passed_over_wherever_it_is() {
        let handler = tempfile::tempdir().unwrap();
        for (name, text) in [("handler_test.py", SOURCE), ("handler.py", PROGRAM)] {
            fs::write(handler.path().join(name), text).unwrap();
        }
        let traces = Traces::of(&Survey::of(handler.path()).unwrap().read().unwrap());
        let root = tempfile::tempdir().unwrap();
        for folder in ["base", "other"] {
            fs::create_dir(root.path().join(folder)).unwrap();
            fs::write(root.path().join(folder).join("x"), SOURCE).unwrap();
        }
        let secret = root.path().join("other/y");
        fs::write(&secret, PROGRAM).unwrap();
        let mut search = traces.search(root.path()).unwrap();
        assert_eq!((search.contents, search.found.len()), (2, 3));
        search.pass_over(|path| path.starts_with(root.path().join("base")));
        assert_eq!(search.contents, 1);
        assert!(search.found.keys().eq([&secret]));
    }
}
