//! What the fuzz targets share. Each target is a program in `targets`, fed with bytes by libFuzzer;
//! what it promises stands at its head, and an assertion that fails is a find.

mod request;
mod wire;

pub use request::{Body, Key, Request, Target};
pub use wire::{Judged, Wire};

/// The header that carries the key.
pub const KEY_HEADER: &str = "X-RsFaaS-Key";
/// The sealed function.
pub const SEALED: &str = "pydict";
/// A key's text, which occurs nowhere else in what a client sends.
pub const SECRET: &str = "rsfaas1zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz";

/// Whether some bytes occur in others.
pub fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}
