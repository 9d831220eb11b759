//! What both build contexts have.
use std::{collections::BTreeMap, io::Read as _};

use super::*;
use crate::seal::archive::Survey;

fn function(handler: &Path) -> Function {
    Function {
        name: "f".into(),
        lang: "golang-middleware".into(),
        handler: handler.to_owned(),
        image: "r/f:1".into(),
        build_args: BTreeMap::new(),
        build_options: Vec::new(),
        entry: serde_json::Value::Null,
    }
}

fn handler(files: &[(&str, &str)]) -> (tempfile::TempDir, Function, Archive) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let source = Survey::of(folder.path()).unwrap().read().unwrap();
    let function = function(folder.path());
    (folder, function, source)
}

fn files(context: Context) -> BTreeMap<String, String> {
    let bytes = context.finish().unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (path.trim_start_matches("./").to_owned(), text)
    });
    entries.filter(|(_, text)| !text.is_empty()).collect()
}

#[test]
fn a_template_gets_the_authors_files_in_place_of_its_stub() {
    let (_folder, function, source) = handler(&[
        ("handler.go", "author"),
        ("go.mod", "author's"),
        ("shop/shop.go", "more"),
    ]);
    let project = tempfile::tempdir().unwrap();
    let context = project.path().join("build");
    fs::create_dir_all(context.join("function")).unwrap();
    for (path, text) in [
        ("Dockerfile", "FROM x"),
        ("main.go", "main"),
        ("function/handler.go", "stub"),
        ("function/go.mod", "author's"),
        ("function/kept.go", "kept"),
        ("function/.rsfaas-handler", ""),
    ] {
        fs::write(context.join(path), text).unwrap();
    }
    let recipe = Recipe::Template {
        project,
        context: "build".into(),
    };
    let base = files(recipe.base(&function).unwrap());
    assert!(base.values().all(|text| text != "author" && text != "more"));
    let whole = files(recipe.whole(&function, &source).unwrap());
    let expected = [
        ("Dockerfile", "FROM x"),
        ("function/go.mod", "author's"),
        ("function/handler.go", "author"),
        ("function/kept.go", "kept"),
        ("function/shop/shop.go", "more"),
        ("main.go", "main"),
    ];
    let expected = expected.map(|(path, text)| (path.to_owned(), text.to_owned()));
    assert_eq!(whole, BTreeMap::from(expected));
}

/// The raw headers by which a builder tells whether a file is the one that it knows.
fn headers(context: Context) -> BTreeMap<PathBuf, Vec<u8>> {
    let bytes = context.finish().unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    let entries = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let header = entry.header().as_bytes().to_vec();
        (entry.path().unwrap().into_owned(), header)
    });
    entries.collect()
}

#[test]
fn manifests_come_to_both_builds_with_the_same_headers() {
    let (_folder, function, source) = handler(&[
        ("handler.rb", "author"),
        ("Gemfile", "gems"),
        ("package.json", "tests"),
    ]);
    let project = tempfile::tempdir().unwrap();
    let folder = project.path().join("build/function");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(function.handler.join("Gemfile"), folder.join("Gemfile")).unwrap();
    for (name, text) in [(MARKER, ""), ("package.json", "no tests")] {
        fs::write(folder.join(name), text).unwrap();
    }
    let recipe = Recipe::Template {
        project,
        context: "build".into(),
    };
    let base = headers(recipe.base(&function).unwrap());
    let whole = headers(recipe.whole(&function, &source).unwrap());
    let gemfile = Path::new("function/Gemfile");
    assert!(base[gemfile] == whole[gemfile]);
    let whole = files(recipe.whole(&function, &source).unwrap());
    assert_eq!(whole["function/package.json"], "tests");
    assert_eq!(whole["function/Gemfile"], "gems");
}

#[test]
fn the_base_of_a_dockerfile_has_manifests_alone() {
    let (_folder, function, source) = handler(&[
        (DOCKERFILE, "FROM x\nCOPY . .\nCMD [\"y\"]\n"),
        ("server.py", "author"),
        ("notes.txt", "private"),
        ("requirements.txt", "flask"),
        (".dockerignore", "*.txt\n"),
    ]);
    let recipe = Recipe::of_dockerfile(&function, &source).unwrap();
    let base = files(recipe.base(&function).unwrap());
    assert_eq!(base[DOCKERFILE], "FROM x\nCMD [\"y\"]\n");
    assert_eq!(
        base.keys().collect::<Vec<_>>(),
        [DOCKERFILE, "requirements.txt"]
    );
    let whole = files(recipe.whole(&function, &source).unwrap());
    assert_eq!(whole["server.py"], "author");
    assert!(!whole.contains_key("notes.txt"));
}

#[test]
fn the_platform_is_told_in_both_contexts_of_a_dockerfile_and_to_a_template() {
    let text = "FROM --platform=$BUILDPLATFORM x\nCOPY . .\n";
    let (folder, function, source) = handler(&[(DOCKERFILE, text), ("server.py", "author")]);
    let recipe = Recipe::of_dockerfile(&function, &source).unwrap();
    let told = "ARG BUILDPLATFORM\nFROM --platform=$BUILDPLATFORM x\n";
    assert_eq!(files(recipe.base(&function).unwrap())[DOCKERFILE], told);
    let whole = &files(recipe.whole(&function, &source).unwrap())[DOCKERFILE];
    assert_eq!(*whole, format!("{told}COPY . .\n"));
    let template = folder.path().join(DOCKERFILE);
    tell_platform(&template).unwrap();
    assert_eq!(fs::read_to_string(template).unwrap(), *whole);
}

#[test]
fn a_folder_without_a_dockerfile_is_refused() {
    let (_folder, function, source) = handler(&[("server.py", "author")]);
    let error = Recipe::of_dockerfile(&function, &source).err().unwrap();
    assert!(error.to_string().contains("no Dockerfile"), "{error}");
}
