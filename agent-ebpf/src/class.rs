//! What a byte may be part of, as a table of bits: one load in place of comparisons, each of which the
//! verifier would follow.

/// Of a method (RFC 9110, section 5.6.2): the gateway lets functions be called with any.
pub const METHOD: u8 = 1;
/// Of a function's name.
pub const NAME: u8 = 1 << 1;
/// The byte behind a function's name. A namespace (`name.namespace`) is left to the agent.
pub const NAME_END: u8 = 1 << 2;
/// Of a target's scheme (RFC 3986, section 3.1).
pub const SCHEME: u8 = 1 << 3;
/// Of the end of a line.
pub const LINE_END: u8 = 1 << 4;
/// Between the segments of a path.
pub const SLASH: u8 = 1 << 5;
/// First of an encoded byte (RFC 3986, section 2.1).
pub const ENCODED: u8 = 1 << 6;
/// Behind a path, or no part of a request line.
pub const PATH_END: u8 = 1 << 7;

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < classes.len() {
        classes[byte] = classes_of(byte as u8);
        byte += 1;
    }
    classes
};

/// The classes of a byte.
#[inline(always)]
#[must_use]
pub fn of(byte: u8) -> u8 {
    CLASSES[usize::from(byte)]
}

/// Whether a byte is of one of these classes.
#[inline(always)]
#[must_use]
pub fn is(byte: u8, classes: u8) -> bool {
    of(byte) & classes != 0
}

const fn classes_of(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => METHOD | NAME | SCHEME,
        b'-' => METHOD | NAME | SCHEME,
        b'_' => METHOD | NAME,
        b'.' => METHOD | NAME_END | SCHEME,
        b'+' => METHOD | SCHEME,
        b'%' => METHOD | ENCODED,
        b'!' | b'#' | b'$' | b'&' | b'\'' | b'*' | b'^' | b'`' | b'|' | b'~' => METHOD,
        b'/' => NAME_END | SLASH,
        b' ' | b'?' => NAME_END | PATH_END,
        b'\r' | b'\n' => LINE_END | PATH_END,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(class: u8) -> String {
        (0..=255)
            .filter(|byte| of(*byte) & class != 0)
            .map(char::from)
            .collect()
    }

    #[test]
    fn a_method_has_the_bytes_of_a_token() {
        let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~";
        assert_eq!(all(METHOD), format!("!#$%&'*+-.0123456789{letters}"));
    }

    #[test]
    fn no_byte_is_both_of_a_name_and_behind_it() {
        assert_eq!(all(NAME_END), " ./?");
        assert!((0..=255).all(|byte| of(byte) & (NAME | NAME_END) != NAME | NAME_END));
    }

    #[test]
    fn a_path_ends_where_target_or_line_do() {
        assert_eq!(all(PATH_END), "\n\r ?");
        assert_eq!((all(SLASH).as_str(), all(ENCODED).as_str()), ("/", "%"));
    }

    #[test]
    fn a_zero_byte_which_ends_what_was_loaded_is_of_no_class() {
        assert_eq!(of(0), 0);
    }
}
