//! Other images of a function's repository. Whether they are earlier builds of it nobody can tell: they are named, and
//! stay.
use super::{Leftover, NAMED, Purge, Purged, registry::pushed_tags};
use crate::image::{Unlocked, containerd::pulled_tags};

/// Names those that are none of this program's, or have a handler in them all the same, and that no other function has.
pub(super) async fn name(purge: &Purge<'_>, purged: &mut Purged) {
    // Whoever cannot be asked did not remove the function's own image either, and that is told.
    let pushed = pushed_tags(purge.image).await.unwrap_or_default();
    let pulled = pulled_tags(purge.image).await.unwrap_or_default();
    let repository = &purge.image.repository;
    let places = [
        (
            "in the registry",
            pushed,
            "delete the tags with the registry's own means, then collect garbage".to_owned(),
        ),
        (
            "in containerd",
            pulled,
            format!("ctr --namespace NAMESPACE images rm --sync {repository}:TAG"),
        ),
    ];
    for (place, tags, how) in places {
        if let Some(tags) = named(purge, tags) {
            purged.left.push(Leftover {
                what: format!(
                    "other images of {repository} {place}, which may hold the handler: {tags}"
                ),
                how,
            });
        }
    }
}

/// The tags in question, in words.
fn named(purge: &Purge<'_>, mut tags: Vec<String>) -> Option<String> {
    tags.retain(|tag| {
        let image = purge.image.tagged(tag);
        let is_told = purge.images().any(|purged| purged.tag == *tag);
        let is_plain = !image.is_own() || Unlocked::is_tag(tag);
        is_plain && !is_told && !purge.taken.contains(tag)
    });
    tags.sort_unstable();
    tags.dedup();
    let more = tags.len().saturating_sub(NAMED);
    tags.truncate(NAMED);
    let named = (!tags.is_empty()).then(|| tags.join(", "))?;
    Some(match more {
        0 => named,
        more => format!("{named} and {more} more"),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bollard::{API_DEFAULT_VERSION, Docker};

    use super::*;
    use crate::image::{Engine, Reference, Traces};

    fn engine() -> Engine {
        Engine(Docker::connect_with_http("127.0.0.1:1", 1, API_DEFAULT_VERSION).unwrap())
    }

    #[tokio::test]
    async fn an_image_that_another_function_has_is_none_of_those_that_go() {
        let image = Reference::parse("r/f:1");
        let purge = Purge {
            engine: &engine(),
            image: &image,
            further: &[image.tagged("1-abc")],
            taken: &BTreeSet::from(["1".to_owned()]),
            context: None,
            base: &image.tagged("rsfaas-base-0"),
            traces: Traces::default(),
            command: None,
        };
        assert!(purge.images().eq([&image.tagged("1-abc")]));
        assert_eq!(named(&purge, vec!["1".to_owned()]), None);
    }

    #[tokio::test]
    async fn tags_are_named_but_for_those_that_are_known() {
        let image = Reference::parse("r/f:1");
        let purge = Purge {
            engine: &engine(),
            image: &image,
            further: &[image.tagged("1-abc")],
            taken: &BTreeSet::from(["g".to_owned()]),
            context: None,
            base: &image.tagged("rsfaas-base-0"),
            traces: Traces::default(),
            command: None,
        };
        let tags = |tags: &[&str]| tags.iter().map(|&tag| tag.to_owned()).collect();
        let known = ["1", "1-abc", "g", "rsfaas-base-0", "rsfaas-locked-0"];
        assert_eq!(named(&purge, tags(&known)), None);
        let found = [&known[..], &["0.9", "0.8"]].concat();
        assert_eq!(named(&purge, tags(&found)).unwrap(), "0.8, 0.9");
        let lease = "rsfaas-lease-host-1";
        assert_eq!(named(&purge, tags(&[lease])).as_deref(), Some(lease));
        let many = ["a", "b", "c", "d", "e", "f", "g", "h"];
        assert_eq!(
            named(&purge, tags(&many)).unwrap(),
            "a, b, c, d, e and 2 more"
        );
    }
}
