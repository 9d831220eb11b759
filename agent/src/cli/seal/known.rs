//! What an earlier run has noted of a function, beside what this one is told.
use std::{fs, path::Path, time::Duration};

use sha2::{Digest as _, Sha256};

use super::super::exit::Failure;
use crate::{
    image::{self, Engine, ImageError, Reference},
    seal::archive::{IsLeftOut, Survey},
    stack::{Function, StackFile},
    state::{Isolation, Rebuild, SealedFunction},
};

/// How long a registry may take to say whether it has an image.
const PATIENCE: Duration = Duration::from_secs(3);

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

/// What of a function is not as it was when it was sealed, each with what follows.
pub(super) fn changed(
    record: &SealedFunction,
    stack: &StackFile,
    function: &Function,
    manifests: &str,
) -> Vec<&'static str> {
    let entry = (!has_entry(record, stack, function)).then_some(
        "its entry in the stack file is not the one that it was sealed with, which stays; unseal and seal have the \
         new one deployed",
    );
    // What is not known is no change.
    let known = record.manifests.as_deref();
    let manifests = known.is_some_and(|known| known != manifests).then_some(
        "its dependency manifests are not those that its image was built from, which stays; unseal and seal to build \
         with them",
    );
    entry.into_iter().chain(manifests).collect()
}

/// Whether the registry of a sealed function's base image has lost it, so that it has to be built again; that takes the
/// plain files where a build has made more of them (`is_sealed_build`).
pub(super) async fn is_base_gone(
    record: &SealedFunction,
    function: &Function,
    is_sealed_build: bool,
) -> Result<bool, ImageError> {
    let is_gone = is_gone(&record.base_image).await;
    if is_gone && is_sealed_build {
        return Err(ImageError::SealedBuild {
            function: function.name.clone(),
            folder: function.handler.clone(),
        });
    }
    if is_gone {
        tell!(
            "{}: {} is gone from its registry",
            function.name,
            record.base_image
        );
    }
    Ok(is_gone)
}

/// Whether none of the records has the image without the handler that an earlier one had.
pub(super) fn is_base_unused(earlier: &SealedFunction, records: &[SealedFunction]) -> bool {
    let is_other = |record: &SealedFunction| record.base_image != earlier.base_image;
    !records.is_empty() && records.iter().all(is_other)
}

/// Whether the locked function is what is deployed; somebody may have removed it, or deployed another one over it.
pub(super) fn is_deployed(record: &SealedFunction, deployed: Option<&str>) -> bool {
    let locked = Reference::parse(&record.locked_image);
    deployed.is_some_and(|image| Reference::parse(image).is_same(&locked))
}

/// Builds and pushes the locked function's image where its registry has lost it.
pub(super) async fn build_locked_again(
    record: &SealedFunction,
    function: &Function,
) -> Result<(), ImageError> {
    if is_gone(&record.locked_image).await {
        let (name, image) = (&function.name, &record.locked_image);
        tell!("{name}: {image} is gone from its registry; building and pushing it again");
        let engine = Engine::connect().await?;
        image::build_locked(&engine, &Reference::parse(&function.image)).await?;
    }
    Ok(())
}

/// Sees to the image of the locked function where that is deployed again because it names another key header.
pub(super) async fn follow_key_header(
    registered: &SealedFunction,
    record: &SealedFunction,
    function: &Function,
) -> Result<(), ImageError> {
    let [before, now] = [registered, record].map(|it| &it.key_header);
    if before != now {
        let name = &record.name;
        tell!(
            "{name}: sealed, but the locked function names the header {before}, which is {now} now"
        );
        build_locked_again(record, function).await?;
    }
    Ok(())
}

/// One that gives no answer soon has it still: each function would wait for that.
async fn is_gone(image: &str) -> bool {
    let image = Reference::parse(image);
    let asked = tokio::time::timeout(PATIENCE, image::is_gone(&image)).await;
    asked.unwrap_or(false)
}

/// SHA-256 of the manifests in a handler folder, as hexadecimal.
pub(super) fn manifests(folder: &Path, left_out: IsLeftOut<'_>) -> Result<String, Failure> {
    let mut paths = Survey::without(folder, left_out)?.manifests;
    paths.sort_unstable();
    let mut hash = Sha256::new();
    for path in paths {
        let file = folder.join(&path);
        let text = fs::read(&file).map_err(|error| Failure::io(file.display(), &error))?;
        hash.update(path.as_os_str().as_encoded_bytes());
        hash.update(Sha256::digest(&text));
    }
    let digest = hash.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether a record has the entry that is in the stack file now. Which process a template names cannot be told where
/// the template is not there any more.
fn has_entry(record: &SealedFunction, stack: &StackFile, function: &Function) -> bool {
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
    use crate::server::answering;

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
    fn a_base_is_unused_only_where_every_record_is_known_and_none_has_it() {
        let of = |base: &str| SealedFunction {
            base_image: base.to_owned(),
            ..record(&json!({}))
        };
        let earlier = of("r/f:rsfaas-base-1");
        let with = |bases: &[&str]| {
            let records: Vec<_> = bases.iter().map(|base| of(base)).collect();
            is_base_unused(&earlier, &records)
        };
        assert!(with(&["r/f:rsfaas-base-2", "r/g:rsfaas-base-1"]));
        assert!(!with(&["r/f:rsfaas-base-2", "r/f:rsfaas-base-1"]));
        assert!(!with(&[]), "they could not be read");
    }

    #[tokio::test]
    async fn an_image_that_its_registry_has_lost_is_built_again_where_that_takes_no_plain_files() {
        const GONE: &str = "HTTP/1.1 404 Not Found\r\nDocker-Distribution-Api-Version: registry/2.0\r\n\
                            Content-Length: 0\r\n\r\n";
        let project = tempfile::tempdir().unwrap();
        let (_, function) = function(project.path());
        let asked = async |answer, is_sealed_build| {
            let known = SealedFunction {
                base_image: format!("{}/f:rsfaas-base-1", answering(answer)),
                ..record(&json!({}))
            };
            is_base_gone(&known, &function, is_sealed_build).await
        };
        assert!(asked(GONE, false).await.unwrap());
        let error = asked(GONE, true).await.unwrap_err().to_string();
        assert!(error.contains("--key-file KEY -o /"), "{error}");
        for other in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 401 Unauthorized\r\n\r\n",
            "",
        ] {
            assert!(!asked(other, true).await.unwrap(), "{other:?}");
        }
    }

    #[test]
    fn a_locked_function_that_is_gone_or_replaced_is_told_from_one_that_is_deployed() {
        let record = record(&json!({}));
        assert!(is_deployed(&record, Some("docker.io/library/l:latest")));
        assert!(!is_deployed(&record, Some("l:1")));
        assert!(!is_deployed(&record, None));
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
    fn manifests_that_are_not_those_of_the_image_are_told() {
        let project = tempfile::tempdir().unwrap();
        let (stack, function) = function(project.path());
        let now = |text: &str| {
            fs::write(function.handler.join("requirements.txt"), text).unwrap();
            manifests(&function.handler, &|_| false).unwrap()
        };
        let sealed = now("flask\n");
        let mut known = record(&function.entry);
        let told = |known: &SealedFunction, now: &str| changed(known, &stack, &function, now).len();
        assert_eq!(told(&known, &now("flask==3\n")), 0, "nothing is known");
        known.manifests = Some(sealed);
        assert_eq!(told(&known, &now("flask==3\n")), 1);
        assert_eq!(told(&known, &now("flask\n")), 0);
        fs::write(function.handler.join("handler.py"), "no manifest").unwrap();
        assert_eq!(told(&known, &now("flask\n")), 0);
        fs::write(function.handler.join("package.json"), "{}").unwrap();
        assert_eq!(told(&known, &now("flask\n")), 1);
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
