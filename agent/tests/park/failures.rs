//! What cannot be delivered or does not serve, and how that is told.
use std::{
    fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command, sync::Arc, time::Duration,
};

use rsfaas::rebuild::mount::{Entry, EntryKind, MountError, ParkToken, wait_parked};
use rsfaas_shim::{HANDLER_DIR, PARK_TOKEN};

use crate::{
    PATIENCE,
    container::Container,
    templates::{HANDLER, file, folder_place, handler},
};

#[tokio::test]
async fn a_handler_that_fails_to_load_is_told_from_a_slow_one() {
    let container = Container::python();
    let delivered = container
        .deliver(&[file("handler.py", "raise SystemExit(3)\n")])
        .await;
    let error = delivered.ready(container.port, PATIENCE).await.unwrap_err();
    assert!(matches!(error, MountError::Ended { .. }), "{error}");
}

/// The log is a file on the host, and stays there.
#[tokio::test]
async fn why_a_handler_fails_to_load_is_in_the_log_without_lines_of_its_source() {
    let raises = "\nSECRET = 'much too long'\nraise ValueError('no such thing')  # SECRET\n";
    for (text, file_and_line, error) in [
        (raises, "handler.py\", line 3", "ValueError: no such thing"),
        (
            "if SECRET SECRET:\n",
            "handler.py\", line 1",
            "SyntaxError: invalid syntax",
        ),
    ] {
        let root = Container::folder();
        let log = root.path().join("log");
        fs::write(&log, "").unwrap();
        fs::set_permissions(&log, fs::Permissions::from_mode(0o666)).unwrap();
        let logged = "exec /usr/bin/python3 index.py 2> ../log";
        let container = Container::start(root, true, &["sh", "-c", logged]);
        let delivered = container.deliver(&[file("handler.py", text)]).await;
        let ready = delivered.ready(container.port, PATIENCE).await;
        assert!(ready.is_err(), "{text}");
        let log = fs::read_to_string(log).unwrap();
        assert!(log.contains(file_and_line) && log.contains(error), "{log}");
        assert!(!log.contains("SECRET"), "{log}");
    }
}

#[tokio::test]
async fn a_handler_that_takes_too_long_to_load_is_told_after_the_time_limit() {
    let container = Container::python();
    let delivered = container
        .deliver(&[file("handler.py", "import time\ntime.sleep(600)\n")])
        .await;
    let error = delivered
        .ready(container.port, Duration::from_millis(50))
        .await
        .unwrap_err();
    assert!(matches!(error, MountError::NotLoaded { .. }), "{error}");
}

#[tokio::test]
async fn a_function_that_never_listens_is_told_after_the_time_limit() {
    let container = Container::gated(Container::folder(), &["/usr/bin/sleep", "600"]);
    let delivered = container.deliver(&handler()).await;
    let error = delivered
        .ready(container.port, Duration::from_millis(50))
        .await
        .unwrap_err();
    assert!(matches!(error, MountError::NotListening { .. }), "{error}");
}

#[tokio::test]
async fn an_entry_that_would_leave_the_folder_delivers_nothing() {
    let container = Container::python();
    let entries = [file("handler.py", HANDLER), file("../outside.py", "x")];
    let parked = container.parked().await;
    let folder = container.handler_dir();
    let error = parked
        .deliver(&[folder_place(&folder, &entries)])
        .err()
        .unwrap();
    assert!(matches!(error, MountError::Path { .. }), "{error}");
    assert!(!container.root.path().join("home/outside.py").exists());
    container.parked().await;
}

#[tokio::test]
async fn a_missing_handler_folder_is_named() {
    let container = Container::python();
    let error = container
        .parked()
        .await
        .deliver(&[folder_place(Path::new("/no/such/folder"), &[])])
        .err()
        .unwrap();
    assert!(error.to_string().contains("/no/such/folder"), "{error}");
}

#[tokio::test]
async fn links_are_delivered_as_links() {
    let container = Container::python();
    let mut entries = handler().to_vec();
    let kind = EntryKind::Symlink(Path::new("/etc/hostname"));
    entries.push(Entry {
        path: Path::new("link"),
        mode: 0o777,
        kind,
    });
    let delivered = container.deliver(&entries).await;
    let target = fs::read_link(container.seen(&delivered).join("link")).unwrap();
    assert_eq!(target, Path::new("/etc/hostname"));
}

#[tokio::test]
async fn a_process_outside_of_any_container_gets_nothing() {
    let root = Container::folder();
    let token = Arc::new(ParkToken::generate("host").unwrap());
    let mut child = Command::new("/usr/bin/python3")
        .arg("index.py")
        .current_dir(root.path().join("home"))
        .env("PYTHONPATH", root.path().join("python"))
        .env(PARK_TOKEN, token.expose())
        .env(HANDLER_DIR, root.path().join("home/function"))
        .env("TEST_PORT", "0")
        .spawn()
        .unwrap();
    let error = wait_parked(token, PATIENCE).await.err();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        matches!(error, Some(MountError::NotIsolated { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn nobody_parked_is_told_after_the_time_limit() {
    let token = Arc::new(ParkToken::generate("host").unwrap());
    let error = wait_parked(token, Duration::from_millis(30))
        .await
        .err()
        .unwrap();
    assert!(
        matches!(error, MountError::NotParked { carriers: 0, .. }),
        "{error}"
    );
}
