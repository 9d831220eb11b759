//! Function names, as the programs look them up, and header names, as the tables are made of them.

/// Bytes that the programs look at for a name, and the longest name of a header. A function's is shorter: OpenFaaS
/// names are DNS labels of at most 63, and the byte behind it has to be seen too.
pub const NAME_LEN: usize = 64;

/// Key of the map of names: a hash of the name (FNV-1a,
/// <https://www.rfc-editor.org/rfc/rfc9923>), which is looked up in half the time of the name itself. Two names
/// may share one: a request by either is held, and the agent knows which it is.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NameKey(pub u64);
crate::plain!(NameKey, 8);

impl NameKey {
    /// The key of no bytes.
    pub const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    /// A name as a map key, or `None` where it is empty or too long.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let bytes = name.as_bytes();
        (1..NAME_LEN)
            .contains(&bytes.len())
            .then(|| bytes.iter().fold(Self::EMPTY, |key, byte| key.and(*byte)))
    }

    /// The key of one byte more.
    #[must_use]
    #[inline(always)]
    pub const fn and(self, byte: u8) -> Self {
        Self((self.0 ^ byte as u64).wrapping_mul(0x0100_0000_01b3))
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

/// A header's name in lower case, zero-padded. The programs do not have it: what they look headers up in (`search`,
/// `sample`) is made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderName {
    /// The name, lower case, zero-padded.
    pub bytes: [u8; NAME_LEN],
    /// Its length in bytes.
    pub length: u32,
}

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
        assert!(NameKey::new(&"a".repeat(NAME_LEN - 1)).is_some());
        assert!(NameKey::new(&"a".repeat(NAME_LEN)).is_none());
        assert!(NameKey::new("").is_none());
    }

    /// From the test vectors of RFC 9923.
    #[test]
    fn a_name_is_hashed_as_the_standard_says() {
        assert_eq!(NameKey::new("foobar"), Some(NameKey(0x8594_4171_f739_67e8)));
    }

    #[test]
    fn header_names_are_compared_in_lower_case() {
        assert_eq!(
            HeaderName::new("X-RsFaaS-Key"),
            HeaderName::new("x-rsfaas-key")
        );
    }
}
