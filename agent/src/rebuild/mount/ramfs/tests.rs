//! What is written, and what gives way to what.
use std::io::Read as _;

use rustix::fs::fstat;

use super::*;

pub(super) const OWNER: Owner = Owner {
    user: 12,
    group: 34,
};

pub(super) fn file<'a>(path: &'a str, content: &'a str) -> Entry<'a> {
    Entry {
        path: Path::new(path),
        mode: 0o755,
        kind: EntryKind::File(content.as_bytes()),
    }
}

pub(super) fn delivered(entries: &[Entry<'_>]) -> Ramfs {
    let mut ramfs = Ramfs::new().expect("a ramfs (needs root)");
    ramfs.write(Path::new(""), entries, OWNER).unwrap();
    ramfs
}

fn open_in(ramfs: &Ramfs, path: &str) -> rustix::io::Result<File> {
    beneath(ramfs.mount(), Path::new(path), OFlags::RDONLY).map(File::from)
}

pub(super) fn content(ramfs: &Ramfs, path: &str) -> String {
    let mut text = String::new();
    open_in(ramfs, path)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    text
}

#[test]
fn files_and_the_folders_above_them_are_written() {
    let mut ramfs = delivered(&[file("a/b/c.py", "plain")]);
    ramfs.finish().unwrap();
    assert_eq!(content(&ramfs, "a/b/c.py"), "plain");
    for (path, mode) in [("a/b/c.py", 0o555), ("a", 0o555)] {
        let stat = fstat(open_in(&ramfs, path).unwrap()).unwrap();
        assert_eq!(
            (stat.st_uid, stat.st_gid, stat.st_mode & 0o7777),
            (12, 34, mode),
            "{path}"
        );
    }
}

#[test]
fn a_delivered_link_leads_no_later_entry_out() {
    let link = EntryKind::Symlink(Path::new("/tmp"));
    let out = [
        Entry {
            path: Path::new("out"),
            mode: 0,
            kind: link,
        },
        file("out/x", "1"),
    ];
    let failed = Ramfs::new().unwrap().write(Path::new("0"), &out, OWNER);
    assert!(matches!(failed, Err(MountError::Write { .. })));
}

#[test]
fn the_base_images_files_give_way_to_delivered_ones() {
    let mut ramfs = delivered(&[file("handler.py", "new"), file("data", "file")]);
    for stale in [
        file("handler.py", "old"),
        file("data/old", "1"),
        file("kept.py", "base"),
    ] {
        ramfs.write_base(Path::new(""), &stale, OWNER).unwrap();
    }
    assert_eq!(content(&ramfs, "handler.py"), "new");
    assert_eq!(content(&ramfs, "data"), "file");
    assert_eq!(content(&ramfs, "kept.py"), "base");
}
