//! The linkers for eBPF that there are, and which of them can read what the compiler writes.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::toolchain::LLVM;
use crate::process::{self, find_all};

/// A bpf-linker.
#[derive(Debug, Clone)]
pub(crate) struct Linker {
    path: PathBuf,
    /// The shared libraries that it needs, as `ldd` prints them; empty where it needs none.
    libraries: String,
}

/// Every bpf-linker on the search path, the first one first.
pub(super) fn look() -> Vec<Linker> {
    find_all("bpf-linker").map(Linker::at).collect()
}

/// The first that can be used, or what is missing.
pub(super) fn choose(linkers: &[Linker]) -> Result<&Path, String> {
    if let Some(linker) = linkers.iter().find(|it| it.unfit().is_none()) {
        return Ok(&linker.path);
    }
    let unfit: String = linkers
        .iter()
        .filter_map(|it| Some(format!("; {} {}", it.path.display(), it.unfit()?)))
        .collect();
    Err(format!("bpf-linker (with LLVM {LLVM}{unfit})"))
}

impl Linker {
    fn at(path: PathBuf) -> Self {
        // `ldd` fails for a program that needs no libraries.
        let libraries = process::output(Command::new("ldd").arg(&path)).unwrap_or_default();
        Self { path, libraries }
    }

    /// Why it cannot be used; `None` too where its LLVM is within itself, and cannot be told.
    fn unfit(&self) -> Option<String> {
        let mut lines = self.libraries.lines().map(str::trim);
        let line = lines.find(|line| line.starts_with("libLLVM"))?;
        let name = line.split_whitespace().next()?;
        if line.ends_with("not found") {
            return Some(format!("needs {name}, which is not there"));
        }
        let version = version(name)?;
        (version < LLVM).then(|| format!("has LLVM {version}"))
    }
}

/// The major version in the name of LLVM's library: `libLLVM.so.22.1`, before LLVM 18 `libLLVM-17.so.1`.
fn version(library: &str) -> Option<u32> {
    let rest = library
        .strip_prefix("libLLVM.so.")
        .or_else(|| library.strip_prefix("libLLVM-"))?;
    rest.split(['.', '-']).next()?.parse().ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn linker(path: &str, library: &str) -> Linker {
        Linker {
            path: path.into(),
            libraries: format!(
                "\tlinux-vdso.so.1 (0x7f00)\n\t{library}\n\tlibc.so.6 => /lib/libc.so.6 (0x7f01)\n"
            ),
        }
    }

    /// One in `/bin` that is linked against some LLVM.
    pub(crate) fn with_llvm(version: u32) -> Linker {
        let name = format!("libLLVM.so.{version}.1");
        linker(
            "/bin/bpf-linker",
            &format!("{name} => /lib/{name} (0x7f02)"),
        )
    }

    #[test]
    fn a_linker_with_the_compilers_llvm_or_a_later_one_is_accepted() {
        for version in [LLVM, LLVM + 1] {
            assert_eq!(
                choose(&[with_llvm(version)]),
                Ok(Path::new("/bin/bpf-linker"))
            );
        }
    }

    #[test]
    fn a_statically_linked_bpf_linker_is_accepted() {
        choose(&[linker(
            "/bin/bpf-linker",
            "libm.so.6 => /lib/libm.so.6 (0x7f02)",
        )])
        .unwrap();
    }

    #[test]
    fn a_linker_with_an_older_llvm_counts_as_missing_and_is_named() {
        for library in ["libLLVM.so.21.1", "libLLVM-21.so.1"] {
            let line = format!("{library} => /lib/{library} (0x7f02)");
            assert_eq!(
                choose(&[linker("/bin/bpf-linker", &line)]),
                Err("bpf-linker (with LLVM 22; /bin/bpf-linker has LLVM 21)".into())
            );
        }
    }

    #[test]
    fn a_linker_whose_llvm_is_gone_counts_as_missing_and_is_named() {
        assert_eq!(
            choose(&[linker("/bin/bpf-linker", "libLLVM.so.22.1 => not found")]),
            Err(
                "bpf-linker (with LLVM 22; /bin/bpf-linker needs libLLVM.so.22.1, which is not there)"
                    .into()
            )
        );
    }

    #[test]
    fn a_linker_further_down_the_search_path_is_taken_where_the_first_is_too_old() {
        let second = linker("/second/bpf-linker", "libLLVM.so.22.1 => /lib/x (0x7f02)");
        assert_eq!(
            choose(&[with_llvm(LLVM - 1), second]),
            Ok(Path::new("/second/bpf-linker"))
        );
    }
}
