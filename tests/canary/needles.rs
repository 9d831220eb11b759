//! What is searched for: secrets, in every spelling in which they may lie about.
//!
//! Of each spelling only its ends are searched for: memory that was freed, or written to in part, often
//! lacks the other. What is left is still too long to be there by chance.
use std::fmt;

use aho_corasick::{AhoCorasick, BuildError, MatchKind};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use bech32::{Bech32, primitives::decode::CheckedHrpstring};

/// Bytes of a spelling's ends.
const END: usize = 16;

/// A secret that cannot be searched for. None of the variants carries any part of it.
#[derive(Debug, thiserror::Error)]
pub enum BadSecret {
    /// It would be found by chance.
    #[error("the secret {0:?} is shorter than {END} bytes")]
    Short(&'static str),
    /// The text is not a key's.
    #[error("the secret {0:?} is not a key's text")]
    Key(&'static str),
    /// The search could not be prepared.
    #[error("the search cannot be prepared: {0}")]
    Search(#[from] BuildError),
}

/// How a secret is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// As it is.
    Plain,
    /// A key's text, in either case.
    Text,
    /// A key's bytes.
    Raw,
    /// In hexadecimal digits.
    Hex,
    /// In Base64, of either alphabet, wherever it starts.
    Base64,
}

impl fmt::Display for Spelling {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Plain => "plain",
            Self::Text => "text",
            Self::Raw => "raw",
            Self::Hex => "hex",
            Self::Base64 => "base64",
        })
    }
}

/// Something to be searched for. It is secret: no `Debug`.
pub struct Secret {
    name: &'static str,
    marker: bool,
    spellings: Vec<(Spelling, Vec<u8>)>,
}

impl Secret {
    /// Bytes that must not be found, such as a part of a handler's source.
    ///
    /// # Errors
    /// When they are too few.
    pub fn new(name: &'static str, bytes: &[u8]) -> Result<Self, BadSecret> {
        let mut secret = Self::empty(name, false);
        secret.spell(Spelling::Plain, bytes)?;
        secret.encode(bytes)?;
        Ok(secret)
    }

    /// A function's key, by its text.
    ///
    /// # Errors
    /// When the text is not a key's.
    pub fn key(name: &'static str, text: &str) -> Result<Self, BadSecret> {
        let bad = || BadSecret::Key(name);
        let raw: Vec<u8> = CheckedHrpstring::new::<Bech32>(text)
            .map_err(|_| bad())?
            .byte_iter()
            .collect();
        // The prefix is every key's.
        let (_, symbols) = text.rsplit_once('1').ok_or_else(bad)?;
        let mut secret = Self::empty(name, false);
        for symbols in [symbols.to_ascii_lowercase(), symbols.to_ascii_uppercase()] {
            secret.spell(Spelling::Text, symbols.as_bytes())?;
        }
        secret.spell(Spelling::Raw, &raw)?;
        secret.encode(&raw)?;
        secret.base64(symbols.as_bytes())?;
        Ok(secret)
    }

    /// Something that is no secret and must be found where OpenFaaS has it by right: without it in a place,
    /// the search of that place proves nothing.
    ///
    /// # Errors
    /// When the text is too short.
    pub fn marker(name: &'static str, text: &str) -> Result<Self, BadSecret> {
        let mut secret = Self::empty(name, true);
        secret.spell(Spelling::Plain, text.as_bytes())?;
        Ok(secret)
    }

    fn empty(name: &'static str, marker: bool) -> Self {
        Self {
            name,
            marker,
            spellings: Vec::new(),
        }
    }

    fn encode(&mut self, bytes: &[u8]) -> Result<(), BadSecret> {
        let lower: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.spell(Spelling::Hex, lower.as_bytes())?;
        self.spell(Spelling::Hex, lower.to_ascii_uppercase().as_bytes())?;
        self.base64(bytes)
    }

    /// Behind bytes that are not known the same bytes are written in three ways, and the symbols at both
    /// ends depend on what stands beside them.
    fn base64(&mut self, bytes: &[u8]) -> Result<(), BadSecret> {
        for before in 0..3_usize {
            let shifted = [&[0; 2][..before], bytes].concat();
            let known = (before * 8).div_ceil(6)..shifted.len() * 8 / 6;
            for alphabet in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                let symbols = alphabet.encode(&shifted);
                self.spell(Spelling::Base64, &symbols.as_bytes()[known.clone()])?;
            }
        }
        Ok(())
    }

    fn spell(&mut self, spelling: Spelling, bytes: &[u8]) -> Result<(), BadSecret> {
        let (Some(first), Some(last)) = (bytes.first_chunk::<END>(), bytes.last_chunk::<END>())
        else {
            return Err(BadSecret::Short(self.name));
        };
        for end in [first, last] {
            if !self.spellings.iter().any(|(_, known)| known == end) {
                self.spellings.push((spelling, end.to_vec()));
            }
        }
        Ok(())
    }
}

/// All that is searched for at once.
pub struct Needles {
    automaton: AhoCorasick,
    /// Secret and spelling of each pattern of the automaton.
    patterns: Vec<(usize, Spelling)>,
    /// Name of each secret, and whether it is a marker.
    secrets: Vec<(&'static str, bool)>,
}

/// A needle that was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) secret: usize,
    pub(super) spelling: Spelling,
    /// Of its first byte.
    pub(super) offset: usize,
}

impl Needles {
    /// Prepares the search for some secrets.
    ///
    /// # Errors
    /// When there are too many.
    pub fn new(secrets: Vec<Secret>) -> Result<Self, BadSecret> {
        let (mut patterns, mut needles, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for (index, secret) in secrets.into_iter().enumerate() {
            names.push((secret.name, secret.marker));
            for (spelling, needle) in secret.spellings {
                patterns.push((index, spelling));
                needles.push(needle);
            }
        }
        let automaton = AhoCorasick::builder()
            // The vectorized search knows no other.
            .match_kind(MatchKind::LeftmostFirst)
            .build(needles)?;
        Ok(Self {
            automaton,
            patterns,
            secrets: names,
        })
    }

    /// Bytes of the longest needle: what an end of one buffer and the start of the next may share.
    pub(super) const fn longest() -> usize {
        END
    }

    pub(super) fn find(&self, bytes: &[u8]) -> impl Iterator<Item = Found> {
        self.automaton.find_iter(bytes).map(|found| {
            let (secret, spelling) = self.patterns[found.pattern()];
            Found {
                secret,
                spelling,
                offset: found.start(),
            }
        })
    }

    /// Name of a secret, and whether it is a marker.
    pub(super) fn secret(&self, index: usize) -> (&'static str, bool) {
        self.secrets[index]
    }

    /// Whether there is a marker among them.
    #[must_use]
    pub fn have_marker(&self) -> bool {
        self.secrets.iter().any(|(_, marker)| *marker)
    }
}

#[cfg(test)]
mod tests {
    use bech32::Hrp;

    use super::*;

    const SOURCE: &[u8] = b"a part of a handler's source";

    fn names(needles: &Needles, bytes: &[u8]) -> Vec<(&'static str, Spelling)> {
        needles
            .find(bytes)
            .map(|found| (needles.secret(found.secret).0, found.spelling))
            .collect()
    }

    fn needles() -> Needles {
        let key = Secret::key("key", &text()).unwrap();
        Needles::new(vec![Secret::new("source", SOURCE).unwrap(), key]).unwrap()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn raw() -> Vec<u8> {
        (0..32).collect()
    }

    fn text() -> String {
        bech32::encode::<Bech32>(Hrp::parse_unchecked("rsfaas"), &raw()).unwrap()
    }

    #[test]
    fn a_key_is_found_as_text_raw_in_hexadecimal_digits_and_in_base64() {
        let needles = needles();
        let cases = [
            (text().into_bytes(), Spelling::Text),
            (text().to_ascii_uppercase().into_bytes(), Spelling::Text),
            (raw(), Spelling::Raw),
            (hex(&raw()).into_bytes(), Spelling::Hex),
            (hex(&raw()).to_ascii_uppercase().into_bytes(), Spelling::Hex),
            (STANDARD_NO_PAD.encode(raw()).into_bytes(), Spelling::Base64),
            (
                STANDARD_NO_PAD.encode(text()).into_bytes(),
                Spelling::Base64,
            ),
        ];
        for (bytes, spelling) in cases {
            let found = names(&needles, &bytes);
            assert_eq!(found, [("key", spelling); 2], "{spelling}");
        }
    }

    #[test]
    fn base64_is_found_wherever_the_secret_stands_in_what_is_encoded() {
        let needles = needles();
        for before in ["", "a", "ab", "abc"] {
            let text = [before.as_bytes(), SOURCE, b"what follows"].concat();
            for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                let found = names(&needles, encoded.as_bytes());
                assert_eq!(found, [("source", Spelling::Base64); 2], "{before:?}");
            }
        }
    }

    #[test]
    fn either_end_of_a_secret_is_enough() {
        let needles = needles();
        for half in [&raw()[..16], &raw()[16..]] {
            assert_eq!(names(&needles, half), [("key", Spelling::Raw)]);
        }
        assert!(names(&needles, &raw()[8..24]).is_empty());
    }

    #[test]
    fn what_could_be_there_by_chance_and_what_is_no_key_is_refused_by_name() {
        let short = Secret::new("source", b"too short").err().unwrap();
        assert_eq!(
            short.to_string(),
            "the secret \"source\" is shorter than 16 bytes"
        );
        let typed = text().replace('q', "p");
        let wrong = Secret::key("key", &typed).err().unwrap().to_string();
        assert_eq!(wrong, "the secret \"key\" is not a key's text");
    }
}
