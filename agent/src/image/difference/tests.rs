//! Images made by hand, and what they differ in.
use super::*;

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
