//! OpenFaaS itself: our provider, the real gateway with basic auth, and the faas-cli's login.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    process::Command,
};

use rsfaas_tests::random;

use super::{
    Testbed,
    daemon::Daemon,
    layout::{GATEWAY, Layout, PROMETHEUS, PROVIDER},
    service::Service,
    tools,
};
use crate::{
    error::{At as _, Error},
    process,
};

const USER: &str = "admin";

/// The provider.
pub(super) fn provider(layout: &Layout) -> Service {
    Service {
        daemon: Daemon::new(layout, "provider"),
        place: PROVIDER,
        health: "/healthz",
        shareable: false,
    }
}

/// Makes sure that the provider runs.
pub(super) fn ensure_provider(layout: &Layout) -> Result<(), Error> {
    let binary = layout.bin().join("provider");
    let mut command = Command::new(&binary);
    command
        .env("port", port(PROVIDER))
        .env("secret_mount_path", layout.secrets())
        .env("state_dir", layout.data().join("provider"));
    provider(layout).ensure(&version(&binary, layout)?, &command)
}

/// The gateway.
pub(super) fn gateway(layout: &Layout) -> Service {
    Service {
        daemon: Daemon::new(layout, "gateway"),
        place: GATEWAY,
        health: "/healthz",
        shareable: false,
    }
}

/// Makes sure that the gateway runs.
pub(super) fn ensure_gateway(layout: &Layout) -> Result<(), Error> {
    let binary = layout.bin().join("gateway");
    let mut command = Command::new(&binary);
    command
        .env("port", port(GATEWAY))
        .env("functions_provider_url", format!("http://{PROVIDER}/"))
        .env("direct_functions", "false")
        .env("scale_from_zero", "true")
        .env("faas_prometheus_host", "127.0.0.1")
        .env("faas_prometheus_port", port(PROMETHEUS))
        .env("basic_auth", "true")
        .env("secret_mount_path", layout.secrets())
        // A gateway of this date leaves the check of the password to a service beside it.
        .env("auth_proxy_url", format!("http://{PROVIDER}/validate"))
        .env("auth_proxy_pass_body", "false");
    for timeout in ["read_timeout", "write_timeout", "upstream_timeout"] {
        command.env(timeout, "65s");
    }
    gateway(layout).ensure(&version(&binary, layout)?, &command)
}

/// Tells one build of a program, and one set of secrets' place, from another.
fn version(binary: &Path, layout: &Layout) -> Result<String, Error> {
    Ok(format!(
        "{} {}",
        tools::fingerprint_of(binary)?,
        layout.secrets().display()
    ))
}

fn port(place: &str) -> &str {
    place.rsplit(':').next().unwrap_or(place)
}

/// Makes user name and password unless there are some.
pub(super) fn ensure_secrets(layout: &Layout) -> Result<(), Error> {
    let folder = layout.secrets();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .at(&folder)?;
    if folder.join("basic-auth-password").exists() {
        return Ok(());
    }
    write_secret(&folder.join("basic-auth-user"), USER)?;
    write_secret(
        &folder.join("basic-auth-password"),
        &random::hex(24).at(random::SOURCE)?,
    )
}

fn write_secret(path: &Path, text: &str) -> Result<(), Error> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .at(path)?;
    file.write_all(text.as_bytes()).at(path)
}

/// Logs the faas-cli in, which also shows that the gateway takes the password.
pub(super) fn log_in(testbed: &Testbed, layout: &Layout) -> Result<(), Error> {
    let path = layout.secrets().join("basic-auth-password");
    let password = fs::read(&path).at(&path)?;
    let mut command = Command::new(&testbed.faas_cli);
    testbed.lend(&mut command);
    command.args(["login", "--username", USER, "--password-stdin"]);
    process::feed(command.args(["--gateway", &testbed.gateway]), &password).map(drop)
}
