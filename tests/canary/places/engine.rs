//! What Docker Engine tells of its images, their history, its build cache and its containers.
use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::canary::{Place, Scan, Unsearchable};

/// Docker Engine's records.
#[derive(Debug, Clone)]
pub struct EngineRecords {
    /// The docker client.
    pub program: PathBuf,
    /// Where the engine listens, as `DOCKER_HOST` takes it; the usual place where there is none.
    pub host: Option<String>,
}

impl EngineRecords {
    fn ask(&self, arguments: &[&str]) -> Result<Vec<u8>, Unsearchable> {
        let what = format!("docker {}", arguments.join(" "));
        let mut command = Command::new(&self.program);
        command.args(arguments).stdin(Stdio::null());
        if let Some(host) = &self.host {
            command.env("DOCKER_HOST", host);
        }
        let output = command.output().map_err(Unsearchable::at(&what))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Unsearchable::because(what, said.trim()))
    }

    fn search(&self, scan: &mut Scan<'_>, arguments: &[&str]) -> Result<(), Unsearchable> {
        let told = self.ask(arguments)?;
        scan.item();
        scan.bytes(&format_args!("docker {}", arguments.join(" ")), 0, &told);
        Ok(())
    }

    /// The engine's folder.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn folder(&self) -> Result<PathBuf, Unsearchable> {
        let told = self.ask(&["info", "--format", "{{.DockerRootDir}}"])?;
        Ok(String::from_utf8_lossy(&told).trim().into())
    }
}

impl Place for EngineRecords {
    fn name(&self) -> &'static str {
        "image history, build cache"
    }

    fn has_marker(&self) -> bool {
        // A function's name is its image's.
        true
    }

    fn search(&self, scan: &mut Scan<'_>) -> Result<(), Unsearchable> {
        let json = ["--format", "{{json .}}"];
        for (list, inspect) in [
            (
                ["image", "ls", "--all", "--quiet", "--no-trunc"],
                ["image", "inspect"],
            ),
            (
                ["container", "ls", "--all", "--quiet", "--no-trunc"],
                ["container", "inspect"],
            ),
        ] {
            let told = self.ask(&list)?;
            let told = String::from_utf8_lossy(&told);
            let mut names: Vec<&str> = told.lines().collect();
            names.sort_unstable();
            names.dedup();
            for name in &names {
                let inspected = self.search(scan, &[&inspect[..], &[*name]].concat());
                let told = inspected.and_then(|()| match inspect[0] {
                    "image" => {
                        let history = ["image", "history", "--no-trunc", *name];
                        self.search(scan, &[&history[..], &json].concat())
                    }
                    _ => Ok(()),
                });
                // What has been removed meanwhile has no record.
                if let Err(error) = told
                    && !error.to_string().contains("No such")
                {
                    scan.failed(&error);
                }
            }
        }
        self.search(scan, &[&["system", "df", "--verbose"][..], &json].concat())
    }
}
