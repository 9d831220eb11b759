//! The base image: everything that the template builds, but no handler; and what parks its process.
use std::{collections::HashMap, path::PathBuf};

use bollard::models::ImageConfig;

use super::{Engine, ImageError, Reference, context::Context, locate, project};
use crate::{
    openfaas::FaasCli,
    stack::{Function, StackFile},
    state::Park,
};

static GATE: &[u8] = include_bytes!(env!("RSFAAS_GATE"));
static PYTHON_HOOK: &[u8] = include_bytes!("../../shim/python/sitecustomize.py");
/// Where the gate lies in containers.
pub(crate) const GATE_PATH: &str = "/.rsfaas/gate";
const PYTHON_PATH: &str = "/.rsfaas/python";

/// A base image and what was learned of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseImage {
    /// Its name, as the provider pulls it.
    pub image: Reference,
    /// Handler folder inside the container, absolute.
    pub handler_dir: PathBuf,
    /// Where its process waits.
    pub park: Park,
    /// Port on which the function's own process listens.
    pub upstream_port: u16,
    /// The image's user; empty for root.
    pub user: String,
}

/// Builds and pushes the base image of a function. No file of the handler folder but dependency
/// manifests takes part in it.
///
/// # Errors
/// When faas-cli, the engine or the registry fail, or the template cannot be sealed.
pub async fn build_base(
    engine: &Engine,
    faas: &FaasCli,
    stack: &StackFile,
    function: &Function,
) -> Result<BaseImage, ImageError> {
    if function.lang.eq_ignore_ascii_case("dockerfile") {
        return Err(ImageError::NoTemplate {
            function: function.name.clone(),
        });
    }
    let context = |source| ImageError::Context {
        function: function.name.clone(),
        source,
    };
    let project = tempfile::tempdir().map_err(context)?;
    let marker = project::marker().map_err(context)?;
    project::write(project.path(), stack, function, &marker).map_err(context)?;
    let file = project.path().join("stack.yaml");
    faas.step("build", &file, &function.name, &["--shrinkwrap"])
        .await?;
    let folder = project.path().join("build").join(&function.name);

    let image = Reference::parse(&function.image);
    let plain = image.tagged("rsfaas-building");
    let mut arguments: HashMap<String, String> = function.build_args.clone().into_iter().collect();
    // Without a handler the template's own tests could only fail.
    arguments.insert("TEST_ENABLED".into(), "false".into());
    let archive = Context::new().folder(&folder).map_err(context)?;
    engine.build(&plain, archive, arguments).await?;
    let result = finish(engine, function, &image, &plain, &marker).await;
    engine.remove(&plain.to_string()).await?;
    result
}

/// Adds what parks the process, and pushes.
async fn finish(
    engine: &Engine,
    function: &Function,
    image: &Reference,
    plain: &Reference,
    marker: &str,
) -> Result<BaseImage, ImageError> {
    let context = |source| ImageError::Context {
        function: function.name.clone(),
        source,
    };
    let (_, config) = engine.inspect(&plain.to_string()).await?;
    let handler_dir = locate::find(engine, &plain.to_string(), marker)
        .await?
        .ok_or_else(|| ImageError::NoHandler {
            function: function.name.clone(),
        })?;
    let park = park(&config, &function.entry);
    let archive = Context::new()
        .file(
            "Dockerfile",
            0o644,
            dockerfile(plain, &config, park).as_bytes(),
        )
        .and_then(|archive| archive.file("rsfaas/gate", 0o755, GATE))
        .and_then(|archive| archive.file("rsfaas/python/sitecustomize.py", 0o644, PYTHON_HOOK))
        .map_err(context)?;
    let building = image.tagged("rsfaas-base");
    engine.build(&building, archive, HashMap::new()).await?;
    let (id, _) = engine.inspect(&building.to_string()).await?;
    let digits: String = id.trim_start_matches("sha256:").chars().take(12).collect();
    let base = image.tagged(&format!("rsfaas-base-{digits}"));
    engine.tag(&building, &base).await?;
    engine.remove(&building.to_string()).await?;
    engine.push(&base).await?;
    Ok(BaseImage {
        image: base,
        handler_dir,
        park,
        upstream_port: upstream_port(&config),
        user: config.user.unwrap_or_default(),
    })
}

/// A variable of an image.
fn variable<'a>(config: &'a ImageConfig, name: &str) -> Option<&'a str> {
    config
        .env
        .iter()
        .flatten()
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// A Python process waits inside its import; any other one before it starts.
fn park(config: &ImageConfig, entry: &serde_json::Value) -> Park {
    let process = entry["fprocess"]
        .as_str()
        .or_else(|| variable(config, "fprocess"))
        .map_or_else(|| command(config).join(" "), str::to_owned);
    let program = process.split_whitespace().next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    if name.starts_with("python") {
        Park::Python
    } else {
        Park::Gate
    }
}

fn command(config: &ImageConfig) -> Vec<String> {
    config
        .entrypoint
        .iter()
        .chain(&config.cmd)
        .flatten()
        .cloned()
        .collect()
}

/// The port of `upstream_url`, else the container's own.
fn upstream_port(config: &ImageConfig) -> u16 {
    variable(config, "upstream_url")
        .or_else(|| variable(config, "http_upstream_url"))
        .and_then(|url| url.trim_end_matches('/').rsplit_once(':')?.1.parse().ok())
        .unwrap_or(8080)
}

/// The layer with what parks the process.
fn dockerfile(plain: &Reference, config: &ImageConfig, park: Park) -> String {
    let quote = |text: &str| serde_json::Value::from(text).to_string();
    let mut text = format!("FROM {plain}\nCOPY rsfaas/ /.rsfaas/\n");
    match (park, variable(config, "fprocess")) {
        (Park::Python, _) => {
            let path = match variable(config, "PYTHONPATH").filter(|path| !path.is_empty()) {
                Some(path) => format!("{PYTHON_PATH}:{path}"),
                None => PYTHON_PATH.to_owned(),
            };
            text += &format!("ENV PYTHONPATH={}\n", quote(&path));
        }
        (Park::Gate, Some(process)) => {
            text += &format!(
                "ENV fprocess={}\n",
                quote(&format!("{GATE_PATH} {process}"))
            );
        }
        (Park::Gate, None) => {
            let all = [vec![GATE_PATH.to_owned()], command(config)].concat();
            text += &format!("ENTRYPOINT {}\nCMD []\n", serde_json::Value::from(all));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_process() -> ImageConfig {
        config(&[])
    }

    fn config(env: &[&str]) -> ImageConfig {
        ImageConfig {
            env: Some(env.iter().map(ToString::to_string).collect()),
            cmd: Some(vec!["fwatchdog".into()]),
            ..ImageConfig::default()
        }
    }

    #[test]
    fn a_python_process_waits_in_its_import() {
        let config = config(&["fprocess=python index.py", "PYTHONPATH=/lib/x"]);
        assert_eq!(park(&config, &serde_json::Value::Null), Park::Python);
        let text = dockerfile(&Reference::parse("r/f:1"), &config, Park::Python);
        assert!(
            text.contains("ENV PYTHONPATH=\"/.rsfaas/python:/lib/x\"\n"),
            "{text}"
        );
    }

    #[test]
    fn any_other_process_waits_behind_the_gate() {
        let config = config(&["fprocess=node index.js"]);
        assert_eq!(park(&config, &serde_json::Value::Null), Park::Gate);
        let text = dockerfile(&Reference::parse("r/f:1"), &config, Park::Gate);
        assert!(
            text.contains("ENV fprocess=\"/.rsfaas/gate node index.js\"\n"),
            "{text}"
        );
        let plain = no_process();
        let text = dockerfile(&Reference::parse("r/f:1"), &plain, Park::Gate);
        assert!(
            text.contains("ENTRYPOINT [\"/.rsfaas/gate\",\"fwatchdog\"]\nCMD []\n"),
            "{text}"
        );
    }

    #[test]
    fn the_stack_files_process_counts_before_the_images() {
        let entry = serde_json::json!({"fprocess": "/usr/bin/python3 index.py"});
        assert_eq!(park(&config(&["fprocess=node x"]), &entry), Park::Python);
    }

    #[test]
    fn the_port_is_that_of_the_upstream_url() {
        assert_eq!(
            upstream_port(&config(&["upstream_url=http://127.0.0.1:5000/"])),
            5000
        );
        assert_eq!(
            upstream_port(&config(&["http_upstream_url=http://localhost:3000"])),
            3000
        );
        assert_eq!(upstream_port(&config(&[])), 8080);
    }
}
