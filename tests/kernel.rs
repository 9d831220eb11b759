//! What the kernel can do that tests run on.
use nix::sys::utsname;

/// Whether programs at TC are attached by links, which end with whoever holds them, and among others: TCX, which came
/// with Linux 6.6. A kernel whose version cannot be read is taken for an older one.
#[must_use]
pub fn has_tcx() -> bool {
    utsname::uname()
        .ok()
        .and_then(|name| version(name.release().to_str()?))
        .is_some_and(|version| version >= (6, 6))
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|byte: char| !byte.is_ascii_digit());
    let mut number = || numbers.next()?.parse().ok();
    Some((number()?, number()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_a_release_of_any_distribution() {
        assert_eq!(version("6.1.0-28-amd64"), Some((6, 1)));
        assert_eq!(version("6.18.5"), Some((6, 18)));
        assert_eq!(version("linux"), None);
    }
}
