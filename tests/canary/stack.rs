//! Where the parts of an OpenFaaS keep things, on the testbed and on a host that has one already.
use std::{
    env, fmt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    Place, Unsearchable,
    places::{
        Blocks, BpfMaps, BuildCache, Delivered, EngineRecords, Files, Journal, KernelLog, Memory,
        Select, Swap, UnnamedFiles,
    },
};

/// Where Docker Engine listens.
const ENGINE: &str = "/var/run/docker.sock";
/// Folders where containerd, faasd and the distribution's registry keep their data.
const CONTAINERD: &str = "/var/lib/containerd";
const REGISTRIES: [&str; 2] = ["/var/lib/docker-registry", "/var/lib/registry"];
const PROVIDERS: [&str; 2] = ["/var/lib/faasd", "/var/lib/faasd-provider"];
/// Where the testbed's engine keeps what must not be on a disk.
const TESTBED_RUN: &str = "/run/rsfaas-testbed";
const RUN: [&str; 3] = ["/run/containerd", "/run/docker", "/run/faasd"];
/// Programs that may run in containers without being functions.
const NO_FUNCTIONS: &[&str] = &["gateway", "nats", "prometheus", "queue-worker", "registry"];

/// A part whose memory is searched; its text is the place's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The agent and what it has started.
    Agent,
    /// Docker Engine.
    Engine,
    /// Containerd, and what it starts containers with.
    Containerd,
    /// The image registry.
    Registry,
    /// The gateway.
    Gateway,
    /// The provider.
    Provider,
    /// Queue and metrics.
    Others,
    /// The containers of functions.
    Containers,
}

impl Part {
    const ALL: [Self; 8] = [
        Self::Agent,
        Self::Engine,
        Self::Containerd,
        Self::Registry,
        Self::Gateway,
        Self::Provider,
        Self::Others,
        Self::Containers,
    ];

    /// `None` for an agent that has ended.
    fn processes(self, agent: Option<u32>) -> Option<Select> {
        Some(match self {
            Self::Agent => Select::Tree(agent?),
            Self::Engine => Select::Programs(&["buildkitd", "docker-proxy", "dockerd"]),
            Self::Containerd => Select::Programs(&["containerd"]),
            Self::Registry => Select::Programs(&["docker-registry", "registry"]),
            Self::Gateway => Select::Programs(&["gateway"]),
            Self::Provider => {
                Select::Programs(&["faas-netes", "faas-provider", "faasd", "provider"])
            }
            Self::Others => Select::Programs(&["nats", "prometheus", "queue-worker"]),
            Self::Containers => Select::Containers(NO_FUNCTIONS),
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Agent => "memory: agent",
            Self::Engine => "memory: Docker Engine",
            Self::Containerd => "memory: containerd and shims",
            Self::Registry => "memory: registry",
            Self::Gateway => "memory: gateway",
            Self::Provider => "memory: provider",
            Self::Others => "memory: queue and metrics",
            Self::Containers => "memory: function containers",
        })
    }
}

/// An OpenFaaS and its agent.
#[derive(Debug, Clone)]
pub struct Stack {
    agent: Option<u32>,
    agent_folders: Vec<PathBuf>,
    /// The testbed's folder; `None` for an OpenFaaS that was there before.
    testbed: Option<PathBuf>,
    /// When the secrets were made.
    since: SystemTime,
    only_changed: bool,
}

impl Stack {
    /// The testbed that `RSFAAS_TESTBED` names, or else the OpenFaaS that this host has; with the agent's process,
    /// unless it has ended, the folders in which the agent keeps anything, and the time at which the secrets were
    /// made. Folders that the whole host shares are searched for files that have changed since.
    #[must_use]
    pub fn new(
        agent: Option<u32>,
        agent_folders: impl IntoIterator<Item = PathBuf>,
        since: SystemTime,
    ) -> Self {
        Self {
            agent,
            agent_folders: agent_folders.into_iter().collect(),
            testbed: env::var_os("RSFAAS_TESTBED").map(PathBuf::from),
            since,
            only_changed: false,
        }
    }

    /// The testbed in a folder.
    #[must_use]
    pub fn on_testbed(self, folder: &Path) -> Self {
        Self {
            testbed: Some(folder.to_owned()),
            ..self
        }
    }

    /// Searches everywhere for files that have changed since the secrets were made, and for no others: quick,
    /// and as good while the clock does not jump. The raw disk and memory are searched whole.
    #[must_use]
    pub fn only_changed(self) -> Self {
        let only_changed = true;
        Self {
            only_changed,
            ..self
        }
    }

    /// Every place.
    ///
    /// # Errors
    /// When Docker Engine is there, and does not tell where it keeps its data.
    pub fn places(&self) -> Result<Vec<Box<dyn Place>>, Unsearchable> {
        let mut places = self.files_and_disk()?;
        places.extend(self.memory());
        if let Some(pid) = self.agent {
            places.push(Box::new(BpfMaps { pid }));
        }
        places.push(Box::new(Delivered));
        places.push(Box::new(UnnamedFiles));
        places.push(Box::new(Swap));
        Ok(places)
    }

    /// Regular files, logs, and the raw disk: what outlives every process.
    ///
    /// # Errors
    /// As [`places`](Self::places).
    pub fn files_and_disk(&self) -> Result<Vec<Box<dyn Place>>, Unsearchable> {
        let mut places = self.files()?;
        places.extend(self.disk()?);
        Ok(places)
    }

    /// Regular files, logs, and what Docker Engine tells of its own.
    ///
    /// # Errors
    /// As [`places`](Self::places).
    pub fn files(&self) -> Result<Vec<Box<dyn Place>>, Unsearchable> {
        let folders = self.folders()?.into_iter();
        let mut places: Vec<Box<dyn Place>> = folders
            .map(|files| Box::new(files) as Box<dyn Place>)
            .collect();
        if let Some((records, _)) = self.engine()? {
            places.push(Box::new(records.clone()));
            places.push(Box::new(BuildCache(records)));
        }
        places.push(Box::new(Journal { since: self.since }));
        places.push(Box::new(KernelLog));
        Ok(places)
    }

    /// The regular files below folders, of which every part has its own and the host some.
    ///
    /// # Errors
    /// As [`places`](Self::places).
    pub fn folders(&self) -> Result<Vec<Files>, Unsearchable> {
        let mut files = match &self.testbed {
            Some(testbed) => testbed_files(testbed),
            None => host_files(),
        };
        files.push(Files::new("agent's folders", self.agent_folders.clone()).with_marker());
        if let Some((_, folder)) = self.engine()? {
            let engine = Files::new("engine's folder", [folder]);
            files.insert(0, engine.with_layers().with_marker());
        }
        if self.only_changed {
            files = files
                .into_iter()
                .map(|files| files.since(self.since))
                .collect();
        }
        for (name, folders) in [
            ("temporary folders", temporary()),
            ("/var/log", vec!["/var/log".into()]),
        ] {
            files.push(Files::new(name, folders).optional().since(self.since));
        }
        Ok(files)
    }

    /// The raw bytes of the disk that the testbed's data lie on; of other disks nothing is promised.
    ///
    /// # Errors
    /// As [`places`](Self::places).
    pub fn disk(&self) -> Result<Option<Box<dyn Place>>, Unsearchable> {
        let Some(testbed) = &self.testbed else {
            return Ok(None);
        };
        let (image, mount) = (testbed.join("data.img"), testbed.join("data"));
        let elsewhere = match self.engine()? {
            Some((_, folder)) if !folder.starts_with(&mount) => Some(
                "the engine was running before the testbed, and keeps its data elsewhere"
                    .to_owned(),
            ),
            _ => None,
        };
        let disk = Blocks {
            image,
            mount,
            elsewhere,
        };
        Ok(Some(Box::new(disk)))
    }

    /// Docker Engine and its folder; none with faasd.
    fn engine(&self) -> Result<Option<(EngineRecords, PathBuf)>, Unsearchable> {
        let records = EngineRecords {
            socket: ENGINE.into(),
        };
        match records.folder() {
            Ok(folder) => Ok(Some((records, folder))),
            Err(_) if self.testbed.is_none() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The memory of every part.
    #[must_use]
    pub fn memory(&self) -> Vec<Box<dyn Place>> {
        let places = Part::ALL.into_iter().filter_map(|part| {
            let memory = Memory::new(part.to_string(), part.processes(self.agent)?);
            let memory = match part {
                // The names of functions are in these at all times.
                Part::Agent | Part::Gateway => memory.with_marker(),
                _ => memory,
            };
            // Another OpenFaaS may lack any of them.
            let memory = if self.testbed.is_none() && part != Part::Agent {
                memory.optional()
            } else {
                memory
            };
            Some(Box::new(memory) as Box<dyn Place>)
        });
        places.collect()
    }
}

fn testbed_files(testbed: &Path) -> Vec<Files> {
    let below = |name: &str| testbed.join("data").join(name);
    vec![
        Files::new("containerd's folder", [below("containerd")])
            .with_layers()
            .optional(),
        Files::new("registry's folder", [below("registry")])
            .with_layers()
            .with_marker(),
        Files::new(
            "gateway's and provider's folders",
            ["config", "faas-cli", "run", "secrets"]
                .map(|name| testbed.join(name))
                .into_iter()
                .chain([below("provider"), below("prometheus")]),
        )
        .optional(),
        Files::new("folders in memory", [TESTBED_RUN.into()]).optional(),
        Files::new("testbed's logs", [testbed.join("logs")]).with_marker(),
    ]
}

fn host_files() -> Vec<Files> {
    let all = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
    vec![
        Files::new("containerd's folder", all(&[CONTAINERD]))
            .with_layers()
            .optional(),
        Files::new("registry's folder", all(&REGISTRIES))
            .with_layers()
            .optional(),
        Files::new("provider's folders", all(&PROVIDERS)).optional(),
        Files::new("folders in memory", all(&RUN)).optional(),
    ]
}

fn temporary() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = ["/tmp", "/var/tmp", "/dev/shm"].map(PathBuf::from).into();
    let own = env::temp_dir();
    if !folders.contains(&own) {
        folders.push(own);
    }
    folders
}
