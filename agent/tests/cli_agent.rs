//! `agent` as a user starts it, as far as that takes no gateway.
use std::{
    fs::{self, File},
    process::Command,
};

/// The gateway cannot be reached, or refused.
const GATEWAY: i32 = 7;

/// It warns of the gateway, which does not answer, before it gives up.
#[test]
fn an_agent_whose_log_cannot_be_written_ends_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("agent.toml");
    let text = format!(
        "gateway = \"http://127.0.0.1:9\"\nfaas_cli = \"/bin/true\"\nstate_dir = {:?}\ncontrol_socket = {:?}\n",
        folder.path().join("state"),
        folder.path().join("agent.sock"),
    );
    fs::write(&config, text).unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_rsfaas"))
        .args(["agent", "--config"])
        .arg(&config)
        .env("OPENFAAS_CONFIG", folder.path())
        .stderr(File::options().write(true).open("/dev/full").unwrap())
        .status()
        .unwrap();
    assert_eq!(ended.code(), Some(GATEWAY));
}
