//! What an earlier run has noted of a function, beside what this one is told.
use crate::{
    stack::{Function, StackFile},
    state::{Isolation, Rebuild, SealedFunction},
};

/// How the function is to be unlocked, and who shares it. What is not asked for stays as it is: a run that only
/// finishes another one must not give its containers to more people, or its source to disks.
pub(super) fn way(
    rebuild: Option<Rebuild>,
    isolation: Option<Isolation>,
    known: Option<&SealedFunction>,
) -> (Rebuild, Isolation) {
    let rebuild = rebuild.or(known.map(|known| known.rebuild));
    let isolation = isolation.or(known.map(|known| known.isolation));
    (rebuild.unwrap_or_default(), isolation.unwrap_or_default())
}

/// Whether a record has the entry that is in the stack file now. Which process a template names cannot be told where
/// the template is not there any more.
pub(super) fn has_entry(record: &SealedFunction, stack: &StackFile, function: &Function) -> bool {
    let [mut kept, mut now] = [&record.stack, &function.entry].map(Clone::clone);
    if !stack.has_template(function) && now["fprocess"].is_null() {
        for entry in [&mut kept, &mut now] {
            entry["fprocess"].take();
        }
    }
    kept == now
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use serde_json::{Value, json};

    use super::*;

    fn record(stack: &Value) -> SealedFunction {
        let record = json!({
            "name": "f", "sealed": "/f", "base_image": "b", "locked_image": "l", "handler_dir": "/app",
            "park": "node", "upstream_port": 8080, "stack": stack,
        });
        serde_json::from_value(record).unwrap()
    }

    /// A function of a project with that one.
    fn function(project: &Path) -> (StackFile, Function) {
        fs::create_dir_all(project.join("f")).unwrap();
        let file = project.join("stack.yaml");
        let text =
            "provider: {name: openfaas}\nfunctions:\n  f: {lang: node, handler: ./f, image: i}\n";
        fs::write(&file, text).unwrap();
        let stack = StackFile::read(&file).unwrap();
        let function = stack.functions(None).unwrap().remove(0);
        (stack, function)
    }

    #[test]
    fn what_is_not_asked_for_stays_as_the_function_is_sealed() {
        let known = SealedFunction {
            rebuild: Rebuild::Image,
            isolation: Isolation::Connection,
            ..record(&json!({}))
        };
        assert_eq!(way(None, None, None), (Rebuild::Mount, Isolation::Shared));
        assert_eq!(
            way(None, None, Some(&known)),
            (Rebuild::Image, Isolation::Connection)
        );
        assert_eq!(
            way(Some(Rebuild::Mount), None, Some(&known)),
            (Rebuild::Mount, Isolation::Connection)
        );
        assert_eq!(
            way(None, Some(Isolation::Shared), Some(&known)),
            (Rebuild::Image, Isolation::Shared)
        );
    }

    #[test]
    fn a_template_that_is_gone_does_not_make_the_entry_another_one() {
        let project = tempfile::tempdir().unwrap();
        let template = project.path().join("template/node");
        fs::create_dir_all(&template).unwrap();
        let named = |process: &str| {
            let text = format!("fprocess: {process}\n");
            fs::write(template.join("template.yml"), text).unwrap();
            function(project.path())
        };
        let (stack, sealed) = named("node index.js");
        let known = record(&sealed.entry);
        assert!(has_entry(&known, &stack, &sealed));
        let (stack, changed) = named("node other.js");
        assert!(!has_entry(&known, &stack, &changed));
        fs::remove_dir_all(&template).unwrap();
        let (stack, without) = function(project.path());
        assert!(has_entry(&known, &stack, &without));
        let mut other = without.entry.clone();
        other["limits"] = json!({"memory": "64m"});
        assert!(!has_entry(&record(&other), &stack, &without));
    }
}
