//! What a build has made of the author's files, sealed beside them: for functions whose container
//! runs something else than the source.
//!
//! In the archive it lies in the folder [`RESERVED`], which no handler folder may have: the files below
//! `built/`, each under its path in the container, and `places`, the paths over which they are
//! delivered.
use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{
    Archive, ArchiveError, Content, Entry,
    found::{Found, FoundKind},
};

/// The folder, at the top of the archive.
pub(super) const RESERVED: &str = ".rsfaas";
const FILES: &str = ".rsfaas/built";
const PLACES: &str = ".rsfaas/places";

/// A file that a build has made. Holds plaintext: no `Debug`.
pub struct BuiltFile {
    /// Its absolute path in the container.
    pub path: PathBuf,
    /// Permission bits, nine of them.
    pub mode: u32,
    /// Its content.
    pub content: Zeroizing<Vec<u8>>,
}

/// All that a build has made of a handler.
pub struct Built {
    /// The files.
    pub files: Vec<BuiltFile>,
    /// Where they are delivered: files, and folders that hold nothing else. The last is the one that the
    /// parked process watches.
    pub places: Vec<PathBuf>,
}

/// One place of a container, and what is delivered there.
pub struct BuiltPlace<'a> {
    /// Its absolute path in the container.
    pub path: &'a Path,
    /// One file of any path where the place is a file; else everything in the folder.
    pub entries: Vec<Entry<'a>>,
    /// Whether the place is a folder.
    pub is_folder: bool,
}

impl Built {
    /// The entries that the archive has of it, not sorted.
    pub(super) fn into_found(self) -> Result<Vec<Found>, ArchiveError> {
        let mut list = Vec::new();
        for place in &self.places {
            let bytes = place.as_os_str().as_bytes();
            if !place.is_absolute() || bytes.contains(&b'\n') {
                return Err(bad(place));
            }
            list.extend_from_slice(bytes);
            list.push(b'\n');
        }
        let folder = |path: &Path| Found {
            path: path.to_owned(),
            mode: 0o755,
            kind: FoundKind::Folder,
        };
        let file = |path, mode, content| Found {
            path,
            mode,
            kind: FoundKind::Content(content),
        };
        let mut found = vec![folder(Path::new(RESERVED)), folder(Path::new(FILES))];
        found.push(file(PLACES.into(), 0o644, Zeroizing::new(list)));
        let mut folders = std::collections::BTreeSet::new();
        for built in self.files {
            let relative = built.path.strip_prefix("/").map_err(|_| bad(&built.path))?;
            let path = Path::new(FILES).join(relative);
            folders.extend(
                path.ancestors()
                    .skip(1)
                    .take_while(|above| *above != Path::new(FILES))
                    .map(Path::to_owned),
            );
            found.push(file(path, built.mode & 0o777, built.content));
        }
        found.extend(folders.iter().map(|path| folder(path)));
        Ok(found)
    }
}

impl Archive {
    /// What a build has made of the handler, by place; `None` where the source itself is delivered.
    ///
    /// # Errors
    /// When a place is not in the archive.
    pub fn places(&self) -> Result<Option<Vec<BuiltPlace<'_>>>, ArchiveError> {
        let Some(list) = self
            .built
            .iter()
            .find(|item| item.path == Path::new(PLACES))
        else {
            return Ok(None);
        };
        let Content::File(list) = self.entry(list).content else {
            return Err(bad(Path::new(PLACES)));
        };
        list.split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| self.place_at(Path::new(OsStr::from_bytes(line))))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    fn place_at<'a>(&'a self, path: &'a Path) -> Result<BuiltPlace<'a>, ArchiveError> {
        let relative = path.strip_prefix("/").map_err(|_| bad(path))?;
        let root = Path::new(FILES).join(relative);
        let mut entries: Vec<Entry<'_>> = self
            .built
            .iter()
            .filter(|item| item.path.starts_with(&root))
            .map(|item| self.entry(item))
            .collect();
        let first = entries.first().ok_or_else(|| bad(path))?;
        let is_folder = first.content == Content::Folder;
        if is_folder {
            entries.remove(0);
            for entry in &mut entries {
                entry.path = entry.path.strip_prefix(&root).map_err(|_| bad(path))?;
            }
        }
        Ok(BuiltPlace {
            path,
            entries,
            is_folder,
        })
    }
}

fn bad(path: &Path) -> ArchiveError {
    ArchiveError::Invalid(format!(
        "{} is no place for what a build has made",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::seal::archive::Survey;

    fn built(path: &str, mode: u32, content: &str) -> BuiltFile {
        BuiltFile {
            path: path.into(),
            mode,
            content: Zeroizing::new(content.into()),
        }
    }

    /// A handler of one file, with what a build has made of it.
    fn archive(files: Vec<BuiltFile>, places: &[&str]) -> Archive {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("handler.go"), "package function\n").unwrap();
        let places = places.iter().map(PathBuf::from).collect();
        Survey::of(folder.path())
            .unwrap()
            .read_with(Built { files, places })
            .unwrap()
    }

    #[test]
    fn built_files_are_told_by_their_places_and_not_among_the_authors() {
        let archive = archive(
            vec![
                built("/home/app/static/a/b.html", 0o644, "b"),
                built("/home/app/static/a.html", 0o600, "a"),
                built("/home/app/handler", 0o755, "program"),
            ],
            &["/home/app/static", "/home/app/handler"],
        );
        let names: Vec<_> = archive.entries().map(|entry| entry.path).collect();
        assert_eq!(names, [Path::new("handler.go")]);
        let places = archive.places().unwrap().unwrap();
        assert_eq!(places.len(), 2);
        assert!(places[0].is_folder && !places[1].is_folder);
        let paths: Vec<_> = places[0].entries.iter().map(|entry| entry.path).collect();
        assert_eq!(paths, ["a", "a.html", "a/b.html"].map(Path::new));
        let program = places[1].entries[0];
        assert_eq!(program.mode, 0o755);
        assert!(program.content == Content::File(b"program"));
        let again = Archive::parse(Zeroizing::new(archive.as_tar().to_vec())).unwrap();
        assert_eq!(again.places().unwrap().unwrap().len(), 2);
    }

    #[test]
    fn a_handler_without_a_build_has_no_places() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("handler.py"), "").unwrap();
        let archive = Survey::of(folder.path()).unwrap().read().unwrap();
        assert!(archive.places().unwrap().is_none());
    }

    #[test]
    fn a_place_that_holds_nothing_is_refused() {
        let archive = archive(vec![built("/a", 0o644, "")], &["/b"]);
        assert!(matches!(
            archive.places().err(),
            Some(ArchiveError::Invalid(_))
        ));
    }

    #[test]
    fn a_handler_folder_with_the_reserved_name_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(RESERVED)).unwrap();
        let error = Survey::of(folder.path()).err().unwrap();
        assert!(error.to_string().contains(".rsfaas"), "{error}");
    }
}
