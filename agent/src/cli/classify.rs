//! Exit codes of the errors of everything that is not the sealed format.
use std::io::ErrorKind;

use super::exit::{Classify, Exit, io_exit};
use crate::{
    config::ConfigError,
    control::{ClientError, ServerError},
    daemon::DaemonError,
    image::ImageError,
    openfaas::FaasError,
    rebuild::{RebuildError, mount::MountError},
    release::ReleaseError,
    spot::SpotError,
    stack::StackError,
};

impl Classify for ConfigError {
    fn exit(&self) -> Exit {
        match self {
            // What is no text is there, and can be read.
            Self::Read { source, .. } if source.kind() != ErrorKind::InvalidData => io_exit(source),
            Self::Read { .. } | Self::Parse { .. } | Self::Mistakes { .. } => Exit::Config,
        }
    }
}

impl Classify for ClientError {
    fn exit(&self) -> Exit {
        match self {
            Self::NoAgent { .. }
            | Self::NoAnswer { .. }
            | Self::Broken { .. }
            | Self::Unconfirmed { .. }
            | Self::Unknown { .. } => Exit::NoAgent,
            Self::NotPermitted { .. } => Exit::Permission,
        }
    }
}

impl Classify for ServerError {
    fn exit(&self) -> Exit {
        match self {
            Self::Taken(_) => Exit::Exists,
            Self::Open { source, .. } => io_exit(source),
        }
    }
}

impl Classify for FaasError {
    fn exit(&self) -> Exit {
        match self {
            Self::Stack(_) => Exit::File,
            Self::Address(_) | Self::Login { .. } => Exit::Config,
            Self::LoginFile { source, .. } | Self::LoginUnwritten { source, .. } => io_exit(source),
            Self::Cli {
                step: "build" | "push",
                ..
            }
            | Self::CliTimeout {
                step: "build" | "push",
                ..
            } => Exit::Images,
            Self::NoCli { .. }
            | Self::Cli { .. }
            | Self::CliTimeout { .. }
            | Self::Unreachable { .. }
            | Self::Unauthorized(_)
            | Self::Status { .. }
            | Self::NotAvailable { .. } => Exit::Gateway,
        }
    }
}

impl Classify for ImageError {
    fn exit(&self) -> Exit {
        match self {
            Self::Engine(_)
            | Self::Build { .. }
            | Self::Push { .. }
            | Self::Registry { .. }
            | Self::Tags { .. }
            | Self::Unpurged { .. }
            | Self::Purge { .. }
            | Self::Cache { .. }
            | Self::Pulled { .. } => Exit::Images,
            Self::Base { source, .. } => source.exit(),
            Self::Context { source, .. } | Self::Export { source, .. } => io_exit(source),
            Self::Unparkable { .. } | Self::SealedBuild { .. } => Exit::Stack,
            // It puts the template together, which no gateway takes part in.
            Self::Faas(FaasError::Cli { .. }) => Exit::Stack,
            Self::Faas(error) => error.exit(),
        }
    }
}

impl Classify for StackError {
    fn exit(&self) -> Exit {
        match self {
            Self::Read { source, .. } => io_exit(source),
            Self::Parse { .. }
            | Self::Variable { .. }
            | Self::NoFunction { .. }
            | Self::Function { .. } => Exit::Stack,
        }
    }
}

impl Classify for SpotError {
    fn exit(&self) -> Exit {
        match self {
            Self::NotPermitted { .. } => Exit::Permission,
            Self::Name(_) | Self::Header(_) | Self::Headers(..) => Exit::Config,
            _ => Exit::Kernel,
        }
    }
}

impl Classify for ReleaseError {
    fn exit(&self) -> Exit {
        match self {
            Self::Spot(error) => error.exit(),
            Self::Claimed { .. } => Exit::Exists,
            Self::Claim(_) | Self::Pair(_) | Self::Socket(_) | Self::Loopback(_) => Exit::Kernel,
        }
    }
}

impl Classify for RebuildError {
    fn exit(&self) -> Exit {
        match self {
            Self::Seal(error) => error.exit(),
            Self::Archive(error) => error.exit(),
            Self::Faas(error) => error.exit(),
            Self::NotRemoved { .. } => Exit::Gateway,
            Self::Image(error) => error.exit(),
            Self::Mount(MountError::Kill { .. }) => Exit::Permission,
            Self::Mount(_) => Exit::Kernel,
            Self::Random(_) | Self::BrokenOff => Exit::Unexpected,
        }
    }
}

impl Classify for DaemonError {
    fn exit(&self) -> Exit {
        match self {
            Self::Spot(error) => error.exit(),
            Self::Release(error) => error.exit(),
            Self::State(error) => error.exit(),
            Self::Control(error) => error.exit(),
            Self::Faas(error) => error.exit(),
            Self::Sweep(error) => error.exit(),
            Self::System { source, .. } => io_exit(source),
            Self::Netlink | Self::PairGone => Exit::Kernel,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_configuration_that_cannot_be_read_has_no_mistakes() {
        for (kind, exit) in [
            (ErrorKind::PermissionDenied, Exit::Permission),
            (ErrorKind::NotFound, Exit::File),
            // It is no text.
            (ErrorKind::InvalidData, Exit::Config),
        ] {
            let error = ConfigError::Read {
                path: "/etc/rsfaas/agent.toml".into(),
                source: kind.into(),
            };
            assert_eq!(error.exit(), exit, "{kind:?}");
        }
    }

    #[test]
    fn what_faas_cli_does_without_the_gateway_is_no_failure_of_the_gateway() {
        let failed = |step| FaasError::Cli {
            step,
            said: String::new(),
        };
        assert_eq!(ImageError::Faas(failed("build")).exit(), Exit::Stack);
        assert_eq!(failed("push").exit(), Exit::Images);
        assert_eq!(failed("deploy").exit(), Exit::Gateway);
        let hung = |step| FaasError::CliTimeout {
            step,
            limit: Duration::ZERO,
        };
        assert_eq!(hung("build").exit(), Exit::Images);
        assert_eq!(hung("push").exit(), Exit::Images);
        assert_eq!(hung("deploy").exit(), Exit::Gateway);
    }
}
