//! Finds the end of a request's body without keeping any of it.
use crate::head::BodyLength;

/// Most bytes that chunk extensions and trailers may take before they count as malformed.
const MAX_EXTRAS: usize = 16 * 1024;

/// The body's framing is broken; what follows on the connection cannot be told apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BrokenBody;

/// A body that is still to come.
#[derive(Debug)]
pub(crate) enum Remaining {
    /// So many bytes.
    Known(u64),
    /// Chunks, up to and with the last.
    Chunked(Chunks),
}

/// Where in the chunked form (RFC 9112, section 7.1) the reader is.
#[derive(Debug)]
pub(crate) struct Chunks {
    at: At,
    extras: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size { value: u64, digits: u8 },
    Extension { value: u64 },
    SizeEnd { value: u64 },
    Data { left: u64 },
    DataReturn,
    DataEnd,
    Trailer { empty: bool },
    TrailerEnd { last: bool },
    Done,
}

impl Remaining {
    /// Starts at the first byte of a body.
    pub(crate) fn new(length: BodyLength) -> Self {
        match length {
            BodyLength::Known(bytes) => Self::Known(bytes),
            BodyLength::Chunked => Self::Chunked(Chunks {
                at: At::Size {
                    value: 0,
                    digits: 0,
                },
                extras: 0,
            }),
        }
    }

    /// Tells whether nothing more belongs to the body.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Known(left) => *left == 0,
            Self::Chunked(chunks) => chunks.at == At::Done,
        }
    }

    /// Takes what belongs to the body off the front of `bytes`; returns how many that were.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<usize, BrokenBody> {
        match self {
            Self::Known(left) => {
                let taken = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                *left -= taken as u64;
                Ok(taken)
            }
            Self::Chunked(chunks) => chunks.take(bytes),
        }
    }
}

impl Chunks {
    fn take(&mut self, bytes: &[u8]) -> Result<usize, BrokenBody> {
        let mut taken = 0;
        while taken < bytes.len() && self.at != At::Done {
            if let At::Data { left } = self.at {
                let step = usize::try_from(left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len() - taken);
                let left = left - step as u64;
                self.at = if left == 0 {
                    At::DataReturn
                } else {
                    At::Data { left }
                };
                taken += step;
            } else {
                self.at = self.step(bytes[taken])?;
                taken += 1;
            }
        }
        Ok(taken)
    }

    fn step(&mut self, byte: u8) -> Result<At, BrokenBody> {
        let next = match (self.at, byte) {
            (At::Size { value, digits }, _) if byte.is_ascii_hexdigit() && digits < 15 => {
                let digit = char::from(byte).to_digit(16).ok_or(BrokenBody)?;
                At::Size {
                    value: value << 4 | u64::from(digit),
                    digits: digits + 1,
                }
            }
            (At::Size { value, digits: 1.. }, b'\r') => At::SizeEnd { value },
            (At::Size { value, digits: 1.. }, b';' | b' ' | b'\t') => At::Extension { value },
            (At::Extension { value }, b'\r') => At::SizeEnd { value },
            (At::Extension { value }, _) if byte != b'\n' => {
                self.extra()?;
                At::Extension { value }
            }
            (At::SizeEnd { value: 0 }, b'\n') => At::Trailer { empty: true },
            (At::SizeEnd { value }, b'\n') => At::Data { left: value },
            (At::DataReturn, b'\r') => At::DataEnd,
            (At::DataEnd, b'\n') => At::Size {
                value: 0,
                digits: 0,
            },
            (At::Trailer { empty }, b'\r') => At::TrailerEnd { last: empty },
            (At::Trailer { .. }, _) if byte != b'\n' => {
                self.extra()?;
                At::Trailer { empty: false }
            }
            (At::TrailerEnd { last: true }, b'\n') => At::Done,
            (At::TrailerEnd { last: false }, b'\n') => At::Trailer { empty: true },
            _ => return Err(BrokenBody),
        };
        Ok(next)
    }

    fn extra(&mut self) -> Result<(), BrokenBody> {
        self.extras += 1;
        if self.extras > MAX_EXTRAS {
            Err(BrokenBody)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKS: &[u8] =
        b"4\r\nWiki\r\n10;name=\"v\"\r\n0123456789abcdef\r\n0\r\nTrail: er\r\n\r\n";

    fn chunked() -> Remaining {
        Remaining::new(BodyLength::Chunked)
    }

    #[test]
    fn a_known_length_ends_where_the_next_request_starts() {
        let mut body = Remaining::new(BodyLength::Known(5));
        assert_eq!(body.take(b"abc"), Ok(3));
        assert!(!body.is_done());
        assert_eq!(body.take(b"deGET /"), Ok(2));
        assert!(body.is_done());
    }

    #[test]
    fn chunks_end_with_the_trailers_empty_line() {
        let mut body = chunked();
        let bytes = [CHUNKS, b"GET /"].concat();
        assert_eq!(body.take(&bytes), Ok(CHUNKS.len()));
        assert!(body.is_done());
    }

    #[test]
    fn chunks_may_arrive_cut_anywhere() {
        for cut in 0..CHUNKS.len() {
            let mut body = chunked();
            assert_eq!(body.take(&CHUNKS[..cut]), Ok(cut));
            assert!(!body.is_done(), "cut at {cut}");
            assert_eq!(body.take(&CHUNKS[cut..]), Ok(CHUNKS.len() - cut));
            assert!(body.is_done(), "cut at {cut}");
        }
    }

    #[test]
    fn broken_chunks_are_told() {
        let cases: [&[u8]; 6] = [
            b"\r\n",
            b"x\r\n",
            b"4\nWiki",
            b"1\r\nab",
            b"1000000000000000\r\n",
            b"0\r\n\rX",
        ];
        for bytes in cases {
            assert_eq!(chunked().take(bytes), Err(BrokenBody), "{bytes:?}");
        }
    }

    #[test]
    fn endless_trailers_are_broken() {
        let mut body = chunked();
        let bytes = [b"0\r\n".as_slice(), &[b'a'; MAX_EXTRAS + 1]].concat();
        assert_eq!(body.take(&bytes), Err(BrokenBody));
    }
}
