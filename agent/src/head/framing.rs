//! Where a chunked body ends (RFC 9112, section 7.1).

/// Longest line of the framing that is read, in bytes.
const LINE: usize = 4096;

/// What comes next in a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunked {
    /// The line that gives a chunk's size.
    Size,
    /// A trailer line, or the empty line that ends the body.
    Trailer,
}

/// What the start of the buffered bytes is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A line that goes on.
    Incomplete,
    /// No chunked framing: the gateway will say so.
    Invalid,
    /// So many bytes belong together: a size line with its chunk and the chunk's line end.
    Chunk(u64),
    /// The last size line, of so many bytes; trailers follow.
    Last(u64),
    /// A trailer line of so many bytes.
    TrailerLine(u64),
    /// The empty line at the end, of so many bytes.
    End(u64),
}

/// Reads one step of the framing.
pub(super) fn step(state: Chunked, bytes: &[u8]) -> Step {
    let Some(end) = bytes.iter().take(LINE).position(|byte| *byte == b'\n') else {
        return if bytes.len() < LINE {
            Step::Incomplete
        } else {
            Step::Invalid
        };
    };
    let length = end as u64 + 1;
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    match state {
        Chunked::Trailer if line.is_empty() => Step::End(length),
        Chunked::Trailer => Step::TrailerLine(length),
        Chunked::Size => match size(line) {
            Some(0) => Step::Last(length),
            // The line end behind the chunk is two bytes; whoever sends one is refused by gateways.
            Some(size) => Step::Chunk(length + size + 2),
            None => Step::Invalid,
        },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_its_size_line_its_bytes_and_a_line_end() {
        assert_eq!(
            step(Chunked::Size, b"1a;x=y\r\nabc"),
            Step::Chunk(8 + 26 + 2)
        );
        assert_eq!(step(Chunked::Size, b"0\r\n"), Step::Last(3));
    }

    #[test]
    fn trailers_end_with_an_empty_line() {
        assert_eq!(step(Chunked::Trailer, b"A: b\r\n"), Step::TrailerLine(6));
        assert_eq!(step(Chunked::Trailer, b"\r\nGET"), Step::End(2));
    }

    #[test]
    fn what_is_no_framing_is_told_from_what_goes_on() {
        assert_eq!(step(Chunked::Size, b"1"), Step::Incomplete);
        for line in [
            b"x\r\n".as_slice(),
            b"\r\n",
            b"-1\r\n",
            b"fffffffffffffffff\r\n",
        ] {
            assert_eq!(step(Chunked::Size, line), Step::Invalid);
        }
        assert_eq!(step(Chunked::Size, &[b'1'; LINE]), Step::Invalid);
    }
}
