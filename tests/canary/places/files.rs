//! Every regular file below some folders, and what is in it where it is compressed.
use std::{
    fs::{self, File, Metadata},
    io::{self, ErrorKind, Seek as _, SeekFrom},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use nix::sys::statfs::{
    CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEVPTS_SUPER_MAGIC, FsType, NSFS_MAGIC,
    OVERLAYFS_SUPER_MAGIC, PROC_SUPER_MAGIC, SYSFS_MAGIC, statfs,
};

use crate::canary::{
    Place, Scan, Unsearchable,
    compressed::{self, Compression},
};

/// Mounted below a folder these are not searched: their files are not files, or (overlays of containers) lie
/// in other folders too, which are searched.
const NO_FILES: [FsType; 7] = [
    CGROUP_SUPER_MAGIC,
    CGROUP2_SUPER_MAGIC,
    DEVPTS_SUPER_MAGIC,
    NSFS_MAGIC,
    OVERLAYFS_SUPER_MAGIC,
    PROC_SUPER_MAGIC,
    SYSFS_MAGIC,
];
/// Filesystems round times down, to as much as two seconds.
const ROUNDING: Duration = Duration::from_secs(2);

/// The regular files below some folders.
#[derive(Debug, Clone)]
pub struct Files {
    name: String,
    roots: Vec<PathBuf>,
    marker: bool,
    layers: bool,
    optional: bool,
    since: Option<SystemTime>,
}

impl Files {
    /// All of them; the folders must be there.
    #[must_use]
    pub fn new(name: impl Into<String>, roots: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            name: name.into(),
            roots: roots.into_iter().collect(),
            marker: false,
            layers: false,
            optional: false,
            since: None,
        }
    }

    /// A marker is among them by right.
    #[must_use]
    pub fn with_marker(self) -> Self {
        let marker = true;
        Self { marker, ..self }
    }

    /// They hold layers of images: one that cannot be unpacked is not searched.
    #[must_use]
    pub fn with_layers(self) -> Self {
        let layers = true;
        Self { layers, ..self }
    }

    /// The folders need not be there.
    #[must_use]
    pub fn optional(self) -> Self {
        let optional = true;
        Self { optional, ..self }
    }

    /// Only those that have changed since the secrets were made: others cannot hold them.
    #[must_use]
    pub fn since(self, time: SystemTime) -> Self {
        let since = Some(time - ROUNDING);
        Self { since, ..self }
    }

    /// The folders.
    #[must_use]
    pub fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    fn folder(&self, scan: &mut Scan<'_>, folder: &Path, mount: Mount) {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return note(scan, folder, error),
        };
        for entry in entries {
            let path = match entry {
                Ok(entry) => entry.path(),
                Err(error) => return note(scan, folder, error),
            };
            match fs::symlink_metadata(&path) {
                Ok(status) => self.entry(scan, &path, &status, mount),
                Err(error) => note(scan, &path, error),
            }
        }
    }

    fn entry(&self, scan: &mut Scan<'_>, path: &Path, status: &Metadata, mount: Mount) {
        let kind = status.file_type();
        if !kind.is_dir() && !kind.is_file() {
            return;
        }
        let mount = match mount.at(path, status) {
            Ok(Some(mount)) => mount,
            Ok(None) => return,
            Err(error) => return note(scan, path, error),
        };
        if kind.is_dir() {
            self.folder(scan, path, mount);
        } else if self.since.is_none_or(|since| changed(status) >= since)
            && let Err(error) = self.file(scan, path)
        {
            note(scan, path, error);
        }
    }

    fn file(&self, scan: &mut Scan<'_>, path: &Path) -> io::Result<()> {
        let mut file = File::open(path)?;
        let mut start = [0; 4];
        let known = file.read_at(&mut start, 0)?;
        scan.item();
        scan.stream(&path.display(), 0, &file)?;
        let Some(compression) = Compression::of(&start[..known]) else {
            return Ok(());
        };
        file.seek(SeekFrom::Start(0))?;
        match compressed::search_file(scan, &path.display(), compression, file) {
            Err(error) if self.layers && is_whole(compression, path) => Err(io::Error::other(
                format!("it cannot be unpacked, and so not looked into: {error}"),
            )),
            _ => Ok(()),
        }
    }
}

impl Place for Files {
    fn name(&self) -> &str {
        &self.name
    }

    fn has_marker(&self) -> bool {
        self.marker
    }

    fn is_absent(&self) -> Option<String> {
        let none = self.optional && !self.roots.iter().any(|root| root.exists());
        none.then(|| {
            let roots: Vec<String> = self
                .roots
                .iter()
                .map(|root| root.display().to_string())
                .collect();
            format!("no {}", roots.join(", no "))
        })
    }

    fn search(&self, scan: &mut Scan<'_>) -> Result<(), Unsearchable> {
        for root in &self.roots {
            match Mount::of(root) {
                Ok((mount, status)) if status.is_dir() => self.folder(scan, root, mount),
                Ok((mount, status)) => self.entry(scan, root, &status, mount),
                Err(error) if self.optional && error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    scan.failed(&Unsearchable::new(root.display().to_string(), error));
                }
            }
        }
        Ok(())
    }
}

/// Where a file is mounted.
#[derive(Debug, Clone, Copy)]
struct Mount {
    device: u64,
    /// Of the folder that the search started at: what is in the same kind of filesystem belongs to it.
    kind: FsType,
}

impl Mount {
    fn of(root: &Path) -> io::Result<(Self, Metadata)> {
        let status = fs::metadata(root)?;
        let kind = statfs(root)?.filesystem_type();
        let device = status.dev();
        Ok((Self { device, kind }, status))
    }

    /// The same for something below; `None` where that is not to be searched.
    fn at(self, path: &Path, status: &Metadata) -> io::Result<Option<Self>> {
        let device = status.dev();
        if device == self.device {
            return Ok(Some(self));
        }
        let kind = statfs(path)?.filesystem_type();
        let searched = kind == self.kind || !NO_FILES.contains(&kind);
        Ok(searched.then_some(Self { device, ..self }))
    }
}

/// Whether a file in the folder of a registry or an engine is what it looks like. With gzip's few bytes all kinds of
/// files of images start; what lies in a store of blobs under its digest is a layer.
fn is_whole(compression: Compression, path: &Path) -> bool {
    let folders: Vec<_> = path.iter().collect();
    let is_blob = folders.windows(2).any(|pair| pair == ["blobs", "sha256"]);
    compression == Compression::Zstd || is_blob
}

/// When a file last changed. Its own time may be set at will, that of its record may not.
fn changed(status: &Metadata) -> SystemTime {
    let seconds = u64::try_from(status.ctime()).unwrap_or(0);
    let recorded = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    status
        .modified()
        .map_or(recorded, |modified| modified.max(recorded))
}

/// Notes an error; what has just been removed needs no search.
fn note(scan: &mut Scan<'_>, path: &Path, error: io::Error) {
    if error.kind() != ErrorKind::NotFound {
        scan.failed(&Unsearchable::new(path.display().to_string(), error));
    }
}
