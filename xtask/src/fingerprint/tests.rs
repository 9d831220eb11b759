use super::*;

const ARTIFACT: Artifact = Artifact {
    name: "thing",
    sources: "thing-src",
    package: "thing",
    arguments: &["--release"],
    flags: &["-C strip=symbols"],
    command: "cargo xtask build-thing",
};

const MANIFEST: &str = "[profile.release]\nlto = \"thin\"\n\n[profile.dev]\ndebug = false\n";
const LOCK: &str = r#"version = 4

[[package]]
name = "far"
version = "1.0.0"

[[package]]
name = "far"
version = "2.0.0"

[[package]]
name = "near"
version = "3.0.0"
dependencies = [
 "far 2.0.0",
]

[[package]]
name = "thing"
version = "4.0.0"
dependencies = [
 "near",
]
"#;

/// A workspace of its own with one source file.
fn workspace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join("thing-src/target")).unwrap();
    fs::create_dir_all(root.join("target/artifacts")).unwrap();
    fs::write(root.join("thing-src/main.rs"), "fn main() {}").unwrap();
    fs::write(root.join("Cargo.toml"), MANIFEST).unwrap();
    fs::write(root.join("Cargo.lock"), LOCK).unwrap();
    folder
}

fn build(root: &Path) {
    fs::write(ARTIFACT.path(root), "product").unwrap();
    fs::write(
        ARTIFACT.sources_path(root),
        ARTIFACT.fingerprint(root).unwrap(),
    )
    .unwrap();
}

#[test]
fn a_product_of_the_present_sources_is_accepted() {
    let folder = workspace();
    let root = folder.path();
    build(root);
    fs::write(root.join("thing-src/target/leftover"), "no source").unwrap();
    assert_eq!(ARTIFACT.verify(root), Ok(()));
}

#[test]
fn a_missing_product_names_the_command_that_makes_it() {
    let folder = workspace();
    let root = folder.path();
    assert_eq!(
        ARTIFACT.verify(root),
        Err("target/artifacts/thing is missing; run `cargo xtask build-thing`".into())
    );
}

#[test]
fn a_changed_source_makes_the_product_old() {
    let folder = workspace();
    let root = folder.path();
    build(root);
    fs::write(root.join("thing-src/main.rs"), "fn main() { }").unwrap();
    assert_eq!(
        ARTIFACT.verify(root),
        Err(
            "target/artifacts/thing is older than thing-src/, its build flags or its locked dependencies; \
             run `cargo xtask build-thing`"
                .into()
        )
    );
}

#[test]
fn changed_flags_or_arguments_make_the_product_old() {
    let folder = workspace();
    let root = folder.path();
    build(root);
    let flags = Artifact {
        flags: &["-C strip=none"],
        ..ARTIFACT
    };
    let arguments = Artifact {
        arguments: &[],
        ..ARTIFACT
    };
    for changed in [flags, arguments] {
        changed.verify(root).unwrap_err();
    }
    let profile = MANIFEST.replace("thin", "fat");
    fs::write(root.join("Cargo.toml"), profile).unwrap();
    ARTIFACT.verify(root).unwrap_err();
}

#[test]
fn another_locked_version_of_a_dependency_makes_the_product_old() {
    for (before, after) in [("3.0.0", "3.0.1"), ("2.0.0", "2.0.1")] {
        let folder = workspace();
        let root = folder.path();
        build(root);
        fs::write(root.join("Cargo.lock"), LOCK.replace(before, after)).unwrap();
        ARTIFACT.verify(root).unwrap_err();
    }
}

#[test]
fn what_other_packages_are_locked_to_and_how_the_rest_is_compiled_does_not_count() {
    let folder = workspace();
    let root = folder.path();
    build(root);
    fs::write(root.join("Cargo.lock"), LOCK.replace("1.0.0", "1.0.1")).unwrap();
    fs::write(root.join("Cargo.toml"), MANIFEST.replace("false", "true")).unwrap();
    assert_eq!(ARTIFACT.verify(root), Ok(()));
}

#[test]
fn a_lock_file_without_the_package_is_told() {
    let folder = workspace();
    let root = folder.path();
    build(root);
    fs::write(root.join("Cargo.lock"), "").unwrap();
    let problem = ARTIFACT.verify(root).unwrap_err();
    assert!(
        problem.ends_with("Cargo.lock does not have thing"),
        "{problem}"
    );
}

#[test]
fn moving_content_between_files_changes_the_fingerprint() {
    let folder = workspace();
    let root = folder.path();
    fs::write(root.join("thing-src/a"), "xy").unwrap();
    fs::write(root.join("thing-src/b"), "z").unwrap();
    let before = ARTIFACT.fingerprint(root).unwrap();
    fs::write(root.join("thing-src/a"), "x").unwrap();
    fs::write(root.join("thing-src/b"), "yz").unwrap();
    assert_ne!(ARTIFACT.fingerprint(root).unwrap(), before);
}
