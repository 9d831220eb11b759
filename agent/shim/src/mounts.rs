//! Recognises a delivered handler in the text of `/proc/PID/mountinfo`, whose fields
//! proc_pid_mountinfo(5) describes.
use std::{os::unix::ffi::OsStrExt as _, path::Path};

use crate::MOUNT_SOURCE;

/// Tells whether the text names a mount at `folder` (absolute, no symbolic links) whose source is
/// [`MOUNT_SOURCE`]. Lines that cannot be read are passed over.
#[must_use]
pub fn is_delivered(mountinfo: &[u8], folder: &Path) -> bool {
    mountinfo
        .split(|&byte| byte == b'\n')
        .filter_map(mount)
        .any(|(point, source)| {
            source == MOUNT_SOURCE.as_bytes() && unescape(point) == folder.as_os_str().as_bytes()
        })
}

/// Mount point and source of one line, as written. The optional fields before the hyphen vary in
/// number, and none of them is a lone hyphen.
fn mount(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = line.split(|&byte| byte == b' ');
    let point = fields.nth(4)?;
    fields.by_ref().skip(1).find(|field| field == b"-")?;
    let source = fields.nth(1)?;
    Some((point, source))
}

/// Undoes the kernel's escapes: space, tab, newline and backslash as `\` and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, next) = match (first, tail) {
            (
                b'\\',
                [
                    a @ b'0'..=b'3',
                    b @ b'0'..=b'7',
                    c @ b'0'..=b'7',
                    after @ ..,
                ],
            ) => (((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'), after),
            _ => (first, tail),
        };
        plain.push(byte);
        rest = next;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "22 1 0:20 / / rw,relatime shared:1 - overlay overlay rw\n";

    fn delivered(lines: &str, folder: &str) -> bool {
        is_delivered(format!("{BASE}{lines}").as_bytes(), Path::new(folder))
    }

    #[test]
    fn a_mount_of_ours_at_the_folder_is_the_delivery() {
        let line = "40 22 0:50 / /home/app/function ro,nosuid - ramfs rsfaas rw\n";
        assert!(delivered(line, "/home/app/function"));
    }

    #[test]
    fn optional_fields_may_be_none_or_many() {
        let line = "40 22 0:50 / /f ro shared:3 master:1 propagate_from:2 - overlay rsfaas ro\n";
        assert!(delivered(line, "/f"));
    }

    #[test]
    fn a_mount_of_ours_elsewhere_is_not() {
        assert!(!delivered(
            "40 22 0:50 / /home/app/function/sub ro - ramfs rsfaas rw\n",
            "/home/app/function"
        ));
    }

    #[test]
    fn a_foreign_mount_at_the_folder_is_not() {
        assert!(!delivered("40 22 0:50 / /f ro - tmpfs rsfaas2 rw\n", "/f"));
        assert!(!delivered("40 22 0:50 / /f ro - rsfaas none rw\n", "/f"));
    }

    #[test]
    fn escaped_folder_names_are_read() {
        let line = "40 22 0:50 / /a\\040b\\134c ro - ramfs rsfaas rw\n";
        assert!(delivered(line, "/a b\\c"));
    }

    #[test]
    fn short_lines_are_passed_over() {
        assert!(!delivered(
            "40 22 0:50 /\n40 22 0:50 / /f ro shared:1\n40 22 0:50 / /f ro - ramfs\n",
            "/f"
        ));
    }
}
