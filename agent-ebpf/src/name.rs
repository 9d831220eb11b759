//! Function names and the key header's name, as the maps and globals hold them.

/// Longest function name the maps hold, in bytes; OpenFaaS names are DNS labels of at most 63.
pub const NAME_LEN: usize = 64;

/// Key of the map of names: the name, zero-padded.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NameKey(pub [u8; NAME_LEN]);
crate::plain!(NameKey, 64);

impl NameKey {
    /// A name as a map key, or `None` where it is empty or too long.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        pad(name.as_bytes()).map(Self)
    }
}

/// What a name in the map stands for.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// A sealed function: requests with the key header are held.
    Sealed = 1,
    /// An unlocked container: never to be called from the wire, so every request is held.
    Unlocked = 2,
}

/// The key header's name in lower case, zero-padded; a global of the programs.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderName {
    /// The name, lower case, zero-padded.
    pub bytes: [u8; NAME_LEN],
    /// Its length in bytes.
    pub length: u32,
}
crate::plain!(HeaderName, 68);

impl HeaderName {
    /// A header name in lower case, or `None` where it is empty or too long.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = pad(name.as_bytes())?;
        bytes.make_ascii_lowercase();
        let length = u32::try_from(name.len()).ok()?;
        Some(Self { bytes, length })
    }
}

fn pad(name: &[u8]) -> Option<[u8; NAME_LEN]> {
    let mut bytes = [0; NAME_LEN];
    if name.is_empty() {
        return None;
    }
    bytes.get_mut(..name.len())?.copy_from_slice(name);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_does_not_fit_is_no_key() {
        assert!(NameKey::new(&"a".repeat(NAME_LEN)).is_some());
        assert!(NameKey::new(&"a".repeat(NAME_LEN + 1)).is_none());
        assert!(NameKey::new("").is_none());
    }

    #[test]
    fn header_names_are_compared_in_lower_case() {
        assert_eq!(
            HeaderName::new("X-RsFaaS-Key"),
            HeaderName::new("x-rsfaas-key")
        );
    }
}
