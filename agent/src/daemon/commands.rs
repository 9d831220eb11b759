//! What comes over the control socket, as far as the functions' drivers are asked.
use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::registry::Registry;
use crate::{
    control::{Command, Reply, Status},
    lease::{FunctionStatus, Message},
};

/// For how long the functions' status is waited for, all of them together: what takes long has tasks of its own.
const PATIENCE: Duration = Duration::from_secs(1);

/// A command, and where its answer goes.
pub(super) type Asked = (Command, oneshot::Sender<Reply>);

/// Has the agent answer a command.
pub(super) async fn ask(commands: &mpsc::Sender<Asked>, command: Command) -> Reply {
    let (reply, answer) = oneshot::channel();
    if commands.send((command, reply)).await.is_err() {
        return Reply::Stopping;
    }
    answer.await.unwrap_or(Reply::Stopping)
}

/// Ends the lease of a function, or of all.
pub(super) fn lock(registry: &Registry, function: Option<&str>, reply: oneshot::Sender<Reply>) {
    let leases: Vec<_> = match function {
        Some(name) => registry.lease(name).into_iter().collect(),
        None => registry.leases().map(|(_, lease)| lease).collect(),
    };
    if let (Some(name), true) = (function, leases.is_empty()) {
        // Whoever asked may have gone.
        let _ = reply.send(Reply::NotServed(name.to_owned()));
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

/// Asks every function, without keeping the agent waiting.
pub(super) fn tell_status(registry: &Registry, mut status: Status, reply: oneshot::Sender<Reply>) {
    let asked = registry.leases().map(|(name, lease)| {
        let (answer, function) = oneshot::channel();
        // One that has just ended has nothing to tell.
        let _ = lease.send(Message::Status(answer));
        (name.to_owned(), function)
    });
    let asked: Vec<_> = asked.collect();
    tokio::spawn(async move {
        (status.functions, status.busy) = answers(asked, PATIENCE).await;
        // Whoever asked may have gone.
        let _ = reply.send(Reply::Status(Box::new(status)));
    });
}

/// What the functions answer within a time, and the names of those that do not.
async fn answers(
    asked: Vec<(String, oneshot::Receiver<FunctionStatus>)>,
    patience: Duration,
) -> (Vec<FunctionStatus>, Vec<String>) {
    let (mut functions, mut busy) = (Vec::new(), Vec::new());
    let deadline = Instant::now() + patience;
    for (name, answer) in asked {
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(function)) => functions.push(function),
            Ok(Err(_)) => {}
            Err(_) => busy.push(name),
        }
    }
    (functions, busy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::example::locked;

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
    async fn a_function_that_does_not_answer_keeps_nobody_from_the_others() {
        let (names, (senders, asked)): (Vec<_>, (Vec<_>, Vec<_>)) = ["hangs", "gone", "answers"]
            .into_iter()
            .map(|name| {
                let (sender, answer) = oneshot::channel();
                (name, (sender, (name.to_owned(), answer)))
            })
            .unzip();
        let mut senders = names.into_iter().zip(senders);
        let _hangs = senders.next();
        drop(senders.next());
        let (name, answer) = senders.next().unwrap();
        answer.send(locked(name)).unwrap();
        let (functions, busy) = answers(asked, Duration::from_millis(1)).await;
        assert_eq!(functions, [locked("answers")]);
        assert_eq!(busy, ["hangs"]);
    }

    #[tokio::test]
    async fn where_nothing_has_failed_everything_is_locked() {
        let (locked, failures) = mpsc::unbounded_channel();
        drop(locked);
        assert_eq!(all_locked(failures).await, Reply::Locked);
    }
}
