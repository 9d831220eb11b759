//! What goes into an archive, what comes out, and what is refused.
use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
};

use super::*;

fn handler() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join("pkg/data")).unwrap();
    fs::write(root.join("handler.py"), "def handle(req): return req\n").unwrap();
    fs::write(root.join("pkg/__init__.py"), "").unwrap();
    fs::write(root.join("pkg/data/words.bin"), vec![7; 1000]).unwrap();
    fs::write(root.join("pkg-more"), "sorts between pkg and pkg/").unwrap();
    fs::write(root.join("requirements.txt"), "requests\n").unwrap();
    std::os::unix::fs::symlink("../handler.py", root.join("pkg/link.py")).unwrap();
    fs::set_permissions(root.join("handler.py"), fs::Permissions::from_mode(0o750)).unwrap();
    folder
}

fn archive(folder: &Path) -> Archive {
    Survey::of(folder).unwrap().read().unwrap()
}

fn refusal(folder: &Path) -> ArchiveError {
    Survey::of(folder).err().unwrap()
}

fn paths(archive: &Archive) -> Vec<&str> {
    archive
        .entries()
        .map(|entry| entry.path.to_str().unwrap())
        .collect()
}

/// Path, type and link target of an entry made by hand.
type Crafted<'a> = (&'a [u8], tar::EntryType, &'a [u8]);

/// An archive made by hand.
fn crafted(entries: &[Crafted<'_>]) -> Result<Archive, ArchiveError> {
    let mut bytes = Vec::new();
    for (name, kind, target) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_size(0);
        header.set_mode(0o644);
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
    }
    bytes.extend_from_slice(&[0; 2 * BLOCK]);
    Archive::parse(Zeroizing::new(bytes))
}

#[test]
fn entries_are_sorted_and_manifests_left_out() {
    let folder = handler();
    let expected = [
        "handler.py",
        "pkg",
        "pkg-more",
        "pkg/__init__.py",
        "pkg/data",
        "pkg/data/words.bin",
        "pkg/link.py",
    ];
    assert_eq!(paths(&archive(folder.path())), expected);
    assert_eq!(
        Survey::of(folder.path()).unwrap().manifests,
        [Path::new("requirements.txt")]
    );
}

#[test]
fn content_mode_and_link_target_are_kept() {
    let folder = handler();
    let archive = archive(folder.path());
    let entry = archive.get(Path::new("handler.py")).unwrap();
    assert_eq!(entry.mode, 0o750);
    assert!(entry.content == Content::File(b"def handle(req): return req\n"));
    let link = archive.get(Path::new("pkg/link.py")).unwrap();
    assert!(link.content == Content::Link(Path::new("../handler.py")));
}

#[test]
fn the_same_folder_gives_the_same_bytes() {
    let (one, two) = (handler(), handler());
    assert!(archive(one.path()).as_tar() == archive(two.path()).as_tar());
}

#[test]
fn the_buffer_has_the_size_computed_before() {
    let folder = handler();
    let archive = archive(folder.path());
    assert_eq!(archive.tar.capacity(), archive.tar.len());
}

#[test]
fn system_tar_lists_the_same_paths() {
    let folder = handler();
    let file = folder.path().join("../out.tar");
    let file = tempfile::NamedTempFile::new_in(file.parent().unwrap()).unwrap();
    fs::write(file.path(), archive(folder.path()).as_tar()).unwrap();
    let listed = std::process::Command::new("tar")
        .arg("-tf")
        .arg(file.path())
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let listed: Vec<_> = listed
        .lines()
        .map(|line| line.trim_end_matches('/'))
        .collect();
    assert_eq!(listed, paths(&archive(folder.path())));
}

#[test]
fn long_paths_and_targets_survive() {
    let folder = tempfile::tempdir().unwrap();
    let deep: PathBuf = std::iter::repeat_n("a".repeat(90), 4).collect();
    fs::create_dir_all(folder.path().join(&deep)).unwrap();
    fs::write(folder.path().join(&deep).join("f"), "x").unwrap();
    std::os::unix::fs::symlink(deep.join("f"), folder.path().join("link")).unwrap();
    let archive = archive(folder.path());
    assert!(archive.get(&deep.join("f")).unwrap().content == Content::File(b"x"));
    let link = archive.get(Path::new("link")).unwrap();
    assert!(link.content == Content::Link(&deep.join("f")));
}

#[test]
fn caches_history_leftovers_and_the_sealed_file_are_told_apart() {
    let folder = handler();
    fs::create_dir(folder.path().join("pkg/__pycache__")).unwrap();
    fs::create_dir(folder.path().join(".git")).unwrap();
    fs::write(folder.path().join(".rsfaas-tmp.x"), "").unwrap();
    fs::write(folder.path().join("handler.sealed"), "").unwrap();
    fs::write(
        folder.path().join("pkg/requirements.txt"),
        "sealed, not at the top",
    )
    .unwrap();
    let survey = Survey::of(folder.path()).unwrap();
    assert_eq!(survey.caches, [Path::new("pkg/__pycache__")]);
    assert_eq!(survey.history.as_deref(), Some(Path::new(".git")));
    assert_eq!(survey.leftovers, [Path::new(".rsfaas-tmp.x")]);
    let archive = survey.read().unwrap();
    assert!(archive.get(Path::new("pkg/requirements.txt")).is_some());
    assert_eq!(archive.entries().len(), 8);
}

#[test]
fn a_folder_that_is_left_out_may_hold_something_that_is_not() {
    let folder = handler();
    let left_out = |path: &Path| path.starts_with("pkg") && !path.ends_with("words.bin");
    let survey = Survey::without(folder.path(), &left_out).unwrap();
    let mut apart = survey.left_out.clone();
    apart.sort();
    assert_eq!(apart, ["pkg/__init__.py", "pkg/link.py"].map(PathBuf::from));
    let archive = survey.read().unwrap();
    let expected = [
        "handler.py",
        "pkg",
        "pkg-more",
        "pkg/data",
        "pkg/data/words.bin",
    ];
    assert_eq!(paths(&archive), expected);
}

#[test]
fn hard_links_are_told() {
    let folder = handler();
    let outside = tempfile::tempdir_in(folder.path().parent().unwrap()).unwrap();
    fs::hard_link(
        folder.path().join("handler.py"),
        outside.path().join("copy"),
    )
    .unwrap();
    let survey = Survey::of(folder.path()).unwrap();
    assert_eq!(survey.hard_linked, [Path::new("handler.py")]);
}

#[test]
fn sockets_and_pipes_are_refused() {
    let folder = handler();
    let _socket = UnixListener::bind(folder.path().join("pkg/s")).unwrap();
    assert!(matches!(
        refusal(folder.path()),
        ArchiveError::Kind {
            kind: "a socket",
            ..
        }
    ));
    let folder = handler();
    nix::unistd::mkfifo(&folder.path().join("p"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert!(matches!(
        refusal(folder.path()),
        ArchiveError::Kind {
            kind: "a named pipe",
            ..
        }
    ));
}

#[test]
fn links_that_lead_out_are_refused() {
    for target in [
        "/etc/passwd",
        "../outside",
        "pkg/../../outside",
        "pkg/../handler.py",
    ] {
        let folder = handler();
        std::os::unix::fs::symlink(target, folder.path().join("out")).unwrap();
        assert!(
            matches!(refusal(folder.path()), ArchiveError::Link { .. }),
            "{target}"
        );
    }
}

#[test]
fn the_refusal_of_a_link_names_its_folder() {
    let folder = handler();
    let link = folder.path().join("pkg/out");
    std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
    let refused = refusal(folder.path()).to_string();
    assert!(refused.contains(link.to_str().unwrap()), "{refused}");
}

#[test]
fn a_manifest_that_is_a_link_is_refused_at_the_top_alone() {
    let folder = handler();
    let link_in = |path: &str| {
        std::os::unix::fs::symlink("prod.txt", folder.path().join(path)).unwrap();
    };
    link_in("pkg/package.json");
    assert!(
        archive(folder.path())
            .get(Path::new("pkg/package.json"))
            .is_some()
    );
    link_in("package.json");
    let refused = refusal(folder.path());
    assert!(
        matches!(&refused, ArchiveError::ManifestLink { path } if path.ends_with("package.json")),
        "{refused}"
    );
}

#[test]
fn a_file_that_changes_between_survey_and_reading_is_refused() {
    let folder = handler();
    let survey = Survey::of(folder.path()).unwrap();
    fs::write(
        folder.path().join("handler.py"),
        "longer than it was when it was first seen",
    )
    .unwrap();
    assert!(matches!(
        survey.read().err(),
        Some(ArchiveError::Changed { .. })
    ));
}

#[test]
fn crafted_archives_are_refused() {
    use tar::EntryType as T;
    let bad: &[(&str, &[Crafted<'_>])] = &[
        ("absolute", &[(b"/etc/x", T::Regular, b"")]),
        ("up", &[(b"../x", T::Regular, b"")]),
        ("dot", &[(b"./x", T::Regular, b"")]),
        (
            "double slash",
            &[(b"a", T::Directory, b""), (b"a//x", T::Regular, b"")],
        ),
        ("empty path", &[(b"", T::Regular, b"")]),
        ("no folder", &[(b"a/x", T::Regular, b"")]),
        (
            "through a link",
            &[(b"a", T::Symlink, b"b"), (b"a/x", T::Regular, b"")],
        ),
        ("twice", &[(b"x", T::Regular, b""), (b"x", T::Regular, b"")]),
        (
            "out of order",
            &[(b"y", T::Regular, b""), (b"x", T::Regular, b"")],
        ),
        ("link out", &[(b"x", T::Symlink, b"../y")]),
        ("link to nothing", &[(b"x", T::Symlink, b"")]),
        ("hard link", &[(b"x", T::Link, b"/etc/passwd")]),
        ("device", &[(b"x", T::Block, b"")]),
    ];
    for (what, entries) in bad {
        assert!(crafted(entries).is_err(), "{what}");
    }
    assert!(crafted(&[(b"a", T::Directory, b""), (b"a/x", T::Regular, b"")]).is_ok());
}

#[test]
fn a_truncated_or_extended_archive_is_refused() {
    let folder = handler();
    let good = archive(folder.path()).as_tar().to_vec();
    for length in [
        0,
        BLOCK,
        good.len() - 2 * BLOCK,
        good.len() - BLOCK,
        good.len() - 1,
    ] {
        assert!(
            Archive::parse(Zeroizing::new(good[..length].to_vec())).is_err(),
            "{length}"
        );
    }
    assert!(Archive::parse(Zeroizing::new([good.as_slice(), &[0; BLOCK]].concat())).is_err());
}

#[test]
fn placing_gives_the_folder_back() {
    let (from, to) = (handler(), tempfile::tempdir().unwrap());
    let target = to.path().join("new");
    let archive = archive(from.path());
    archive.place(&target, Existing::Refuse, None).unwrap();
    assert!(self::archive(&target).as_tar() == archive.as_tar());
    assert_eq!(
        fs::metadata(&target).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert_eq!(
        fs::read_dir(to.path()).unwrap().count(),
        1,
        "nothing temporary is left"
    );
}

#[test]
fn placing_into_a_folder_keeps_what_else_is_there() {
    let (from, to) = (handler(), tempfile::tempdir().unwrap());
    fs::write(to.path().join("mine"), "mine").unwrap();
    let archive = archive(from.path());
    archive.place(to.path(), Existing::Refuse, None).unwrap();
    assert_eq!(fs::read(to.path().join("mine")).unwrap(), b"mine");
    assert_eq!(
        self::archive(to.path()).entries().len(),
        archive.entries().len() + 1
    );
}

#[test]
fn placing_refuses_to_overwrite_and_then_leaves_everything_as_it_was() {
    let (from, to) = (handler(), tempfile::tempdir().unwrap());
    fs::write(to.path().join("pkg-more"), "mine").unwrap();
    let error = archive(from.path())
        .place(to.path(), Existing::Refuse, None)
        .unwrap_err();
    assert!(matches!(error, ArchiveError::Exists { path } if path.ends_with("pkg-more")));
    assert_eq!(paths(&archive(to.path())), ["pkg-more"]);
}

#[test]
fn placing_replaces_files_where_asked_but_never_a_folder_by_a_file() {
    let (from, to) = (handler(), tempfile::tempdir().unwrap());
    fs::write(to.path().join("pkg-more"), "mine").unwrap();
    archive(from.path())
        .place(to.path(), Existing::Replace, None)
        .unwrap();
    assert!(archive(to.path()).as_tar() == archive(from.path()).as_tar());
    let other = tempfile::tempdir().unwrap();
    fs::create_dir(other.path().join("handler.py")).unwrap();
    let error = archive(from.path())
        .place(other.path(), Existing::Replace, None)
        .unwrap_err();
    assert!(matches!(error, ArchiveError::Exists { .. }));
}

#[test]
fn placing_never_follows_a_link_in_the_target() {
    let (from, to) = (handler(), tempfile::tempdir().unwrap());
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), to.path().join("pkg")).unwrap();
    let error = archive(from.path())
        .place(to.path(), Existing::Replace, None)
        .unwrap_err();
    assert!(matches!(error, ArchiveError::Exists { .. }));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}
