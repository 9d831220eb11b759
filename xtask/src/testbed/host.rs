//! How the host was before our Docker Engine started, its network most of all, so that it can be put back.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    errno::Errno,
    mount::{MntFlags, umount2},
};
use serde::{Deserialize, Serialize};

use super::{layout::Layout, netfilter, record};
use crate::{
    error::{At as _, Error},
    process,
};

/// Where the kernel lists interfaces.
const INTERFACES: &str = "/sys/class/net";
/// Where it lists mounts.
pub(super) const MOUNTS: &str = "/proc/self/mountinfo";
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// The key by which Docker Engine makes itself known, made at its first start.
const ENGINE_KEY: &str = "/etc/docker/key.json";
/// By which its command line makes itself known to BuildKit, below the user's home folder.
const CLIENT_ID: &str = ".docker/.buildNodeID";

/// What Docker Engine changes of the host.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Before {
    /// The boot that it is true of; a note from before there was this field is of none.
    #[serde(default)]
    boot: String,
    bridges: Vec<String>,
    forwarding: String,
    iptables: String,
    /// Files of Docker's outside its data folder that were not there.
    #[serde(default)]
    missing: Vec<PathBuf>,
}

impl Before {
    /// Notes it, unless an earlier start of this boot did that which no `down` has followed.
    pub(super) fn note(layout: &Layout) -> Result<(), Error> {
        if Self::read(layout)?.is_some() {
            return Ok(());
        }
        let path = Self::path(layout);
        let before = Self {
            boot: record::boot(),
            bridges: bridges()?,
            forwarding: fs::read_to_string(FORWARDING).at(FORWARDING)?,
            iptables: process::output(&mut Command::new(process::installed("iptables-save")?))?,
            missing: files().into_iter().filter(|file| !file.exists()).collect(),
        };
        let folder = layout.run();
        fs::create_dir_all(&folder).at(&folder)?;
        let text = serde_json::to_vec(&before)
            .map_err(io::Error::other)
            .at(&path)?;
        fs::write(&path, text).at(path)
    }

    /// What was noted in this boot, if anything was. A reboot has put back what an earlier note is of.
    pub(super) fn read(layout: &Layout) -> Result<Option<Self>, Error> {
        let path = Self::path(layout);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at(path),
        };
        let before: Self = serde_json::from_slice(&text)
            .map_err(io::Error::other)
            .at(path)?;
        Ok((before.boot == record::boot()).then_some(before))
    }

    /// Puts it back, and forgets the note.
    pub(super) fn restore(&self, layout: &Layout) -> Result<(), Error> {
        let after = process::output(&mut Command::new(process::installed("iptables-save")?))?;
        let iptables = process::installed("iptables")?;
        let mut bridges = bridges()?;
        bridges.retain(|bridge| !self.bridges.contains(bridge));
        for arguments in netfilter::removals(&self.iptables, &after, &bridges) {
            process::output(Command::new(&iptables).args(arguments))?;
        }
        for bridge in &bridges {
            process::output(
                Command::new(process::installed("ip")?).args(["link", "delete", bridge]),
            )?;
        }
        fs::write(FORWARDING, &self.forwarding).at(FORWARDING)?;
        self.missing.iter().try_for_each(|file| remove(file))?;
        let path = Self::path(layout);
        fs::remove_file(&path).at(path)
    }

    /// Takes the links of containers off the bridges that have come since. A killed engine's successor removes what it
    /// knows of them, but a network namespace, and with it the link, stays for as long as anybody has the mounts of
    /// then, as every private copy of the host's mounts does. It would go on answering for its address, which the
    /// engine gives to the next container, together with the hardware address.
    pub(super) fn unlink_containers(&self) -> Result<(), Error> {
        for bridge in bridges()? {
            if self.bridges.contains(&bridge) {
                continue;
            }
            let ports = Path::new(INTERFACES).join(&bridge).join("brif");
            for port in fs::read_dir(&ports).at(&ports)? {
                let port = port.at(&ports)?;
                let mut ip = Command::new(process::installed("ip")?);
                let deleted = process::output(ip.args(["link", "delete"]).arg(port.file_name()));
                // It may have gone by itself meanwhile.
                if port.path().exists() {
                    deleted?;
                }
            }
        }
        Ok(())
    }

    fn path(layout: &Layout) -> PathBuf {
        layout.run().join("host-before.json")
    }
}

/// What Docker leaves outside its data folder.
pub(super) fn files() -> Vec<PathBuf> {
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(CLIENT_ID));
    home.into_iter().chain([ENGINE_KEY.into()]).collect()
}

/// Removes a file, and its folder where nothing else is in that.
fn remove(file: &Path) -> Result<(), Error> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed.at(file)?,
    }
    let Some(folder) = file.parent() else {
        return Ok(());
    };
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => removed.at(folder),
    }
}

/// Bridges as Docker Engine names them. One outlives it where the engine cannot remove its network.
fn bridges() -> Result<Vec<String>, Error> {
    let mut names = interfaces()?;
    names.retain(|name| is_bridge(name));
    Ok(names)
}

/// Interfaces as Docker Engine names them: bridges, and the hosts' ends of containers' pairs.
pub(super) fn interfaces() -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for entry in fs::read_dir(INTERFACES).at(INTERFACES)? {
        let name = entry.at(INTERFACES)?.file_name();
        let of_docker = |name: &String| is_bridge(name) || is_end_of_pair(name);
        names.extend(name.into_string().ok().filter(of_docker));
    }
    Ok(names)
}

/// The default bridge, or that of another network, named after the start of the network's ID.
fn is_bridge(name: &str) -> bool {
    name == "docker0" || name.strip_prefix("br-").is_some_and(|id| is_id(id, 12))
}

fn is_end_of_pair(name: &str) -> bool {
    name.strip_prefix("veth").is_some_and(|id| is_id(id, 7))
}

fn is_id(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Unmounts everything at and below a folder, the innermost first.
pub(super) fn unmount_below(folder: &Path) -> Result<(), Error> {
    let mounts = fs::read_to_string(MOUNTS).at(MOUNTS)?;
    for point in mount_points(&mounts, folder) {
        match umount2(&point, MntFlags::MNT_DETACH) {
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(error) => return Err(io::Error::from(error)).at(point),
        }
    }
    Ok(())
}

/// The mount points at and below a folder in the text of `/proc/PID/mountinfo`, the last one first.
pub(super) fn mount_points(mounts: &str, folder: &Path) -> Vec<PathBuf> {
    let mut points: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|point| PathBuf::from(point.replace("\\040", " ")))
        .filter(|point| point.starts_with(folder))
        .collect();
    points.reverse();
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_interfaces_are_known_by_name() {
        assert!(is_end_of_pair("veth0369ff0") && !is_end_of_pair("veth0"));
        assert!(is_bridge("docker0") && is_bridge("br-b0d0b21bca4c"));
        assert!(!is_bridge("br-lan") && !is_bridge("eth0") && !is_bridge("br-b0d0b21bca4c0"));
    }

    #[test]
    fn what_was_noted_before_a_reboot_is_not_put_back() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        fs::create_dir_all(layout.run()).unwrap();
        let note = |boot: &str| {
            let text = format!(r#"{{{boot}"bridges": [], "forwarding": "1", "iptables": ""}}"#);
            fs::write(Before::path(&layout), text).unwrap();
            Before::read(&layout).unwrap().is_some()
        };
        assert!(note(&format!(r#""boot": "{}", "#, record::boot())));
        assert!(!note(r#""boot": "another", "#));
        assert!(!note(""), "of an unknown boot");
    }

    #[test]
    fn a_file_goes_with_its_folder_unless_others_are_in_that() {
        let home = tempfile::tempdir().unwrap();
        let [alone, beside] = ["alone", "shared"].map(|folder| {
            let folder = home.path().join(folder);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("id"), "").unwrap();
            folder
        });
        fs::write(beside.join("config.json"), "").unwrap();
        for folder in [&alone, &beside, &alone] {
            remove(&folder.join("id")).unwrap();
        }
        assert!(!alone.exists() && beside.join("config.json").exists());
        assert!(!beside.join("id").exists());
    }

    #[test]
    fn only_mounts_below_the_folder_count_and_the_innermost_comes_first() {
        let mounts = "21 1 254:0 / / rw - ext4 /dev/vda rw\n\
            30 21 254:0 /d /my\\040data rw - ext4 /dev/vda rw\n\
            31 30 0:5 / /my\\040data/docker/overlay2/x/merged rw - overlay overlay rw\n\
            32 21 0:6 / /my\\040database rw - tmpfs tmpfs rw\n";
        assert_eq!(
            mount_points(mounts, Path::new("/my data")),
            [
                Path::new("/my data/docker/overlay2/x/merged"),
                Path::new("/my data")
            ]
        );
    }
}
