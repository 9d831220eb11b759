use std::process::Command;

use tokio::sync::SemaphorePermit;

use super::*;
use crate::{
    eventually::{PATIENCE, eventually},
    rebuild::example,
};

#[tokio::test]
async fn nothing_more_than_the_standby_is_deployed_for_callers_who_have_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let (slots, faas) = example::host(folder.path(), 3, "echo $1 >> \"$0.calls\"");
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(slots.take().await.unwrap());
    }
    let function = example::function(folder.path());
    let pool = Arc::new(Pool::new(function, slots, faas, 1));
    let burst = join_all((0..3).map(|_| pool.take()));
    let burst = tokio::time::timeout(Duration::from_millis(50), burst).await;
    assert!(burst.is_err(), "there is no name for any of them");
    drop(taken);
    let calls = folder.path().join("faas-cli.calls");
    eventually("a deployment", || calls.exists()).await;
    // For those that are not to come.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let calls = std::fs::read_to_string(calls).unwrap();
    assert_eq!(calls.trim(), "deploy");
}

#[tokio::test]
async fn what_a_failed_deployment_has_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let text = "echo $1 >> \"$0.calls\"; [ $1 = remove ]";
    let (slots, faas) = example::host(folder.path(), 1, text);
    let function = example::function(folder.path());
    let pool = Arc::new(Pool::new(function, slots, faas, 0));
    assert!(matches!(pool.take().await, Err(RebuildError::Faas(_))));
    let calls = std::fs::read_to_string(folder.path().join("faas-cli.calls")).unwrap();
    assert_eq!(calls, "deploy\nremove\n");
}

#[tokio::test]
async fn nothing_that_is_compiled_of_a_handler_is_written_in_a_parked_container() {
    let folder = tempfile::tempdir().unwrap();
    let (slots, faas) = example::host(folder.path(), 1, "echo $* >> \"$0.calls\"; exit 1");
    let mut function = example::function(folder.path());
    function.stack = serde_json::json!({"environment": {"PYTHONDONTWRITEBYTECODE": ""}});
    let pool = Arc::new(Pool::new(function, slots, faas, 0));
    assert!(pool.take().await.is_err());
    let calls = std::fs::read_to_string(folder.path().join("faas-cli.calls")).unwrap();
    let deployed = calls.lines().next().unwrap();
    assert_eq!(
        deployed,
        "deploy --yaml /dev/stdin --env PYTHONDONTWRITEBYTECODE=1 --env NODE_DISABLE_COMPILE_CACHE=1"
    );
}

#[tokio::test]
async fn removals_at_the_end_go_on_together_as_far_as_there_are_turns() {
    let folder = tempfile::tempdir().unwrap();
    let text = "echo $2 >> \"$0.calls\"\nwhile [ ! -e \"$0.go\" ]; do sleep 0.01; done";
    let (slots, faas) = example::host(folder.path(), 6, text);
    let function = example::function(folder.path());
    let pool = Pool::new(function, Arc::clone(&slots), faas, 6);
    let mut parked = Vec::new();
    for _ in 0..6 {
        parked.push((
            slots.take().await.unwrap(),
            Arc::new(slots.token().unwrap()),
        ));
    }
    let calls = || std::fs::read_to_string(folder.path().join("faas-cli.calls"));
    let count = || calls().map_or(0, |calls| calls.lines().count());
    let removed = pool.discard_all(parked);
    let looked = async {
        eventually("as many as there are turns", || count() >= 4).await;
        // For those that are to wait.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(count(), 4);
        std::fs::write(folder.path().join("faas-cli.go"), "").unwrap();
    };
    let both = async { tokio::join!(removed, looked) };
    tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert_eq!(count(), 6);
}

/// All the turns to deploy, taken by other functions.
async fn every_turn(faas: &FaasCli) -> [Option<SemaphorePermit<'_>>; 4] {
    let turns = || faas.turns().to_deploy();
    [turns().await, turns().await, turns().await, turns().await]
}

#[tokio::test]
async fn a_standby_waits_for_its_turn_until_a_caller_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = "echo $1 >> \"$0.calls\"; [ $1 = remove ]";
    let (slots, faas) = example::host(folder.path(), 2, text);
    let function = example::function(folder.path());
    let pool = Arc::new(Pool::new(function, slots, Arc::clone(&faas), 1));
    let _others = every_turn(&faas).await;
    pool.refill();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let calls = folder.path().join("faas-cli.calls");
    assert!(!calls.exists());
    let taken = tokio::time::timeout(PATIENCE, pool.take()).await;
    assert!(matches!(taken, Ok(Err(RebuildError::Faas(_)))));
    let calls = std::fs::read_to_string(calls).unwrap();
    assert!(calls.starts_with("deploy\n"), "{calls}");
}

#[tokio::test]
async fn a_standby_that_waits_for_its_turn_does_not_keep_a_stop_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let (slots, faas) = example::host(folder.path(), 2, "touch \"$0.called\"");
    let function = example::function(folder.path());
    let pool = Arc::new(Pool::new(function, slots, Arc::clone(&faas), 1));
    let _others = every_turn(&faas).await;
    pool.refill();
    eventually("the turn to be awaited", || pool.queue().is_awaited()).await;
    tokio::time::timeout(PATIENCE, pool.clear()).await.unwrap();
    assert!(!folder.path().join("faas-cli.called").exists());
}

#[tokio::test]
async fn why_no_container_could_be_parked_is_known_when_its_caller_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[ $1 != deploy ] || { sleep 0.2; echo no room >&2; exit 1; }";
    let (slots, faas) = example::host(folder.path(), 1, text);
    let pool = Pool::new(example::function(folder.path()), slots, faas, 0);
    let pool = Arc::new(pool);
    let given_up = tokio::time::timeout(Duration::from_millis(50), pool.take()).await;
    assert!(given_up.is_err() && pool.trouble().is_none());
    eventually("the reason", || pool.trouble().is_some()).await;
    let told = pool.trouble().unwrap_or_default();
    assert!(told.contains("no room"), "{told}");
}

#[tokio::test]
async fn parked_containers_that_have_ended_are_not_told_of_and_others_take_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let text = "echo $1 $3 >> \"$0.calls\"; [ $1 = remove ]";
    let (slots, faas) = example::host(folder.path(), 3, text);
    let function = example::function(folder.path());
    let pool = Arc::new(Pool::new(function, Arc::clone(&slots), faas, 2));
    let mut children = Vec::new();
    for _ in 0..2 {
        let child = example::started(&mut Command::new("cat"));
        let (slot, parked) = (slots.take().await.unwrap(), Parked::example(child.id()));
        assert!(pool.queue().put((slot, parked)).is_none());
        children.push(child);
    }
    let calls = folder.path().join("faas-cli.calls");
    pool.replace_ended();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(pool.status().len() == 2 && !calls.exists());
    children[0].kill().unwrap();
    children[0].wait().unwrap();
    let left = pool.status();
    assert_eq!(
        (left.len(), left[0].pid),
        (1, children[1].id().cast_signed())
    );
    pool.replace_ended();
    assert_eq!(pool.queue().parked().len(), 1);
    let called = || std::fs::read_to_string(&calls).unwrap_or_default();
    eventually("another container", || {
        called().contains("remove") && called().contains("deploy")
    })
    .await;
    children[1].kill().unwrap();
    children[1].wait().unwrap();
}
