//! What is left after the end: nothing.
use std::{
    fs,
    io::{Read as _, Write as _},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use rsfaas::rebuild::mount::ContainerProcesses;

use crate::container::Container;

#[tokio::test]
async fn the_first_process_outlives_the_handlers_until_its_container_is_removed() {
    let watchdog = ["sh", "-c", "/usr/bin/python3 index.py; exit 1"];
    let python = ["/usr/bin/python3", "index.py"];
    for mut container in [
        Container::start(Container::folder(), true, &watchdog),
        Container::gated(Container::folder(), &python),
    ] {
        let mut delivered = container.serve().await;
        let pid = delivered.pid();
        delivered.wipe_and_kill().await.unwrap();
        assert!(!fs::exists(format!("/proc/{pid}/root/")).unwrap());
        let removal = async { container.child.try_wait().unwrap() };
        assert_eq!(delivered.removed_by(removal).await, None, "it ended early");
        container.child.wait().unwrap();
    }
}

#[tokio::test]
async fn after_the_wipe_an_open_file_is_empty_and_no_process_is_left() {
    let container = Container::python();
    let mut delivered = container.serve().await;
    let mut open = fs::File::open(container.seen(&delivered).join("handler.py")).unwrap();
    let pid = delivered.pid();
    delivered.wipe_and_kill().await.unwrap();
    let mut left = String::new();
    open.read_to_string(&mut left).unwrap();
    assert_eq!(left, "");
    assert!(!fs::exists(format!("/proc/{pid}/root/")).unwrap());
}

/// The kernel gives the number of a mount namespace that is gone to the next one.
#[tokio::test]
async fn whoever_comes_after_a_container_that_is_gone_is_not_taken_for_it() {
    let mut container = Container::python();
    let mut delivered = container.serve().await;
    container.child.kill().unwrap();
    container.child.wait().unwrap();
    let mut others: Vec<Child> = (0..20)
        .map(|_| {
            let mut cat = Command::new("unshare");
            cat.args(["--mount", "cat"]).stdin(Stdio::piped());
            let mut child = cat.stdout(Stdio::piped()).spawn().unwrap();
            // It has its namespace once it copies a byte.
            child.stdin.as_ref().unwrap().write_all(b".").unwrap();
            let answer = child.stdout.as_mut().unwrap().read_exact(&mut [0]);
            answer.map(|()| child).unwrap()
        })
        .collect();
    delivered.wipe_and_kill().await.unwrap();
    for other in &mut others {
        drop(other.stdin.take());
        assert!(other.wait().unwrap().success(), "it was killed");
    }
}

#[tokio::test]
async fn dropping_a_delivery_wipes_and_kills_too() {
    let mut container = Container::python();
    let delivered = container.serve().await;
    let mut open = fs::File::open(container.seen(&delivered).join("handler.py")).unwrap();
    drop(delivered);
    let mut left = String::new();
    open.read_to_string(&mut left).unwrap();
    assert_eq!(left, "");
    container.child.wait().unwrap();
}

#[tokio::test]
async fn what_an_agent_that_is_gone_left_running_is_ended_and_other_hosts_containers_are_not() {
    let others = Container::python();
    let start = |command: &[&str]| Container::start_for("gone", Container::folder(), true, command);
    let python = ["/usr/bin/python3", "index.py"];
    let containers: [&dyn Fn() -> Container; 3] = [
        &|| start(&python),
        &|| start(&["sh", "-c", "/usr/bin/python3 index.py; true"]),
        &|| Container::gated_for("gone", Container::folder(), &python),
    ];
    for container in containers {
        let mut left = container();
        let delivered = left.serve().await;
        let pid = delivered.pid();
        // As if the agent had been killed: nobody wipes, nobody kills.
        std::mem::forget(delivered);
        let processes = ContainerProcesses::kill("gone").await.unwrap();
        assert!(processes.count() > 0);
        let removal = async { "removed" };
        assert_eq!(processes.removed_by(removal).await, "removed");
        left.child.wait().unwrap();
        assert!(!fs::exists(format!("/proc/{pid}/root/")).unwrap());
        assert_eq!(ContainerProcesses::kill("gone").await.unwrap().count(), 0);
    }
    let _delivered = others.serve().await;
    assert_eq!(others.call("night"), "\"Nacht\"");
}

#[tokio::test]
async fn what_runs_in_the_container_of_a_token_is_ended_and_in_no_other() {
    let others = Container::python();
    let mut container = Container::python();
    // As where the handler came with the image: nobody has delivered it.
    std::mem::forget(container.serve().await);
    let token = Arc::clone(&container.token);
    let processes = ContainerProcesses::kill_container(token).await.unwrap();
    assert!(processes.count() > 0);
    processes.removed_by(async {}).await;
    container.child.wait().unwrap();
    let _delivered = others.serve().await;
    assert_eq!(others.call("night"), "\"Nacht\"");
}
