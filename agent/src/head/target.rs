//! Where a request target leads, as the gateway's router has it.
//!
//! The gateway takes the path out of the target as Go's net/url does, decodes it, answers one that is
//! not clean by a redirect to the clean one, and matches the decoded path. A test asks a real gateway
//! about thousands of spellings (`tests/routing`).
use std::ops::Range;

/// What a request asks the gateway for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A function.
    Function {
        /// Its name, without the namespace.
        name: String,
    },
    /// A function, through the queue.
    Async {
        /// Its name, without the namespace.
        name: String,
    },
    /// Anything else.
    Other,
}

/// Where a target leads, and which of its bytes spell the function's name; these only where the gateway goes to the
/// function at once. A function to which it redirects first is named all the same.
pub(super) fn classify(method: &[u8], target: &[u8]) -> (Target, Option<Range<usize>>) {
    // Control characters and broken encodings are no URL: the gateway refuses them.
    if target.iter().any(u8::is_ascii_control) {
        return (Target::Other, None);
    }
    let Some(place) = path(method, target) else {
        return (Target::Other, None);
    };
    let encoded = &target[place.clone()];
    let Some(path) = decode(encoded) else {
        return (Target::Other, None);
    };
    let segments = segments(&path);
    let (asynchronous, name, rest) = match segments.as_slice() {
        [b"function", name, rest @ ..] => (false, *name, rest),
        [b"async-function", name, rest @ ..] => (true, *name, rest),
        _ => return (Target::Other, None),
    };
    // The router's `.*` matches no line feed.
    if !name.iter().copied().all(is_name_byte) || rest.iter().any(|part| part.contains(&b'\n')) {
        return (Target::Other, None);
    }
    let name = name.split(|byte| *byte == b'.').next().unwrap_or_default();
    let prefix = if asynchronous {
        "/async-function/"
    } else {
        "/function/"
    };
    let goes_there = is_clean(&path) && !name.is_empty();
    let range = goes_there.then(|| {
        let start = encoded_len(encoded, prefix.len());
        let length = encoded_len(&encoded[start..], name.len());
        place.start + start..place.start + start + length
    });
    let name = String::from_utf8_lossy(name).into_owned();
    let target = if asynchronous {
        Target::Async { name }
    } else {
        Target::Function { name }
    };
    (target, range)
}

/// Where the path of a target in origin, absolute or authority form is, not decoded; `None` where it has none.
fn path(method: &[u8], target: &[u8]) -> Option<Range<usize>> {
    let end = target
        .iter()
        .position(|byte| *byte == b'?')
        .unwrap_or(target.len());
    let target = &target[..end];
    if target.first() == Some(&b'/') {
        return Some(0..end);
    }
    let authority = if method == b"CONNECT" {
        // The authority form, though a path may follow.
        0
    } else {
        let hierarchy = scheme_len(target)? + 1;
        let rest = &target[hierarchy..];
        if !rest.starts_with(b"//") {
            return rest.starts_with(b"/").then_some(hierarchy..end);
        }
        hierarchy + 2
    };
    let length = target[authority..].iter().position(|byte| *byte == b'/')?;
    Some(authority + length..end)
}

/// The length of the scheme before the colon; `None` where there is no scheme.
fn scheme_len(target: &[u8]) -> Option<usize> {
    let length = target.iter().position(|byte| *byte == b':')?;
    let scheme = &target[..length];
    let valid = scheme.first()?.is_ascii_alphabetic()
        && scheme
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    valid.then_some(length)
}

/// Resolves percent-encoding, once; `None` where it is not valid.
fn decode(path: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.iter().copied();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?
        } else {
            byte
        });
    }
    Some(decoded)
}

/// How many bytes of a path encode so many of the decoded one.
fn encoded_len(path: &[u8], decoded: usize) -> usize {
    let mut length = 0;
    for _ in 0..decoded {
        length += match path.get(length) {
            Some(b'%') => 3,
            _ => 1,
        };
    }
    length
}

fn hex_digit(byte: u8) -> Option<u8> {
    // A digit is less than 16.
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// Whether the gateway takes a path as it is: no empty segment but a last one, no dot segment.
fn is_clean(path: &[u8]) -> bool {
    let mut parts = path.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        if (part.is_empty() && !last) || matches!(part, b"." | b"..") {
            return false;
        }
    }
    true
}

/// The segments of the clean path.
fn segments(path: &[u8]) -> Vec<&[u8]> {
    let mut segments = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    segments
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> (Target, bool) {
        let (target, range) = classify(b"GET", path.as_bytes());
        (target, range.is_some())
    }

    fn function(name: &str) -> Target {
        Target::Function { name: name.into() }
    }

    #[test]
    fn a_plain_target_names_its_function_and_where_the_name_stands() {
        for path in [
            "/function/pydict",
            "/function/pydict/",
            "/function/pydict/a/b",
            "/function/pydict/%C3%A4",
            "/function/pydict?a=/b",
            "/function/pydict.openfaas-fn/a",
        ] {
            let (target, range) = classify(b"GET", path.as_bytes());
            assert_eq!(target, function("pydict"), "{path}");
            assert_eq!(&path[range.unwrap()], "pydict", "{path}");
        }
    }

    #[test]
    fn a_function_to_which_the_gateway_only_redirects_is_named() {
        for path in [
            "//function/pydict",
            "/function//pydict",
            "/./function/x/../pydict",
            "/function/pydict/a//b",
            "/function/pydict/a%2f%2Fb",
            "/function/x/%2e%2e/pydict",
        ] {
            assert_eq!(target(path), (function("pydict"), false), "{path}");
        }
    }

    #[test]
    fn a_name_is_found_in_each_encoding_and_form_of_a_target() {
        for (path, spelled) in [
            ("/%66unction/pydict", "pydict"),
            ("/function%2Fpydict", "pydict"),
            ("/function/py%64ict/rest", "py%64ict"),
            ("/function/%70%79dic%74", "%70%79dic%74"),
            ("/function/pydict%2eopenfaas-fn/%61", "pydict"),
            ("http://host:8080/function/pydict?x", "pydict"),
            (
                "http://function/%66unction/pydic%74?/function/x",
                "pydic%74",
            ),
        ] {
            let (target, range) = classify(b"GET", path.as_bytes());
            assert_eq!(target, function("pydict"), "{path}");
            assert_eq!(&path[range.unwrap()], spelled, "{path}");
        }
    }

    #[test]
    fn an_absolute_form_without_an_authority_still_has_a_path() {
        for path in [
            "x:/function/pydict",
            "x:///function/pydict",
            "x:/function/pydict?://",
        ] {
            assert_eq!(target(path), (function("pydict"), true), "{path}");
        }
        assert_eq!(
            target("http://host?/function/pydict").0,
            Target::Other,
            "a query"
        );
    }

    #[test]
    fn a_path_behind_the_authority_of_connect_is_one() {
        let path = "host:80/function/pydict";
        let (target, range) = classify(b"CONNECT", path.as_bytes());
        assert_eq!(target, function("pydict"));
        assert_eq!(&path[range.unwrap()], "pydict");
    }

    #[test]
    fn what_leads_to_no_function_is_other() {
        for path in [
            "/",
            "/functions/pydict",
            "/system/functions",
            "*",
            "/function/",
            "/x/function/pydict",
            "function/pydict",
            "/function/pydict#a",
            "/function/pydict%zz",
            "/function/pydict/%0a",
            "/function/x/../..",
        ] {
            assert_eq!(target(path), (Target::Other, false), "{path}");
        }
    }

    #[test]
    fn percent_encoding_is_resolved_once() {
        assert_eq!(
            target("/function/x/%252e%252e/pydict"),
            (function("x"), true)
        );
    }

    #[test]
    fn the_queue_is_told_apart() {
        assert_eq!(
            target("/async-function/pydict").0,
            Target::Async {
                name: "pydict".into()
            }
        );
    }
}
