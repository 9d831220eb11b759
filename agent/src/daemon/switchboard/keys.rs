//! The keys of a request: one that opens the function, and one that is to open it afterwards.
use rsfaas_shim::Refusal;
use zeroize::Zeroizing;

use crate::{head::Request, seal::key::Key};

/// The keys that a request may carry.
pub(super) struct Keys {
    /// The one that opens the function.
    pub(super) present: Key,
    /// The one that is to open it once the lease is over.
    pub(super) next: Option<Key>,
}

/// Whether a request carries anything that may be a key.
pub(super) fn are_in(request: &Request) -> bool {
    !request.keys.is_empty() || !request.next_keys.is_empty()
}

/// A request's keys; none where it has no present one, or why they are not looked at.
pub(super) fn of(request: &Request) -> Result<Option<Keys>, Refusal> {
    let Some(present) = only(&request.keys).map_err(|Malformed| Refusal::KeyMalformed)? else {
        return Ok(None);
    };
    let next = only(&request.next_keys).map_err(|Malformed| Refusal::NextKeyMalformed)?;
    Ok(Some(Keys { present, next }))
}

struct Malformed;

/// The key of a header: of more than one, none can be told to be the one.
fn only(texts: &[Zeroizing<Vec<u8>>]) -> Result<Option<Key>, Malformed> {
    match texts {
        [] => Ok(None),
        [text] => Key::parse(text).map(Some).map_err(|_| Malformed),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Target;

    fn request(keys: &[&str], next_keys: &[&str]) -> Request {
        let texts = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| Zeroizing::new(text.as_bytes().to_vec()))
                .collect()
        };
        Request {
            target: Target::Other,
            direct: true,
            keys: texts(keys),
            next_keys: texts(next_keys),
            lengths: None,
        }
    }

    #[test]
    fn what_is_no_key_is_told_by_the_header_that_it_stands_in() {
        let text = Key::generate().unwrap().to_text();
        let key = text.as_str();
        let refused = |keys: &[&str], next: &[&str]| of(&request(keys, next)).err();
        assert_eq!(refused(&[key], &[key]), None);
        assert_eq!(refused(&["x"], &["x"]), Some(Refusal::KeyMalformed));
        assert_eq!(refused(&[key, key], &[]), Some(Refusal::KeyMalformed));
        assert_eq!(refused(&[key], &["x"]), Some(Refusal::NextKeyMalformed));
        assert_eq!(
            refused(&[key], &[key, key]),
            Some(Refusal::NextKeyMalformed)
        );
    }

    #[test]
    fn a_next_key_alone_opens_nothing() {
        let request = request(&[], &["x"]);
        assert!(are_in(&request));
        assert!(matches!(of(&request), Ok(None)));
    }
}
