//! Writes the tar archive, straight from the files into one buffer of the right size.
//!
//! By hand, since a writer that copies leaves plaintext in buffers that nobody wipes.
use std::{
    fs,
    io::Read as _,
    os::unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _},
    path::Path,
};

use tar::{EntryType, Header};
use zeroize::Zeroizing;

use super::{
    ArchiveError, BLOCK,
    found::{Found, FoundKind},
};

/// Bytes of a path that a header holds; longer ones take an entry of their own.
const SHORT: usize = 100;

/// The archive of what was found in `folder`.
pub(super) fn tar<'a>(
    folder: &Path,
    found: impl Iterator<Item = &'a Found> + Clone,
) -> Result<Zeroizing<Vec<u8>>, ArchiveError> {
    let too_large = || ArchiveError::Invalid("too large for this machine's memory".to_owned());
    let mut total = 2 * BLOCK;
    for item in found.clone() {
        total = item
            .archived_len()
            .and_then(|it| total.checked_add(it))
            .ok_or_else(too_large)?;
    }
    let mut tar = Zeroizing::new(Vec::new());
    tar.try_reserve_exact(total).map_err(|_| too_large())?;
    for item in found {
        item.append(folder, &mut tar)?;
    }
    tar.extend_from_slice(&[0; 2 * BLOCK]);
    debug_assert_eq!(tar.len(), total, "the buffer must not have grown");
    Ok(tar)
}

impl Found {
    /// The path as tar writes it: a folder's ends in a slash.
    fn name(&self) -> Vec<u8> {
        let mut name = self.path.as_os_str().as_bytes().to_vec();
        if matches!(self.kind, FoundKind::Folder) {
            name.push(b'/');
        }
        name
    }

    fn target(&self) -> &[u8] {
        match &self.kind {
            FoundKind::Link(target) => target.as_os_str().as_bytes(),
            _ => &[],
        }
    }

    fn size(&self) -> u64 {
        match &self.kind {
            FoundKind::File { size } => *size,
            FoundKind::Content(content) => content.len() as u64,
            FoundKind::Folder | FoundKind::Link(_) => 0,
        }
    }

    /// Bytes in the archive, headers and padding included.
    fn archived_len(&self) -> Option<usize> {
        let content = usize::try_from(self.size())
            .ok()?
            .checked_next_multiple_of(BLOCK)?;
        let long = |length: usize| match length {
            0..=SHORT => Some(0),
            _ => (length + 1)
                .checked_next_multiple_of(BLOCK)?
                .checked_add(BLOCK),
        };
        BLOCK
            .checked_add(content)?
            .checked_add(long(self.name().len())?)?
            .checked_add(long(self.target().len())?)
    }

    fn append(&self, folder: &Path, tar: &mut Vec<u8>) -> Result<(), ArchiveError> {
        let (name, target) = (self.name(), self.target());
        append_long(EntryType::GNULongLink, target, tar);
        append_long(EntryType::GNULongName, &name, tar);
        let kind = match self.kind {
            FoundKind::Folder => EntryType::Directory,
            FoundKind::File { .. } | FoundKind::Content(_) => EntryType::Regular,
            FoundKind::Link(_) => EntryType::Symlink,
        };
        append_header(kind, &name, target, self.mode, self.size(), tar);
        match &self.kind {
            FoundKind::File { size } => append_content(&folder.join(&self.path), *size, tar),
            FoundKind::Content(content) => {
                tar.extend_from_slice(content);
                tar.resize(tar.len().next_multiple_of(BLOCK), 0);
                Ok(())
            }
            FoundKind::Folder | FoundKind::Link(_) => Ok(()),
        }
    }
}

fn append_header(
    kind: EntryType,
    name: &[u8],
    target: &[u8],
    mode: u32,
    size: u64,
    tar: &mut Vec<u8>,
) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    let old = header.as_old_mut();
    let (name, target) = (
        &name[..name.len().min(SHORT)],
        &target[..target.len().min(SHORT)],
    );
    old.name[..name.len()].copy_from_slice(name);
    old.linkname[..target.len()].copy_from_slice(target);
    header.set_cksum();
    tar.extend_from_slice(header.as_bytes());
}

/// The entry before an entry whose path or target does not fit into its header.
fn append_long(kind: EntryType, text: &[u8], tar: &mut Vec<u8>) {
    if text.len() > SHORT {
        append_header(kind, b"././@LongLink", &[], 0, text.len() as u64 + 1, tar);
        tar.extend_from_slice(text);
        tar.push(0);
        tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    }
}

fn append_content(path: &Path, size: u64, tar: &mut Vec<u8>) -> Result<(), ArchiveError> {
    let io = |source| ArchiveError::Io {
        path: path.to_owned(),
        source,
    };
    let changed = || ArchiveError::Changed {
        path: path.to_owned(),
    };
    let mut file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
        .open(path)
        .map_err(io)?;
    let status = file.metadata().map_err(io)?;
    if !status.is_file() || status.len() != size {
        return Err(changed());
    }
    let start = tar.len();
    // The sizes were summed as usize before: this one fits.
    tar.resize(start + size as usize, 0);
    file.read_exact(&mut tar[start..])
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => changed(),
            _ => io(error),
        })?;
    if file.read(&mut [0]).map_err(io)? != 0 {
        return Err(changed());
    }
    tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    Ok(())
}
