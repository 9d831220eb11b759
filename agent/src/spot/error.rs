//! What can go wrong between the agent and its programs.
use std::io;

use aya::{EbpfError, maps::MapError, programs::ProgramError};

/// An error of the spotter; each names the thing that failed.
#[derive(Debug, thiserror::Error)]
pub enum SpotError {
    /// The agent lacks the rights to load programs.
    #[error(
        "not permitted to load eBPF programs ({source}); run the agent as root; \
         deploy/rsfaas-agent.service lists the capabilities that it needs"
    )]
    NotPermitted {
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused the object.
    #[error("the kernel refused the eBPF object: {0}")]
    Load(#[from] EbpfError),
    /// The kernel refused a program.
    #[error("the kernel refused program {name}: {source}")]
    Program {
        /// The program.
        name: &'static str,
        /// What it said, the verifier's log included.
        source: Box<ProgramError>,
    },
    /// The object lacks a program or map: it is not the one this agent was built with.
    #[error("the eBPF object has no {0}; build it again with `cargo xtask build-ebpf`")]
    Missing(&'static str),
    /// A program could not be attached.
    #[error("cannot attach {program} to interface {interface}: {source}")]
    Attach {
        /// The program.
        program: &'static str,
        /// The interface.
        interface: String,
        /// What the kernel said.
        source: Box<ProgramError>,
    },
    /// What older kernels attach programs to is not there, and something else in its place.
    #[error(
        "interface {interface} has the qdisc {kind:?} in the place of clsact, and answers cannot be seen there; remove it \
         (`tc qdisc del dev {interface} ingress`) and, where its filters are needed, add them to clsact (`tc qdisc add \
         dev {interface} clsact`); then start the agent again"
    )]
    Qdisc {
        /// The interface.
        interface: String,
        /// The kind of the qdisc.
        kind: String,
    },
    /// A map operation failed.
    #[error("eBPF map {map}: {source}")]
    Map {
        /// The map.
        map: &'static str,
        /// What the kernel said.
        source: MapError,
    },
    /// A name does not fit into the map of names.
    #[error("function name {0:?} is empty or longer than {max} bytes", max = agent_ebpf::NAME_LEN - 1)]
    Name(String),
    /// The key header's name does not fit.
    #[error("header name {0:?} is empty or longer than {max} bytes", max = agent_ebpf::NAME_LEN)]
    Header(String),
    /// The two headers' names do not fit together.
    #[error("header names {0:?} and {1:?} are too long together; choose shorter ones")]
    Headers(String, String),
    /// Interfaces cannot be listed or followed.
    #[error("cannot follow network interfaces: {0}")]
    Netlink(String),
    /// The ring buffer cannot be waited for.
    #[error("cannot wait for the ring buffer: {0}")]
    Ring(io::Error),
    /// The programs' log cannot be read.
    #[error("cannot read the programs' log: {0}")]
    Log(String),
}

impl SpotError {
    /// Wraps a map's error.
    pub(super) fn map(map: &'static str) -> impl FnOnce(MapError) -> Self {
        move |source| Self::Map { map, source }
    }

    /// Wraps what is in the way of a program at an interface.
    pub(super) fn attach(program: &'static str, interface: &str, source: ProgramError) -> Self {
        Self::Attach {
            program,
            interface: interface.to_owned(),
            source: Box::new(source),
        }
    }
}
