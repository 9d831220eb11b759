use std::process::Command;

use super::*;
use crate::rebuild::example;

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
    while !calls.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
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
async fn removals_at_the_end_wait_for_none_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    // Each ends when all three have begun.
    let text =
        "echo $2 >> \"$0.calls\"\nwhile [ \"$(wc -l < \"$0.calls\")\" -lt 3 ]; do sleep 0.01; done";
    let (slots, faas) = example::host(folder.path(), 3, text);
    let function = example::function(folder.path());
    let pool = Pool::new(function, Arc::clone(&slots), faas, 3);
    let mut parked = Vec::new();
    for _ in 0..3 {
        parked.push(slots.take().await.unwrap());
    }
    let removed = pool.discard_all(parked);
    tokio::time::timeout(Duration::from_secs(20), removed)
        .await
        .unwrap();
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
    while pool.trouble().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
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
    pool.look();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(pool.status().len() == 2 && !calls.exists());
    children[0].kill().unwrap();
    children[0].wait().unwrap();
    let left = pool.status();
    assert_eq!(
        (left.len(), left[0].pid),
        (1, children[1].id().cast_signed())
    );
    pool.look();
    assert_eq!(pool.queue().parked().len(), 1);
    let called = || std::fs::read_to_string(&calls).unwrap_or_default();
    while !(called().contains("remove") && called().contains("deploy")) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    children[1].kill().unwrap();
    children[1].wait().unwrap();
}
