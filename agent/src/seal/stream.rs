//! The payload: XChaCha20-Poly1305 in STREAM form (Hoang, Reyhanitabar, Rogaway, Vizár 2015).
//!
//! Each chunk has a nonce of its own: 19 random bytes, the chunk's number in four, and one byte
//! that says whether it is the last. So chunks cannot be left out, repeated, moved or appended, and
//! a stream that ends early is told from one that ends.
use chacha20poly1305::{
    AeadInOut as _, KeyInit as _, Tag, XChaCha20Poly1305, XNonce, aead::inout::InOutBuf,
};

use super::{derive::Derived, error::FormatError};

/// Plaintext bytes of a chunk; only the last one may be shorter.
pub(super) const CHUNK: usize = 64 * 1024;
/// Bytes of the authentication tag after each chunk.
pub(super) const TAG: usize = 16;
/// Random bytes at the start of every chunk's nonce.
pub(super) const PREFIX_LEN: usize = 19;

/// The payload's key: there is none before the header's commitment has been checked.
pub(super) struct PayloadKey(pub(super) Derived<32>);

/// Seals and opens the chunks of one file.
pub(super) struct Stream<'a> {
    cipher: XChaCha20Poly1305,
    prefix: &'a [u8; PREFIX_LEN],
    associated: &'a [u8],
}

impl<'a> Stream<'a> {
    pub(super) fn new(
        key: &PayloadKey,
        prefix: &'a [u8; PREFIX_LEN],
        associated: &'a [u8],
    ) -> Self {
        Self {
            cipher: XChaCha20Poly1305::new(key.0.bytes().into()),
            prefix,
            associated,
        }
    }

    /// Appends the sealed chunks of `plaintext` to `sealed`, which has room for them already.
    pub(super) fn seal(&self, plaintext: &[u8], sealed: &mut Vec<u8>) -> Result<(), FormatError> {
        let chunks = count(plaintext.len());
        for index in 0..chunks {
            let chunk = &plaintext[span(index, CHUNK, plaintext.len())];
            let start = sealed.len();
            sealed.resize(start + chunk.len(), 0);
            let buffers = InOutBuf::new(chunk, &mut sealed[start..]);
            let tag = buffers.ok().and_then(|buffers| {
                let nonce = self.nonce(index, index + 1 == chunks)?;
                self.cipher
                    .encrypt_inout_detached(&nonce, self.associated, buffers)
                    .ok()
            });
            sealed.extend_from_slice(&tag.ok_or(FormatError::TooLarge)?);
        }
        Ok(())
    }

    /// Opens `sealed` into `plaintext`, whose length the header gave. On an error `plaintext` holds
    /// only what was authentic up to there; the caller wipes it.
    pub(super) fn open(&self, sealed: &[u8], plaintext: &mut [u8]) -> Result<(), FormatError> {
        let (chunks, length) = (count(plaintext.len()), plaintext.len());
        for index in 0..chunks {
            let chunk = &sealed[span(index, CHUNK + TAG, sealed.len())];
            let target = &mut plaintext[span(index, CHUNK, length)];
            let opened = chunk.split_last_chunk::<TAG>().and_then(|(body, tag)| {
                let nonce = self.nonce(index, index + 1 == chunks)?;
                let buffers = InOutBuf::new(body, target).ok()?;
                let tag = Tag::from(*tag);
                self.cipher
                    .decrypt_inout_detached(&nonce, self.associated, buffers, &tag)
                    .ok()
            });
            opened.ok_or(FormatError::Corrupt {
                chunk: index as u64,
            })?;
        }
        Ok(())
    }

    /// The nonce of a chunk, or `None` past the last number that fits into four bytes.
    fn nonce(&self, index: usize, last: bool) -> Option<XNonce> {
        let counter = u32::try_from(index).ok()?;
        let mut nonce = [0; 24];
        nonce[..PREFIX_LEN].copy_from_slice(self.prefix);
        nonce[PREFIX_LEN..PREFIX_LEN + 4].copy_from_slice(&counter.to_be_bytes());
        nonce[PREFIX_LEN + 4] = u8::from(last);
        Some(XNonce::from(nonce))
    }
}

/// How many chunks a plaintext makes: an empty one is one empty chunk, which marks the end.
fn count(plaintext: usize) -> usize {
    plaintext.div_ceil(CHUNK).max(1)
}

/// Where chunk `index` of `size` bytes lies in `length` bytes.
fn span(index: usize, size: usize, length: usize) -> std::ops::Range<usize> {
    let start = (index * size).min(length);
    start..(start + size).min(length)
}
