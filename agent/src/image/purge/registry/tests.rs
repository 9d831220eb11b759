use std::{
    collections::BTreeMap,
    net::TcpListener,
    sync::{Arc, Mutex},
};

use bollard::{API_DEFAULT_VERSION, Docker};
use serde_json::json;

use super::*;
use crate::{
    image::{Engine, Traces},
    server::serve,
};

const IMAGE: &str =
    r#"{"layers": [{"digest": "sha256:layer"}], "config": {"digest": "sha256:config"}}"#;

/// The manifests of a registry, by digest.
type Manifests = Arc<Mutex<BTreeMap<&'static str, String>>>;

/// A registry in which the tags `1` and `2` are `sha256:top`, and whose blobs go with its last manifest; its `HOST:PORT`.
fn registry(manifests: Manifests) -> String {
    serving(move |head| answer(head, &mut manifests.lock().unwrap()))
}

/// A server that answers each head so; its `HOST:PORT`.
fn serving(answer: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    serve(listener, move |head, _| answer(head).into());
    host
}

fn answer(head: &str, manifests: &mut BTreeMap<&'static str, String>) -> String {
    let words: Vec<&str> = head.split_whitespace().collect();
    let (method, path) = (words[0], words[1]);
    let name = path.rsplit('/').next().unwrap();
    let digest = if ["1", "2"].contains(&name) {
        "sha256:top"
    } else {
        name
    };
    let body = match method {
        _ if path.contains("/blobs/") => (!manifests.is_empty()).then(String::new),
        "DELETE" => manifests.remove(digest),
        _ => manifests.get(digest).cloned(),
    };
    let missed = r#"{"errors": [{"code": "MANIFEST_UNKNOWN"}]}"#;
    let (status, body) = body.map_or(("404 Not Found", missed.to_owned()), |body| {
        ("200 OK", body)
    });
    let length = body.len();
    let body = if method == "HEAD" { "" } else { &body };
    format!(
        "HTTP/1.1 {status}\r\nDocker-Content-Digest: {digest}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// What comes of purging an image from a registry with these manifests, and what the registry has then.
async fn purged(manifests: &[(&'static str, String)]) -> (Purged, Vec<&'static str>) {
    purged_beside(&[], manifests).await
}

/// What comes of purging an image where other functions have these tags, and what the registry has then.
async fn purged_beside(
    taken: &[&str],
    manifests: &[(&'static str, String)],
) -> (Purged, Vec<&'static str>) {
    let content: Manifests = Arc::new(Mutex::new(manifests.iter().cloned().collect()));
    let host = registry(content.clone());
    let engine = Engine(Docker::connect_with_http("127.0.0.1:1", 1, API_DEFAULT_VERSION).unwrap());
    let purge = Purge {
        engine: &engine,
        image: &Reference::parse(&format!("{host}/f:1")),
        further: &[],
        taken: &taken.iter().map(|&tag| tag.to_owned()).collect(),
        context: None,
        base: &Reference::parse(&format!("{host}/f:base")),
        traces: Traces::default(),
        command: None,
    };
    let mut purged = Purged::default();
    super::purge(&purge, &mut purged).await;
    let left = content.lock().unwrap().keys().copied().collect();
    (purged, left)
}

#[tokio::test]
async fn layers_of_a_plain_manifest_are_asked_for() {
    let (purged, left) = purged(&[("sha256:top", IMAGE.into())]).await;
    assert!(left.is_empty() && purged.left.is_empty());
    assert!(purged.proved[0].contains("the 2 layers"), "{purged:?}");
}

#[tokio::test]
async fn what_an_index_lists_goes_with_it_and_its_layers_are_asked_for() {
    let index =
        json!({"manifests": [{"digest": "sha256:amd64"}, {"digest": "sha256:never-pushed"}]});
    let manifests = [
        ("sha256:top", index.to_string()),
        ("sha256:amd64", IMAGE.into()),
    ];
    let (purged, left) = purged(&manifests).await;
    assert_eq!(left, <[&str; 0]>::default());
    assert!(purged.left.is_empty(), "{purged:?}");
    assert!(purged.proved[0].contains("the 2 layers"), "{purged:?}");
}

#[tokio::test]
async fn an_image_that_another_functions_tag_stands_for_stays_and_is_told() {
    let (purged, left) = purged_beside(&["2"], &[("sha256:top", IMAGE.into())]).await;
    assert_eq!(left, ["sha256:top"]);
    assert!(purged.proved.is_empty(), "{purged:?}");
    assert!(
        purged.left[0].what.contains("another function's tag"),
        "{purged:?}"
    );
}

#[tokio::test]
async fn what_another_functions_image_lists_or_holds_is_not_taken_from_it() {
    let index = |child: &str| json!({"manifests": [{"digest": child}]}).to_string();
    let manifests = [
        ("sha256:top", index("sha256:amd64")),
        ("other", index("sha256:amd64")),
        ("sha256:amd64", IMAGE.into()),
    ];
    let (purged, left) = purged_beside(&["other"], &manifests).await;
    assert_eq!(left, ["other", "sha256:amd64"]);
    assert!(purged.left.is_empty(), "{purged:?}");
}

#[tokio::test]
async fn an_image_stays_where_it_is_not_known_what_others_have() {
    let manifests = [
        ("sha256:top", IMAGE.into()),
        ("other", "no JSON".to_owned()),
    ];
    let (purged, left) = purged_beside(&["other"], &manifests).await;
    assert_eq!(left, ["other", "sha256:top"]);
    assert!(
        purged.left[0].what.contains("in the registry (other"),
        "{purged:?}"
    );
}

#[tokio::test]
async fn nothing_is_proved_of_layers_that_are_not_known() {
    for manifest in [r#"{"fsLayers": []}"#, "no JSON"] {
        let (purged, left) = purged(&[("sha256:top", manifest.into())]).await;
        assert!(left.is_empty() && purged.proved.is_empty(), "{purged:?}");
        assert!(
            purged.left[0].what.contains("in the registry"),
            "{purged:?}"
        );
    }
    let (purged, _) = purged(&[]).await;
    assert!(purged.left.is_empty() && purged.proved.is_empty());
}

/// Something that answers every path but `/v2/` with that, and this one with the other.
fn server(any: &'static str, root: &'static str) -> Reference {
    let host = serving(move |asked| {
        let is_root = asked.starts_with("GET /v2/ ");
        let head = if is_root { root } else { any };
        format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n")
    });
    Reference::parse(&format!("{host}/f:1"))
}

#[tokio::test]
async fn only_a_registry_is_believed_that_it_has_no_image() {
    const MISSED: &str = "404 Not Found";
    const NAMED: &str = "Docker-Distribution-Api-Version: registry/2.0";
    for root in ["200 OK", "401 Unauthorized"] {
        let root = format!("{root}\r\n{NAMED}").leak();
        let image = server(MISSED, root);
        assert!(!remove_manifest(&image).await.unwrap());
        assert!(pushed_tags(&image).await.unwrap().is_empty());
    }
    let named = format!("{MISSED}\r\n{NAMED}").leak();
    let image = server(named, MISSED);
    assert!(!remove_manifest(&image).await.unwrap());
    for root in [MISSED, "200 OK", "301 Moved Permanently", named] {
        let image = server(MISSED, root);
        for error in [
            remove_manifest(&image).await.unwrap_err(),
            pushed_tags(&image).await.unwrap_err(),
        ] {
            assert!(error.to_string().contains("no registry"), "{error}");
        }
    }
}

#[tokio::test]
async fn an_image_that_something_else_than_a_registry_denies_counts_as_left() {
    let image = server("404 Not Found", "404 Not Found");
    let engine = Engine(Docker::connect_with_http("127.0.0.1:1", 1, API_DEFAULT_VERSION).unwrap());
    let purge = Purge {
        engine: &engine,
        image: &image,
        further: &[],
        taken: &BTreeSet::new(),
        context: None,
        base: &image.tagged("base"),
        traces: Traces::default(),
        command: None,
    };
    let mut purged = Purged::default();
    super::purge(&purge, &mut purged).await;
    assert!(
        purged.left[0].what.contains("no registry") && purged.proved.is_empty(),
        "{purged:?}"
    );
}

#[test]
fn errors_are_told_as_registries_tell_them() {
    assert!(is_registry_error(
        br#"{"errors": [{"code": "NAME_UNKNOWN"}]}"#
    ));
    for body in [
        r#"{"errors": []}"#,
        r#"{"error": "not found"}"#,
        "[1]",
        "<p>",
    ] {
        assert!(!is_registry_error(body.as_bytes()), "{body}");
    }
}
