//! What becomes of the program when nobody reads on.

use std::{io, process::Command};

#[test]
fn a_reader_that_has_enough_ends_the_program_without_a_complaint() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["testbed", "status"])
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(141));
}
