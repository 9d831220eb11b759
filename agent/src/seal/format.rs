//! Sealing and opening one plaintext under one key: the whole format, without files or clock.
use zeroize::Zeroizing;

use super::{
    derive::{Purpose, derive},
    error::FormatError,
    header::Header,
    key::Key,
    stream::{PREFIX_LEN, Stream, TAG},
};

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
        commitment: *derive::<32>(key.bytes(), &fresh.salt, Purpose::Commitment).bytes(),
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
