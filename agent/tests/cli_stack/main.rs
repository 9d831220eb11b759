//! `seal`, `unseal` and `forget` as a user runs them, where faas-cli is a script and there is no engine, or one that
//! has nothing.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod engine;
mod full_disk;
mod leases;
#[path = "../support/little_memory.rs"]
mod little_memory;
mod project;
mod refused;
#[path = "../support/server.rs"]
mod server;
mod several;

use std::{fs, process::Output};

use rsfaas::seal::FILE_NAME;

use crate::{project::Project, server::answering};

#[test]
fn without_a_gateway_nothing_is_sealed_and_its_address_is_told_with_where_it_comes_from() {
    let project = Project::at_address("http://127.0.0.1:9");
    let output = project.run("seal");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(
        said.starts_with("error: the gateway http://127.0.0.1:9 does not answer: ")
            && said.contains("its address is what the stack file, OPENFAAS_URL, or `gateway`"),
        "{said}"
    );
    assert!(project.path("f/Dockerfile").exists() && !project.path("f").join(FILE_NAME).exists());
    assert_eq!(project.state().begun("f").unwrap(), None);
}

#[test]
fn an_address_that_cannot_be_used_is_a_mistake_of_whatever_names_it() {
    let project = Project::at_address("https://gateway.invalid");
    for command in ["seal", "unseal"] {
        let output = project.run(command);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(10), "{said}");
        assert!(said.contains("stack.yaml: provider.gateway: "), "{said}");
    }
}

#[test]
fn a_sealing_that_was_killed_goes_on_without_building_and_is_not_finished_before_the_purge() {
    let project = Project::new();
    let record = project.begin();
    let output = project.run("seal");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert_eq!(project.state().function("f").unwrap(), Some(record.clone()));
    assert!(said.contains("run `rsfaas seal` again"), "{said}");
    assert_eq!(project.state().begun("f").unwrap(), Some(record));
    let again = project.run("seal");
    let said = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(8), "{said}");
    assert!(said.contains("run `rsfaas seal` again"), "{said}");
}

#[test]
fn a_sealed_function_whose_image_is_gone_from_its_registry_is_not_taken_for_finished() {
    let project = Project::at(
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\n\
         [{\"name\":\"f\",\"image\":\"registry.invalid/f:locked\"}]",
    );
    let mut record = project.begin();
    project.state().finish("f").unwrap();
    project.state().register(&record).unwrap();
    let output = project.run("seal");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("already sealed"), "{said}");
    let registry = answering(
        "HTTP/1.1 404 Not Found\r\nDocker-Distribution-Api-Version: registry/2.0\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n",
    );
    record.base_image = format!("{registry}/f:base");
    project.state().register(&record).unwrap();
    let output = project.run("seal");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert!(
        said.contains("is gone") && said.contains("building and pushing"),
        "{said}"
    );
    assert_eq!(project.state().function("f").unwrap(), Some(record));
}

#[test]
fn a_sealed_function_that_is_not_deployed_is_not_taken_for_finished() {
    let project = Project::new();
    let record = project.begin();
    project.state().finish("f").unwrap();
    project.state().register(&record).unwrap();
    let output = project.run("seal");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("what is deployed is not the locked function"),
        "{said}"
    );
    assert!(said.contains("deploying the locked function"), "{said}");
}

#[test]
fn a_locked_function_that_names_another_key_header_is_deployed_again() {
    let project = Project::at(
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\n\
         [{\"name\":\"f\",\"image\":\"registry.invalid/f:locked\"}]",
    )
    .with_engine();
    let record = project.begin();
    project.state().finish("f").unwrap();
    project.state().register(&record).unwrap();
    let config = fs::read_to_string(project.path("agent.toml")).unwrap();
    let other = format!("key_header = \"X-Other-Key\"\n{config}");
    fs::write(project.path("agent.toml"), other).unwrap();
    // Only what deploys with that name goes well.
    project.faas_cli("grep -q 'RSFAAS_KEY_HEADER: X-Other-Key' /dev/stdin");
    let output = project.run("seal");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("names the header X-RsFaaS-Key, which is X-Other-Key now"),
        "{said}"
    );
    let kept = project.state().function("f").unwrap().unwrap();
    assert_eq!(kept.key_header, "X-Other-Key");
    project.faas_cli("exit 1");
    let again = project.run("seal");
    let said = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(0), "{said}");
    assert!(said.contains("already sealed"), "{said}");
}

#[test]
fn a_sealing_that_was_begun_with_another_entry_begins_again() {
    let project = Project::new();
    let record = project.begin_with("f", &serde_json::json!({"limits": {"memory": "64q"}}));
    let output = project.run("seal");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert!(said.contains("building and pushing"), "{said}");
    assert_eq!(project.state().begun("f").unwrap(), Some(record));
    assert_eq!(project.state().function("f").unwrap(), None);
}

#[test]
fn a_sealing_whose_deployment_failed_can_be_gone_on_with() {
    let project = Project::new();
    let record = project.begin();
    project.faas_cli("echo no gateway >&2; exit 1");
    assert_eq!(project.run("seal").status.code(), Some(7));
    assert_eq!(project.state().function("f").unwrap(), None);
    assert_eq!(project.state().begun("f").unwrap(), Some(record));
}

#[test]
fn handlers_are_those_of_the_working_folder_and_otherwise_those_beside_the_stack_file() {
    let project = Project::new();
    project.begin();
    for folder in ["deploy", "elsewhere"] {
        fs::create_dir(project.path(folder)).unwrap();
    }
    let begun = |output: Output| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("f: sealed"), "{said}");
        said.contains("those of the working folder")
    };
    let beside = project.run_in("elsewhere", &["seal", "-f", "../stack.yaml"]);
    assert!(!begun(beside));
    fs::rename(
        project.path("stack.yaml"),
        project.path("deploy/stack.yaml"),
    )
    .unwrap();
    let working = project.run_in("", &["seal", "-f", "deploy/stack.yaml"]);
    assert!(begun(working));
    let neither = project.run_in("elsewhere", &["seal", "-f", "../deploy/stack.yaml"]);
    let said = String::from_utf8_lossy(&neither.stderr);
    assert_eq!(neither.status.code(), Some(10), "{said}");
    for folder in ["deploy/", "the working folder "] {
        assert!(said.contains(folder), "{said}");
    }
}

#[test]
fn a_function_that_could_not_be_built_is_not_unsealed() {
    let project = Project::new();
    project.begin();
    let output = project.run("unseal");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert!(project.path("f").join(FILE_NAME).exists() && !project.path("f/Dockerfile").exists());
}

#[test]
fn a_function_is_forgotten_without_its_key_and_its_sealed_file_stays() {
    let project = Project::new();
    let record = project.begin();
    project.state().register(&record).unwrap();
    let output = project.forget("f");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("`faas-cli remove f`"), "{said}");
    assert_eq!(project.state().function("f").unwrap(), None);
    assert_eq!(project.state().begun("f").unwrap(), None);
    let sealed = project.run_in("", &["open", "./f"]);
    assert_eq!(sealed.status.code(), Some(0));
}

#[test]
fn a_function_that_is_not_known_is_not_forgotten() {
    let project = Project::new();
    let record = project.begin();
    project.state().register(&record).unwrap();
    // Where records of other folders, and of sealings that are not finished, would be.
    fs::write(project.path("state/outside.json"), "{}").unwrap();
    for name in ["g", "../outside", ".f"] {
        let output = project.forget(name);
        assert_eq!(output.status.code(), Some(4), "{name}");
    }
    assert!(project.path("state/outside.json").exists());
    assert_eq!(project.state().function("f").unwrap(), Some(record));
}

#[test]
fn what_a_forgotten_function_may_have_left_is_told() {
    let project = Project::new();
    project.begin();
    let config = fs::read_to_string(project.path("agent.toml")).unwrap();
    let (_, rest) = config.split_once('\n').unwrap();
    let wrong = format!("gateway = \"none\"\n{rest}");
    fs::write(project.path("agent.toml"), wrong).unwrap();
    let output = project.forget("f");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(13), "{said}");
    assert!(said.contains("containers may be left"), "{said}");
    assert_eq!(project.state().begun("f").unwrap(), None);
}
