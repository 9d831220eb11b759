//! Embeds the eBPF object and the programs that run inside containers, and fails with one clear line
//! where one of them is missing or older than its sources.

#[path = "../xtask/src/fingerprint.rs"]
mod fingerprint;

use std::path::Path;

use fingerprint::{GATE, LOCKED, SPOTTER};

fn main() {
    let Some(workspace) = Path::new(env!("CARGO_MANIFEST_DIR")).parent() else {
        println!("cargo::error=the agent's folder has no parent, which would be the workspace");
        return;
    };
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../xtask/src/fingerprint.rs");
    for (variable, artifact) in [
        ("RSFAAS_SPOTTER", SPOTTER),
        ("RSFAAS_GATE", GATE),
        ("RSFAAS_LOCKED", LOCKED),
    ] {
        let path = artifact.path(workspace);
        println!("cargo::rerun-if-changed={}", path.display());
        println!(
            "cargo::rerun-if-changed={}",
            artifact.sources_path(workspace).display()
        );
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join(artifact.sources).display()
        );
        match artifact.verify(workspace) {
            Ok(()) => println!("cargo::rustc-env={variable}={}", path.display()),
            Err(error) => println!("cargo::error={error}"),
        }
    }
}
