//! What is asked of the engine, by one that only remembers it.
use std::{
    collections::BTreeMap,
    fs,
    os::unix::net::UnixListener,
    path::Path,
    sync::{Arc, Mutex},
};

use bollard::API_DEFAULT_VERSION;
use serde_json::json;

use super::*;
use crate::{
    image::Preparation,
    openfaas::FaasCli,
    server::{serve, tell},
    stack::{Function, StackFile},
};

/// What was asked.
type Asked = Arc<Mutex<Vec<String>>>;

/// An engine that has a container of the image in question, and one that somebody has made of it by another name.
fn engine(folder: &Path) -> (Engine, Asked) {
    let socket = folder.join("docker.sock");
    let asked = Asked::default();
    let log = Arc::clone(&asked);
    serve(UnixListener::bind(&socket).unwrap(), move |head, _| {
        let [method, path] = [0, 1].map(|word| head.split(' ').nth(word).unwrap());
        log.lock().unwrap().push(format!("{method} {path}"));
        let body = match method {
            "GET" => r#"[{"Id":"c1","Image":"r/f:rsfaas-sealing-f"},{"Id":"c2","Image":"r/f:1"}]"#,
            _ => "[]",
        };
        tell("200 OK", body)
    });
    let docker = Docker::connect_with_unix(socket.to_str().unwrap(), 10, API_DEFAULT_VERSION);
    (Engine(docker.unwrap()), asked)
}

#[tokio::test]
async fn what_a_killed_seal_has_left_in_the_engine_goes_before_anything_else() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, asked) = engine(folder.path());
    let file = folder.path().join("stack.yaml");
    fs::write(&file, "provider: {name: openfaas}\nfunctions: {}\n").unwrap();
    let function = Function {
        name: "f".into(),
        lang: "dockerfile".into(),
        handler: folder.path().to_owned(),
        image: "r/f:1".into(),
        build_args: BTreeMap::new(),
        build_options: Vec::new(),
        entry: json!({}),
    };
    let preparation = Preparation {
        engine: &engine,
        faas: &FaasCli::new(Path::new("/nonexistent"), "http://g", None).unwrap(),
        stack: &StackFile::read(&file).unwrap(),
        function: &function,
        source: None,
    };
    let error = preparation.run().await.err().unwrap();
    assert!(matches!(error, ImageError::SealedBuild { .. }), "{error}");
    let asked = asked.lock().unwrap();
    let asked: Vec<&str> = asked
        .iter()
        .map(|it| it.split('?').next().unwrap())
        .collect();
    let expected = [
        "GET /containers/json",
        "DELETE /containers/c1",
        "DELETE /images/r/f:rsfaas-sealing-f",
    ];
    assert_eq!(asked, expected);
}

#[test]
fn only_an_engine_that_gave_no_answer_is_asked_after() {
    let told = |error| ImageError::Engine(error).to_string();
    let none = bollard::errors::Error::SocketNotFoundError("/s".into());
    assert!(told(none).ends_with("is this user permitted to use it?"));
    let refused = bollard::errors::Error::DockerResponseServerError {
        status_code: 409,
        message: "conflict".into(),
    };
    assert!(told(refused).ends_with(": conflict"));
}

fn storage(driver: &str, status: [&str; 2], address: Option<&str>) -> Storage {
    let info = SystemInfo {
        docker_root_dir: Some("/var/lib/docker".into()),
        driver: Some(driver.to_owned()),
        driver_status: Some(vec![status.map(str::to_owned).to_vec()]),
        ..SystemInfo::default()
    };
    Storage::of(info, address)
}

const CONTAINERD: [&str; 2] = ["driver-type", "io.containerd.snapshotter.v1"];
const EXT: [&str; 2] = ["Backing Filesystem", "extfs"];

#[test]
fn an_engine_that_is_named_in_a_way_that_is_not_known_is_told_with_the_ways_that_are() {
    let error = Docker::connect_with_host("ssh://host").unwrap_err();
    let said = ImageError::Engine(error).to_string();
    for word in [
        "ssh://host",
        "DOCKER_HOST must be unix://PATH, or tcp://",
        "`ssh -fNL ",
    ] {
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn images_in_containerd_are_known_by_the_kind_of_driver() {
    let of = |status| storage("overlayfs", status, None);
    assert!(of(CONTAINERD).in_containerd && !of(EXT).in_containerd);
    assert_eq!(of(CONTAINERD).root, Path::new("/var/lib/docker"));
    assert_eq!(of(CONTAINERD).unsearchable(), None, "told of by itself");
}

#[test]
fn only_where_layers_are_folders_a_search_proves_something() {
    for driver in ["overlay2", "fuse-overlayfs", "vfs"] {
        assert_eq!(storage(driver, EXT, None).unsearchable(), None);
    }
    for driver in ["btrfs", "zfs", "devicemapper", ""] {
        let why = storage(driver, EXT, None).unsearchable().unwrap();
        assert!(why.contains(&format!("driver {driver} ")), "{why}");
    }
}

#[test]
fn a_folder_of_another_host_is_not_this_ones() {
    let of = |address| storage("overlay2", EXT, address);
    for address in [None, Some("unix:///run/docker.sock")] {
        assert!(of(address).is_here && of(address).unsearchable().is_none());
    }
    for address in ["tcp://127.0.0.1:2375", "https://e:2376", "ssh://u@e"] {
        let why = of(Some(address)).unsearchable().unwrap();
        assert!(why.contains("DOCKER_HOST"), "{why}");
    }
}

#[test]
fn an_engine_whose_layers_are_not_here_is_another_hosts() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("overlay2/abc")).unwrap();
    let with = |layers: &[&str]| {
        let mut here = storage("overlay2", EXT, Some("unix:///run/forwarded.sock"));
        here.root = root.path().to_owned();
        let layers = layers.iter().map(|layer| (*layer).to_owned()).collect();
        here.with_layers(&layers).unsearchable()
    };
    assert_eq!(with(&[]), None, "nothing is known of any");
    assert_eq!(with(&["abc", "def"]), None);
    assert!(with(&["def"]).unwrap().contains("another host's"));
}
