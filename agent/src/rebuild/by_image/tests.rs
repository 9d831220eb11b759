use tokio::sync::Semaphore;

use super::*;
use crate::rebuild::{Rebuilder, SealedHandler, Way, example};

/// A lease that has begun nothing yet.
fn begun(folder: &std::path::Path) -> Built {
    let (slots, faas) = example::host(folder, 1, "");
    let gateway = Arc::new(Gateway::new("http://g", None).unwrap());
    let way = ByImage::new(example::function(folder), slots, faas, gateway, None);
    Built::new(&Arc::new(way))
}

#[tokio::test]
async fn a_build_that_is_given_up_is_waited_for_before_its_image_is_purged() {
    let folder = tempfile::tempdir().unwrap();
    let built = begun(folder.path());
    let (done, end) = tokio::sync::oneshot::channel();
    let step = async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        done.send(()).unwrap();
        Ok(())
    };
    let given_up = {
        let mut serving = built.serving.lock().await;
        tokio::time::timeout(Duration::from_millis(10), serving.make(step)).await
    };
    assert!(given_up.is_err());
    built.wipe().await.unwrap();
    assert!(end.await.is_ok());
}

#[tokio::test]
async fn a_close_has_failed_while_the_engine_still_builds() {
    let folder = tempfile::tempdir().unwrap();
    let built = begun(folder.path());
    let step = std::future::pending::<Result<(), ImageError>>();
    built.serving.lock().await.making = Some(tokio::spawn(step));
    let error = built.wipe_within(Duration::from_millis(50)).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("still building"), "{error}");
    assert!(built.way.still_removes());
}

#[tokio::test]
async fn a_close_whose_container_stays_has_failed_and_its_name_is_not_free() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[ $1 = deploy ] || until [ -e \"$0.up\" ]; do sleep 0.05; done";
    let (slots, faas) = example::host(folder.path(), 1, text);
    let gateway = Arc::new(Gateway::new("http://g", None).unwrap());
    let (slot, token) = (slots.take().await.unwrap(), slots.token().unwrap());
    let name = slot.name.clone();
    let function = example::function(folder.path());
    let mut deployed = Deployed::begin(slot, Arc::new(token), &faas, Deployment::example());
    deployed.come().await.unwrap();
    let way = ByImage::new(function, Arc::clone(&slots), faas, gateway, None);
    let built = Built::new(&Arc::new(way));
    built.serving.lock().await.deployed = Some(deployed);
    let patience = Duration::from_millis(50);
    let error = built.wipe_within(patience).await.unwrap_err();
    assert!(error.to_string().contains(&name), "{error}");
    let mut next = std::pin::pin!(slots.take());
    assert!(futures_util::poll!(&mut next).is_pending());
    assert!(built.way.still_removes());
    let rebuilder = Rebuilder {
        function: built.way.function.clone(),
        sealed: Arc::new(SealedHandler::new("pydict", folder.path())),
        turns: Arc::new(Semaphore::new(1)),
        way: Way::Image(Arc::clone(&built.way)),
    };
    let mut cleared = std::pin::pin!(rebuilder.clear());
    assert!(futures_util::poll!(&mut cleared).is_pending());
    std::fs::write(folder.path().join("faas-cli.up"), "").unwrap();
    assert_eq!(next.await.unwrap().name, name);
    cleared.await;
    assert!(!built.way.still_removes());
}
