//! A stack file of one function, made from a sealed function's entry.
use serde_json::{Map, Value, json};

use super::{environment::PROCESS, substitute};
use crate::state::SealedFunction;

/// Keys of an entry that only building needs, or that are set anew.
const BUILD_KEYS: [&str; 7] = [
    "build_args",
    "build_options",
    "handler",
    "image",
    "lang",
    "skip_build",
    "platforms",
];

/// One replica, always, whatever the author or the provider's default says: replicas would share a token, so that only
/// one of them is found, and a parked container looks idle.
const ONE_REPLICA: [(&str, &str); 3] = [
    ("com.openfaas.scale.min", "1"),
    ("com.openfaas.scale.max", "1"),
    ("com.openfaas.scale.zero", "false"),
];

/// What keeps interpreters from writing what they have compiled of a handler: beside a file that was delivered over its own
/// place, or into a folder that image or stack file name, it would lie on the container's disk.
pub const NOTHING_COMPILED: [(&str, &str); 2] = [
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("NODE_DISABLE_COMPILE_CACHE", "1"),
];

/// A deployment in the making.
#[derive(Debug, Clone)]
pub struct Deployment {
    name: String,
    gateway: String,
    entry: Map<String, Value>,
    /// Variables that count whatever the entry says.
    fixed: &'static [(&'static str, &'static str)],
}

impl Deployment {
    /// Everything as the author has it, deployed through a gateway.
    #[must_use]
    pub fn of(function: &SealedFunction, gateway: &str) -> Self {
        let mut entry = function.stack.as_object().cloned().unwrap_or_default();
        entry.retain(|key, _| !BUILD_KEYS.contains(&key.as_str()));
        let deployment = Self {
            name: function.name.clone(),
            gateway: gateway.to_owned(),
            entry,
            fixed: &[],
        };
        deployment.label("com.rsfaas.function", &function.name)
    }

    /// Without what only the function itself may have: environment, secrets, its process.
    #[must_use]
    pub fn bare(mut self) -> Self {
        for key in ["environment", "environment_file", "secrets", "fprocess"] {
            self.entry.remove(key);
        }
        self
    }

    /// Under another name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..self
        }
    }

    /// From this image, with its role.
    #[must_use]
    pub fn image(mut self, image: &str, role: &str) -> Self {
        self.entry.insert("image".into(), image.into());
        self.label("com.rsfaas.role", role)
    }

    /// From this image, as an unlocked container. It has no annotations: connectors call every function whose `topic`
    /// says so (<https://docs.openfaas.com/reference/triggers/>), and this one is nobody's to call by its name.
    #[must_use]
    pub fn unlocked(mut self, image: &str) -> Self {
        self.entry.remove("annotations");
        let deployment = self.image(image, "unlocked");
        ONE_REPLICA
            .into_iter()
            .fold(deployment, |deployment, (name, value)| {
                deployment.label(name, value)
            })
    }

    /// With a variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.put("environment", name, value);
        self
    }

    /// With [`NOTHING_COMPILED`].
    #[must_use]
    pub fn nothing_compiled(self) -> Self {
        Self {
            fixed: &NOTHING_COMPILED,
            ..self
        }
    }

    /// Variables, as `NAME=VALUE`, for faas-cli's command line: an entry's environment files win over its `environment`,
    /// and over both wins only that.
    pub fn fixed(&self) -> impl Iterator<Item = String> {
        self.fixed
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
    }

    /// With the entry's own process behind a program, wherever the entry names a process: providers differ in which
    /// place counts.
    #[must_use]
    pub fn behind(mut self, program: &str) -> Self {
        let put = |process: &mut Value| {
            if let Some(own) = process.as_str().filter(|own| !own.is_empty()) {
                *process = format!("{program} {own}").into();
            }
        };
        if let Some(process) = self.entry.get_mut("fprocess") {
            put(process);
        }
        for name in PROCESS {
            let environment = self.entry.get_mut("environment");
            if let Some(process) = environment.and_then(|it| it.get_mut(name)) {
                put(process);
            }
        }
        self
    }

    fn label(mut self, name: &str, value: &str) -> Self {
        self.put("labels", name, value);
        self
    }

    fn put(&mut self, map: &str, name: &str, value: &str) {
        let entry = self.entry.entry(map).or_insert_with(|| json!({}));
        if !entry.is_object() {
            *entry = json!({});
        }
        entry[name] = value.into();
    }

    /// The stack file's text. Without a template (`lang: dockerfile`) faas-cli needs none to deploy.
    ///
    /// # Errors
    /// When the entry cannot be written as YAML.
    pub fn to_yaml(&self) -> Result<String, serde_norway::Error> {
        let mut entry = self.entry.clone();
        entry.insert("lang".into(), "dockerfile".into());
        entry.insert("handler".into(), "./".into());
        let text = serde_norway::to_string(&json!({
            "version": "1.0",
            "provider": {"name": "openfaas", "gateway": self.gateway},
            "functions": {self.name.as_str(): entry},
        }))?;
        // faas-cli would replace variables here, too, with an environment that is not the author's.
        Ok(substitute::escape(&text))
    }
}

#[cfg(test)]
impl Deployment {
    /// One for tests of what deploys.
    pub(crate) fn example() -> Self {
        Self {
            name: "pydict".into(),
            gateway: "http://g".into(),
            entry: Map::new(),
            fixed: &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{substitute::Substituted, *};
    use crate::state::{Isolation, Park, Rebuild};

    fn function() -> SealedFunction {
        SealedFunction {
            name: "pydict".into(),
            sealed: "/f/handler.sealed".into(),
            base_image: "r/pydict:base".into(),
            locked_image: "r/pydict:locked".into(),
            handler_dir: "/home/app/function".into(),
            park: Park::Python,
            upstream_port: 5000,
            user: "app".into(),
            rebuild: Rebuild::Mount,
            isolation: Isolation::Shared,
            key_header: "X-RsFaaS-Key".into(),
            stack: json!({
                "lang": "python3", "handler": "./pydict", "image": "r/pydict:1", "fprocess": "python x",
                "environment": {"A": 1}, "secrets": ["token"], "labels": {"team": "a"},
                "limits": {"memory": "64m"}, "build_args": {"B": 1}, "annotations": {"topic": "cron-function"},
            }),
            manifests: None,
        }
    }

    fn entry(deployment: &Deployment) -> Value {
        let text = deployment.to_yaml().unwrap();
        let file: Value = serde_norway::from_str(&text).unwrap();
        assert_eq!(file["provider"]["gateway"], "http://g");
        file["functions"][deployment.name.as_str()].clone()
    }

    #[test]
    fn an_unlocked_container_has_everything_that_the_function_has() {
        let deployment = Deployment::of(&function(), "http://g")
            .named("pydict-abc123-0")
            .unlocked("r/pydict:base")
            .environment("TOKEN", "t")
            .behind("/.rsfaas/gate");
        let entry = entry(&deployment);
        assert_eq!(entry["image"], "r/pydict:base");
        assert_eq!(entry["environment"], json!({"A": 1, "TOKEN": "t"}));
        assert_eq!(entry["secrets"], json!(["token"]));
        assert_eq!(entry["limits"]["memory"], "64m");
        assert_eq!(entry["fprocess"], "/.rsfaas/gate python x");
        assert_eq!(entry["labels"]["team"], "a");
        assert_eq!(entry["labels"]["com.rsfaas.role"], "unlocked");
        assert_eq!(entry["labels"]["com.rsfaas.function"], "pydict");
        assert!(entry["build_args"].is_null());
        assert!(entry["annotations"].is_null(), "connectors would call it");
    }

    #[test]
    fn a_process_is_behind_the_gate_wherever_the_entry_names_it() {
        let mut function = function();
        function.stack["environment"] =
            json!({"function_process": "./a", "fprocess": "./b", "PROCESS": "c"});
        let deployment = Deployment::of(&function, "http://g").behind("/gate");
        let entry = entry(&deployment);
        let expected =
            json!({"function_process": "/gate ./a", "fprocess": "/gate ./b", "PROCESS": "c"});
        assert_eq!(entry["environment"], expected);
        assert_eq!(entry["fprocess"], "/gate python x");
        function.stack = json!({"fprocess": ""});
        let deployment = Deployment::of(&function, "http://g").behind("/gate");
        assert_eq!(
            self::entry(&deployment)["fprocess"],
            "",
            "the image's counts"
        );
    }

    #[test]
    fn what_keeps_compiled_files_off_the_disk_is_not_left_to_the_entry() {
        let mut function = function();
        function.stack["environment"] = json!({"PYTHONDONTWRITEBYTECODE": ""});
        let deployment = Deployment::of(&function, "http://g");
        assert_eq!(deployment.fixed().count(), 0);
        let fixed: Vec<_> = deployment.nothing_compiled().fixed().collect();
        assert_eq!(
            fixed,
            ["PYTHONDONTWRITEBYTECODE=1", "NODE_DISABLE_COMPILE_CACHE=1"]
        );
    }

    #[test]
    fn faas_cli_gets_values_and_finds_no_variables_in_them() {
        let environment =
            json!({"A": "${HOME}", "B": "$$", "C": "a\\/b\\\\c\n\\", "D": "3.10", "E": "Null"});
        let stack = json!({"environment": environment});
        let function = SealedFunction {
            stack,
            ..function()
        };
        let text = Deployment::of(&function, "http://g").to_yaml().unwrap();
        let Substituted { text, unset } = substitute::substitute(&text, &|_| None).unwrap();
        assert!(unset.is_empty());
        let file: BTreeMap<String, Value> = serde_norway::from_str(&text).unwrap();
        assert_eq!(file["functions"]["pydict"]["environment"], environment);
    }

    #[test]
    fn an_unlocked_container_has_one_replica_whatever_the_author_scales_to() {
        let mut function = function();
        function.stack["labels"] = json!({
            "com.openfaas.scale.min": "2", "com.openfaas.scale.max": 5, "com.openfaas.scale.zero": true,
        });
        let of = |deployment: Deployment| {
            let labels = entry(&deployment)["labels"].take();
            ["min", "max", "zero"].map(|name| labels[format!("com.openfaas.scale.{name}")].clone())
        };
        let deployment = Deployment::of(&function, "http://g");
        let unlocked = of(deployment.clone().unlocked("r/pydict:base"));
        assert_eq!(unlocked, ["1", "1", "false"]);
        let locked = of(deployment.image("l", "locked"));
        assert_eq!(locked, [json!("2"), json!(5), json!(true)], "the author's");
    }

    #[test]
    fn a_locked_function_has_neither_environment_nor_secrets() {
        let entry = entry(
            &Deployment::of(&function(), "http://g")
                .bare()
                .image("l", "locked"),
        );
        for key in ["environment", "secrets", "fprocess"] {
            assert!(entry[key].is_null(), "{key}");
        }
    }
}
