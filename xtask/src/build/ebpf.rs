//! The eBPF object.

use super::{artifact::Pending, toolchain::Toolchain};
use crate::{error::Error, fingerprint::SPOTTER, process, workspace};

const TARGET: &str = "bpfel-unknown-none";
const FLAGS: &[&str] = &[
    // Linux 6.1's verifier takes a loop for one that may not end ("back-edge") where an instruction that is no
    // jump runs into the loop's head, as LLVM's last ordering of blocks likes to have it.
    "-C link-arg=--llvm-args=-disable-block-placement",
    // Machines with efficient unaligned access let programs read a header's words as words.
    "-C link-arg=--cpu-features=+allows-misaligned-mem-access",
];

/// Builds `target/artifacts/spotter.o`.
pub(crate) fn build() -> Result<(), Error> {
    let root = workspace::root();
    let toolchain = Toolchain::find()?;
    println!("eBPF: {}", toolchain.description());
    let pending = Pending::new(SPOTTER, &root)?;
    // A folder of its own: another compiler and other flags would throw out what is built already.
    let target = root.join("target/ebpf");
    process::run(
        toolchain
            .cargo()
            .current_dir(&root)
            .env("CARGO_TARGET_DIR", &target)
            .env("RUSTFLAGS", FLAGS.join(" "))
            .args([
                "build",
                "--package",
                "agent-ebpf",
                "--bin",
                "rsfaas-spotter",
            ])
            .args([
                "--features",
                "bpf",
                "--target",
                TARGET,
                "-Z",
                "build-std=core",
                "--release",
            ]),
    )?;
    pending.finish(&target.join(TARGET).join("release/rsfaas-spotter"))
}
