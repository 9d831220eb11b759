//! Ends all processes of a container, those that the handler started included; or all but the first,
//! which had no part in the handler.
use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    MountError, ParkToken,
    error::seen,
    find,
    namespace::{self, Namespace},
    process::Process,
};

const TIMEOUT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(2);

/// Kills what carries the token or lives in the mount namespace, again and again until nothing but the
/// spared process is left: a process may have forked between two looks.
pub(super) async fn kill_all(
    token: &Arc<ParkToken>,
    namespace: Option<&Arc<Namespace>>,
    spared: Option<&Process>,
) -> Result<(), MountError> {
    let spared = spared.map(Process::pid);
    let start = Instant::now();
    loop {
        let (token, namespace) = (Arc::clone(token), namespace.cloned());
        let look =
            tokio::task::spawn_blocking(move || kill_once(&token, namespace.as_deref(), spared))
                .await
                .map_err(|_| MountError::Stopped)?;
        let is_late = start.elapsed() >= TIMEOUT;
        match look {
            Ok(left) if left.is_empty() => return Ok(()),
            Ok(left) if is_late => return Err(MountError::Survivors { pids: left }),
            Ok(_) => {}
            // What the agent lacks may be given back.
            Err(MountError::Exhausted { .. }) if !is_late => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Kills each process of the container once; returns their numbers.
fn kill_once(
    token: &ParkToken,
    namespace: Option<&Namespace>,
    spared: Option<i32>,
) -> Result<Vec<i32>, MountError> {
    let number = namespace.map(Namespace::number);
    let belongs = |pid| match number {
        Some(number) if seen(namespace::number_of(pid))? == Some(number) => Ok(true),
        _ => find::carries(pid, |environ| token.is_in(environ)),
    };
    let others = find::all()?.into_iter().filter(|&pid| Some(pid) != spared);
    let mut killed = Vec::new();
    each(others, belongs, |process| {
        process.kill()?;
        killed.push(process.pid());
        Ok(())
    })?;
    Ok(killed)
}

/// Does something with each process that belongs to a container, whatever comes of the others.
///
/// # Errors
/// The first of them; also when it cannot be told whether a process belongs, for lack of descriptors or memory.
pub(super) fn each(
    pids: impl IntoIterator<Item = i32>,
    belongs: impl Fn(i32) -> Result<bool, MountError>,
    mut act: impl FnMut(Process) -> Result<(), MountError>,
) -> Result<(), MountError> {
    let mut result = Ok(());
    for pid in pids {
        let acted = match hold(pid, &belongs) {
            Ok(Some(process)) => act(process),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        result = result.and(acted);
    }
    result
}

/// Takes hold of a process that belongs to a container.
fn hold(
    pid: i32,
    belongs: impl Fn(i32) -> Result<bool, MountError>,
) -> Result<Option<Process>, MountError> {
    if !belongs(pid)? {
        return Ok(None);
    }
    // Held first, then asked again: the number may have gone to somebody else.
    match seen(Process::open(pid))? {
        Some(process) if belongs(pid)? => Ok(Some(process)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs::File, process::Command};

    use rsfaas_shim::PARK_TOKEN;

    use super::*;
    use crate::rebuild::example;

    const INSIDE: &str = "RSFAAS_TEST_INSIDE";
    const TEST: &str = "who_has_no_descriptor_left_to_look_with_does_not_say_that_nobody_is_left";

    #[test]
    fn who_has_no_descriptor_left_to_look_with_does_not_say_that_nobody_is_left() {
        // In a process of its own: other tests need descriptors.
        if env::var_os(INSIDE).is_none() {
            let name = format!("{}::{TEST}", module_path!().split_once("::").unwrap().1);
            let mut few = Command::new("sh");
            few.args(["-c", "ulimit -n 64; exec \"$0\" --exact \"$1\""])
                .arg(env::current_exe().unwrap())
                .arg(name)
                .env(INSIDE, "");
            let outcome = few.output().unwrap();
            let said = String::from_utf8_lossy(&outcome.stdout);
            assert!(
                outcome.status.success() && said.contains("1 passed"),
                "{said}"
            );
            return;
        }
        let token = ParkToken::generate("host").unwrap();
        let mut child = example::started(Command::new("cat").env(PARK_TOKEN, token.expose()));
        let pid = child.id().cast_signed();
        let belongs = |pid| find::carries(pid, |environ| token.is_in(environ));
        let mut files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        let is_exhausted = |error| matches!(error, Some(MountError::Exhausted { .. }));
        assert!(is_exhausted(kill_once(&token, None, None).err()));
        assert!(is_exhausted(each([pid], belongs, |_| Ok(())).err()));
        // One to look with, and none to take hold of it.
        files.pop();
        assert!(is_exhausted(each([pid], belongs, |_| Ok(())).err()));
        drop(files);
        assert_eq!(kill_once(&token, None, None).unwrap(), [pid]);
        child.wait().unwrap();
        assert!(kill_once(&token, None, None).unwrap().is_empty());
    }
}
