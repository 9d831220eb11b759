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

/// Annotations that have a connector call a function (<https://docs.openfaas.com/reference/triggers/>).
const CALLED_BY: [&str; 2] = ["topic", "schedule"];

/// Annotations that have Kubernetes probe the function itself (<https://docs.openfaas.com/reference/workloads/>), start with
/// these.
const PROBED_BY: [&str; 2] = ["com.openfaas.health.", "com.openfaas.ready."];

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

    /// Without what only the function itself may have: environment, secrets, its process, its answers to probes.
    #[must_use]
    pub fn bare(mut self) -> Self {
        for key in ["environment", "environment_file", "secrets", "fprocess"] {
            self.entry.remove(key);
        }
        self.unprobed()
    }

    /// Probed at its watchdog alone: where the function does not run, or not yet, a probe of its own path would have it
    /// started again and again, or never be called.
    #[must_use]
    pub fn unprobed(self) -> Self {
        self.without_annotations(|name| PROBED_BY.iter().any(|start| name.starts_with(start)))
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

    /// From this image, as an unlocked container. No connector calls it: it is nobody's to call by its name.
    #[must_use]
    pub fn unlocked(self, image: &str) -> Self {
        let deployment = self
            .without_annotations(|name| CALLED_BY.contains(&name))
            .image(image, "unlocked");
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

    fn without_annotations(mut self, are_these: impl Fn(&str) -> bool) -> Self {
        let annotations = self.entry.get_mut("annotations");
        if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
            annotations.retain(|name, _| !are_these(name));
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
mod tests;
