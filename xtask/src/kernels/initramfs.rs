//! The machine's file system: an archive in the kernel's own form
//! (<https://www.kernel.org/doc/html/v6.12/driver-api/early-userspace/buffer-format.html>).

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::error::{At as _, Error};

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CONSOLE: u32 = 0o020_600;
/// Major and minor number of `/dev/console`, which must be there before anything is mounted.
const CONSOLE_DEVICE: (u32, u32) = (5, 1);

/// The program as `/init`, and the modules in `/modules`, named so that they sort in their order.
pub(super) fn build(program: &Path, modules: &[PathBuf]) -> Result<Vec<u8>, Error> {
    let mut archive = Archive::default();
    archive.entry("dev", FOLDER, (0, 0), &[]);
    archive.entry("dev/console", CONSOLE, CONSOLE_DEVICE, &[]);
    archive.entry("init", PROGRAM, (0, 0), &fs::read(program).at(program)?);
    archive.entry("modules", FOLDER, (0, 0), &[]);
    for (number, path) in (1..).zip(modules) {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("modules/{number}-{file}");
        archive.entry(&name, PROGRAM, (0, 0), &fs::read(path).at(path)?);
    }
    archive.entry("TRAILER!!!", 0, (0, 0), &[]);
    Ok(archive.bytes)
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        // A file of 4 GiB would not fit into the machine's memory either.
        let (size, name_size) = (content.len() as u32, name.len() as u32 + 1);
        self.bytes.extend_from_slice(b"070701");
        let (major, minor) = device;
        for field in [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            major,
            minor,
            name_size,
            0,
        ] {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_header_of_hexadecimal_numbers_its_name_and_its_content() {
        let mut archive = Archive::default();
        archive.entry("a/bc", PROGRAM, (5, 1), b"content");
        let text = String::from_utf8(archive.bytes).unwrap();
        let header = "070701\
            00000001000081ed000000000000000000000001000000000000000700000000\
            000000000000000500000001000000050\
            0000000";
        assert_eq!(text, format!("{header}a/bc\0\0content\0"));
    }
}
