//! Images with the handler in them that leases have left, of a function that is not rebuilt by image any more.
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixListener,
    process::Output,
    thread,
};

use rsfaas::{
    control::{Reply, Status},
    state::{Rebuild, SealedFunction},
};

use crate::project::Project;

const LEFT: &str = "registry.invalid/f:rsfaas-lease-abcabcabc-0123456789abcdef";

/// A function that is rebuilt by image, in a project whose engine has that image of an earlier lease.
fn project() -> (Project, SealedFunction) {
    let project = Project::new().with_image(LEFT);
    let record = SealedFunction {
        rebuild: Rebuild::Image,
        ..project.begin()
    };
    project.state().finish("f").unwrap();
    project.state().register(&record).unwrap();
    fs::write(project.path("state/host-id"), "abcabcabc").unwrap();
    (project, record)
}

/// It is gone from the engine, and the registry, which is not there, is named with what to do.
fn is_told(project: &Project, output: &Output, code: i32) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(
        said.contains(&format!("the plaintext in image {LEFT} is left in part"))
            && said.contains("delete the tag with the registry's own means"),
        "{said}"
    );
    assert!(project.path("docker/removed").exists(), "{said}");
}

#[test]
fn who_seals_a_function_another_way_has_them_removed_and_is_told_what_stays() {
    let (project, record) = project();
    let output = project.run_in("", &["seal", "--rebuild", "mount"]);
    is_told(&project, &output, 8);
    let record = SealedFunction {
        rebuild: Rebuild::Mount,
        ..record
    };
    assert_eq!(project.state().function("f").unwrap(), Some(record.clone()));
    assert_eq!(project.state().begun("f").unwrap(), Some(record));
}

#[test]
fn who_forgets_a_function_has_them_removed_and_is_told_what_stays() {
    let (project, _) = project();
    agent(&project);
    let output = project.forget("f");
    is_told(&project, &output, 8);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("on no list any more, but its images with its handler may be left"),
        "{said}"
    );
    assert_eq!(project.state().function("f").unwrap(), None);
}

#[test]
fn who_unseals_a_function_has_them_removed_and_is_warned_of_what_stays() {
    let (project, _) = project();
    let output = project.run("unseal");
    is_told(&project, &output, 0);
}

#[test]
fn those_that_may_be_another_functions_stay_for_its_agent() {
    let (project, record) = project();
    let other = SealedFunction {
        name: "g".to_owned(),
        base_image: "registry.invalid/f:base-of-g".to_owned(),
        ..record
    };
    project.state().register(&other).unwrap();
    let output = project.run("unseal");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!project.path("docker/removed").exists());
}

/// One that serves nothing.
fn agent(project: &Project) {
    let listener = UnixListener::bind(project.path("agent.sock")).unwrap();
    let status = Status {
        pid: 1,
        port: 8080,
        ..Status::default()
    };
    let mut answer = serde_json::to_vec(&Reply::Status(Box::new(status))).unwrap();
    answer.push(b'\n');
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            let asked = BufReader::new(&stream).read_line(&mut line);
            // Some only look whether it is there.
            if asked.is_ok_and(|length| length > 0) {
                stream.write_all(&answer).unwrap();
            }
        }
    });
}
