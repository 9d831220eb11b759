//! The raw bytes of a disk that is an image file: also what was deleted, and lies in free blocks.
use std::{
    fs::{self, File},
    io::{self, Read},
    ops::Range,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    libc,
    unistd::{Whence, lseek, syncfs},
};

use crate::canary::{
    Place, Scan, Unsearchable,
    compressed::{self, Compression},
};

/// Files start at multiples of this: the smallest blocks that ext4 has.
const BLOCK: usize = 1024;
/// Bytes that are looked through for starts of compressed files at a time.
const PIECE: usize = 1024 * BLOCK;

/// A disk image and where it is mounted.
#[derive(Debug, Clone)]
pub struct Blocks {
    /// The image file.
    pub image: PathBuf,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Why there is no such disk, where there need not be one.
    pub elsewhere: Option<String>,
}

impl Place for Blocks {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn has_marker(&self) -> bool {
        true
    }

    fn is_absent(&self) -> Option<String> {
        self.elsewhere.clone()
    }

    fn search(&self, scan: &mut Scan<'_>) -> Result<(), Unsearchable> {
        let failed = || Unsearchable::at(self.mount.display().to_string());
        let mount = File::open(&self.mount).map_err(failed())?;
        if !self.is_mounted().map_err(failed())? {
            let why = format!("not mounted at {}", self.mount.display());
            return Err(Unsearchable::because(
                self.image.display().to_string(),
                &why,
            ));
        }
        // What is deleted before it comes to the disk never gets there; the rest is on it now.
        syncfs(&mount).map_err(|error| Unsearchable::new("sync", error.into()))?;
        scan.item();
        self.search_image(scan)
            .map_err(Unsearchable::at(self.image.display().to_string()))
    }
}

impl Blocks {
    /// What it is called in reports.
    pub const NAME: &str = "raw disk, free blocks too";

    /// Whether it is this image that is mounted there: one of earlier days would be searched in vain.
    fn is_mounted(&self) -> io::Result<bool> {
        let device = fs::metadata(&self.mount)?.dev();
        let (major, minor) = (libc::major(device), libc::minor(device));
        // As the kernel tells of a loop device; others have no such file.
        let file = format!("/sys/dev/block/{major}:{minor}/loop/backing_file");
        let Ok(image) = fs::read_to_string(file) else {
            return Ok(false);
        };
        Ok(self.image.canonicalize()? == Path::new(image.trim_end()))
    }

    fn search_image(&self, scan: &mut Scan<'_>) -> io::Result<()> {
        // The loop device writes through this file's page cache: what is read here is what is on the disk.
        let image = File::open(&self.image)?;
        for extent in extents(&image)? {
            let from = |offset| Extent {
                image: &image,
                next: offset,
                end: extent.end,
            };
            scan.stream(&"disk", extent.start, from(extent.start))?;
            for (offset, compression) in compressed_files(&image, &extent)? {
                let at = format!("disk at {offset:#x}");
                compressed::search_start(scan, &at, compression, from(offset));
            }
        }
        Ok(())
    }
}

/// Where anything was ever written; the rest is holes.
fn extents(image: &File) -> io::Result<Vec<Range<u64>>> {
    let mut extents = Vec::new();
    let mut at = 0;
    loop {
        let start = match lseek(image, at, Whence::SeekData) {
            Ok(start) => start,
            // Behind the last.
            Err(Errno::ENXIO) => return Ok(extents),
            Err(error) => return Err(error.into()),
        };
        at = lseek(image, start, Whence::SeekHole)?;
        extents.push(start.cast_unsigned()..at.cast_unsigned());
    }
}

/// Where compressed files may start.
fn compressed_files(image: &File, extent: &Range<u64>) -> io::Result<Vec<(u64, Compression)>> {
    let mut starts = Vec::new();
    let mut piece = vec![0; PIECE];
    let mut at = extent.start.next_multiple_of(BLOCK as u64);
    while at < extent.end {
        let left = usize::try_from(extent.end - at).unwrap_or(usize::MAX);
        let room = PIECE.min(left);
        image.read_exact_at(&mut piece[..room], at)?;
        let blocks = piece[..room].chunks(BLOCK).zip((at..).step_by(BLOCK));
        starts.extend(blocks.filter_map(|(block, offset)| Some((offset, Compression::of(block)?))));
        at += room as u64;
    }
    Ok(starts)
}

struct Extent<'a> {
    image: &'a File,
    next: u64,
    end: u64,
}

impl Read for Extent<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let read = self.image.read_at(&mut buffer[..room], self.next)?;
        self.next += read as u64;
        Ok(read)
    }
}
