//! The compiler for eBPF: rustup's nightly where it has the library's sources and an LLVM that the
//! linker can read, else Debian's, which takes nightly flags with `RUSTC_BOOTSTRAP=1`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::linker::{self, Linker};
use crate::{
    error::Error,
    process::{self, path_with},
};

/// The major version of the LLVM that `cargo xtask setup` builds bpf-linker with; it reads what this
/// one and earlier ones wrote.
pub(crate) const LLVM: u32 = 22;

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const LIBRARY: &str = "lib/rustlib/src/rust/library/core/Cargo.toml";

/// What was found on the host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// rustup's nightly, where it has the library's sources: its LLVM's major version.
    pub(crate) nightly: Option<u32>,
    /// Debian's compiler, where it is new enough: its LLVM's major version.
    pub(crate) debian: Option<u32>,
    /// Whether Debian's compiler has the library's sources.
    pub(crate) debian_sources: bool,
    /// Every bpf-linker on the search path, the first one first.
    pub(crate) linkers: Vec<Linker>,
}

/// Which compiler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// rustup's nightly.
    Nightly,
    /// Debian's `rustc-web`.
    Debian,
}

/// A compiler and the linker that goes with it.
#[derive(Debug)]
pub(crate) struct Toolchain {
    compiler: Compiler,
    linker: PathBuf,
}

impl Found {
    /// Looks at the host.
    pub(crate) fn look() -> Self {
        Self {
            nightly: nightly(),
            debian: Path::new(DEBIAN_CARGO).is_file().then(debian).flatten(),
            debian_sources: sysroot(&mut Command::new(DEBIAN_RUSTC)).is_some_and(has_sources),
            linkers: linker::look(),
        }
    }

    /// The compiler to use, or what is missing.
    pub(crate) fn compiler(&self) -> Result<Compiler, String> {
        if self.nightly.is_some_and(|llvm| llvm <= LLVM) {
            return Ok(Compiler::Nightly);
        }
        match self.debian {
            Some(llvm) if llvm <= LLVM && self.debian_sources => Ok(Compiler::Debian),
            Some(llvm) if llvm <= LLVM => {
                Err("the Rust library's sources (package rust-web-src)".into())
            }
            _ => Err(format!(
                "a Rust compiler for eBPF (rustup's nightly with rust-src and LLVM {LLVM} at most, \
                 or Debian's rustc-web, cargo-web and rust-web-src)"
            )),
        }
    }

    /// The linker to use, or what is missing.
    pub(crate) fn linker(&self) -> Result<&Path, String> {
        linker::choose(&self.linkers)
    }
}

impl Toolchain {
    /// Finds one.
    pub(crate) fn find() -> Result<Self, Error> {
        Self::of(Found::look())
    }

    fn of(found: Found) -> Result<Self, Error> {
        let missing = |what| Error::Missing {
            what,
            command: "cargo xtask setup --build",
        };
        let compiler = found.compiler().map_err(missing)?;
        let linker = found.linker().map_err(missing)?.to_owned();
        Ok(Self { compiler, linker })
    }

    /// What is used, for people.
    pub(crate) fn description(&self) -> String {
        let compiler = match self.compiler {
            Compiler::Nightly => "rustup's nightly",
            Compiler::Debian => "Debian's rustc",
        };
        format!("{compiler}, {}", self.linker.display())
    }

    /// Its cargo, with the linker on the search path.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = match self.compiler {
            Compiler::Nightly => nightly_command("cargo"),
            Compiler::Debian => {
                let mut command = Command::new(DEBIAN_CARGO);
                command
                    .env("RUSTC", DEBIAN_RUSTC)
                    .env("RUSTC_BOOTSTRAP", "1");
                command
            }
        };
        if let Some(folder) = self.linker.parent() {
            command.env("PATH", path_with(&[folder]));
        }
        // Flags meant for the host's programs are wrong for the kernel's.
        command
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        command
    }
}

/// A program of rustup's nightly; the toolchain that runs this program must not show through.
fn nightly_command(program: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", program]);
    for variable in [
        "RUSTUP_TOOLCHAIN",
        "CARGO",
        "RUSTC",
        "RUSTDOC",
        "LD_LIBRARY_PATH",
    ] {
        command.env_remove(variable);
    }
    command
}

fn nightly() -> Option<u32> {
    sysroot(&mut nightly_command("rustc")).filter(|root| has_sources(root))?;
    llvm(&process::output(nightly_command("rustc").arg("-vV")).ok()?)
}

fn debian() -> Option<u32> {
    llvm(&process::output(Command::new(DEBIAN_RUSTC).arg("-vV")).ok()?)
}

fn sysroot(rustc: &mut Command) -> Option<PathBuf> {
    let path = process::output(rustc.args(["--print", "sysroot"])).ok()?;
    Some(PathBuf::from(path.trim()))
}

fn has_sources(sysroot: impl AsRef<Path>) -> bool {
    sysroot.as_ref().join(LIBRARY).is_file()
}

/// The LLVM's major version in what `rustc -vV` prints; `None` where the compiler is too old for
/// this workspace's edition.
fn llvm(version: &str) -> Option<u32> {
    let field = |name: &str| version.lines().find_map(|line| line.strip_prefix(name));
    let mut release = field("release: ")?.split('.');
    let minor: u32 = release.nth(1)?.parse().ok()?;
    if minor < minimum_minor() {
        return None;
    }
    field("LLVM version: ")?.split('.').next()?.parse().ok()
}

/// The minor version of the oldest Rust that the workspace wants (`rust-version` in Cargo.toml).
fn minimum_minor() -> u32 {
    env!("CARGO_PKG_RUST_VERSION")
        .split('.')
        .nth(1)
        .and_then(|minor| minor.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::linker::tests::with_llvm;

    fn complete() -> Found {
        Found {
            nightly: Some(LLVM),
            debian: Some(LLVM),
            debian_sources: true,
            linkers: vec![with_llvm(LLVM)],
        }
    }

    #[test]
    fn a_complete_nightly_comes_first() {
        assert_eq!(complete().compiler(), Ok(Compiler::Nightly));
    }

    #[test]
    fn debian_serves_where_nightly_lacks_the_sources_or_is_too_new_for_the_linker() {
        for nightly in [None, Some(LLVM + 1)] {
            assert_eq!(
                Found {
                    nightly,
                    ..complete()
                }
                .compiler(),
                Ok(Compiler::Debian)
            );
        }
    }

    #[test]
    fn missing_sources_are_told_from_a_missing_compiler() {
        let sources = Found {
            nightly: None,
            debian_sources: false,
            ..complete()
        };
        assert_eq!(
            Toolchain::of(sources).unwrap_err().to_string(),
            "missing: the Rust library's sources (package rust-web-src); `cargo xtask setup \
             --build` installs it"
        );
        let compiler = Found {
            nightly: None,
            debian: None,
            ..complete()
        };
        assert!(
            Toolchain::of(compiler)
                .unwrap_err()
                .to_string()
                .contains("a Rust compiler for eBPF")
        );
    }

    #[test]
    fn a_linker_that_is_missing_or_of_an_older_llvm_is_told_with_the_command_that_installs_one() {
        for (linkers, what) in [
            (vec![], "LLVM 22"),
            (vec![with_llvm(21)], "LLVM 22; /bin/bpf-linker has LLVM 21"),
        ] {
            assert_eq!(
                Toolchain::of(Found {
                    linkers,
                    ..complete()
                })
                .unwrap_err()
                .to_string(),
                format!(
                    "missing: bpf-linker (with {what}); `cargo xtask setup --build` installs it"
                )
            );
        }
    }

    #[test]
    fn a_compiler_too_old_for_the_workspace_does_not_count() {
        assert_eq!(llvm("release: 1.63.0\nLLVM version: 14.0.6\n"), None);
        assert_eq!(llvm("release: 1.96.0\nLLVM version: 22.1.8\n"), Some(22));
        assert_eq!(
            llvm("release: 1.97.0-nightly\nLLVM version: 22.1.4\n"),
            Some(22)
        );
    }
}
