//! Servers that start several processes, each of which loads the handler.
use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rsfaas::rebuild::mount::Parked;

use crate::{
    PATIENCE,
    container::Container,
    templates::{INDEX, file, handler},
};

/// Starts two workers, lives for as long as one of them does, and never loads the handler itself.
const MASTER: &str = r#"
import os
for number in range(2):
    if os.fork() == 0:
        break
else:
    while True:
        try:
            os.wait()
        except ChildProcessError:
            os._exit(0)
os.environ["WORKER"] = str(number)
from function import handler
"#;

/// The server of each listens on the same port.
const SHARED: &str = "type('Shared', (http.server.HTTPServer,), {'allow_reuse_port': True})(";

/// Another process of the master's, without the container's token, that looks as if it waited.
const STRANGER: &str = r#"
import os
LOOK = "import time; table = open('/proc/self/mountinfo'); time.sleep(600)"
if os.fork() == 0:
    os.execve("/usr/bin/python3", ["python3", "-c", LOOK], {})
"#;

/// All of a master's processes wait. Gives them, too, as the host counts.
async fn parked(master: &str, count: usize) -> (Container, Parked, Vec<i32>) {
    let text = INDEX.replace("from function import handler", master);
    let container = Container::template(&text.replace("http.server.HTTPServer(", SHARED));
    let parked = container.parked().await;
    let start = Instant::now();
    loop {
        let workers = workers(parked.pid());
        if workers.len() == count && workers.iter().all(|pid| waits(*pid)) {
            return (container, parked, workers);
        }
        assert!(start.elapsed() < PATIENCE, "{workers:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The processes that have their parent in common with one.
fn workers(pid: i32) -> Vec<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let parent = status.lines().find_map(|it| it.strip_prefix("PPid:\t"));
    let parent = parent.unwrap();
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    let children = children.unwrap();
    children
        .split_whitespace()
        .map(|it| it.parse().unwrap())
        .collect()
}

fn waits(pid: i32) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    files
        .flatten()
        .any(|file| fs::read_link(file.path()).is_ok_and(|target| target.ends_with("mountinfo")))
}

#[tokio::test]
async fn a_function_is_ready_when_each_of_its_processes_has_loaded_the_handler() {
    for slow in 0..2 {
        let (container, parked, workers) = parked(MASTER, 2).await;
        let text = format!(
            "import os, time\ntime.sleep(os.environ['WORKER'] == '{slow}')\n\
             def handle(word):\n    return 'Nacht'\n"
        );
        let delivered = container.deliver_to(parked, &[file("handler.py", &text)]);
        delivered.ready(container.port, PATIENCE).await.unwrap();
        assert!(!workers.iter().any(|pid| waits(*pid)), "worker {slow}");
        assert_eq!(container.call("night"), "\"Nacht\"");
    }
}

#[tokio::test]
async fn a_function_has_ended_when_the_last_of_its_processes_has() {
    let (container, parked, workers) = parked(MASTER, 2).await;
    let text = "import os\ndef handle(word):\n    return os.environ['WORKER']\n";
    let delivered = container.deliver_to(parked, &[file("handler.py", text)]);
    delivered.ready(container.port, PATIENCE).await.unwrap();
    let mut ends = delivered.ends().unwrap().into_iter();
    let start = Instant::now();
    let mut served = BTreeSet::new();
    while served.len() < 2 {
        served.insert(container.call(""));
        assert!(start.elapsed() < PATIENCE, "by {served:?} only");
    }
    let end = |pid: i32| kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    end(delivered.pid());
    ends.next().unwrap().readable().await.unwrap().clear_ready();
    assert!(!delivered.is_ending() && !delivered.is_ended());
    assert!(served.contains(&container.call("")), "by the other one");
    let other = workers.iter().find(|pid| **pid != delivered.pid());
    end(*other.unwrap());
    ends.next().unwrap().readable().await.unwrap().clear_ready();
    assert!(delivered.is_ending() && delivered.is_ended());
}

#[tokio::test]
async fn a_process_without_the_containers_token_is_no_part_of_the_function() {
    let (container, parked, _) = parked(&format!("{STRANGER}{MASTER}"), 3).await;
    let delivered = container.deliver_to(parked, &handler());
    assert_eq!(delivered.ends().unwrap().len(), 2);
}
