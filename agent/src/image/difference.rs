//! What one image has that another one has not: file by file, by content.
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::{self, Read},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use tar::EntryType;
use zeroize::Zeroizing;

use crate::seal::archive::{self, Archive};

/// So much of an image may be somebody's handler, in bytes: at each unlock it is held in memory, twice.
const MAX_SECRET: u64 = 256 << 20;
/// Files that every container has, written by the engine.
const ENGINES: [&str; 5] = [
    "/.dockerenv",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/mtab",
    "/etc/resolv.conf",
];

/// A file, folder or link of an image, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) user: u64,
    pub(super) group: u64,
}

/// What it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    /// A regular file, by its content's SHA-256.
    File([u8; 32]),
    Link(PathBuf),
    Other,
}

/// All files of an image, by absolute path.
#[derive(Debug, Default)]
pub(super) struct Tree(pub(super) BTreeMap<PathBuf, Node>);

/// A file with its content. Holds plaintext: no `Debug`.
pub(super) struct Content {
    pub(super) node: Node,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

/// What an image has and a base has not.
#[derive(Default)]
pub(super) struct Difference {
    /// Regular files whose content is not the base's.
    pub(super) secret: BTreeMap<PathBuf, Content>,
    /// Regular files with the base's content, and another mode or owner.
    pub(super) changed: BTreeMap<PathBuf, Content>,
    /// Folders and links that the base has not, or not so.
    pub(super) frame: BTreeMap<PathBuf, Node>,
    /// What cannot be delivered, and why.
    pub(super) refused: Option<String>,
}

impl Tree {
    /// Reads an image's files.
    pub(super) fn read(archive: impl Read) -> io::Result<Self> {
        let mut tree = Self::default();
        walk(archive, |path, found| {
            tree.0.insert(path, found.node);
        })?;
        Ok(tree)
    }

    /// Reads another image's files, and keeps what this one has not.
    pub(super) fn difference(&self, archive: impl Read) -> io::Result<Difference> {
        self.difference_within(MAX_SECRET, archive)
    }

    /// Reads another image's files, and keeps what this one has not, of that many bytes at most.
    fn difference_within(&self, most: u64, archive: impl Read) -> io::Result<Difference> {
        let mut difference = Difference::default();
        let mut total = 0_u64;
        walk(archive, |path, found| {
            if total <= most && self.0.get(&path) != Some(&found.node) {
                total += found.bytes.len() as u64;
                let base = self.0.get(&path).map(|node| &node.kind);
                difference.note(path, found, base);
            }
        })?;
        if total > most {
            difference.refused = Some(format!(
                "more than {} MiB of its image are the handler's; have dependencies installed before the handler is \
                 copied",
                most >> 20
            ));
        }
        Ok(difference)
    }
}

impl Difference {
    /// Whether the difference is nothing but the author's files, as they are, in a folder of the image.
    pub(super) fn is_source(&self, folder: &Path, source: &Archive) -> bool {
        let own = |path: &Path| path.strip_prefix(folder).ok().and_then(|it| source.get(it));
        let is_own_file = |(path, content): (&PathBuf, &Content)| {
            own(path).is_some_and(|entry| {
                entry.content == archive::Content::File(&content.bytes)
                    && entry.mode == content.node.mode
            })
        };
        // The base has the manifests already.
        let is_manifest = |path: &Path| {
            path.parent() == Some(folder) && path.file_name().is_some_and(archive::is_manifest)
        };
        let is_own_node = |(path, node): (&PathBuf, &Node)| match (&node.kind, own(path)) {
            (Kind::Folder, Some(entry)) => entry.content == archive::Content::Folder,
            (Kind::Link(to), Some(entry)) => entry.content == archive::Content::Link(to),
            _ => false,
        };
        let mut changed = self.changed.iter();
        self.refused.is_none()
            && self.secret.iter().all(is_own_file)
            && changed.all(|file| is_manifest(file.0) || is_own_file(file))
            && self.frame.iter().all(is_own_node)
    }

    fn note(&mut self, path: PathBuf, found: Found, base: Option<&Kind>) {
        let Found {
            node,
            bytes,
            is_special,
            link_to,
        } = found;
        let bytes = match link_to.map(|target| self.secret.get(&target)) {
            None => bytes,
            Some(Some(linked)) => linked.bytes.clone(),
            Some(None) => return self.refuse(&path, "is another name of a file of the base"),
        };
        match (&node.kind, base) {
            (Kind::Folder | Kind::Link(_), _) => {
                self.frame.insert(path, node);
            }
            (Kind::Other, _) => self.refuse(&path, "is neither file, folder nor link"),
            (kind, Some(base)) if kind == base => {
                self.changed.insert(path, Content { node, bytes });
            }
            _ if is_special => {
                self.refuse(&path, "has special rights, which no delivered file has");
            }
            (_, Some(Kind::Folder | Kind::Link(_) | Kind::Other)) => {
                self.refuse(&path, "takes the place of something else than a file");
            }
            (Kind::File(_), Some(Kind::File(_)) | None) => {
                self.secret.insert(path, Content { node, bytes });
            }
        }
    }

    fn refuse(&mut self, path: &Path, why: &str) {
        self.refused
            .get_or_insert_with(|| format!("{} {why}", path.display()));
    }
}

/// An entry of an archive. Holds plaintext: no `Debug`.
struct Found {
    node: Node,
    bytes: Zeroizing<Vec<u8>>,
    /// Whether the entry has rights that a mount without set-user-ID takes away.
    is_special: bool,
    /// For another name of a file that was there before, that file.
    link_to: Option<PathBuf>,
}

fn walk(archive: impl Read, mut each: impl FnMut(PathBuf, Found)) -> io::Result<()> {
    let mut digests = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let path = absolute(&entry.path_bytes());
        if ENGINES.iter().any(|own| path == Path::new(own)) {
            continue;
        }
        let target = entry.link_name_bytes().unwrap_or_default().into_owned();
        let kind = entry.header().entry_type();
        let mut bytes = Zeroizing::default();
        let mut link_to = None;
        let kind = match kind {
            EntryType::Regular | EntryType::Continuous => {
                let size = usize::try_from(entry.size()).map_err(io::Error::other)?;
                bytes = Zeroizing::new(vec![0; size]);
                entry.read_exact(&mut bytes)?;
                Kind::File(Sha256::digest(&*bytes).into())
            }
            EntryType::Link => {
                let target = absolute(&target);
                let digest = digests.get(&target).copied();
                link_to = Some(target);
                digest.map_or(Kind::Other, Kind::File)
            }
            EntryType::Directory => Kind::Folder,
            EntryType::Symlink => Kind::Link(PathBuf::from(OsStr::from_bytes(&target))),
            _ => Kind::Other,
        };
        if let Kind::File(digest) = kind {
            digests.insert(path.clone(), digest);
        }
        let node = Node {
            kind,
            mode: entry.header().mode()? & 0o7777,
            user: entry.header().uid()?,
            group: entry.header().gid()?,
        };
        let mut is_special = node.mode & 0o6000 != 0;
        for extension in entry.pax_extensions()?.into_iter().flatten() {
            is_special |= extension?.key_bytes() == b"SCHILY.xattr.security.capability";
        }
        let found = Found {
            node,
            bytes,
            is_special,
            link_to,
        };
        each(path, found);
    }
    Ok(())
}

/// A path of the archive as the container sees it.
fn absolute(path: &[u8]) -> PathBuf {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let path = path.strip_prefix(b"./").unwrap_or(path);
    Path::new("/").join(OsStr::from_bytes(path))
}

#[cfg(test)]
pub(super) mod tests;
