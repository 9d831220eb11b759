//! Sealing and opening one plaintext under one key: the whole format, without files or clock.
use zeroize::Zeroizing;

use super::{
    derive::{Purpose, derive},
    header::{Header, MAX_NAME, WrongKey},
    key::Key,
    stream::{PREFIX_LEN, Stream, TAG},
};

/// Why bytes cannot be sealed or opened. Chunks are counted from 0.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The bytes do not begin as a sealed file does.
    #[error("not a sealed file")]
    NotSealed,
    /// A sealed file of a version that this program does not know.
    #[error("sealed file of version {found}; this program reads version 1, use a newer rsfaas")]
    Version {
        /// The version found.
        found: u16,
    },
    /// The file ends too early.
    #[error("the sealed file is cut short: {found} bytes{}", expected.map_or(String::new(), |it| format!(" instead of {it}")))]
    Truncated {
        /// Bytes that are there.
        found: u64,
        /// Bytes that the header promises, where it is complete.
        expected: Option<u64>,
    },
    /// The file goes on after its end.
    #[error("the sealed file has {extra} bytes too many")]
    Trailing {
        /// Bytes after the end.
        extra: u64,
    },
    /// The header is not one that this program writes.
    #[error("the sealed file's header is damaged: {0}")]
    Header(&'static str),
    /// A chunk is not what was sealed. Chunk 0 also stands for a header that was changed.
    #[error("the sealed file is damaged: chunk {chunk} is not what was sealed; restore the file")]
    Corrupt {
        /// The first chunk that does not fit.
        chunk: u64,
    },
    /// The key does not open this file.
    #[error(transparent)]
    WrongKey(WrongKey),
    /// The file belongs to another function.
    #[error("sealed for function {found:?}, not for {expected:?}")]
    WrongName {
        /// The function that was asked for.
        expected: String,
        /// The function in the header.
        found: String,
    },
    /// A function's name that the header has no room for.
    #[error("function name {name:?} is empty or longer than {MAX_NAME} bytes")]
    NameLength {
        /// The name.
        name: String,
    },
    /// More plaintext, or a longer label, than the format can number.
    #[error("too large to be sealed")]
    TooLarge,
    /// The system gave no random bytes.
    #[error("no random bytes from the system")]
    Random(#[from] getrandom::Error),
}

impl From<WrongKey> for FormatError {
    /// The right ID with a commitment that does not fit is a damaged header, not another key.
    fn from(wrong: WrongKey) -> Self {
        if wrong.sealed_with == wrong.given {
            Self::Header("the key commitment does not fit the key that the header names")
        } else {
            Self::WrongKey(wrong)
        }
    }
}

/// What must never be used twice under one key.
struct Fresh {
    salt: [u8; 32],
    nonce: [u8; PREFIX_LEN],
}

impl Fresh {
    fn draw() -> Result<Self, getrandom::Error> {
        let mut fresh = Self {
            salt: [0; 32],
            nonce: [0; PREFIX_LEN],
        };
        getrandom::fill(&mut fresh.salt)?;
        getrandom::fill(&mut fresh.nonce)?;
        Ok(fresh)
    }
}

/// Seals `plaintext` for the function `name`, under a fresh salt, subkey and nonce.
///
/// `label` is the content's logical path ([`HANDLER_LABEL`](super::HANDLER_LABEL) for a handler),
/// `time` the moment of sealing in seconds since 1970.
///
/// # Errors
/// When the name does not fit, the plaintext is too large, or the system has no randomness.
pub fn seal(
    key: &Key,
    name: &str,
    label: &str,
    plaintext: &[u8],
    time: u64,
) -> Result<Vec<u8>, FormatError> {
    seal_with(key, name, label, plaintext, time, Fresh::draw()?)
}

fn seal_with(
    key: &Key,
    name: &str,
    label: &str,
    plaintext: &[u8],
    time: u64,
    fresh: Fresh,
) -> Result<Vec<u8>, FormatError> {
    let header = Header {
        key_id: key.id(),
        commitment: *derive::<32>(key, &fresh.salt, Purpose::Commitment).bytes(),
        salt: fresh.salt,
        nonce: fresh.nonce,
        sealed_at: time,
        plaintext_len: plaintext.len() as u64,
        name: name.to_owned(),
    };
    let encoded = header.encode()?;
    let total = header
        .sealed_len()
        .and_then(|length| usize::try_from(length).ok());
    let mut sealed = Vec::with_capacity(total.ok_or(FormatError::TooLarge)?);
    sealed.extend_from_slice(&encoded);
    let associated = associated(&encoded, label)?;
    Stream::new(&header.payload_key(key)?, &header.nonce, &associated)
        .seal(plaintext, &mut sealed)?;
    Ok(sealed)
}

/// Opens a sealed file for the function `name`. The key is checked before anything else is done,
/// and nothing is returned before the last chunk was found authentic.
///
/// # Errors
/// When the file is damaged in any way, or key, name or label are not those of the sealing.
pub fn open(
    key: &Key,
    name: &str,
    label: &str,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let header = Header::parse(sealed)?;
    let payload_key = header.payload_key(key)?;
    if header.name != name {
        return Err(FormatError::WrongName {
            expected: name.to_owned(),
            found: header.name,
        });
    }
    let found = sealed.len() as u64;
    match header.sealed_len() {
        Some(expected) if found == expected => {}
        Some(expected) if found > expected => {
            return Err(FormatError::Trailing {
                extra: found - expected,
            });
        }
        expected => return Err(FormatError::Truncated { found, expected }),
    }
    let (encoded, payload) = sealed.split_at(header.encoded_len());
    let associated = associated(encoded, label)?;
    // The length was checked against the file's: what is allocated is never more than that.
    let length = payload.len() - usize::try_from(header.chunks()).map_or(0, |it| it * TAG);
    let mut plaintext = Zeroizing::new(vec![0; length]);
    Stream::new(&payload_key, &header.nonce, &associated).open(payload, &mut plaintext)?;
    Ok(plaintext)
}

/// What every chunk is bound to: the header as written, and the label.
fn associated(header: &[u8], label: &str) -> Result<Vec<u8>, FormatError> {
    let length = u16::try_from(label.len()).map_err(|_| FormatError::TooLarge)?;
    Ok([header, &length.to_be_bytes(), label.as_bytes()].concat())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
