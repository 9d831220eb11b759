//! The search for the key header, as an automaton over a head's bytes, and for that and further requests behind it.
//!
//! The agent fills a table with [`next`], and the programs only look it up: one load a byte and no
//! branch, since the verifier follows each branch of each byte of a head.

use crate::{HeaderName, NAME_LEN};

/// The start of a line; the states after it stand for as many matched bytes of the header's name.
pub const LINE_START: u8 = 0;
/// Inside a line that is not the key header's.
const ELSEWHERE: u8 = NAME_LEN as u8 + 1;
/// First of the states that are never left.
pub const DECIDED: u8 = 120;
const _: () = assert!(ELSEWHERE < DECIDED);
/// The key header was found.
pub const KEY_HEADER: u8 = DECIDED;
/// The head ended without it.
pub const END_OF_HEAD: u8 = DECIDED + 1;
/// The bytes ended, or are none of a head: a zero byte.
pub const END_OF_BYTES: u8 = DECIDED + 2;
/// What may be a request that is sent ahead was found behind the head, or its key header; it may be text of a body.
pub const REQUEST_BEHIND: u8 = DECIDED + 3;
/// In the table, what is added to an undecided state once the head has ended without the key header.
pub const BEHIND: u8 = 128;

/// States of the table: as many as there are numbers for.
pub const STATES: usize = 256;
/// Bytes of the table: the next state at `state * 256 + byte`.
pub const TABLE_LEN: usize = STATES * 256;

/// The state after a byte. A line ends with a line feed, as servers accept it without the carriage
/// return too (RFC 9112, section 2.2).
#[must_use]
pub const fn next(header: &HeaderName, state: u8, byte: u8) -> u8 {
    if state >= DECIDED {
        return state;
    }
    match byte {
        0 => END_OF_BYTES,
        b'\r' => state,
        b'\n' if state == LINE_START => END_OF_HEAD,
        b'\n' => LINE_START,
        b':' if state as u32 == header.length => KEY_HEADER,
        _ if (state as u32) < header.length
            && header.bytes[state as usize] == byte.to_ascii_lowercase() =>
        {
            state + 1
        }
        _ => ELSEWHERE,
    }
}

/// What a request line ends with (RFC 9112, section 2.3), up to the version's minor number.
pub const VERSION: &[u8; 8] = b" HTTP/1.";
/// Behind that number.
const MINOR: u8 = VERSION.len() as u8 + 1;
/// At the line feed of a line end of two bytes.
const LINE_FEED: u8 = MINOR + 1;
/// A request line has ended.
pub const LINE_ENDED: u8 = LINE_FEED + 1;

/// How much of a request line's end has come with a byte, where so much had come before it: zero for nothing.
#[must_use]
pub const fn line_end(come: u8, byte: u8) -> u8 {
    match byte {
        b'\n' if come == MINOR || come == LINE_FEED => LINE_ENDED,
        b'\r' if come == MINOR => LINE_FEED,
        b'0'..=b'9' if come as usize == VERSION.len() => MINOR,
        _ if (come as usize) < VERSION.len() && byte == VERSION[come as usize] => come + 1,
        // It begins with the one space that is in it.
        b' ' => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(head: &[u8]) -> u8 {
        let header = HeaderName::new("X-RsFaaS-Key").unwrap();
        head.iter()
            .fold(LINE_START, |state, byte| next(&header, state, *byte))
    }

    #[test]
    fn the_key_header_is_found_at_the_start_of_a_line_in_any_letter_case() {
        assert_eq!(run(b"GET / HTTP/1.1\r\nx-rsfaas-KEY:"), KEY_HEADER);
        assert_eq!(
            run(b"GET / HTTP/1.1\nA: b\nX-RsFaaS-Key: k\r\n\r\n"),
            KEY_HEADER
        );
    }

    #[test]
    fn the_same_bytes_elsewhere_are_not_the_key_header() {
        assert_eq!(
            run(b"GET / HTTP/1.1\r\nA: X-RsFaaS-Key: k\r\n\r\n"),
            END_OF_HEAD
        );
        assert_eq!(
            run(b"GET / HTTP/1.1\r\nX-RsFaaS-Key-2: k\r\n\r\n"),
            END_OF_HEAD
        );
        assert_eq!(
            run(b"GET / HTTP/1.1\r\nX-RsFaaS-Ke: k\r\n\r\n"),
            END_OF_HEAD
        );
    }

    #[test]
    fn what_stands_behind_the_end_of_the_head_does_not_count() {
        assert_eq!(
            run(b"GET / HTTP/1.1\r\n\r\nX-RsFaaS-Key: k\r\n"),
            END_OF_HEAD
        );
    }

    #[test]
    fn a_head_that_goes_on_is_undecided() {
        assert!(run(b"GET / HTTP/1.1\r\nX-RsFaaS-Key") < DECIDED);
        assert_eq!(run(b"GET / HTTP/1.1\r\nX-RsF\0"), END_OF_BYTES);
    }

    #[test]
    fn the_end_of_a_request_line_is_told_from_other_text() {
        let ends = |text: &[u8]| {
            let come = text.iter().fold(0, |come, byte| line_end(come, *byte));
            come == LINE_ENDED
        };
        assert!(ends(b"GET / HTTP/1.1\r\n") && ends(b"a  HTTP HTTP/1.0\n"));
        for text in [
            b"GET / HTTP/1.1\r".as_slice(),
            b"GET / HTTP/1.1 \n",
            b"GET / HTTP/1.\n",
            b"GET / HTTP/1.10\n",
            b"GET / HTTP/1.1\r\r\n",
            b"GET / http/1.1\n",
            b"HTTP/1.1\n",
        ] {
            assert!(!ends(text), "{text:?}");
        }
    }

    #[test]
    fn every_state_fits_the_table() {
        assert!(REQUEST_BEHIND < BEHIND && ((BEHIND + DECIDED) as usize) < STATES);
    }
}
