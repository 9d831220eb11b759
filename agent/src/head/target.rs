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

/// Where a target leads. The place of the name in it is given only where it stands there in plain
/// form, and the gateway goes to the function at once. A function to which the gateway only redirects
/// is named too.
pub(super) fn classify(method: &[u8], target: &[u8]) -> (Target, Option<Range<usize>>) {
    // Control characters and broken encodings are no URL: the gateway refuses them.
    if target.iter().any(u8::is_ascii_control) {
        return (Target::Other, None);
    }
    let Some(path) = path(method, target).and_then(decode) else {
        return (Target::Other, None);
    };
    let clean = is_clean(&path);
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
    let prefix: &[u8] = if asynchronous {
        b"/async-function/"
    } else {
        b"/function/"
    };
    let range = prefix.len()..prefix.len() + name.len();
    let plain = clean
        && !name.is_empty()
        && target.starts_with(prefix)
        && target.get(range.clone()) == Some(name);
    let name = String::from_utf8_lossy(name).into_owned();
    let target = if asynchronous {
        Target::Async { name }
    } else {
        Target::Function { name }
    };
    (target, plain.then_some(range))
}

/// The path of a target in origin, absolute or authority form, not decoded; `None` where it has none.
fn path<'a>(method: &[u8], target: &'a [u8]) -> Option<&'a [u8]> {
    let target = target.split(|byte| *byte == b'?').next()?;
    if target.first() == Some(&b'/') {
        return Some(target);
    }
    let hierarchy = if method == b"CONNECT" {
        // The authority form, though a path may follow.
        target
    } else {
        let rest = &target[scheme_len(target)? + 1..];
        match rest.strip_prefix(b"//") {
            Some(authority) => authority,
            None => return rest.starts_with(b"/").then_some(rest),
        }
    };
    let start = hierarchy.iter().position(|byte| *byte == b'/');
    // Without a path it is the root.
    Some(start.map_or(b"/", |start| &hierarchy[start..]))
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
    fn other_spellings_of_a_target_name_the_same_function() {
        for path in [
            "//function/pydict",
            "/function//pydict",
            "/./function/x/../pydict",
            "/%66unction/pydict",
            "/function%2Fpydict",
            "/function/py%64ict/rest",
            "/function/pydict/a//b",
            "/function/x/%2e%2e/pydict",
            "http://host:8080/function/pydict?x",
        ] {
            assert_eq!(target(path), (function("pydict"), false), "{path}");
        }
    }

    #[test]
    fn an_absolute_form_without_an_authority_still_has_a_path() {
        for path in [
            "x:/function/pydict",
            "x:///function/pydict",
            "x:/function/pydict?://",
        ] {
            assert_eq!(target(path), (function("pydict"), false), "{path}");
        }
        assert_eq!(
            target("http://host?/function/pydict").0,
            Target::Other,
            "a query"
        );
    }

    #[test]
    fn a_path_behind_the_authority_of_connect_is_one() {
        let (target, range) = classify(b"CONNECT", b"host:80/function/pydict");
        assert_eq!((target, range), (function("pydict"), None));
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
