//! What lies about compressed: layers in registries and engines are gzip files, or of zstd.
use std::{
    fmt::Display,
    io::{self, BufRead, BufReader, Read},
};

use flate2::{bufread::GzDecoder, bufread::MultiGzDecoder};
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

use super::Scan;

/// How a gzip file of the deflate method starts (RFC 1952, section 2.3), and how one of zstd does
/// (RFC 8878, section 3.1.1).
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How something is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
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

/// Searches a whole file, as far as it can be unpacked; its own bytes are searched by the caller in any case.
///
/// # Errors
/// When it cannot be unpacked to its end, which may be since it only looks like something compressed.
pub(super) fn search_file(
    scan: &mut Scan<'_>,
    at: &dyn Display,
    compression: Compression,
    file: impl Read,
) -> io::Result<()> {
    let file = BufReader::new(file);
    match compression {
        Compression::Gzip => unpacked(scan, at, MultiGzDecoder::new(file)).map(drop),
        Compression::Zstd => unpacked(scan, at, ZstdDecoder::new(file)).map(drop),
    }
}

/// Searches what a stream of raw bytes starts with: one gzip file, or one of zstd, as far as it can be unpacked.
pub(super) fn search_start(
    scan: &mut Scan<'_>,
    at: &dyn Display,
    compression: Compression,
    bytes: impl Read,
) {
    let bytes = BufReader::new(bytes);
    // An error is where it ends.
    let _: io::Result<u64> = match compression {
        Compression::Gzip => unpacked(scan, at, GzDecoder::new(bytes)),
        Compression::Zstd => unpacked(scan, at, ZstdDecoder::new(bytes)),
    };
}

fn unpacked(scan: &mut Scan<'_>, at: &dyn Display, decoder: impl Read) -> io::Result<u64> {
    scan.stream(&format_args!("{at} (unpacked)"), 0, decoder)
}

/// What a zstd file holds: all of its frames, one after the other (RFC 8878, section 3.1).
struct ZstdDecoder<R> {
    file: R,
    frame: FrameDecoder,
}

impl<R: BufRead> ZstdDecoder<R> {
    fn new(file: R) -> Self {
        Self {
            file,
            frame: FrameDecoder::new(),
        }
    }

    fn start_frame(&mut self) -> io::Result<()> {
        match self.frame.reset(&mut self.file) {
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let mut skipped = (&mut self.file).take(length.into());
                io::copy(&mut skipped, &mut io::sink()).map(drop)
            }
            started => started.map_err(io::Error::other),
        }
    }
}

impl<R: BufRead> Read for ZstdDecoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.frame.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            if !self.frame.is_finished() {
                self.frame
                    .decode_blocks(&mut self.file, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(io::Error::other)?;
            } else if self.file.fill_buf()?.is_empty() {
                return Ok(0);
            } else {
                self.start_frame()?;
            }
        }
    }
}
