//! Which images of a plain function there are beside the one that its stack file names: `faas-cli --tag` puts more into
//! the tag, and an earlier stack file may have had another image.
use std::collections::{BTreeMap, BTreeSet};

use crate::image::{Leftover, Reference};

/// Images of one function's repository.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Images {
    /// The function's own under other tags, which go with it.
    pub(super) further: Vec<Reference>,
    /// Tags that other functions have.
    pub(super) taken: BTreeSet<String>,
    /// What was deployed and is not the function's alone.
    pub(super) left: Vec<Leftover>,
}

impl Images {
    /// Takes them from what is deployed, an image a function, and from the images that a stack file gives to other
    /// functions.
    pub(super) fn of<'a>(
        name: &str,
        image: &Reference,
        deployed: &'a BTreeMap<String, String>,
        others: impl Iterator<Item = &'a str>,
    ) -> Self {
        let elsewhere = deployed.iter().filter(|(other, _)| *other != name);
        let elsewhere = elsewhere.map(|(_, image)| image.as_str());
        let taken = elsewhere.chain(others).map(Reference::parse);
        let mut images = Self {
            taken: taken
                .filter(|other| other.is_beside(image))
                .map(|other| other.tag)
                .collect(),
            ..Self::default()
        };
        if images.stays(image) {
            images.left.push(Leftover {
                what: format!("image {image} (another function has it, too; it holds the handler)"),
                how: format!(
                    "give the other function an image of its own, then {}",
                    by_hand(image)
                ),
            });
        }
        let Some(text) = deployed.get(name).filter(|text| !text.is_empty()) else {
            return images;
        };
        let found = Reference::parse(text);
        let is_known = found.is_same(image) && !text.contains('@');
        if found.is_own() || is_known {
            return images;
        }
        let why = if !found.is_beside(image) {
            "it is of another repository than the stack file says"
        } else if text.contains('@') {
            "it is known by its digest"
        } else if images.stays(&found) {
            "another function has it, too"
        } else {
            images.further.push(image.tagged(&found.tag));
            return images;
        };
        images.left.push(Leftover {
            what: format!("image {text}, which was deployed as {name} ({why})"),
            how: format!("if nothing else needs it: {}", by_hand(text)),
        });
        images
    }

    /// Whether another function has an image of the repository, too: it stays for that.
    pub(super) fn stays(&self, image: &Reference) -> bool {
        self.taken.contains(&image.tag)
    }
}

/// How people remove an image that stays.
fn by_hand(image: impl std::fmt::Display) -> String {
    format!(
        "docker image rm {image}; delete it with its registry's own means, then collect garbage"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known of the images of `f`, `r.example/f:1`, where that is deployed.
    fn images(deployed: &[(&str, &str)]) -> Images {
        let deployed = deployed
            .iter()
            .map(|&(name, image)| (name.into(), image.into()));
        let stack = ["r.example/f:h", "r.example/h:1"].into_iter();
        let image = Reference::parse("r.example/f:1");
        Images::of("f", &image, &deployed.collect(), stack)
    }

    #[test]
    fn an_image_that_was_deployed_under_another_tag_goes_with_the_function() {
        let images = images(&[("f", "r.example/f:1-abc"), ("g", "r.example/f:g")]);
        assert_eq!(images.further, [Reference::parse("r.example/f:1-abc")]);
        assert_eq!(images.taken, BTreeSet::from(["g".into(), "h".into()]));
        assert_eq!(images.left, []);
    }

    #[test]
    fn an_image_that_is_known_already_is_no_other() {
        for deployed in ["r.example/f:1", "r.example/f:rsfaas-locked-1.0", ""] {
            let images = images(&[("f", deployed)]);
            assert!(
                images.further.is_empty() && images.left.is_empty(),
                "{images:?}"
            );
        }
        assert!(images(&[]).left.is_empty());
    }

    #[test]
    fn an_image_that_another_function_has_stays_for_it() {
        for deployed in [
            &[("f", "r.example/f:1"), ("g", "r.example/f:1")][..],
            &[
                ("f", "r.example/f:rsfaas-locked-1.0"),
                ("g", "r.example/f:1"),
            ],
            &[("g", "r.example/f:1")],
        ] {
            let images = images(deployed);
            let image = Reference::parse("r.example/f:1");
            assert!(
                images.stays(&image) && images.further.is_empty(),
                "{images:?}"
            );
            let [left] = &images.left[..] else {
                panic!("{images:?}");
            };
            assert!(
                left.what.contains("r.example/f:1 (another function has it"),
                "{left:?}"
            );
        }
        let images = images(&[("f", "r.example/f:1"), ("g", "r.example/g:1")]);
        assert!(!images.stays(&Reference::parse("r.example/f:1")));
    }

    #[test]
    fn what_is_not_the_functions_alone_stays_and_is_told_with_why() {
        for (deployed, why) in [
            ("r.example/old:1", "another repository"),
            ("r.example/f:g", "another function"),
            ("r.example/f:h", "another function"),
            ("r.example/f@sha256:00", "digest"),
        ] {
            let images = images(&[("f", deployed), ("g", "r.example/f:g")]);
            assert!(images.further.is_empty(), "{images:?}");
            let [left] = &images.left[..] else {
                panic!("{images:?}");
            };
            assert!(
                left.what.contains(deployed) && left.what.contains(why),
                "{left:?}"
            );
        }
    }
}
