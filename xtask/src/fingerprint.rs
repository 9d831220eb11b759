//! What a build product was made from: one fingerprint, which `cargo xtask` writes beside the product
//! and `agent/build.rs` (which includes this file) compares before the agent, which embeds the product by its
//! path, is built, so that an old program is a build error and never runs silently.
//!
//! The fingerprint covers the product's own sources, what its build is told, and the locked versions of all that it
//! may depend on. `Cargo.lock` does not tell an optional dependency from another: one version too many makes a product
//! old for nothing, which costs seconds. The compiler is left out: to ask it would cost every build of the agent.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

/// A file that the agent embeds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Artifact {
    /// Its name under `target/artifacts/`.
    pub(crate) name: &'static str,
    /// The folder of its sources, relative to the workspace.
    pub(crate) sources: &'static str,
    /// The package there.
    pub(crate) package: &'static str,
    /// What `cargo build` is told beside the package.
    pub(crate) arguments: &'static [&'static str],
    /// What the compiler is told.
    pub(crate) flags: &'static [&'static str],
    /// The command that makes it.
    pub(crate) command: &'static str,
}

/// The eBPF object.
pub(crate) const SPOTTER: Artifact = Artifact {
    name: "spotter.o",
    sources: "agent-ebpf",
    package: "agent-ebpf",
    arguments: &[
        "--bin",
        "rsfaas-spotter",
        "--features",
        "bpf",
        "--target",
        "bpfel-unknown-none",
        "-Z",
        "build-std=core",
        "--release",
    ],
    flags: &[
        // Linux 6.1's verifier takes a loop for one that may not end ("back-edge") where an instruction that is no
        // jump runs into the loop's head, as LLVM's last ordering of blocks likes to have it.
        "-C link-arg=--llvm-args=-disable-block-placement",
        // Machines with efficient unaligned access let programs read a header's words as words.
        "-C link-arg=--cpu-features=+allows-misaligned-mem-access",
    ],
    command: "cargo xtask build-ebpf",
};
/// The program that parks a process.
pub(crate) const GATE: Artifact = shim("gate");
/// The locked function.
pub(crate) const LOCKED: Artifact = shim("locked");

const fn shim(name: &'static str) -> Artifact {
    Artifact {
        name,
        sources: "agent/shim",
        package: "rsfaas-shim",
        arguments: &["--release"],
        flags: &["-C target-feature=+crt-static", "-C strip=symbols"],
        command: "cargo xtask build-shim",
    }
}

impl Artifact {
    /// The files of the workspace that count, beside the sources.
    pub(crate) const WORKSPACE_FILES: [&'static str; 2] = ["Cargo.toml", "Cargo.lock"];

    /// Where the product lies.
    pub(crate) fn path(&self, workspace: &Path) -> PathBuf {
        workspace.join("target/artifacts").join(self.name)
    }

    /// Where the fingerprint of what it was made from lies.
    pub(crate) fn sources_path(&self, workspace: &Path) -> PathBuf {
        workspace
            .join("target/artifacts")
            .join(format!("{}.sources", self.name))
    }

    /// The fingerprint of all that the product is made from as it is now, in hexadecimal.
    ///
    /// # Errors
    /// When a file cannot be read, or `Cargo.lock` does not have the package.
    pub(crate) fn fingerprint(&self, workspace: &Path) -> io::Result<String> {
        let [manifest, lock] = Self::WORKSPACE_FILES.map(|name| workspace.join(name));
        let manifest = fs::read_to_string(manifest)?;
        let lock = fs::read_to_string(lock)?;
        let sources = of_folder(&workspace.join(self.sources))?;
        let mut parts = vec![sources.as_str()];
        parts.extend(self.arguments);
        parts.extend(self.flags);
        parts.extend(profile(&manifest));
        parts.extend(locked(&lock, self.package).ok_or_else(|| {
            let problem = format!("Cargo.lock does not have {}", self.package);
            io::Error::new(io::ErrorKind::InvalidData, problem)
        })?);
        Ok(hexadecimal(parts.into_iter().map(str::as_bytes)))
    }

    /// Whether the product is there and made from the sources as they are now.
    ///
    /// # Errors
    /// One line that says what is wrong and which command puts it right.
    pub(crate) fn verify(&self, workspace: &Path) -> Result<(), String> {
        let Self {
            name,
            sources,
            command,
            ..
        } = self;
        let built_from = fs::read_to_string(self.sources_path(workspace)).unwrap_or_default();
        if built_from.is_empty() || !self.path(workspace).is_file() {
            return Err(format!(
                "target/artifacts/{name} is missing; run `{command}`"
            ));
        }
        let now = self
            .fingerprint(workspace)
            .map_err(|error| format!("cannot tell what {name} is made from: {error}"))?;
        if built_from.trim() == now {
            Ok(())
        } else {
            Err(format!(
                "target/artifacts/{name} is older than {sources}/, its build flags or its locked dependencies; \
                 run `{command}`"
            ))
        }
    }
}

/// SHA-256, in hexadecimal, over the files of a folder sorted by their relative path: for each the
/// path's length (eight bytes, little-endian), the path, the content's length, the content. Folders
/// named `target` are left out.
///
/// # Errors
/// When a folder or file cannot be read.
pub(crate) fn of_folder(folder: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    collect(folder, Path::new(""), &mut files)?;
    files.sort();
    let mut parts = Vec::new();
    for file in files {
        parts.push(file.to_string_lossy().into_owned().into_bytes());
        parts.push(fs::read(folder.join(&file))?);
    }
    Ok(hexadecimal(parts.iter().map(Vec::as_slice)))
}

/// SHA-256 over the parts, each after its length.
fn hexadecimal<'a>(parts: impl Iterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The lines of `Cargo.toml` that say how releases are compiled.
fn profile(manifest: &str) -> impl Iterator<Item = &str> {
    let mut within = false;
    manifest.lines().filter(move |line| {
        if line.starts_with('[') {
            within = line.starts_with("[profile.release");
        }
        within
    })
}

/// What `Cargo.lock` says of a package and of all that it depends on, directly or not; `None` where it does not have it.
fn locked<'a>(lock: &'a str, package: &str) -> Option<Vec<&'a str>> {
    let packages: Vec<&str> = lock.split("[[package]]\n").skip(1).collect();
    let field = |text: &'a str, name: &str| {
        let lines = text.lines();
        let value = lines.filter_map(|line| line.strip_prefix(name)).next()?;
        Some(value.trim_matches(['"', ' ', '=']))
    };
    // A dependency is a name, with the version behind it where there are several.
    let find = |wanted: &str| {
        let mut words = wanted.split(' ');
        let (name, version) = (words.next(), words.next());
        packages.iter().position(|text| {
            field(text, "name") == name && (version.is_none() || field(text, "version") == version)
        })
    };
    let mut found = BTreeSet::new();
    let mut ahead = vec![find(package)?];
    while let Some(index) = ahead.pop() {
        if found.insert(index) {
            let dependencies = packages[index]
                .lines()
                .filter_map(|line| line.strip_prefix(" \""));
            ahead.extend(dependencies.filter_map(|line| find(line.trim_end_matches(['"', ',']))));
        }
    }
    Some(found.into_iter().map(|index| packages[index]).collect())
}

fn collect(root: &Path, relative: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(relative))? {
        let entry = entry?;
        let path = relative.join(entry.file_name());
        if !entry.file_type()?.is_dir() {
            files.push(path);
        } else if entry.file_name() != "target" {
            collect(root, &path, files)?;
        }
    }
    Ok(())
}

// Named, since the agent's build script, which includes this file too, would look elsewhere for it.
#[cfg(test)]
#[path = "fingerprint/tests.rs"]
mod tests;
