//! The headers that carry keys: the one with the key that opens a function, and the one with the key that
//! is to open it afterwards.
use std::borrow::Cow;

/// Their names, in lower case: letter case does not matter in a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHeaders {
    pub(super) key: Cow<'static, str>,
    pub(super) next: Cow<'static, str>,
}

impl KeyHeaders {
    /// Headers of these names.
    #[must_use]
    pub fn new(key: &str, next: &str) -> Self {
        Self {
            key: key.to_ascii_lowercase().into(),
            next: next.to_ascii_lowercase().into(),
        }
    }

    /// The usual name of the next key's header: `Next-` before the last word of the key header's.
    #[must_use]
    pub fn usual_next(key: &str) -> String {
        let (start, word) = key.split_at(key.rfind('-').map_or(0, |dash| dash + 1));
        format!("{start}Next-{word}")
    }

    /// Both names.
    pub(super) fn all(&self) -> [&str; 2] {
        [&self.key, &self.next]
    }
}

impl From<&str> for KeyHeaders {
    /// The next key's header has its usual name.
    fn from(key: &str) -> Self {
        Self::new(key, &Self::usual_next(key))
    }
}

#[cfg(test)]
impl KeyHeaders {
    /// Those of a configuration that says nothing about them.
    pub(super) const DEFAULT: &Self = &Self {
        key: Cow::Borrowed("x-rsfaas-key"),
        next: Cow::Borrowed("x-rsfaas-next-key"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_keys_header_is_named_after_the_key_header() {
        for (key, next) in [
            ("X-RsFaaS-Key", "X-RsFaaS-Next-Key"),
            ("Secret", "Next-Secret"),
            ("-", "-Next-"),
        ] {
            assert_eq!(KeyHeaders::usual_next(key), next);
        }
        assert_eq!(&KeyHeaders::from("X-RsFaaS-Key"), KeyHeaders::DEFAULT);
    }
}
