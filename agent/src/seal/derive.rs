//! What is derived from a key: one function, one label for each purpose.
//!
//! HKDF-SHA256 (RFC 5869). Labels differ, so no derived value says anything about another.
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// What a value is derived for; becomes the `info` of HKDF.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// The public name of a key.
    KeyId,
    /// The value in the header that ties the file to one key.
    Commitment,
    /// The key of the payload's cipher.
    Payload,
}

impl Purpose {
    const fn info(self) -> &'static [u8] {
        match self {
            Self::KeyId => b"rsfaas/v1/key-id",
            Self::Commitment => b"rsfaas/v1/commitment",
            Self::Payload => b"rsfaas/v1/payload",
        }
    }
}

/// A derived value. On the heap, so that moving it leaves no copy behind.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Derived<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Derived<N> {
    /// The value itself.
    pub(super) fn bytes(&self) -> &[u8; N] {
        &self.0
    }
}

/// Derives `N` bytes from a key's for one purpose. An empty salt stands for HKDF's default of zeros.
pub(super) fn derive<const N: usize>(key: &[u8; 32], salt: &[u8], purpose: Purpose) -> Derived<N> {
    const { assert!(N <= 255 * 32, "HKDF-SHA256 yields at most 8160 bytes") };
    let (mut prk, hkdf) = Hkdf::<Sha256>::extract(Some(salt), key);
    prk.as_mut_slice().zeroize();
    let mut derived = Derived(Box::new([0; N]));
    #[expect(clippy::expect_used, reason = "the length is asserted at compile time")]
    hkdf.expand(purpose.info(), derived.0.as_mut_slice())
        .expect("at most 8160 bytes");
    derived
}
