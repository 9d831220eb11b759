//! Programs that tests write for themselves.
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Writes a shell script that can be run at once. Another process does so: a child that a test on
/// another thread forks meanwhile would keep the file open for writing, and nobody could run it.
pub(crate) fn write(path: &Path, text: &str) -> PathBuf {
    let mut child = Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod 700 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let text = format!("#!/bin/sh\n{text}\n");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
    path.to_owned()
}
