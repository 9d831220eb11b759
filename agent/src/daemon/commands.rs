//! What comes over the control socket, as far as the functions' drivers are asked.
use tokio::sync::{mpsc, oneshot};

use super::registry::Registry;
use crate::{
    control::{Command, Reply, Status},
    lease::Message,
};

/// A command, and where its answer goes.
pub(super) type Asked = (Command, oneshot::Sender<Reply>);

/// Has the agent answer a command.
pub(super) async fn ask(commands: &mpsc::Sender<Asked>, command: Command) -> Reply {
    let (reply, answer) = oneshot::channel();
    let stopping = || Reply::Error("the agent is stopping".into());
    if commands.send((command, reply)).await.is_err() {
        return stopping();
    }
    answer.await.unwrap_or_else(|_| stopping())
}

/// Ends the lease of a function, or of all.
pub(super) fn lock(registry: &Registry, function: Option<&str>, reply: oneshot::Sender<Reply>) {
    let leases: Vec<_> = match function {
        Some(name) => registry.lease(name).into_iter().collect(),
        None => registry.leases().collect(),
    };
    if let (Some(name), true) = (function, leases.is_empty()) {
        // Whoever asked may have gone.
        let _ = reply.send(Reply::Error(format!(
            "no sealed function {name:?} is served here"
        )));
        return;
    }
    // Whoever comes from now on waits for the next unlock.
    registry.bar(function);
    let (locked, failures) = mpsc::unbounded_channel();
    for lease in leases {
        // A driver that has ended has nothing unlocked.
        let _ = lease.send(Message::Lock(locked.clone()));
    }
    drop(locked);
    tokio::spawn(async move {
        // Whoever asked may have gone.
        let _ = reply.send(all_locked(failures).await);
    });
}

/// Waits until everything is locked, or has failed to be.
async fn all_locked(mut failures: mpsc::UnboundedReceiver<String>) -> Reply {
    let mut failed = Vec::new();
    // Ends when the last of those is dropped who may tell.
    while let Some(failure) = failures.recv().await {
        failed.push(failure);
    }
    if failed.is_empty() {
        Reply::Locked
    } else {
        Reply::NotLocked(failed)
    }
}

/// Asks every function in turn, without keeping the agent waiting.
pub(super) fn tell_status(registry: &Registry, mut status: Status, reply: oneshot::Sender<Reply>) {
    let leases: Vec<_> = registry.leases().cloned().collect();
    tokio::spawn(async move {
        for lease in leases {
            let (answer, function) = oneshot::channel();
            if lease.send(Message::Status(answer)).is_ok()
                && let Ok(function) = function.await
            {
                status.functions.push(function);
            }
        }
        // Whoever asked may have gone.
        let _ = reply.send(Reply::Status(Box::new(status)));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_could_not_be_locked_is_told_once_all_is_over() {
        let (locked, failures) = mpsc::unbounded_channel();
        let answer = tokio::spawn(all_locked(failures));
        locked.send("pydict: disk full".to_owned()).unwrap();
        tokio::task::yield_now().await;
        assert!(!answer.is_finished());
        drop(locked);
        let told = Reply::NotLocked(vec!["pydict: disk full".to_owned()]);
        assert_eq!(answer.await.unwrap(), told);
    }

    #[tokio::test]
    async fn where_nothing_has_failed_everything_is_locked() {
        let (locked, failures) = mpsc::unbounded_channel();
        drop(locked);
        assert_eq!(all_locked(failures).await, Reply::Locked);
    }
}
