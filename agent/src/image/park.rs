//! Where a function's process is to wait for its handler, and the layer that makes it wait there.
use bollard::models::ImageConfig;
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

    /// Chooses; `source` where the handler's own files are delivered, and loaded one by one.
    pub(super) fn choose(&self, source: bool) -> Choice {
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
        if PROCESS.iter().any(|name| stack::in_files(self.entry, name)) {
            let why =
                "a file of `environment_file` names the function's process, or cannot be read";
            return choice(Park::Container, why);
        }
        let name = program(process);
        let hook = match name {
            _ if !source => {
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

    /// Whether a program of that name is Python 2. The official images say which version they have.
    fn is_python_2(&self, name: &str) -> bool {
        let of_image =
            || variable(self.config, "PYTHON_VERSION").is_some_and(|it| it.starts_with("2."));
        name.starts_with("python2") || is_python(name) && !name.starts_with("python3") && of_image()
    }

    /// The port of `upstream_url`, else the watchdog's or the container's own.
    pub(super) fn upstream_port(&self) -> u16 {
        let upstream = ["upstream_url", "http_upstream_url"]
            .iter()
            .find_map(|name| self.variable(name))
            .and_then(|url| url.trim_end_matches('/').rsplit_once(':')?.1.parse().ok());
        let own = || self.variable("port").and_then(|port| port.parse().ok());
        upstream.or_else(own).unwrap_or(8080)
    }
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
mod tests {
    use serde_json::json;

    use super::*;

    fn config(env: &[&str]) -> ImageConfig {
        ImageConfig {
            env: Some(env.iter().map(ToString::to_string).collect()),
            cmd: Some(vec!["fwatchdog".into()]),
            ..ImageConfig::default()
        }
    }

    fn choose(env: &[&str], entry: &Value, source: bool) -> Park {
        let config = config(env);
        let settings = Settings {
            config: &config,
            entry,
        };
        settings.choose(source).park
    }

    fn layer(env: &[&str], park: Park) -> String {
        dockerfile(&Reference::parse("r/f:1"), &config(env), park)
    }

    #[test]
    fn interpreters_wait_where_they_load_the_handler() {
        let python = ["fprocess=python index.py", "mode=http"];
        assert_eq!(choose(&python, &Value::Null, true), Park::Python);
        let node = ["fprocess=/usr/bin/node index.js", "mode=http"];
        assert_eq!(choose(&node, &Value::Null, true), Park::Node);
    }

    #[test]
    fn python_2_waits_behind_the_gate() {
        for (process, version, park) in [
            ("python index.py", "2.7.18", Park::Gate),
            ("/usr/bin/python2.7 index.py", "", Park::Gate),
            ("python3 index.py", "2.7.18", Park::Python),
            ("python index.py", "3.12.2", Park::Python),
        ] {
            let process = format!("fprocess={process}");
            let version = format!("PYTHON_VERSION={version}");
            let env = [process.as_str(), version.as_str(), "mode=http"];
            assert_eq!(choose(&env, &Value::Null, true), park, "{env:?}");
        }
    }

    #[test]
    fn a_program_that_comes_with_the_handler_waits_behind_the_gate() {
        for process in ["fprocess=./handler", "fprocess=python index.py"] {
            assert_eq!(
                choose(&[process, "mode=http"], &Value::Null, false),
                Park::Gate
            );
        }
    }

    #[test]
    fn where_each_request_has_a_process_of_its_own_the_container_waits() {
        let classic = ["fprocess=node index.js"];
        assert_eq!(choose(&classic, &Value::Null, true), Park::Container);
        assert_eq!(choose(&[], &Value::Null, true), Park::Container);
    }

    #[test]
    fn what_the_stack_file_says_counts_before_the_image() {
        let entry = json!({"fprocess": "/usr/bin/python3 index.py"});
        let image = ["fprocess=node x", "mode=http"];
        assert_eq!(choose(&image, &entry, true), Park::Python);
        let entry = json!({"environment": {"NODE_OPTIONS": "--inspect"}});
        assert_eq!(choose(&image, &entry, true), Park::Gate);
    }

    #[test]
    fn a_process_in_the_environment_waits_behind_the_gate() {
        let image = ["fprocess=node x", "mode=http"];
        for name in PROCESS {
            let entry = json!({"fprocess": "python y", "environment": {name: "python index.py"}});
            assert_eq!(choose(&image, &entry, true), Park::Gate, "{name}");
            assert_eq!(choose(&["mode=http"], &entry, true), Park::Gate, "{name}");
            assert_eq!(choose(&[], &entry, true), Park::Container, "{name}");
        }
        let image = ["fprocess=node x", "function_process=python y", "mode=http"];
        assert_eq!(choose(&image, &Value::Null, true), Park::Python);
        assert_eq!(
            choose(&image[..1], &json!({"fprocess": ""}), true),
            Park::Container
        );
    }

    #[test]
    fn a_process_in_an_environment_file_leaves_the_container_to_wait() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let entry = json!({"environment_file": [file.path()]});
        let image = ["fprocess=node x", "mode=http"];
        for (text, park) in [
            ("A: b", Park::Node),
            ("fprocess: python y", Park::Container),
            ("function_process: ./y", Park::Container),
        ] {
            std::fs::write(&file, format!("environment:\n  {text}\n")).unwrap();
            assert_eq!(choose(&image, &entry, true), park, "{text}");
        }
    }

    #[test]
    fn each_way_of_waiting_has_its_layer() {
        for (env, park, expected) in [
            (
                &["fprocess=python x", "PYTHONPATH=/lib/x"][..],
                Park::Python,
                "ENV PYTHONPATH=\"/.rsfaas/python:/lib/x\"\n",
            ),
            (
                &["fprocess=node x"],
                Park::Node,
                "ENV NODE_OPTIONS=\"--require=/.rsfaas/node/park.js\"\n",
            ),
            (
                &["fprocess=./handler"],
                Park::Gate,
                "ENV fprocess=\"/.rsfaas/gate ./handler\"\n",
            ),
            (
                &["function_process=./a", "fprocess=./b"],
                Park::Gate,
                "ENV function_process=\"/.rsfaas/gate ./a\"\nENV fprocess=\"/.rsfaas/gate ./b\"\n",
            ),
            (
                &[],
                Park::Container,
                "ENTRYPOINT [\"/.rsfaas/gate\",\"fwatchdog\"]\nCMD []\n",
            ),
        ] {
            let text = layer(env, park);
            assert!(text.ends_with(expected), "{text}");
        }
    }

    #[test]
    fn the_port_is_that_of_the_upstream_url() {
        for (env, port) in [
            ("upstream_url=http://127.0.0.1:5000/", 5000),
            ("http_upstream_url=http://localhost:3000", 3000),
            ("port=8081", 8081),
            ("other=1", 8080),
        ] {
            let config = config(&[env]);
            let settings = Settings {
                config: &config,
                entry: &Value::Null,
            };
            assert_eq!(settings.upstream_port(), port);
        }
    }
}
