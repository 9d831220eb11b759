//! The key of a function: 32 random bytes, carried as checksummed text, named by an ID.
//!
//! The text is Bech32 (BIP-173) with the prefix `rsfaas`, so that a typing mistake is told from a
//! wrong key without looking at any file. A key is wiped when dropped and has neither `Debug` nor
//! `Display`; its [`KeyId`] is what may be shown and logged.
use std::fmt;

use bech32::{
    Bech32, ByteIterExt as _, Fe32IterExt as _, Hrp, primitives::decode::CheckedHrpstring,
};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::derive::{Purpose, derive};

const HRP: Hrp = Hrp::parse_unchecked("rsfaas");
/// What every key text begins with, in lower case.
pub(super) const PREFIX: &str = "rsfaas1";
/// Symbols of 5 bits that carry 32 bytes.
const DATA_SYMBOLS: usize = 52;
/// Length of a key as text: prefix, data, and a checksum of six symbols.
pub const TEXT_LEN: usize = PREFIX.len() + DATA_SYMBOLS + 6;

/// A function's secret key.
///
/// On the heap, so that moving it leaves no copy behind.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Key(Box<[u8; 32]>);

/// Why a text is no key. None of the variants carries any part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing but white space.
    #[error("the key is empty; expected a text that begins with \"{PREFIX}\"")]
    Empty,
    /// The text does not begin with the prefix.
    #[error("not a key: expected a text that begins with \"{PREFIX}\"")]
    Prefix,
    /// The text has the prefix, but not the length.
    #[error("the key has {found} characters instead of {TEXT_LEN}; copy the whole line")]
    Length {
        /// Characters found.
        found: usize,
    },
    /// Upper and lower case in one text.
    #[error("the key mixes upper and lower case; write it all in lower case")]
    MixedCase,
    /// A character that Bech32 does not use.
    #[error("character {position} of the key is not one that keys use; copy the key again")]
    Character {
        /// Where it stands, counted from 1.
        position: usize,
    },
    /// The checksum says that something was mistyped.
    #[error("the key's checksum does not fit; it was mistyped or damaged, copy it again")]
    Checksum,
}

impl Key {
    /// A new key from the system's random source.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut key = Self(Box::new([0; 32]));
        getrandom::fill(key.0.as_mut_slice())?;
        Ok(key)
    }

    /// Reads the text form: all lower or all upper case, white space around it ignored.
    ///
    /// # Errors
    /// When the text is not a key; see [`KeyError`].
    pub fn parse(text: &[u8]) -> Result<Self, KeyError> {
        let text = text.trim_ascii();
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if !text
            .get(..PREFIX.len())
            .is_some_and(|it| it.eq_ignore_ascii_case(PREFIX.as_bytes()))
        {
            return Err(KeyError::Prefix);
        }
        if let Some(position) = text[PREFIX.len()..]
            .iter()
            .position(|byte| !is_symbol(*byte))
        {
            return Err(KeyError::Character {
                position: PREFIX.len() + position + 1,
            });
        }
        if text.len() != TEXT_LEN {
            return Err(KeyError::Length { found: text.len() });
        }
        if text.iter().any(u8::is_ascii_lowercase) && text.iter().any(u8::is_ascii_uppercase) {
            return Err(KeyError::MixedCase);
        }
        // The library's errors quote characters of their input: they stop here.
        let text = str::from_utf8(text).map_err(|_| KeyError::Checksum)?;
        let checked = CheckedHrpstring::new::<Bech32>(text).map_err(|_| KeyError::Checksum)?;
        // 52 symbols are 260 bits: the last four must be zero, or one key had sixteen spellings.
        checked
            .validate_segwit_padding()
            .map_err(|_| KeyError::Checksum)?;
        let mut key = Self(Box::new([0; 32]));
        for (slot, byte) in key.0.iter_mut().zip(checked.byte_iter()) {
            *slot = byte;
        }
        Ok(key)
    }

    /// The text form, lower case.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        // Sized first: a string that grows leaves its old buffer behind unwiped.
        let mut text = Zeroizing::new(String::with_capacity(TEXT_LEN));
        text.extend(
            self.0
                .iter()
                .copied()
                .bytes_to_fes()
                .with_checksum::<Bech32>(&HRP)
                .chars(),
        );
        text
    }

    /// The key's public name. Derived one way: it tells keys apart and says nothing else.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let id = derive::<8>(self.bytes(), &[], Purpose::KeyId);
        KeyId(*id.bytes())
    }

    /// Whether this is the same key as another, in constant time.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.ct_eq(other.0.as_slice()).into()
    }

    /// The secret itself, for derivations only.
    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key of known bytes.
    #[cfg(test)]
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Box::new(bytes))
    }
}

/// Whether a byte is of Bech32's alphabet, in either case.
fn is_symbol(byte: u8) -> bool {
    b"qpzry9x8gf2tvdw0s3jn54khce6mua7l".contains(&byte.to_ascii_lowercase())
}

/// The public name of a key; safe to show, log and store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// An ID as a header carries it.
    pub(super) const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The eight bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn obvious() -> Key {
        Key::from_bytes(std::array::from_fn(|index| index as u8))
    }

    fn error(text: impl AsRef<[u8]>) -> KeyError {
        Key::parse(text.as_ref()).err().unwrap()
    }

    proptest! {
        #[test]
        fn text_form_gives_the_same_key_back(bytes: [u8; 32]) {
            let key = Key::from_bytes(bytes);
            let text = key.to_text();
            prop_assert_eq!(text.len(), TEXT_LEN);
            let parsed = Key::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(parsed.bytes(), &bytes);
        }

        #[test]
        fn any_bytes_are_refused_or_parsed_without_panic(bytes: Vec<u8>) {
            let _ = Key::parse(&bytes);
            let _ = Key::parse(&[PREFIX.as_bytes(), &bytes].concat());
        }
    }

    #[test]
    fn a_key_is_the_same_as_itself_alone() {
        assert!(obvious().is_same(&obvious()));
        let mut other = *obvious().bytes();
        other[31] ^= 1;
        assert!(!obvious().is_same(&Key::from_bytes(other)));
    }

    #[test]
    fn text_is_built_without_reallocation() {
        assert_eq!(obvious().to_text().capacity(), TEXT_LEN);
    }

    #[test]
    fn two_generated_keys_differ() {
        assert_ne!(
            Key::generate().unwrap().bytes(),
            Key::generate().unwrap().bytes()
        );
    }

    #[test]
    fn upper_case_and_white_space_around_are_accepted() {
        let text = format!("\t{} \r\n", obvious().to_text().to_ascii_uppercase());
        assert_eq!(
            Key::parse(text.as_bytes()).unwrap().bytes(),
            obvious().bytes()
        );
    }

    #[test]
    fn mixed_case_is_refused() {
        let text = obvious().to_text().replacen("rsfaas", "RSFAAS", 1);
        assert_eq!(error(text), KeyError::MixedCase);
    }

    #[test]
    fn empty_text_is_refused_as_empty() {
        assert_eq!(error("  \n"), KeyError::Empty);
    }

    #[test]
    fn another_prefix_is_refused() {
        assert_eq!(
            error(obvious().to_text().replacen("rsfaas", "rsfass", 1)),
            KeyError::Prefix
        );
        assert_eq!(error("rsfaas"), KeyError::Prefix);
    }

    #[test]
    fn a_short_and_a_long_text_are_refused_by_length() {
        let text = obvious().to_text();
        assert_eq!(
            error(&text[..TEXT_LEN - 1]),
            KeyError::Length {
                found: TEXT_LEN - 1
            }
        );
        assert_eq!(
            error(text.to_string() + "q"),
            KeyError::Length {
                found: TEXT_LEN + 1
            }
        );
    }

    #[test]
    fn a_character_that_keys_do_not_use_is_named_by_position() {
        let mut text = obvious().to_text().as_bytes().to_vec();
        text[9] = b'b';
        assert_eq!(error(text), KeyError::Character { position: 10 });
    }

    #[test]
    fn every_single_mistyped_character_is_found() {
        let text = obvious().to_text();
        for position in PREFIX.len()..TEXT_LEN {
            for symbol in b"qpzry9x8gf2tvdw0s3jn54khce6mua7l" {
                let mut typed = text.as_bytes().to_vec();
                if typed[position] != *symbol {
                    typed[position] = *symbol;
                    assert_eq!(error(typed), KeyError::Checksum);
                }
            }
        }
    }

    #[test]
    fn stray_bits_after_the_last_byte_are_refused_though_the_checksum_fits() {
        let key = obvious();
        let symbols = key.bytes().iter().copied().bytes_to_fes();
        let mut symbols: Vec<bech32::Fe32> = symbols.collect();
        let last = symbols.last_mut().unwrap();
        *last = bech32::Fe32::try_from(last.to_u8() | 1).unwrap();
        let text: String = symbols
            .into_iter()
            .with_checksum::<Bech32>(&HRP)
            .chars()
            .collect();
        assert_eq!(error(text), KeyError::Checksum);
    }

    #[test]
    fn id_is_stable_and_hexadecimal() {
        let id = obvious().id();
        assert_eq!(id, obvious().id());
        assert_eq!(id.to_string().len(), 16);
        assert_ne!(id, Key::from_bytes([7; 32]).id());
    }

    #[test]
    fn errors_never_repeat_the_text() {
        let text = obvious().to_text();
        let typed = text.replace('q', "b");
        assert!(
            !error(&typed)
                .to_string()
                .contains(&typed[PREFIX.len()..PREFIX.len() + 8])
        );
    }
}
