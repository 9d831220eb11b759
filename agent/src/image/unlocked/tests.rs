use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
};

use bollard::{API_DEFAULT_VERSION, Docker};

use super::*;
use crate::server::{serve, tell};

fn dockerfile(user: &str) -> String {
    Unlocked {
        base: &Reference::parse("r/f:base"),
        handler_dir: Path::new("/home/app/my function"),
        user,
    }
    .dockerfile(&Reference::parse("r/f:lease"))
}

#[test]
fn the_handler_belongs_to_the_images_user() {
    assert_eq!(
        dockerfile("app"),
        "FROM r/f:base\nLABEL com.rsfaas.lease=\"r/f:lease\"\nCOPY --chown=app \
         [\"handler/\",\"/home/app/my function\"]\nENV RSFAAS_HANDLER_DIR=\"\"\n"
    );
    assert!(dockerfile("").contains("\nCOPY [\"handler/\""));
}

#[test]
fn no_two_leases_share_a_tag() {
    assert_ne!(Unlocked::tag("h").unwrap(), Unlocked::tag("h").unwrap());
}

/// An engine and a registry at one address, which note how they are asked. The registry refuses to delete, and
/// lists these tags. The engine has images without a name whose labels name these tags of `f`; each but the last
/// is one that the next was made of.
fn refusing_registry(
    tags: &[&str],
    labels: &[&str],
) -> (Engine, Reference, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&asked);
    let listed = serde_json::json!({"name": "f", "tags": tags}).to_string();
    let images = labels.iter().enumerate().map(|(number, tag)| {
        serde_json::json!({
            "Id": format!("id{number}"), "ParentId": "", "RepoTags": [], "RepoDigests": [], "Created": 0,
            "Size": 0, "SharedSize": 0, "Containers": 0,
            "Labels": {"com.rsfaas.lease": format!("{host}/f:{tag}")},
        })
    });
    let mut images: Vec<_> = images.collect();
    serve(listener, move |head, _| {
        let line = head.lines().next().unwrap();
        let is_parent =
            line.contains("/images/id0") && images.iter().any(|image| image["Id"] == "id1");
        if line.starts_with("DELETE ") && !is_parent {
            images.retain(|image| !line.contains(image["Id"].as_str().unwrap()));
        }
        noted.lock().unwrap().push(line.to_owned());
        if line.starts_with("DELETE ") && is_parent {
            tell("409 Conflict", "{}")
        } else if line.contains("/images/json?") && line.contains("label") {
            tell("200 OK", serde_json::to_string(&images).unwrap())
        } else if line.contains("/manifests/") {
            tell("405 Method Not Allowed", "")
        } else if line.contains("/tags/list") {
            tell("200 OK", &listed)
        } else {
            tell("200 OK", "[]")
        }
    });
    let address = format!("http://{host}");
    let docker = Docker::connect_with_http(&address, 5, API_DEFAULT_VERSION);
    let image = Reference::parse(&format!("{host}/f:lease"));
    (Engine(docker.unwrap()), image, asked)
}

#[tokio::test]
async fn a_registry_that_refuses_keeps_nothing_else_from_being_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("purge");
    let command = PurgeCommand::new(crate::script::write(&path, "touch \"$0.ran\""));
    let (engine, image, asked) = refusing_registry(&[], &[]);
    let error = Unlocked::purge(&engine, &image, Some(&command))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("405") && error.contains("delete the tag"));
    assert!(folder.path().join("purge.ran").exists());
    let asked = asked.lock().unwrap();
    let removed = |line: &String| line.starts_with("DELETE ") && line.contains("/images/");
    assert!(asked.iter().any(removed), "{asked:?}");
}

#[tokio::test]
async fn what_a_registry_has_kept_is_found_again_and_other_hosts_is_told_apart() {
    let (own, other) = ("rsfaas-lease-host-1", "rsfaas-lease-another-1");
    let (engine, base, _) = refusing_registry(&[own, other, "1.0"], &[]);
    let left = Unlocked::left(&engine, &base, "host").await;
    assert_eq!(left.own, [base.tagged(own)]);
    assert_eq!(left.others, [base.tagged(other)]);
}

#[tokio::test]
async fn what_a_build_that_was_given_up_has_left_is_found_again_without_a_tag() {
    let (own, other) = ("rsfaas-lease-host-1", "rsfaas-lease-another-1");
    let (engine, base, _) = refusing_registry(&[], &[own, own, other]);
    let left = Unlocked::left(&engine, &base, "host").await;
    assert_eq!(left.own, [base.tagged(own)]);
    assert_eq!(left.others, [base.tagged(other)]);
    let elsewhere = Reference::parse("r/g:base");
    assert!(labelled_tags(&engine, &elsewhere).await.unwrap().is_empty());
}

#[tokio::test]
async fn every_image_of_a_lease_is_removed_and_none_of_another() {
    let (engine, image, asked) = refusing_registry(&[], &["lease", "lease", "other"]);
    // The registry refuses.
    Unlocked::purge(&engine, &image, None).await.unwrap_err();
    let asked = asked.lock().unwrap();
    let removed = asked.iter().filter(|line| line.contains("/images/id"));
    let removed: Vec<_> = removed
        .filter_map(|line| line.split("/images/").nth(1)?.get(..3))
        .collect();
    assert_eq!(removed, ["id0", "id1", "id0"], "{asked:?}");
}
