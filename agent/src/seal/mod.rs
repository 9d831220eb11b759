//! The sealed handler: keys, the file format, and the folder that is ciphertext at rest.
//!
//! Promises of the modules below:
//! - [`key`] and [`format`] are pure: bytes in, bytes out; the caller brings the time.
//! - A key or a plaintext is held in memory that is wiped when dropped, has no `Debug`, and never
//!   reaches an error text.
//! - No payload key without the header's commitment having been checked, no plaintext without the
//!   stream's end having been seen.
//! - Files are replaced whole or not at all, and plaintext goes only after ciphertext that was
//!   read back and opened.
//!
//! `docs/sealed-format.md` is the specification; `tests/vectors/sealed-v1.json` its test vectors.
#[cfg(feature = "host")]
pub mod archive;
mod derive;
pub mod error;
#[cfg(feature = "host")]
pub mod file;
#[cfg(feature = "host")]
pub mod folder;
pub mod format;
pub mod header;
pub mod key;
#[cfg(feature = "host")]
pub mod source;
mod stream;

/// Name of the sealed handler in the function's handler folder.
pub const FILE_NAME: &str = "handler.sealed";

/// The logical path that a handler folder's archive is sealed under.
///
/// Part of the associated data, so that other kinds of sealed content, should there be any, cannot
/// be passed off as a handler. It names the content, not a place: moving a file does not change it.
pub const HANDLER_LABEL: &str = "handler.tar";
