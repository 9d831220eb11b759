//! Docker Engine: the one that answers on the usual socket, or else one of ours, with data, state and
//! settings of its own, which `down` takes away to the last bridge and firewall rule.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use super::{
    daemon::Daemon,
    host::Before,
    http,
    layout::{ENGINE, Layout},
    service::{Service, Standing},
    shims,
};
use crate::{
    error::{At as _, Error},
    files, process,
    setup::docker,
};

/// Sockets and state of the running daemons; their paths must be short, and must not be on a disk.
pub(super) const RUN: &str = "/run/rsfaas-testbed";
const CONTAINERD: &str = "/run/rsfaas-testbed/containerd.sock";
const PID_FILE: &str = "/run/rsfaas-testbed/docker.pid";

/// Docker Engine on this host.
pub(super) struct Engine {
    layout: Layout,
    /// What it runs containers with.
    pub(super) containerd: Daemon,
    /// The engine itself.
    pub(super) dockerd: Service,
}

impl Engine {
    /// The engine of this testbed.
    pub(super) fn new(layout: &Layout) -> Self {
        Self {
            layout: layout.clone(),
            containerd: Daemon::new(layout, "containerd"),
            dockerd: Service {
                daemon: Daemon::new(layout, "Docker Engine"),
                place: ENGINE,
                health: "/_ping",
                shareable: true,
            },
        }
    }

    /// Makes sure that it runs.
    pub(super) fn ensure(&self) -> Result<(), Error> {
        if matches!(
            self.dockerd.standing(),
            Standing::Absent | Standing::Ailing(_)
        ) {
            Before::note(&self.layout)?;
            self.forget_dead()?;
        }
        // The engine answers that it is well without it.
        if self.dockerd.standing() != Standing::Foreign {
            self.ensure_containerd()?;
        }
        self.dockerd.ensure("1", &self.dockerd_command()?)
    }

    /// A killed one leaves the links of its containers behind, and its number: the next does not start while there is a
    /// process of that number, be it another one, or the dead one whose parent has not asked for it yet.
    fn forget_dead(&self) -> Result<(), Error> {
        if self.dockerd.daemon.running().is_some() {
            return Ok(());
        }
        if let Some(before) = Before::read(&self.layout)? {
            before.unlink_containers()?;
        }
        files::remove_file(PID_FILE.as_ref())
    }

    fn ensure_containerd(&self) -> Result<(), Error> {
        if self.containerd.running().is_some() {
            return Ok(());
        }
        fs::create_dir_all(RUN).at(RUN)?;
        let config = self.write_config("containerd.toml", &self.containerd_config())?;
        let mut command = Command::new(process::installed("containerd")?);
        command.arg("--config").arg(config);
        let child = self.containerd.start(&command, "1")?;
        self.containerd
            .wait(Some(child), Duration::from_secs(30), || {
                http::listens(CONTAINERD)
            })
    }

    fn containerd_config(&self) -> String {
        let root = self.data().join("containerd");
        // The plug-in for Kubernetes would open a port, and is of no use here.
        format!(
            "version = 2\nroot = {root:?}\nstate = \"{RUN}/containerd\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{CONTAINERD}\"\n"
        )
    }

    fn dockerd_command(&self) -> Result<Command, Error> {
        // The host's own settings may clash with these.
        let config = self.write_config("docker.json", "{}\n")?;
        let mut command = Command::new(process::installed("dockerd")?);
        command
            .arg("--config-file")
            .arg(config)
            .arg("--data-root")
            .arg(self.data().join("docker"))
            .args([
                "--host",
                &format!("unix://{ENGINE}"),
                "--containerd",
                CONTAINERD,
            ])
            .args(["--exec-root", &format!("{RUN}/docker")])
            .args(["--pidfile", PID_FILE]);
        Ok(command)
    }

    fn write_config(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let folder = self.layout.config();
        fs::create_dir_all(&folder).at(&folder)?;
        let path = folder.join(name);
        fs::write(&path, text).at(&path)?;
        Ok(path)
    }

    fn data(&self) -> PathBuf {
        self.layout.data()
    }

    /// Ends it if it is ours, and puts the host's network back as it was.
    pub(super) fn down(&self) -> Result<(), Error> {
        match self.dockerd.standing() {
            Standing::Ours(_) => {
                if let Err(error) = remove_all_containers() {
                    println!("testbed: Docker Engine's containers are ended without it: {error}");
                }
            }
            Standing::Ailing(_) => {
                println!(
                    "testbed: Docker Engine does not answer; its containers are ended without it"
                );
            }
            Standing::Foreign | Standing::Taken | Standing::Absent => {}
        }
        if self.dockerd.daemon.stop()? {
            println!("testbed: Docker Engine is ended");
        }
        self.containerd.stop()?;
        match shims::end(CONTAINERD)? {
            0 => {}
            count => println!("testbed: {count} containers that Docker Engine has left are ended"),
        }
        if let Some(before) = Before::read(&self.layout)? {
            match self.dockerd.standing() {
                Standing::Absent => before.restore(&self.layout)?,
                // What ours has left cannot be told from what that one needs.
                _ => println!(
                    "testbed: the host's network stays as it is: a Docker Engine that this testbed did not \
                     start uses it"
                ),
            }
        }
        super::host::unmount_below(&self.data())?;
        super::host::unmount_below(RUN.as_ref())?;
        for folder in [
            self.data().join("docker"),
            self.data().join("containerd"),
            RUN.into(),
        ] {
            files::remove_folder(&folder)?;
        }
        Ok(())
    }
}

/// Removes every container.
fn remove_all_containers() -> Result<(), Error> {
    let list = process::output(docker().args(["ps", "--all", "--quiet", "--no-trunc"]))?;
    remove(&["rm", "--force", "--volumes"], &list)
}

/// Removes the containers that bear a label, or whose image lies under a prefix.
pub(super) fn remove_containers(label: &str, prefix: &str) -> Result<(), Error> {
    let format = format!("{{{{.ID}}}} {{{{.Image}}}} {{{{.Label \"{label}\"}}}}");
    let list = process::output(docker().args(["ps", "--all", "--no-trunc", "--format", &format]))?;
    remove(
        &["rm", "--force", "--volumes"],
        &of_testbed(&list, prefix).join("\n"),
    )
}

/// The containers of the testbed in lines of ID, image and label, the last one empty where there is
/// none.
fn of_testbed<'a>(list: &'a str, prefix: &str) -> Vec<&'a str> {
    list.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (id, image, label) = (words.next()?, words.next()?, words.next());
            let below = image
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with('/'));
            (below || label.is_some()).then_some(id)
        })
        .collect()
}

/// Removes the images whose name fits a pattern, as `docker image ls --filter reference=` takes it.
pub(crate) fn remove_images(pattern: &str) -> Result<(), Error> {
    let list = process::output(docker().args([
        "image",
        "ls",
        "--format",
        "{{.Repository}}:{{.Tag}}",
        "--filter",
        &format!("reference={pattern}"),
    ]))?;
    remove(&["image", "rm", "--force"], &list.replace(":<none>", ""))
}

/// Calls docker with each line of a list as an argument; an empty list is nothing to do.
fn remove(command: &[&str], list: &str) -> Result<(), Error> {
    if list.trim().is_empty() {
        return Ok(());
    }
    process::output(docker().args(command).args(list.lines())).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_ours_by_image_or_label_and_others_are_left_alone() {
        let list = "a1 127.0.0.1:5000/rsfaas-dev/pydict:latest \n\
            b2 127.0.0.1:5000/rsfaas-developers/thing:1 \n\
            c3 sha256:0123 true\n\
            d4 postgres:16 \n";
        assert_eq!(of_testbed(list, "127.0.0.1:5000/rsfaas-dev"), ["a1", "c3"]);
    }
}
