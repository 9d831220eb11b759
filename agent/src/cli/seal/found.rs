//! What `seal` finds of a function before it changes anything, and what is therefore to be done.
use super::{super::exit::Failure, super::openfaas::Setting, Args, known};
use crate::{
    seal::{
        archive::{Archive, IsLeftOut, Survey},
        file::SealedFile,
    },
    stack::Function,
    state::{Isolation, Rebuild, SealedFunction},
};

/// What there is of a function: its sealed file, its records, its images, what is deployed.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Whether the handler is encrypted already, with the key of this run.
    is_sealed: bool,
    /// Whether the sealed file also has what a build has made of the handler.
    pub(super) is_sealed_build: bool,
    /// Whether the handler folder has no plain file that would have to be sealed.
    is_clean: bool,
    /// The note of a run that did not come to its end.
    begun: Option<SealedFunction>,
    /// The record that the agent serves the function by.
    pub(super) registered: Option<SealedFunction>,
    /// What is not as it was when the function was sealed, each with what follows.
    pub(super) changed: Vec<&'static str>,
    /// SHA-256 of the dependency manifests as they are now.
    pub(super) manifests: String,
    /// Whether the registry has lost the image without the handler.
    is_base_gone: bool,
    /// Whether the locked function is what is deployed.
    is_deployed: bool,
    /// How the function is to be unlocked.
    pub(super) rebuild: Rebuild,
    /// Who is to share an unlocked container.
    pub(super) isolation: Isolation,
    /// Name of the header by which the locked function is to ask for the key.
    key_header: String,
}

/// What is to be done with a function.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Plan {
    /// Nothing: it is sealed by this record, as it is asked for.
    AlreadyDone(SealedFunction),
    /// It is sealed by this record, and only the locked function has to be deployed again.
    Redeploy(SealedFunction),
    /// What is left of an earlier run is done with the images of this record.
    Resume(SealedFunction),
    /// Everything is done from the start, with images that are built now.
    Build,
}

impl Found {
    /// Looks at a function of which the image `deployed` is deployed, and whose handler is `sealed` already.
    pub(super) async fn look(
        setting: &Setting,
        function: &Function,
        args: &Args,
        sealed: Option<&Archive>,
        deployed: Option<&str>,
        left_out: IsLeftOut<'_>,
    ) -> Result<Self, Failure> {
        let name = &function.name;
        let file = SealedFile::in_folder(&function.handler);
        let of_file = |record: &SealedFunction| record.sealed == *file.path();
        let begun = setting.state.begun(name)?.filter(of_file);
        let registered = setting.state.function(name)?.filter(of_file);
        let known = begun.as_ref().or(registered.as_ref());
        let (rebuild, isolation) = known::way(args.rebuild, args.isolation, known);
        let is_sealed_build = match sealed {
            Some(handler) => handler.places()?.is_some(),
            None => false,
        };
        let manifests = known::manifests(&function.handler, left_out)?;
        let is_base_gone = match known {
            Some(record) if sealed.is_some() => {
                known::is_base_gone(record, function, is_sealed_build).await?
            }
            _ => false,
        };
        Ok(Self {
            is_sealed: sealed.is_some(),
            is_sealed_build,
            is_clean: Survey::without(&function.handler, left_out)?.is_clean(),
            changed: known.map_or_else(Vec::new, |record| {
                known::changed(record, &setting.stack, function, &manifests)
            }),
            is_base_gone,
            is_deployed: known.is_some_and(|record| known::is_deployed(record, deployed)),
            begun,
            registered,
            manifests,
            rebuild,
            isolation,
            key_header: setting.key_header.clone(),
        })
    }

    /// Decides what is to be done.
    pub(super) fn plan(&self) -> Plan {
        let Some(known) = self.begun.as_ref().or(self.registered.as_ref()) else {
            return Plan::Build;
        };
        // What was begun of something else begins again, but where that takes the author's files.
        let still_holds = self.begun.is_none() || self.is_sealed_build || self.changed.is_empty();
        if !self.is_sealed || self.is_base_gone || !still_holds {
            return Plan::Build;
        }
        let record = SealedFunction {
            rebuild: self.rebuild,
            isolation: self.isolation,
            key_header: self.key_header.clone(),
            ..known.clone()
        };
        let is_finished = self.begun.is_none() && self.is_clean && record == *known;
        match (is_finished, self.is_deployed) {
            (true, true) => Plan::AlreadyDone(record),
            (true, false) => Plan::Redeploy(record),
            (false, _) => Plan::Resume(record),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(base: &str) -> SealedFunction {
        let record = json!({
            "name": "f", "sealed": "/f", "base_image": base, "locked_image": "l", "handler_dir": "/app",
            "park": "node", "upstream_port": 8080, "stack": {},
        });
        serde_json::from_value(record).unwrap()
    }

    /// A function that is sealed and deployed as it is asked for.
    fn finished() -> Found {
        Found {
            is_sealed: true,
            is_clean: true,
            registered: Some(record("b")),
            is_deployed: true,
            key_header: record("b").key_header,
            ..Found::default()
        }
    }

    /// One whose sealing was interrupted once its handler was encrypted.
    fn interrupted() -> Found {
        Found {
            begun: Some(record("b")),
            registered: None,
            is_deployed: false,
            ..finished()
        }
    }

    #[test]
    fn a_function_that_is_sealed_and_deployed_is_left_alone() {
        assert_eq!(finished().plan(), Plan::AlreadyDone(record("b")));
        let changed = Found {
            changed: vec!["its entry"],
            ..finished()
        };
        assert_eq!(
            changed.plan(),
            Plan::AlreadyDone(record("b")),
            "that is only told"
        );
    }

    #[test]
    fn a_locked_function_that_is_not_deployed_is_deployed_again() {
        let found = Found {
            is_deployed: false,
            ..finished()
        };
        assert_eq!(found.plan(), Plan::Redeploy(record("b")));
    }

    #[test]
    fn a_plain_function_is_built_whatever_is_known_of_it() {
        assert_eq!(Found::default().plan(), Plan::Build);
        for found in [finished(), interrupted()] {
            let found = Found {
                is_sealed: false,
                is_clean: false,
                ..found
            };
            assert_eq!(found.plan(), Plan::Build);
        }
    }

    #[test]
    fn a_sealed_handler_of_which_nothing_is_known_has_its_images_built() {
        let found = Found {
            registered: None,
            ..finished()
        };
        assert_eq!(found.plan(), Plan::Build);
    }

    #[test]
    fn a_base_image_that_its_registry_has_lost_is_built_again() {
        for found in [finished(), interrupted()] {
            let found = Found {
                is_base_gone: true,
                ..found
            };
            assert_eq!(found.plan(), Plan::Build);
        }
    }

    #[test]
    fn an_interrupted_run_goes_on_with_its_own_images() {
        assert_eq!(interrupted().plan(), Plan::Resume(record("b")));
        let over = Found {
            registered: Some(record("earlier")),
            is_deployed: true,
            ..interrupted()
        };
        assert_eq!(over.plan(), Plan::Resume(record("b")));
    }

    #[test]
    fn an_interrupted_run_of_something_else_begins_again_unless_the_build_itself_is_sealed() {
        let changed = Found {
            changed: vec!["its entry"],
            ..interrupted()
        };
        assert_eq!(changed.plan(), Plan::Build);
        let changed = Found {
            is_sealed_build: true,
            ..changed
        };
        assert_eq!(changed.plan(), Plan::Resume(record("b")));
    }

    #[test]
    fn plain_files_beside_the_ciphertext_and_another_way_are_seen_to_without_building() {
        let plain = Found {
            is_clean: false,
            ..finished()
        };
        assert_eq!(plain.plan(), Plan::Resume(record("b")));
        let shared_by_nobody = Found {
            isolation: Isolation::Connection,
            ..finished()
        };
        let record = SealedFunction {
            isolation: Isolation::Connection,
            ..record("b")
        };
        assert_eq!(shared_by_nobody.plan(), Plan::Resume(record));
    }

    #[test]
    fn a_locked_function_that_names_another_key_header_is_deployed_again() {
        let found = Found {
            key_header: "X-Key".to_owned(),
            ..finished()
        };
        let record = SealedFunction {
            key_header: "X-Key".to_owned(),
            ..record("b")
        };
        assert_eq!(found.plan(), Plan::Resume(record));
    }
}
