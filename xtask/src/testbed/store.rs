//! The registry and Prometheus: Debian's programs, with data and settings of the testbed's own.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    daemon::Daemon,
    layout::{GATEWAY_METRICS, Layout, PROMETHEUS, REGISTRY},
    service::Service,
};
use crate::{
    error::{At as _, Error},
    process::installed,
};

/// The registry.
pub(super) fn registry(layout: &Layout) -> Service {
    Service {
        daemon: Daemon::new(layout, "registry"),
        place: REGISTRY,
        health: "/v2/",
        // Of somebody else's neither garbage could be collected, nor the testbed's images be taken out.
        shareable: false,
    }
}

/// Makes sure that the registry runs; images can be deleted in it.
pub(super) fn ensure_registry(layout: &Layout) -> Result<(), Error> {
    let data = layout.data().join("registry");
    let config = format!(
        "version: 0.1\nlog:\n  level: warn\n  accesslog:\n    disabled: true\nstorage:\n  \
         filesystem:\n    rootdirectory: {data:?}\n  delete:\n    enabled: true\nhttp:\n  addr: \
         {REGISTRY}\n"
    );
    let path = write(layout, "registry.yml", &config)?;
    write_purge_command(layout, &path)?;
    let mut command = Command::new(installed("docker-registry")?);
    command.arg("serve").arg(path);
    registry(layout).ensure(&config, &command)
}

/// The agent's `purge_command`: collects the registry's garbage. What is pushed meanwhile may go with it: who shares a
/// lock on this file (flock(1)) while they push keeps it waiting.
pub(super) fn purge_command(layout: &Layout) -> PathBuf {
    layout.config().join("purge")
}

fn write_purge_command(layout: &Layout, config: &Path) -> Result<(), Error> {
    let path = purge_command(layout);
    let collect = installed("docker-registry")?;
    let text = format!(
        "#!/bin/sh\nexec flock \"$0\" {} garbage-collect --delete-untagged {} >/dev/null\n",
        collect.display(),
        config.display()
    );
    fs::write(&path, text).at(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).at(&path)
}

/// Prometheus.
pub(super) fn prometheus(layout: &Layout) -> Service {
    Service {
        daemon: Daemon::new(layout, "Prometheus"),
        place: PROMETHEUS,
        health: "/-/ready",
        shareable: true,
    }
}

/// Makes sure that Prometheus runs; it reads the gateway's figures.
pub(super) fn ensure_prometheus(layout: &Layout) -> Result<(), Error> {
    let config = format!(
        "global:\n  scrape_interval: 5s\nscrape_configs:\n  - job_name: gateway\n    \
         static_configs:\n      - targets: [\"{GATEWAY_METRICS}\"]\n"
    );
    let path = write(layout, "prometheus.yml", &config)?;
    let mut command = Command::new(installed("prometheus")?);
    command
        .arg(format!("--config.file={}", path.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            layout.data().join("prometheus").display()
        ))
        .args(["--storage.tsdb.retention.time=2h", "--log.level=warn"])
        .arg(format!("--web.listen-address={PROMETHEUS}"));
    prometheus(layout).ensure(&config, &command)
}

fn write(layout: &Layout, name: &str, text: &str) -> Result<PathBuf, Error> {
    for folder in [layout.config(), layout.data()] {
        fs::create_dir_all(&folder).at(folder)?;
    }
    let path = layout.config().join(name);
    fs::write(&path, text).at(&path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_nobody_could_purge_is_not_used() {
        let layout = Layout::new(Path::new("/nowhere"));
        assert!(!registry(&layout).shareable);
        assert!(prometheus(&layout).shareable);
    }
}
