//! Functions that cannot be sealed.
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::project::Project;

/// Seals `f` with a file of the project changed so, which is refused; tells why. Whatever is a file is as it was: the
/// handler is plain and nothing lies beside it, no record tells of a sealing, and neither faas-cli nor the engine, which
/// has the plain image, was told to change anything.
fn refused(file: &str, from: &str, to: &str) -> String {
    let project = Project::new().with_image("registry.invalid/f:latest");
    project.faas_cli("touch \"$0.called\"");
    fs::create_dir(project.path("f/lib")).unwrap();
    fs::write(project.path("f/lib/handler.sh"), "echo secret\n").unwrap();
    let path = project.path(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
    let before = files(&project.path(""));
    let output = project.run("seal");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(10), "{said}");
    assert!(said.contains("othing was changed"), "{said}");
    assert_eq!(files(&project.path("")), before, "{said}");
    said
}

/// The files below a folder, with their rights and what they hold.
fn files(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let (path, status) = entry.map(|it| (it.path(), it.metadata().unwrap())).unwrap();
        if status.is_dir() {
            found.extend(files(&path));
        } else if status.is_file() {
            let content = fs::read(&path).unwrap();
            found.insert(path, (status.permissions().mode(), content));
        }
    }
    found
}

#[test]
fn a_function_whose_process_cannot_wait_for_its_handler_stays_as_it_was_and_why_is_told() {
    let said = refused("f/Dockerfile", "COPY . /\n", "");
    assert!(said.contains("copies nothing of the handler"), "{said}");
    let with_user = "COPY . /\nRUN adduser app\nUSER app\n";
    let said = refused("f/Dockerfile", "COPY . /\n", with_user);
    assert!(said.contains("`USER app` is made by"), "{said}");
}

#[test]
fn a_function_whose_build_would_take_part_of_its_handler_from_elsewhere_stays_as_it_was() {
    let with_copy = "configuration: {copy: [./common]}\nfunctions:";
    let said = refused("stack.yaml", "functions:", with_copy);
    assert!(said.contains("`configuration.copy`"), "{said}");
    let said = refused("stack.yaml", "lang: dockerfile", "lang: python3");
    assert!(said.contains("its template \"python3\" is not"), "{said}");
}

#[test]
fn a_handler_folder_with_what_has_to_stay_readable_stays_as_it_was() {
    let said = refused("stack.yaml", "handler: ./f,", "handler: ./,");
    assert!(said.contains("the key file"), "{said}");
}
