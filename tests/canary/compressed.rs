//! What lies about compressed: layers in registries and engines are gzip files.
use std::{
    fmt::Display,
    io::{self, BufReader, Read},
};

use flate2::{bufread::GzDecoder, bufread::MultiGzDecoder};

use super::Scan;

/// How a gzip file of the deflate method starts (RFC 1952, section 2.3), and how one of zstd does
/// (RFC 8878, section 3.1.1).
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How something is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    /// Cannot be looked into.
    Zstd,
}

impl Compression {
    /// Of something that starts with these bytes.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        // The flags' upper bits are reserved.
        if start.starts_with(&GZIP) && start.get(3).is_some_and(|flags| flags & 0xe0 == 0) {
            Some(Self::Gzip)
        } else if start.starts_with(&ZSTD) {
            Some(Self::Zstd)
        } else {
            None
        }
    }
}

/// Searches a whole gzip file. What only looks like one is searched as far as it can be unpacked: its own
/// bytes are searched by the caller in any case.
pub(super) fn search_file(scan: &mut Scan<'_>, at: &dyn Display, file: impl Read) {
    let decoder = MultiGzDecoder::new(BufReader::new(file));
    unpacked(scan, at, decoder);
}

/// Searches what a stream of raw bytes starts with, to its end only.
pub(super) fn search_start(scan: &mut Scan<'_>, at: &dyn Display, bytes: impl Read) {
    let decoder = GzDecoder::new(BufReader::new(bytes));
    unpacked(scan, at, decoder);
}

fn unpacked(scan: &mut Scan<'_>, at: &dyn Display, decoder: impl Read) {
    // An error is where it ends.
    let _: io::Result<u64> = scan.stream(&format_args!("{at} (unpacked)"), 0, decoder);
}
