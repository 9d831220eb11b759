//! What has to be installed, decided from what is there.

use std::fmt;

use crate::build::toolchain::Found;

/// Always needed: to build.
const BUILD: &[&str] = &["build-essential", "ca-certificates", "pkg-config"];
/// What demonstrations and tests of any kind use.
const BASE: &[&str] = &["curl", "git", "iproute2"];
/// What the testbed consists of. A host that has an OpenFaaS has a container runtime too, which a second
/// one, started beside it, could disturb.
const TESTBED: &[&str] = &[
    "docker-registry",
    "e2fsprogs",
    "iptables",
    "mmdebstrap",
    "prometheus",
];
/// What the end-to-end tests call functions and set clocks with, and `cargo xtask bench packet` loads the gateway with.
const CLIENTS: &[&str] = &[
    "chromium-headless-shell",
    "libfaketime",
    "nginx-light",
    "python3-aiohttp",
    "python3-requests",
    "wget",
    "wrk",
];
/// Docker Engine, where there is no other: Docker's own packages would have to go for Debian's.
const ENGINE: &[&str] = &["docker.io"];
/// Node.js, where there is no other.
const NODE: &[&str] = &["nodejs"];
/// The compiler for eBPF, where rustup's nightly cannot be it.
const COMPILER: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];
/// What bpf-linker is built with, and runs with.
const LINKER: &[&str] = &["llvm-22-dev", "libpolly-22-dev", "zlib1g-dev"];
/// Formatting, where rustup has not brought it.
const FORMATTER: &[&str] = &["rustfmt-web"];

/// The lists of packages that a host may need.
pub(super) const ALL_PACKAGES: &[&[&str]] = &[
    BUILD, BASE, TESTBED, ENGINE, CLIENTS, NODE, COMPILER, LINKER, FORMATTER,
];

/// What is there.
#[derive(Debug, Clone, Default)]
pub(super) struct Host {
    /// Compilers and linker for eBPF.
    pub(super) ebpf: Found,
    /// Whether the agent is only to be built.
    pub(super) build: bool,
    /// Whether an OpenFaaS that is there already is to be used.
    pub(super) existing: bool,
    /// Whether the clients are left out, which only tests and benchmarks use.
    pub(super) no_clients: bool,
    /// Whether there is a Docker Engine with its client.
    pub(super) engine: bool,
    /// Whether there is a Node.js.
    pub(super) node: bool,
    /// Whether `cargo fmt` works.
    pub(super) formatter: bool,
    /// Whether `cargo deny` works.
    pub(super) deny: bool,
    /// Whether `cargo fuzz` is installed.
    pub(super) fuzz: bool,
    /// Whether there is a nightly compiler, without which there is no fuzzing.
    pub(super) nightly: bool,
    /// Those of [`ALL_PACKAGES`] that are not installed.
    pub(super) missing: Vec<&'static str>,
}

/// A step of the set-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Debian packages.
    Packages(Vec<&'static str>),
    /// The linker for eBPF, built from source.
    BpfLinker,
    /// The check of licences and sources, built from source.
    CargoDeny,
    /// The driver of the fuzz targets, built from source.
    CargoFuzz,
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packages(names) => write!(out, "install Debian packages {}", names.join(" ")),
            Self::BpfLinker => {
                write!(out, "build bpf-linker {} (a minute)", super::BPF_LINKER)
            }
            Self::CargoDeny => {
                write!(
                    out,
                    "build cargo-deny {} (a minute or two)",
                    super::CARGO_DENY
                )
            }
            Self::CargoFuzz => {
                write!(out, "build cargo-fuzz {} (a minute)", super::CARGO_FUZZ)
            }
        }
    }
}

/// The steps, in order; empty where nothing is missing.
pub(super) fn plan(host: &Host) -> Vec<Step> {
    let tests = !host.build;
    let mut wanted = BUILD.to_vec();
    if tests {
        wanted.extend(BASE);
    }
    if tests && !host.no_clients {
        wanted.extend(CLIENTS);
    }
    if tests && !host.existing {
        wanted.extend(TESTBED);
        if !host.engine {
            wanted.extend(ENGINE);
        }
    }
    if tests && !host.node {
        wanted.extend(NODE);
    }
    if host.ebpf.compiler().is_err() {
        wanted.extend(COMPILER);
    }
    if host.ebpf.linker().is_err() {
        wanted.extend(LINKER);
    }
    if tests && !host.formatter {
        wanted.extend(FORMATTER);
    }
    wanted.retain(|package| host.missing.contains(package));

    let mut steps = Vec::new();
    if !wanted.is_empty() {
        steps.push(Step::Packages(wanted));
    }
    if host.ebpf.linker().is_err() {
        steps.push(Step::BpfLinker);
    }
    if tests && !host.deny {
        steps.push(Step::CargoDeny);
    }
    if tests && host.nightly && !host.fuzz {
        steps.push(Step::CargoFuzz);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{linker::tests::with_llvm, toolchain::LLVM};

    fn complete() -> Host {
        Host {
            ebpf: Found {
                nightly: None,
                debian: Some(LLVM),
                debian_sources: true,
                linkers: vec![with_llvm(LLVM)],
            },
            build: false,
            existing: false,
            no_clients: false,
            engine: true,
            node: true,
            formatter: true,
            deny: true,
            fuzz: true,
            nightly: true,
            missing: Vec::new(),
        }
    }

    #[test]
    fn a_complete_host_needs_nothing() {
        assert_eq!(plan(&complete()), []);
    }

    #[test]
    fn only_what_is_missing_is_installed() {
        let host = Host {
            missing: vec!["prometheus"],
            ..complete()
        };
        assert_eq!(plan(&host), [Step::Packages(vec!["prometheus"])]);
    }

    #[test]
    fn a_host_that_has_an_openfaas_gets_no_second_one() {
        let host = Host {
            existing: true,
            engine: false,
            missing: [TESTBED, ENGINE, &["curl"]].concat(),
            ..complete()
        };
        assert_eq!(plan(&host), [Step::Packages(vec!["curl"])]);
    }

    #[test]
    fn an_engine_that_is_there_stays() {
        let mut host = Host {
            missing: ENGINE.to_vec(),
            ..complete()
        };
        assert_eq!(plan(&host), []);
        host.engine = false;
        assert_eq!(plan(&host), [Step::Packages(ENGINE.to_vec())]);
    }

    #[test]
    fn a_demonstration_gets_no_clients() {
        let host = Host {
            no_clients: true,
            missing: [CLIENTS, &["curl"]].concat(),
            ..complete()
        };
        assert_eq!(plan(&host), [Step::Packages(vec!["curl"])]);
    }

    #[test]
    fn a_host_that_only_builds_gets_compilers_and_the_linker() {
        let host = Host {
            build: true,
            missing: ALL_PACKAGES.concat(),
            nightly: true,
            ..Host::default()
        };
        let packages = [BUILD, COMPILER, LINKER].concat();
        assert_eq!(plan(&host), [Step::Packages(packages), Step::BpfLinker]);
    }

    #[test]
    fn a_nightly_with_sources_makes_the_compiler_packages_needless() {
        let mut host = Host {
            missing: COMPILER.to_vec(),
            ..complete()
        };
        host.ebpf = Found {
            nightly: Some(LLVM),
            debian: None,
            ..host.ebpf
        };
        assert_eq!(plan(&host), []);
    }

    #[test]
    fn without_a_compiler_its_packages_are_installed() {
        let mut host = Host {
            missing: COMPILER.to_vec(),
            ..complete()
        };
        host.ebpf.debian = None;
        assert_eq!(plan(&host), [Step::Packages(COMPILER.to_vec())]);
    }

    #[test]
    fn a_linker_that_is_missing_or_too_old_is_built_after_what_it_is_built_with() {
        let mut host = Host {
            missing: LINKER.to_vec(),
            ..complete()
        };
        for linkers in [vec![], vec![with_llvm(LLVM - 1)]] {
            host.ebpf.linkers = linkers;
            assert_eq!(
                plan(&host),
                [Step::Packages(LINKER.to_vec()), Step::BpfLinker]
            );
        }
    }

    #[test]
    fn fuzzing_is_set_up_only_where_its_compiler_is() {
        let mut host = Host {
            fuzz: false,
            ..complete()
        };
        assert_eq!(plan(&host), [Step::CargoFuzz]);
        host.nightly = false;
        assert_eq!(plan(&host), []);
    }

    #[test]
    fn the_linkers_packages_are_those_of_the_llvm_that_it_is_built_for() {
        assert!(LINKER.contains(&format!("llvm-{LLVM}-dev").as_str()));
    }
}
