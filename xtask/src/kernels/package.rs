//! Debian's kernels for virtual machines: fetched as packages and unpacked, not installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    error::{At as _, Error},
    process,
};

/// What the programs need and these kernels have as modules, each after those that it needs: the
/// agent's way back, and the hooks before TCX. (`act_bpf` is not among them: the programs give their
/// verdict directly.) Then what the cases need: VLANs.
const MODULES: [&str; 8] = [
    "drivers/net/veth.ko",
    "net/sched/sch_ingress.ko",
    "net/sched/cls_bpf.ko",
    "net/llc/llc.ko",
    "net/802/stp.ko",
    "net/802/garp.ko",
    "net/802/mrp.ko",
    "net/8021q/8021q.ko",
];
/// Signs the package lists of every release.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A kernel.
#[derive(Debug)]
pub(super) struct Kernel {
    /// Its version, without the last number.
    pub(super) version: &'static str,
    /// The Debian release that has it, where it is another one than the host's.
    pub(super) release: Option<&'static str>,
}

/// Its files.
pub(super) struct Files {
    /// The package's name.
    pub(super) name: String,
    /// What is booted.
    pub(super) image: PathBuf,
    /// What is loaded then, in this order.
    pub(super) modules: Vec<PathBuf>,
}

impl Kernel {
    /// Fetches it into a folder of its own, where it was not fetched before.
    pub(super) fn fetch(&self, folder: &Path) -> Result<Files, Error> {
        let folder = folder.join(self.version);
        let unpacked = folder.join("unpacked");
        if !unpacked.is_dir() {
            fs::create_dir_all(&folder).at(&folder)?;
            let apt = Apt::new(&folder, self.release)?;
            let name = self.newest(&apt.names(self.version)?)?;
            let package = apt.download(&name)?;
            // Half an unpacked package must not be taken for a whole one.
            let partial = folder.join("partial");
            process::run(
                Command::new("dpkg-deb")
                    .arg("-x")
                    .args([&package, &partial]),
            )?;
            fs::rename(&partial, &unpacked).at(&unpacked)?;
        }
        files(&unpacked)
    }

    fn newest(&self, names: &str) -> Result<String, Error> {
        let prefix = format!("linux-image-{}.", self.version);
        names
            .lines()
            .filter_map(|line| line.split(' ').next())
            .filter(|name| name.starts_with(&prefix) && name.ends_with("-cloud-amd64-unsigned"))
            // Another release's kernel, built for this one, is named after it.
            .filter(|name| !name.contains(".deb11."))
            .max_by_key(|name| numbers(name))
            .map(str::to_owned)
            .ok_or_else(|| {
                Error::Needs(format!(
                    "no Debian package has Linux {} for virtual machines; is `apt-get update` long ago?",
                    self.version
                ))
            })
    }
}

fn numbers(name: &str) -> Vec<u32> {
    name.split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|part| part.parse().ok())
        .collect()
}

fn files(unpacked: &Path) -> Result<Files, Error> {
    let modules = unpacked.join("lib/modules");
    let release = fs::read_dir(&modules)
        .at(&modules)?
        .flatten()
        .next()
        .ok_or_else(|| Error::Needs(format!("{} is empty", modules.display())))?
        .file_name();
    let kernel = modules.join(&release).join("kernel");
    let release = release.to_string_lossy().into_owned();
    let found = MODULES.map(|name| {
        let plain = kernel.join(name);
        // Newer ones are compressed; the kernel unpacks them.
        if plain.is_file() {
            plain
        } else {
            kernel.join(format!("{name}.xz"))
        }
    });
    Ok(Files {
        image: unpacked.join("boot").join(format!("vmlinuz-{release}")),
        name: release,
        modules: found.to_vec(),
    })
}

/// Debian's package manager: for the host's own release, or with lists of its own for another.
struct Apt {
    folder: PathBuf,
    options: Vec<String>,
}

impl Apt {
    fn new(folder: &Path, release: Option<&str>) -> Result<Self, Error> {
        let mut this = Self {
            folder: folder.to_owned(),
            // Nobody but root may write to the folder.
            options: vec!["-oAPT::Sandbox::User=root".to_owned()],
        };
        if let Some(release) = release {
            let mirror = mirror()?;
            let sources = folder.join("sources.list");
            let lists = folder.join("lists");
            let line = format!("deb [signed-by={KEYRING}] {mirror} {release} main\n");
            fs::write(&sources, line).at(&sources)?;
            fs::create_dir_all(lists.join("partial")).at(&lists)?;
            for (option, value) in [
                ("Dir::Etc::sourcelist", sources.as_path()),
                ("Dir::Etc::sourceparts", Path::new("-")),
                ("Dir::State::lists", &lists),
                ("Dir::Cache", folder),
            ] {
                this.options.push(format!("-o{option}={}", value.display()));
            }
        }
        process::run(this.command("apt-get").args(["update", "-qq"]))?;
        Ok(this)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).args(&self.options);
        command
    }

    fn names(&self, version: &str) -> Result<String, Error> {
        let pattern = format!("^linux-image-{version}.*-cloud-amd64-unsigned$");
        process::output(
            self.command("apt-cache")
                .args(["search", "--names-only", &pattern]),
        )
    }

    fn download(&self, name: &str) -> Result<PathBuf, Error> {
        process::run(self.command("apt-get").args(["download", "-qq", name]))?;
        let prefix = format!("{name}_");
        fs::read_dir(&self.folder)
            .at(&self.folder)?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| {
                path.file_name()
                    .is_some_and(|file| file.to_string_lossy().starts_with(&prefix))
            })
            .ok_or_else(|| Error::Needs(format!("apt-get did not download {name}")))
    }
}

/// Where the host gets its own Debian packages.
fn mirror() -> Result<String, Error> {
    let sources = process::output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(LABEL) $(REPO_URI)",
    ]))?;
    sources
        .lines()
        .find_map(|line| line.strip_prefix("Debian "))
        .map(str::to_owned)
        .ok_or_else(|| Error::Needs("apt has no source of Debian packages".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_the_one_of_the_highest_numbers() {
        let kernel = Kernel {
            version: "6.1",
            release: None,
        };
        let names = "linux-image-6.1.0-9-cloud-amd64-unsigned - Linux\n\
            linux-image-6.1.0-51-cloud-amd64-unsigned - Linux\n\
            linux-image-6.1.0-0.deb11.99-cloud-amd64-unsigned - Linux\n\
            linux-image-6.12.117+deb12-cloud-amd64-unsigned - Linux\n";
        assert_eq!(
            kernel.newest(names).unwrap(),
            "linux-image-6.1.0-51-cloud-amd64-unsigned"
        );
        assert!(kernel.newest("").is_err());
    }
}
