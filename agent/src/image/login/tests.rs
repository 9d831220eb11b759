use std::{
    net::TcpListener,
    process::Command,
    sync::mpsc::{self, Receiver},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bollard::{API_DEFAULT_VERSION, Docker};
use serde_json::{Value, json};

use super::*;
use crate::{
    image::{Engine, context::Context},
    script,
    server::{serve, tell},
};

fn config(text: &str) -> Config {
    Config {
        path: "/root/.docker/config.json".into(),
        text: Zeroizing::new(text.into()),
    }
}

fn auth(text: &str) -> Value {
    json!({"auth": STANDARD.encode(text)})
}

fn password(login: Option<DockerCredentials>) -> Option<String> {
    login?.password
}

#[test]
fn the_login_for_an_images_registry_is_found() {
    let auths = json!({DOCKER_HUB: auth("me:hub"), "r.example:5000": auth("me:own")});
    let config = config(&json!({"auths": auths}).to_string());
    for (image, expected) in [
        ("user/f:1", Some("hub")),
        ("docker.io/user/f", Some("hub")),
        ("r.example:5000/f:1", Some("own")),
        ("other.example/f", None),
    ] {
        let login = config.login(&server(&Reference::parse(image))).unwrap();
        assert_eq!(password(login).as_deref(), expected, "{image}");
    }
    assert_eq!(config.logins().usable.len(), 2);
}

#[test]
fn without_a_file_there_are_no_logins() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Config::read(Some(folder.path().into())).unwrap().is_none());
    assert!(Config::read(None).unwrap().is_none());
}

#[test]
fn what_cannot_be_used_is_told_without_the_secret() {
    let path = "config.json";
    for (text, expected) in [
        (
            json!({"auths": {"r": auth("me:s3cret?")}}).to_string(),
            "log in with a token",
        ),
        (
            json!({"auths": {"r": {"auth": "s3cret"}}}).to_string(),
            "docker login",
        ),
        (
            json!({"auths": {"r": {}}, "credsStore": "no-such-helper"}).to_string(),
            "cannot be run",
        ),
        ("{\n\"auths\": \"s3cret\"}".to_owned(), path),
    ] {
        let logins = config(&text).logins();
        assert!(logins.usable.is_empty());
        let error = logins.unusable[0].to_string();
        assert!(
            error.contains(expected) && !error.contains("s3cret"),
            "{error}"
        );
    }
}

/// What a test hands itself: neither PATH, where helpers are looked for, nor DOCKER_CONFIG may be changed for the
/// others.
const CHILD: &str = "RSFAAS_TEST_LOGINS";

#[test]
fn the_engine_gets_what_helpers_know() {
    if env::var_os(CHILD).is_some() {
        return with_helpers();
    }
    let folder = tempfile::tempdir().unwrap();
    let config = json!({"credHelpers": {"a": "fake", "r.example": "fake"}, "auths": {"b": {}, "c": {}},
                        "credsStore": "fake"});
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    script::write(
        &folder.path().join("docker-credential-fake"),
        r#"case $(cat) in
        a) echo '{"Username":"<token>","Secret":"of-a"}' ;;
        b | r.example) echo '{"Username":"me","Secret":"of-b"}' ;;
        *) echo credentials not found in native keychain; exit 1 ;;
        esac"#,
    );
    let path = format!("{}:{}", folder.path().display(), env::var("PATH").unwrap());
    let test = "image::login::tests::the_engine_gets_what_helpers_know";
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", test])
        .env("PATH", path)
        .env("DOCKER_CONFIG", folder.path())
        .env(CHILD, "")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[tokio::main(flavor = "current_thread")]
async fn with_helpers() {
    let image = Reference::parse("r.example/f:1");
    let (engine, header) = engine_of("x-registry-auth");
    engine.push(&image).await.unwrap_err();
    assert_eq!(header.recv().unwrap()["password"], "of-b");

    let (engine, header) = engine_of("x-registry-config");
    let context = Context::new();
    engine
        .build(&image, context, HashMap::new())
        .await
        .unwrap_err();
    let logins = header.recv().unwrap();
    assert_eq!(logins["a"]["identitytoken"], "of-a");
    assert_eq!(logins["b"]["username"], "me");
    assert_eq!(logins.as_object().unwrap().len(), 3);
}

/// An engine that refuses everything, and what a header of each request says.
fn engine_of(header: &'static str) -> (Engine, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let engine = Engine(Docker::connect_with_http(&host, 10, API_DEFAULT_VERSION).unwrap());
    let (sender, seen) = mpsc::channel();
    serve(listener, move |head, _| {
        let value = head
            .lines()
            .find_map(|line| line.strip_prefix(header)?.strip_prefix(": "));
        let value = STANDARD.decode(value.unwrap()).unwrap();
        sender
            .send(serde_json::from_slice(&value).unwrap())
            .unwrap();
        tell("500 No", "")
    });
    (engine, seen)
}
