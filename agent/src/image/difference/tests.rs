//! Images made by hand, and what they differ in.
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use super::*;
use crate::seal::archive::Survey;

/// An entry made by hand: path, type, mode, content or target.
pub(in crate::image) type Made<'a> = (&'a str, EntryType, u32, &'a str);

pub(in crate::image) const FILE: EntryType = EntryType::Regular;
pub(in crate::image) const FOLDER: EntryType = EntryType::Directory;

pub(in crate::image) fn image(entries: &[Made<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, mode, text) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(0);
        let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
        header.set_size(if is_link { 0 } else { text.len() as u64 });
        if is_link {
            builder.append_link(&mut header, path, text).unwrap();
        } else {
            builder
                .append_data(&mut header, path, text.as_bytes())
                .unwrap();
        }
    }
    builder.into_inner().unwrap()
}

pub(in crate::image) fn difference(base: &[Made<'_>], all: &[Made<'_>]) -> Difference {
    let tree = Tree::read(image(base).as_slice()).unwrap();
    tree.difference(image(all).as_slice()).unwrap()
}

fn paths<T>(map: &BTreeMap<PathBuf, T>) -> Vec<&str> {
    map.keys().map(|path| path.to_str().unwrap()).collect()
}

#[test]
fn only_content_that_the_base_has_not_is_secret() {
    let base = [
        ("etc/passwd", FILE, 0o644, "root"),
        ("etc/hostname", FILE, 0o644, "a"),
        ("app/", FOLDER, 0o755, ""),
        ("app/handler", FILE, 0o755, "stub"),
        ("app/lib", FILE, 0o644, "same"),
    ];
    let all = [
        ("etc/passwd", FILE, 0o644, "root"),
        ("etc/hostname", FILE, 0o644, "b"),
        ("app/", FOLDER, 0o700, ""),
        ("app/data/", FOLDER, 0o755, ""),
        ("app/data/a", FILE, 0o644, "new"),
        ("app/handler", FILE, 0o755, "program"),
        ("app/lib", FILE, 0o600, "same"),
        ("app/link", EntryType::Symlink, 0o777, "handler"),
        ("app/second", EntryType::Link, 0o755, "app/handler"),
    ];
    let found = difference(&base, &all);
    assert_eq!(
        paths(&found.secret),
        ["/app/data/a", "/app/handler", "/app/second"]
    );
    assert_eq!(&*found.secret[Path::new("/app/second")].bytes, b"program");
    assert_eq!(paths(&found.changed), ["/app/lib"]);
    assert_eq!(paths(&found.frame), ["/app", "/app/data", "/app/link"]);
    assert_eq!(found.refused, None);
}

#[test]
fn what_a_delivered_file_cannot_be_is_refused_by_name() {
    for (base, all, part) in [
        (None, ("a", FILE, 0o4755, "x"), "/a has special rights"),
        (
            Some(("a", FOLDER, 0o755, "")),
            ("a", FILE, 0o755, "x"),
            "/a takes the place",
        ),
        (None, ("a", EntryType::Fifo, 0o644, ""), "/a is neither"),
        (
            None,
            ("a", EntryType::Link, 0o644, "b"),
            "/a is another name",
        ),
    ] {
        let base: Vec<_> = base.into_iter().collect();
        let refused = difference(&base, &[all]).refused.unwrap_or_default();
        assert!(refused.starts_with(part), "{refused}");
    }
}

#[test]
fn more_than_can_be_held_in_memory_is_refused_and_not_kept() {
    let all = [
        ("a", FILE, 0o644, "1234"),
        ("b", FILE, 0o644, "5"),
        ("c", FILE, 0o644, "6"),
    ];
    let within = |most| Tree::default().difference_within(most, image(&all).as_slice());
    assert_eq!(within(6).unwrap().refused, None);
    let found = within(4).unwrap();
    assert_eq!(paths(&found.secret), ["/a", "/b"]);
    assert!(found.refused.unwrap().contains("are the handler's"));
}

/// Whether what is in an image beside the base is a handler of `handler.rb`, `run` and `data/`, as it is.
fn is_source(all: &[Made<'_>]) -> bool {
    let handler = tempfile::tempdir().unwrap();
    let in_handler = |name: &str| handler.path().join(name);
    fs::create_dir(in_handler("data")).unwrap();
    for (name, mode) in [("handler.rb", 0o644), ("run", 0o755), ("data/a", 0o644)] {
        fs::write(in_handler(name), "author").unwrap();
        fs::set_permissions(in_handler(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    symlink("run", in_handler("link")).unwrap();
    let source = Survey::of(handler.path()).unwrap().read().unwrap();
    let base = [
        ("app/", FOLDER, 0o755, ""),
        ("app/Gemfile", FILE, 0o600, "gems"),
        ("app/handler.rb", FILE, 0o644, "stub"),
        ("app/run", FILE, 0o644, "author"),
        ("bin/", FOLDER, 0o755, ""),
        ("bin/program", FILE, 0o755, "made of the stub"),
    ];
    let mut image = base.to_vec();
    for entry in all {
        image.retain(|it| it.0 != entry.0);
        image.push(*entry);
    }
    difference(&base, &image).is_source(Path::new("/app"), &source)
}

const AUTHORS: [Made<'_>; 6] = [
    ("app/Gemfile", FILE, 0o644, "gems"),
    ("app/handler.rb", FILE, 0o644, "author"),
    ("app/run", FILE, 0o755, "author"),
    ("app/data/", FOLDER, 0o755, ""),
    ("app/data/a", FILE, 0o644, "author"),
    ("app/link", EntryType::Symlink, 0o777, "run"),
];

#[test]
fn a_build_that_only_copies_the_authors_files_is_told_by_them() {
    assert!(is_source(&AUTHORS));
    assert!(is_source(&[]), "a handler that is the stub");
}

#[test]
fn whatever_else_a_build_makes_is_not_the_authors() {
    for other in [
        ("bin/program", FILE, 0o755, "made of the handler"),
        ("app/classes", FILE, 0o644, "made of the handler"),
        ("app/handler.rb", FILE, 0o644, "made of the handler"),
        ("app/handler.rb", FILE, 0o755, "author"),
        ("app/Gemfile", FILE, 0o644, "other gems"),
        ("bin/program", FILE, 0o700, "made of the stub"),
        ("handler.rb", FILE, 0o644, "author"),
        ("app/cache/", FOLDER, 0o755, ""),
        ("app/link", EntryType::Symlink, 0o777, "handler.rb"),
        ("app/pipe", EntryType::Fifo, 0o644, ""),
    ] {
        let all: Vec<_> = AUTHORS.into_iter().chain([other]).collect();
        assert!(!is_source(&all), "{other:?}");
    }
}
