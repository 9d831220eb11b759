//! Where a function's process is to wait for its handler, and the layer that makes it wait there.
use bollard::models::ImageConfig;
use hyper::Uri;
use serde_json::Value;

use super::{Reference, context::Context};
use crate::{
    stack::{self, PROCESS},
    state::Park,
};

static GATE: &[u8] = include_bytes!("../../../target/artifacts/gate");
static PYTHON_HOOK: &[u8] = include_bytes!("../../shim/python/sitecustomize.py");
static PYTHON_LATER: &[u8] = include_bytes!("../../shim/python/rsfaas_later.py");
static NODE_HOOK: &[u8] = include_bytes!("../../shim/node/park.js");
/// Where the gate lies in containers.
pub(crate) const GATE_PATH: &str = "/.rsfaas/gate";
/// The variables that tell of-watchdog where the function listens; the first counts where both are set.
const UPSTREAM: [&str; 2] = ["http_upstream_url", "upstream_url"];
const PYTHON_PATH: &str = "/.rsfaas/python";
const NODE_OPTION: &str = "--require=/.rsfaas/node/park.js";

/// Where a process waits, and why there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) park: Park,
    pub(super) why: String,
}

/// An image and the stack file's entry for it: what the entry says comes first.
pub(super) struct Settings<'a> {
    pub(super) config: &'a ImageConfig,
    pub(super) entry: &'a Value,
}

impl Settings<'_> {
    /// A variable of the container.
    fn variable(&self, name: &str) -> Option<&str> {
        let own = self.entry["environment"][name].as_str();
        own.or_else(|| variable(self.config, name))
    }

    /// The function's own process.
    fn process(&self) -> Option<&str> {
        let entry = self.entry["fprocess"].as_str();
        let entry = entry.filter(|process| !process.is_empty());
        let [first, second] = PROCESS;
        self.variable(first)
            .or_else(|| self.entry["environment"][second].as_str())
            .or(entry)
            .or_else(|| variable(self.config, second))
    }

    /// Whether the function's program is one that loads the handler's own files, and whose dependencies come from
    /// manifests. Of any other, only a build tells what it makes of the handler.
    pub(super) fn is_interpreted(&self) -> bool {
        let own = || command(self.config).into_iter().next();
        let process = self.process().map(str::to_owned).or_else(own);
        let process = process.unwrap_or_default();
        let name = program(&process);
        // What is in files may be another one at the next deployment.
        !self.is_in_files() && (is_node(name) || is_python(name))
    }

    /// Chooses; `in_image` where the image has a folder for the handler's own files.
    pub(super) fn choose(&self, in_image: bool) -> Choice {
        let choice = |park, why: &str| Choice {
            park,
            why: why.to_owned(),
        };
        let Some(process) = self.process() else {
            return choice(Park::Container, "the container starts the function itself");
        };
        if self.variable("mode") != Some("http") {
            let why =
                "the watchdog starts a process for each request, so it is started late itself";
            return choice(Park::Container, why);
        }
        // They are read at each deployment, by faas-cli: nothing of theirs can be put behind the gate.
        if self.is_in_files() {
            let why =
                "a file of `environment_file` names the function's process, or cannot be read";
            return choice(Park::Container, why);
        }
        let name = program(process);
        let hook = match name {
            _ if !in_image => {
                return choice(
                    Park::Gate,
                    "the function's program itself comes with the handler",
                );
            }
            _ if self.is_in_environment() => {
                let why = "the stack file's `environment` names the function's process, which not every provider heeds";
                return choice(Park::Gate, why);
            }
            node if is_node(node) => (Park::Node, "NODE_OPTIONS"),
            python if self.is_python_2(python) => {
                return choice(
                    Park::Gate,
                    "Python 2 does not know what the hook is written in",
                );
            }
            python if is_python(python) => (Park::Python, "PYTHONPATH"),
            other => {
                return Choice {
                    park: Park::Gate,
                    why: format!("{other} has no place to wait at when it loads the handler"),
                };
            }
        };
        match hook {
            (_, variable) if stack::sets(self.entry, variable) => Choice {
                park: Park::Gate,
                why: format!("the stack file sets {variable}, which the hook would need"),
            },
            (Park::Python, _) => choice(Park::Python, "python loads the handler by an import"),
            (park, _) => choice(park, "node loads the handler by a require"),
        }
    }

    /// Whether the entry's environment names the function's process, instead of its `fprocess`.
    fn is_in_environment(&self) -> bool {
        let environment = &self.entry["environment"];
        PROCESS.iter().any(|name| environment.get(name).is_some())
    }

    /// Whether a file of the entry's may name the function's process.
    fn is_in_files(&self) -> bool {
        let mut names = PROCESS.iter();
        names.any(|name| stack::in_files(self.entry, name))
    }

    /// Whether a program of that name is Python 2. The official images say which version they have.
    fn is_python_2(&self, name: &str) -> bool {
        let of_image =
            || variable(self.config, "PYTHON_VERSION").is_some_and(|it| it.starts_with("2."));
        name.starts_with("python2") || is_python(name) && !name.starts_with("python3") && of_image()
    }

    /// The port of the upstream's URL, where the watchdog has one, else the watchdog's or the container's own.
    ///
    /// # Errors
    /// When that URL is not known, or tells no port.
    pub(super) fn upstream_port(&self) -> Result<u16, String> {
        let own = self.variable("port").and_then(|port| port.parse().ok());
        let own = own.unwrap_or(8080);
        if self.variable("mode") != Some("http") && !stack::in_files(self.entry, "mode") {
            return Ok(own);
        }
        if let Some(name) = UPSTREAM
            .iter()
            .find(|name| stack::in_files(self.entry, name))
        {
            return Err(format!(
                "a file of `environment_file` sets {name}, or cannot be read: put {name} into `environment`, since the \
                 agent has to know where the function listens"
            ));
        }
        let set = UPSTREAM
            .iter()
            .find_map(|name| Some((name, self.variable(name)?)));
        match set {
            Some((name, url)) => port_of(url).ok_or_else(|| {
                format!("its {name} is {url:?}, which does not tell where the function listens")
            }),
            None => Ok(own),
        }
    }
}

/// The port of an HTTP URL.
fn port_of(url: &str) -> Option<u16> {
    let url: Uri = url.parse().ok()?;
    let usual = match url.scheme_str() {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    };
    url.port_u16().or(usual)
}

/// The name of the program that a command starts.
fn program(command: &str) -> &str {
    let path = command.split_whitespace().next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

fn is_node(name: &str) -> bool {
    ["node", "nodejs"].contains(&name)
}

fn is_python(name: &str) -> bool {
    name.starts_with("python")
}

/// A variable of an image.
fn variable<'a>(config: &'a ImageConfig, name: &str) -> Option<&'a str> {
    config
        .env
        .iter()
        .flatten()
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
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

/// Adds the files that the layer is made of.
pub(super) fn files(context: Context, park: Park) -> std::io::Result<Context> {
    let context = context.file("rsfaas/gate", 0o755, GATE)?;
    match park {
        Park::Python => context
            .file("rsfaas/python/sitecustomize.py", 0o644, PYTHON_HOOK)?
            .file("rsfaas/python/rsfaas_later.py", 0o644, PYTHON_LATER),
        Park::Node => context.file("rsfaas/node/park.js", 0o644, NODE_HOOK),
        Park::Gate | Park::Container => Ok(context),
    }
}

/// The lines of the layer.
pub(super) fn dockerfile(plain: &Reference, config: &ImageConfig, park: Park) -> String {
    let quote = |text: &str| Value::from(text).to_string();
    let set = |name: &str, value: &str| format!("ENV {name}={}\n", quote(value));
    let others = |name| variable(config, name).filter(|value| !value.is_empty());
    let waiting = match park {
        Park::Python => match others("PYTHONPATH") {
            Some(path) => set("PYTHONPATH", &format!("{PYTHON_PATH}:{path}")),
            None => set("PYTHONPATH", PYTHON_PATH),
        },
        Park::Node => match others("NODE_OPTIONS") {
            Some(options) => set("NODE_OPTIONS", &format!("{NODE_OPTION} {options}")),
            None => set("NODE_OPTIONS", NODE_OPTION),
        },
        // Those of the stack file are put there at each deployment.
        Park::Gate => PROCESS
            .iter()
            .filter_map(|name| Some(set(name, &format!("{GATE_PATH} {}", others(name)?))))
            .collect(),
        Park::Container => {
            let all = [vec![GATE_PATH.to_owned()], command(config)].concat();
            format!("ENTRYPOINT {}\nCMD []\n", Value::from(all))
        }
    };
    format!("FROM {plain}\nCOPY rsfaas/ /.rsfaas/\n{waiting}")
}

#[cfg(test)]
mod tests;
