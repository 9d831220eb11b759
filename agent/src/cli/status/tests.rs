use super::*;
use crate::{lease::example, rebuild::ParkedStatus};

#[test]
fn what_the_agent_refuses_has_the_code_of_its_reason() {
    let exit = |reply| accepted(reply).unwrap_err().exit();
    assert_eq!(exit(Reply::NotServed("pydict".into())), Exit::NotSealed);
    assert_eq!(exit(Reply::Stopping), Exit::NoAgent);
    assert_eq!(exit(Reply::Error("?".into())), Exit::Unexpected);
    assert!(accepted(Reply::Locked).is_ok());
}

#[test]
fn the_socket_is_the_one_that_is_named_and_otherwise_that_of_the_named_configuration() {
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), "control_socket = \"/run/other.sock\"\n").unwrap();
    let mut socket = Socket {
        control_socket: None,
        config: Some(config.path().to_owned()),
    };
    assert_eq!(socket.path().unwrap(), PathBuf::from("/run/other.sock"));
    socket.control_socket = Some("/run/named.sock".into());
    assert_eq!(socket.path().unwrap(), PathBuf::from("/run/named.sock"));
}

#[test]
fn a_function_that_does_not_answer_is_shown_as_busy() {
    let status = Status {
        busy: vec!["pydict".into()],
        ..status()
    };
    let text = to_text(&status);
    assert!(text.contains("pydict               busy"), "{text}");
    assert!(!text.contains("no sealed functions"), "{text}");
}

#[test]
fn a_lease_tells_whose_it_is_and_under_which_key_it_ends() {
    let mut lease = LeaseStatus {
        connections: 2,
        next_key_id: Some("0123456789abcdef".into()),
        ..lease()
    };
    assert_eq!(
        lease_line(&lease),
        "  lease unlocked for 7 s in pydict-abc-0, connections 2, ends in 53 s, idle limit 20 s, key afterwards \
         0123456789abcdef\n"
    );
    lease.client = Some("198.51.100.7:4711".into());
    lease.next_key_id = None;
    assert_eq!(
        lease_line(&lease),
        "  lease unlocked for 7 s in pydict-abc-0, of 198.51.100.7:4711, ends in 53 s, idle limit 20 s\n"
    );
}

#[test]
fn a_lease_tells_what_ends_it() {
    let mut lease = lease();
    assert_eq!(limits(&lease), ", ends in 53 s, idle limit 20 s");
    lease.linger_seconds = 5;
    assert_eq!(
        limits(&lease),
        ", ends in 53 s, to linger for 5 s, idle limit 20 s"
    );
    lease.lingers_for_seconds = Some(3);
    assert_eq!(
        limits(&lease),
        ", ends in 53 s, lingers for 3 s, idle limit 20 s"
    );
    lease.ends_in_seconds = None;
    lease.lingers_for_seconds = None;
    lease.linger_seconds = 0;
    assert_eq!(limits(&lease), ", idle limit 20 s", "nothing serves yet");
}

#[test]
fn where_swap_is_on_it_is_told_what_may_go_there() {
    let mut status = status();
    assert!(!to_text(&status).contains("swap"), "it is off");
    status.swap.places = vec!["/dev/vda2".into(), "/swapfile".into()];
    status.swap.agent_is_locked = true;
    let first = |status: &Status| to_text(status).lines().nth(1).map(str::to_owned);
    let may = "a function whose parked containers are not marked `unswapped` may go there while it is unlocked";
    assert_eq!(
        first(&status).unwrap(),
        format!("swap is on (/dev/vda2 /swapfile): the agent is locked in memory; {may}")
    );
    status.swap.agent_is_locked = false;
    assert_eq!(
        first(&status).unwrap(),
        format!(
            "swap is on (/dev/vda2 /swapfile): the agent is NOT locked in memory, and may go there; {may}"
        )
    );
}

#[test]
fn a_parked_container_tells_its_memory_and_whether_that_is_kept_out_of_swap() {
    let mut function = function();
    assert!(line(&function).ends_with(" parked pydict-abc-0 (8192 KiB, unswapped)\n"));
    function.parked[0].unswapped = false;
    assert!(line(&function).ends_with(" parked pydict-abc-0 (8192 KiB)\n"));
    function.parked[0].memory_kib = None;
    assert!(line(&function).ends_with(" parked pydict-abc-0\n"));
    function.parked.clear();
    assert!(line(&function).ends_with(" parked none\n"));
}

fn status() -> Status {
    Status {
        version: "1".into(),
        pid: 1,
        port: 8080,
        ..Status::default()
    }
}

fn function() -> FunctionStatus {
    FunctionStatus {
        parked: vec![ParkedStatus {
            name: "pydict-abc-0".into(),
            pid: 4711,
            memory_kib: Some(8192),
            unswapped: true,
        }],
        ..example::locked("pydict")
    }
}

/// One that nobody has asked anything special of.
fn lease() -> LeaseStatus {
    LeaseStatus {
        phase: Phase::Unlocked,
        container: Some("pydict-abc-0".into()),
        connections: 1,
        client: None,
        seconds: 7,
        ends_in_seconds: Some(53),
        idle_limit_seconds: 20,
        linger_seconds: 0,
        lingers_for_seconds: None,
        next_key_id: None,
    }
}
