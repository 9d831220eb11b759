//! Where secrets may be found, by right and for a time.

use rsfaas_tests::canary::{
    Hit, Part,
    places::{Delivered, LOCKED},
};

use super::subject::{ANSWER, KEY, SOURCE};

/// What may be found where while the function is unlocked.
pub(super) fn while_unlocked(place: &str, hit: &Hit) -> bool {
    let agent = place == Part::Agent.to_string() && hit.at.ends_with(LOCKED);
    let function = place == Part::Containers.to_string() || place == Delivered::NAME;
    match hit.secret {
        SOURCE => function || agent,
        KEY => agent,
        _ => is_callers(place, hit) || (function && hit.secret == ANSWER),
    }
}

/// What may be found where while the function is unlocked by an image with its source in it: where images are kept, and
/// in the root of its container, which containerd mounts in its folder in memory.
pub(super) fn while_unlocked_by_image(place: &str, hit: &Hit) -> bool {
    let image = [
        "engine's folder",
        "containerd's folder",
        "registry's folder",
    ]
    .contains(&place);
    let container = place == "folders in memory" && hit.at.contains("/rootfs/");
    hit.secret == SOURCE && (image || container)
}

/// The answer is the caller's: the gateway and the provider have passed it on.
pub(super) fn is_callers(place: &str, hit: &Hit) -> bool {
    let passed_on = [Part::Gateway, Part::Provider].map(|part| part.to_string());
    hit.secret == ANSWER && passed_on.iter().any(|part| part == place)
}

#[cfg(test)]
mod tests {
    use rsfaas_tests::canary::Spelling;

    use super::*;

    fn is_expected(place: &str, secret: &'static str, at: &str) -> bool {
        let hit = Hit {
            secret,
            spelling: Spelling::Plain,
            at: at.into(),
            offset: 0,
        };
        while_unlocked_by_image(place, &hit)
    }

    #[test]
    fn while_unlocked_by_image_the_source_is_where_images_and_containers_are_and_nowhere_else() {
        for place in [
            "engine's folder",
            "containerd's folder",
            "registry's folder",
        ] {
            assert!(is_expected(place, SOURCE, "/d/layer"), "{place}");
            assert!(!is_expected(place, KEY, "/d/layer"), "{place}");
        }
        let in_memory = |at| is_expected("folders in memory", SOURCE, at);
        assert!(in_memory(
            "/run/containerd/task/canary/rootfs/home/app/handler.py"
        ));
        assert!(!in_memory("/run/containerd/task/canary/config.json"));
        for place in [
            "agent's folders",
            "build cache",
            "gateway's and provider's folders",
            "image history",
            "provider's folders",
            "temporary folders",
            "testbed's logs",
            "/var/log",
        ] {
            assert!(!is_expected(place, SOURCE, "/d/rootfs/x"), "{place}");
        }
    }
}
