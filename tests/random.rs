//! Random text, for secrets that no other run has.
use std::{fs::File, io, io::Read as _};

/// Where they come from.
pub const SOURCE: &str = "/dev/urandom";

/// So many random bytes in hexadecimal digits.
///
/// # Errors
/// When the kernel's source cannot be read.
pub fn hex(count: usize) -> io::Result<String> {
    let mut bytes = vec![0; count];
    File::open(SOURCE)?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
