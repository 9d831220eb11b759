//! Checks what the agent embeds, the eBPF object and the programs that run inside containers: where one of them is
//! missing or older than what it is made from, the build fails with one clear line.

#[path = "../xtask/src/fingerprint.rs"]
mod fingerprint;

use std::path::Path;

use fingerprint::{Artifact, GATE, LOCKED, SPOTTER};

fn main() {
    // Without the agent itself nothing is embedded.
    if std::env::var_os("CARGO_FEATURE_HOST").is_none() {
        return;
    }
    // Seen from the package's folder, where cargo runs this: a checkout that is moved or copied together with its
    // `target/` has files of its own there, not those of the place that it was in.
    let workspace = Path::new("..");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../xtask/src/fingerprint.rs");
    for file in Artifact::WORKSPACE_FILES {
        println!("cargo::rerun-if-changed=../{file}");
    }
    for artifact in [SPOTTER, GATE, LOCKED] {
        for path in [
            artifact.path(workspace),
            artifact.sources_path(workspace),
            workspace.join(artifact.sources),
        ] {
            println!("cargo::rerun-if-changed={}", path.display());
        }
        if let Err(error) = artifact.verify(workspace) {
            println!("cargo::error={error}");
        }
    }
}
