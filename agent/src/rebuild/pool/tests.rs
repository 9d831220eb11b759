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
