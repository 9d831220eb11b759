//! Where a chunked body ends (RFC 9112, section 7.1).

/// Longest line of the framing that is read, in bytes.
const LINE: usize = 4096;

/// What comes next in a chunked body.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    part: Part,
    /// What of the line that comes next has gone on already.
    gone: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Part {
    /// The line that gives a chunk's size.
    #[default]
    Size,
    /// A trailer line, or the empty line that ends the body.
    Trailer,
}

/// What becomes of the next bytes. None waits for its line's end: a client that has had to send its bytes again
/// sends no further ones before those are acknowledged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many go on, of which some may be still to come.
    Pass(u64),
    /// So many end the body.
    End(u64),
    /// No chunked framing: the gateway will say so.
    Invalid,
}

impl Chunks {
    /// Reads on, one byte at least.
    pub(super) fn step(&mut self, bytes: &[u8]) -> Step {
        let room = LINE - self.gone.len();
        let Some(end) = bytes.iter().take(room).position(|byte| *byte == b'\n') else {
            if bytes.len() >= room {
                return Step::Invalid;
            }
            self.gone.extend_from_slice(bytes);
            return Step::Pass(bytes.len() as u64);
        };
        let length = end as u64 + 1;
        self.gone.extend_from_slice(&bytes[..end]);
        let line = std::mem::take(&mut self.gone);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        match self.part {
            Part::Trailer if line.is_empty() => Step::End(length),
            Part::Trailer => Step::Pass(length),
            Part::Size => match size(line) {
                Some(0) => {
                    self.part = Part::Trailer;
                    Step::Pass(length)
                }
                // The line end behind the chunk is two bytes; whoever sends one is refused by gateways.
                Some(size) => Step::Pass(length + size + 2),
                None => Step::Invalid,
            },
        }
    }
}

/// The size of a chunk; extensions are passed over.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    let text = std::str::from_utf8(digits).ok()?;
    // Sixteen digits would overflow with what is added to them.
    let valid =
        !text.is_empty() && text.len() < 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    valid.then(|| u64::from_str_radix(text, 16).ok())?
}

/// The length of a body in chunks with which some bytes start, where they hold all of it.
pub(super) fn length(bytes: &[u8]) -> Option<u64> {
    let mut chunks = Chunks::default();
    let mut length = 0;
    loop {
        let rest = bytes.get(usize::try_from(length).ok()?..)?;
        if rest.is_empty() {
            return None;
        }
        match chunks.step(rest) {
            Step::Pass(step) => length += step,
            Step::End(step) => return Some(length + step),
            Step::Invalid => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Behind the last chunk's size.
    fn at_trailers() -> Chunks {
        let mut chunks = Chunks::default();
        assert_eq!(chunks.step(b"0\r\n"), Step::Pass(3));
        chunks
    }

    #[test]
    fn a_chunk_is_its_size_line_its_bytes_and_a_line_end() {
        let mut chunks = Chunks::default();
        assert_eq!(chunks.step(b"1a;x=y\r\nabc"), Step::Pass(8 + 26 + 2));
        assert_eq!(chunks.step(b"2\n"), Step::Pass(2 + 2 + 2));
    }

    #[test]
    fn trailers_end_with_an_empty_line() {
        let mut chunks = at_trailers();
        assert_eq!(chunks.step(b"A: b\r\n"), Step::Pass(6));
        assert_eq!(chunks.step(b"\r\nGET"), Step::End(2));
    }

    #[test]
    fn the_length_is_told_where_all_of_the_body_is_there() {
        let body = b"2\r\n{}\r\n0\r\nA: b\r\n\r\n";
        assert_eq!(length(&[body, b"GET".as_slice()].concat()), Some(18));
        assert!((0..body.len()).all(|cut| length(&body[..cut]).is_none()));
        assert_eq!(length(b"x\r\n"), None);
    }

    #[test]
    fn no_byte_of_a_line_waits_for_its_end() {
        let mut chunks = Chunks::default();
        for part in [b"1".as_slice(), b"a;x", b"\r"] {
            assert_eq!(chunks.step(part), Step::Pass(part.len() as u64));
        }
        assert_eq!(chunks.step(b"\nabc"), Step::Pass(1 + 26 + 2));

        let mut chunks = at_trailers();
        assert_eq!(chunks.step(b"A: "), Step::Pass(3));
        assert_eq!(chunks.step(b"b\r"), Step::Pass(2));
        assert_eq!(chunks.step(b"\n\r"), Step::Pass(1));
        assert_eq!(chunks.step(b"\r"), Step::Pass(1));
        assert_eq!(chunks.step(b"\nGET"), Step::End(1));
    }

    #[test]
    fn what_is_no_framing_is_told_from_what_goes_on() {
        for line in [
            b"x\r\n".as_slice(),
            b"\r\n",
            b"-1\r\n",
            b"fffffffffffffffff\r\n",
        ] {
            assert_eq!(Chunks::default().step(line), Step::Invalid);
        }
        assert_eq!(Chunks::default().step(&[b'1'; LINE]), Step::Invalid);
        let mut chunks = Chunks::default();
        let most = [b'1'; LINE - 1];
        assert_eq!(chunks.step(&most), Step::Pass(most.len() as u64));
        assert_eq!(chunks.step(b"1"), Step::Invalid);
    }
}
