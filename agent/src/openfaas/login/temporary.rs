//! Logins that are made for a single run of faas-cli, in memory where there is room, and what is left of them.
use std::{
    env,
    ffi::OsStr,
    fs::Permissions,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use zeroize::Zeroizing;

use super::{Entry, File, read_token};
use crate::openfaas::FaasError;

/// Start of the names of folders for logins of faas-cli's; the number of the process that makes one follows.
const FOLDER: &str = "rsfaas-login-";

/// Where most hosts have a file system in memory: the agent's own place (`RuntimeDirectory=` of its unit), and everybody's.
const IN_MEMORY: [&str; 2] = ["/run/rsfaas", "/dev/shm"];

/// The places in memory where logins for faas-cli may lie, the best first.
fn in_memory() -> impl Iterator<Item = &'static Path> {
    let places = IN_MEMORY.into_iter().map(Path::new);
    places.filter(|place| is_in_memory(place))
}

fn is_in_memory(place: &Path) -> bool {
    statfs(place).is_ok_and(|it| it.filesystem_type() == TMPFS_MAGIC)
}

/// A folder for faas-cli (`OPENFAAS_CONFIG`) with the login of a `user:password` file. It is in memory where that has
/// room: a password must not get on a disk, nor a full disk keep everybody from deploying and removing.
pub(in crate::openfaas) fn folder_for(
    gateway: &str,
    credentials: &Path,
) -> Result<tempfile::TempDir, FaasError> {
    folder_in(in_memory(), &env::temp_dir(), gateway, credentials)
}

fn folder_in<'a>(
    mut in_memory: impl Iterator<Item = &'a Path>,
    temporary: &Path,
    gateway: &str,
    credentials: &Path,
) -> Result<tempfile::TempDir, FaasError> {
    let file = File {
        auths: vec![Entry {
            gateway: gateway.to_owned(),
            auth: "basic".into(),
            token: read_token(credentials)?.to_string(),
        }],
    };
    let text = serde_norway::to_string(&file)
        .map(Zeroizing::new)
        .map_err(|_| FaasError::Login {
            path: credentials.to_owned(),
            what: "it cannot be written as YAML".into(),
        })?;
    if let Some(folder) = in_memory.find_map(|place| folder_with(&text, place).ok()) {
        return Ok(folder);
    }
    folder_with(&text, temporary).map_err(|source| FaasError::LoginUnwritten {
        place: temporary.to_owned(),
        source,
    })
}

/// A folder in a place with a text as faas-cli's file of logins.
fn folder_with(text: &str, place: &Path) -> io::Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new()
        .prefix(&format!("{FOLDER}{}-", std::process::id()))
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(place)?;
    let mut file = std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(folder.path().join("config.yml"))?;
    file.write_all(text.as_bytes())?;
    Ok(folder)
}

/// Removes the logins that this user's processes had made for faas-cli when they were killed.
pub(crate) fn remove_left_logins() {
    in_memory().for_each(remove_left_logins_in);
    remove_left_logins_in(&env::temp_dir());
}

fn remove_left_logins_in(place: &Path) {
    let own = rustix::process::getuid().as_raw();
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let is_own = || {
            entry
                .metadata()
                .is_ok_and(|it| it.is_dir() && it.uid() == own)
        };
        let path = entry.path();
        if maker(&entry.file_name()).is_some_and(|maker| !is_running(maker))
            && is_own()
            && let Err(error) = std::fs::remove_dir_all(&path)
        {
            let path = path.display();
            tracing::warn!(%path, %error, "a login that a killed process has left stays");
        }
    }
}

/// The process that has made a folder of this name for a login.
fn maker(name: &OsStr) -> Option<u32> {
    let (maker, _) = name.to_str()?.strip_prefix(FOLDER)?.split_once('-')?;
    maker.parse().ok()
}

fn is_running(process: u32) -> bool {
    Path::new("/proc").join(process.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::little_memory::with_little_memory;

    /// Room for a single file.
    const PAGE: &str = "4k";

    #[test]
    fn logins_that_ended_processes_have_left_go_and_no_others() {
        let temporary = tempfile::tempdir().unwrap();
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let (ended, running) = (ended.id(), std::process::id());
        let there = |name: &str| temporary.path().join(name);
        let (left, used, other) = (
            there(&format!("{FOLDER}{ended}-abc")),
            there(&format!("{FOLDER}{running}-abc")),
            there("somebody-1-abc"),
        );
        for folder in [&left, &used, &other] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("config.yml"), "auths: []").unwrap();
        }
        remove_left_logins_in(temporary.path());
        assert!(!left.exists() && used.exists() && other.exists());
    }

    #[test]
    fn a_login_lies_in_memory_on_a_host_that_has_a_place_for_it() {
        let source = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(source.path(), "admin:secret\n").unwrap();
        let folder = folder_for("http://g", source.path()).unwrap();
        assert!(in_memory().next().is_none() || is_in_memory(folder.path()));
    }

    #[test]
    fn a_login_is_written_into_memory_as_long_as_that_has_room() {
        let source = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(source.path(), "admin:secret\n").unwrap();
        let disk = tempfile::tempdir().unwrap();
        with_little_memory(PAGE, |memory| {
            assert!(is_in_memory(memory) && !is_in_memory(Path::new("/proc")));
            let login = || folder_in([memory].into_iter(), disk.path(), "http://g", source.path());
            let folder = login().unwrap();
            assert!(folder.path().starts_with(memory), "it takes the page");
            let next = login().unwrap();
            assert!(next.path().starts_with(disk.path()));
            let left = std::fs::read_dir(memory).unwrap().count();
            assert_eq!(left, 1, "of the one that had no room nothing");
        });
    }

    #[test]
    fn a_login_for_which_there_is_no_room_is_not_told_as_one_that_cannot_be_read() {
        let source = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(source.path(), "admin:secret\n").unwrap();
        with_little_memory(PAGE, |full| {
            std::fs::write(full.join("other"), [1; 4096]).unwrap();
            let none = std::iter::empty();
            let error = folder_in(none, full, "http://g", source.path()).unwrap_err();
            let told = error.to_string();
            assert!(told.contains("cannot write the login"), "{told}");
            assert!(told.contains("No space left"), "{told}");
            assert!(!told.contains(&*source.path().to_string_lossy()), "{told}");
        });
    }

    #[test]
    fn a_password_file_becomes_a_login_that_only_this_user_reads() {
        let source = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(source.path(), "admin:secret\n").unwrap();
        let folder = folder_for("http://g", source.path()).unwrap();
        let path = folder.path().join("config.yml");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&path)), (0o700, 0o600));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains("YWRtaW46c2VjcmV0") && !text.contains("secret"));
        std::fs::write(source.path(), "nothing").unwrap();
        assert!(folder_for("http://g", source.path()).is_err());
    }
}
