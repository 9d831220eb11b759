//! The head of a sealed file: all that is known of it without the key.
//!
//! Parsing accepts one spelling only, so that a header that parses can be written again byte for
//! byte. A header is not trustworthy until the first chunk has been opened: it is bound to the
//! payload as associated data.
use subtle::ConstantTimeEq as _;

use super::{
    derive::{Purpose, derive},
    error::{FormatError, WrongKey},
    key::{Key, KeyId},
    stream::{CHUNK, PREFIX_LEN, PayloadKey, TAG},
};

/// What every sealed file begins with.
const MAGIC: &[u8; 6] = b"RSFAAS";
/// The version that this module reads and writes.
const VERSION: u16 = 1;
/// Bytes of a header without the function's name.
const FIXED_LEN: usize = 121;
/// Longest function name that the header holds, in bytes.
pub const MAX_NAME: usize = 255;
/// Longest header, in bytes: enough to read for [`Header::parse`].
pub const MAX_LEN: usize = FIXED_LEN + MAX_NAME;

/// A parsed header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub(super) key_id: KeyId,
    pub(super) salt: [u8; 32],
    pub(super) nonce: [u8; PREFIX_LEN],
    pub(super) commitment: [u8; 32],
    pub(super) sealed_at: u64,
    pub(super) plaintext_len: u64,
    pub(super) name: String,
}

impl Header {
    /// Reads the header at the start of a sealed file; what follows it is not looked at.
    ///
    /// # Errors
    /// When the bytes are no sealed file, of another version, too short, or not canonical.
    pub fn parse(sealed: &[u8]) -> Result<Self, FormatError> {
        let seen = sealed.len().min(MAGIC.len());
        if seen == 0 || sealed[..seen] != MAGIC[..seen] {
            return Err(FormatError::NotSealed);
        }
        let mut fields = Fields {
            rest: sealed,
            length: sealed.len(),
        };
        let _magic = fields.take::<6>()?;
        let version = u16::from_be_bytes(fields.take()?);
        if version != VERSION {
            return Err(FormatError::Version { found: version });
        }
        let key_id = KeyId::from_bytes(fields.take()?);
        let salt = fields.take()?;
        let nonce = fields.take()?;
        if fields.take::<5>()? != [0; 5] {
            return Err(FormatError::Header("the nonce's counter is not zero"));
        }
        let commitment = fields.take()?;
        let sealed_at = u64::from_be_bytes(fields.take()?);
        let plaintext_len = u64::from_be_bytes(fields.take()?);
        let [name_len] = fields.take()?;
        let name = str::from_utf8(fields.slice(usize::from(name_len))?)
            .map_err(|_| FormatError::Header("the function's name is not UTF-8"))?;
        if name.is_empty() {
            return Err(FormatError::Header("the function's name is empty"));
        }
        let name = name.to_owned();
        Ok(Self {
            key_id,
            salt,
            nonce,
            commitment,
            sealed_at,
            plaintext_len,
            name,
        })
    }

    /// The header as bytes.
    pub(super) fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let name_len = u8::try_from(self.name.len())
            .ok()
            .filter(|length| *length > 0)
            .ok_or_else(|| FormatError::NameLength {
                name: self.name.clone(),
                most: MAX_NAME,
            })?;
        let mut bytes = Vec::with_capacity(self.encoded_len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(self.key_id.as_bytes());
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(&self.nonce);
        bytes.extend_from_slice(&[0; 5]);
        bytes.extend_from_slice(&self.commitment);
        bytes.extend_from_slice(&self.sealed_at.to_be_bytes());
        bytes.extend_from_slice(&self.plaintext_len.to_be_bytes());
        bytes.push(name_len);
        bytes.extend_from_slice(self.name.as_bytes());
        Ok(bytes)
    }

    /// Whether `key` is the one that the file was sealed with: constant time, and without any
    /// decryption.
    ///
    /// # Errors
    /// When it is another key (or the header is damaged).
    pub fn verify_key(&self, key: &Key) -> Result<(), WrongKey> {
        let commitment = derive::<32>(key.bytes(), &self.salt, Purpose::Commitment);
        if bool::from(commitment.bytes().ct_eq(&self.commitment)) {
            Ok(())
        } else {
            Err(WrongKey {
                sealed_with: self.key_id,
                given: key.id(),
            })
        }
    }

    /// The payload's key, once the commitment says that `key` is the right one.
    pub(super) fn payload_key(&self, key: &Key) -> Result<PayloadKey, WrongKey> {
        self.verify_key(key)?;
        let derived = derive::<32>(key.bytes(), &self.salt, Purpose::Payload);
        Ok(PayloadKey(derived))
    }

    /// ID of the key that opens the file.
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The function that the file belongs to.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When the file was sealed, in seconds since 1970 (UTC).
    #[must_use]
    pub const fn sealed_at(&self) -> u64 {
        self.sealed_at
    }

    /// Bytes of plaintext.
    #[must_use]
    pub const fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// The salt: fresh with each sealing, so it tells one sealing from another.
    #[must_use]
    pub const fn salt(&self) -> &[u8; 32] {
        &self.salt
    }

    /// The version of the format.
    #[must_use]
    pub const fn version(&self) -> u16 {
        VERSION
    }

    /// Number of chunks; one even where there is no plaintext.
    #[must_use]
    pub const fn chunks(&self) -> u64 {
        let chunks = self.plaintext_len.div_ceil(CHUNK as u64);
        if chunks == 0 { 1 } else { chunks }
    }

    /// Bytes of the header itself.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        FIXED_LEN + self.name.len()
    }

    /// Bytes of the whole sealed file, or `None` where no file can be that large.
    #[must_use]
    pub fn sealed_len(&self) -> Option<u64> {
        (TAG as u64)
            .checked_mul(self.chunks())?
            .checked_add(self.plaintext_len)?
            .checked_add(self.encoded_len() as u64)
    }
}

/// Takes fields off the front of a slice.
struct Fields<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (field, rest) = self.rest.split_first_chunk().ok_or(self.truncated())?;
        self.rest = rest;
        Ok(*field)
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let (field, rest) = self.rest.split_at_checked(length).ok_or(self.truncated())?;
        self.rest = rest;
        Ok(field)
    }

    fn truncated(&self) -> FormatError {
        FormatError::Truncated {
            found: self.length as u64,
            expected: None,
        }
    }
}
