//! Stack files with several functions.
use std::{fs, process::Output};

use rsfaas::seal::FILE_NAME;

use crate::project::Project;

/// What a gateway answers where the locked `f` is deployed.
const WITH_F: &str = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\n\
                      [{\"name\":\"f\",\"image\":\"registry.invalid/f:locked\"}]";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A project of `f` and `g`.
fn of_two(project: Project) -> Project {
    project.add("g");
    project.with_engine()
}

#[test]
fn every_function_of_the_file_is_sealed_where_none_is_named() {
    let project = of_two(Project::new());
    let records = ["f", "g"].map(|name| project.begin_function(name));
    let output = project.run("seal");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for record in records {
        let name = &record.name;
        assert!(said.contains(&format!("{name}: sealed\n")), "{said}");
        assert_eq!(
            project.state().function(name).unwrap(),
            Some(record.clone())
        );
        assert_eq!(project.state().begun(name).unwrap(), None);
    }
}

#[test]
fn where_one_is_named_the_others_stay_as_they_are() {
    let project = of_two(Project::new());
    let record = project.begin_function("g");
    let output = project.run_in("", &["seal", "--function", "g"]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(project.state().function("g").unwrap(), Some(record));
    assert!(!said.contains("f: "), "{said}");
    assert!(project.path("f/Dockerfile").exists() && !project.path("f").join(FILE_NAME).exists());
    assert_eq!(project.state().function("f").unwrap(), None);
    assert_eq!(project.state().begun("f").unwrap(), None);
}

#[test]
fn the_one_that_fails_is_named_and_what_was_sealed_before_it_stays_so() {
    let project = of_two(Project::new());
    let [f, g] = ["f", "g"].map(|name| project.begin_function(name));
    project
        .faas_cli("grep -q registry.invalid/g /dev/stdin && { echo no room >&2; exit 1; }\nexit 0");
    let output = project.run("seal");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("f: sealed\n"), "{said}");
    assert!(
        said.contains("error: g: faas-cli deploy failed: no room"),
        "{said}"
    );
    assert_eq!(project.state().function("f").unwrap(), Some(f));
    assert_eq!(project.state().function("g").unwrap(), None);
    assert_eq!(project.state().begun("g").unwrap(), Some(g));
}

#[test]
fn a_further_run_leaves_the_one_that_is_sealed_and_takes_up_the_other() {
    let project = of_two(Project::at(WITH_F));
    let [f, g] = ["f", "g"].map(|name| project.begin_function(name));
    project.state().finish("f").unwrap();
    project.state().register(&f).unwrap();
    let before = fs::read(&f.sealed).unwrap();
    // Whatever deploys `f` fails.
    project.faas_cli("grep -q registry.invalid/f /dev/stdin && exit 1\nexit 0");
    let output = project.run("seal");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("f: already sealed with key "), "{said}");
    assert!(said.contains("g: sealed\n"), "{said}");
    assert_eq!(fs::read(&f.sealed).unwrap(), before);
    assert_eq!(project.state().function("g").unwrap(), Some(g));
}
