//! What is proved of an engine's folder, and what is not.
use std::{fs, os::unix::net::UnixListener};

use bollard::{API_DEFAULT_VERSION, Docker, models::SystemInfo};

use super::*;
use crate::{
    seal::archive::Survey,
    server::{serve, tell},
};

/// What is said after a search in vain of the folder of an engine with that storage driver.
async fn searched(driver: &str) -> Purged {
    let [handler, root] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let socket = root.path().join("docker.sock");
    serve(UnixListener::bind(&socket).unwrap(), |_, _| {
        tell("200 OK", "[]")
    });
    let docker = Docker::connect_with_unix(socket.to_str().unwrap(), 10, API_DEFAULT_VERSION);
    fs::write(handler.path().join("handler.py"), "def handle(req): pass\n").unwrap();
    let image = Reference::parse("r/f:1");
    let purge = Purge {
        engine: &Engine(docker.unwrap()),
        image: &image,
        further: &[],
        taken: &BTreeSet::new(),
        context: None,
        base: &image.tagged("rsfaas-base-0"),
        traces: Traces::of(&Survey::of(handler.path()).unwrap().read().unwrap()),
        command: None,
    };
    let info = SystemInfo {
        docker_root_dir: Some(root.path().display().to_string()),
        driver: Some(driver.to_owned()),
        ..SystemInfo::default()
    };
    let storage = Storage::of(info, None);
    let mut purged = Purged::default();
    let is_all = storage.unsearchable().is_none();
    let base = HashSet::new();
    purge
        .search(&storage, &base, is_all, &mut purged)
        .await
        .unwrap();
    purged
}

#[tokio::test]
async fn layers_that_show_in_the_engines_folder_are_proved_to_have_nothing() {
    let proved = searched("overlay2").await.proved;
    assert!(
        proved[0].starts_with("none of the handler's 1 files"),
        "{proved:?}"
    );
}

#[tokio::test]
async fn nothing_is_proved_of_layers_that_show_nowhere() {
    let Purged { proved, left, .. } = searched("btrfs").await;
    assert!(proved.is_empty() && left.is_empty(), "{proved:?} {left:?}");
}

#[test]
fn what_was_not_searched_is_told_with_what_helps() {
    let of = |driver: &str, address| {
        let info = SystemInfo {
            docker_root_dir: Some("/d".to_owned()),
            driver: Some(driver.to_owned()),
            ..SystemInfo::default()
        };
        let storage = Storage::of(info, address);
        let why = storage.unsearchable().unwrap();
        unsearched(&storage, &why)
    };
    let here = of("zfs", None);
    assert!(
        here.what
            .contains("in /d: it was not searched, since the storage driver zfs")
    );
    assert!(here.how.starts_with("docker image prune and "));
    let elsewhere = of("overlay2", Some("tcp://e:2375"));
    assert!(elsewhere.how.starts_with("seal on the engine's host"));
}
