//! Where there is no room.
use std::{fs, path::Path, process::Output};

use rsfaas::seal::FILE_NAME;

use crate::{little_memory::with_little_memory, project::Project};

/// Whether a command has ended for the lack of room, and said so.
fn lacks_room(output: &Output) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(11), "{said}");
    said.contains("No space left on device") && said.contains("free some room")
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn a_handler_that_has_no_room_where_it_is_opened_to_leaves_nothing_there() {
    let project = Project::new();
    for name in ["a", "b"] {
        fs::write(project.path("f").join(name), [b'x'; 40 << 10]).unwrap();
    }
    project.begin();
    with_little_memory("64k", |disk| {
        let (new, there) = (disk.join("new"), disk.join("there"));
        fs::create_dir(&there).unwrap();
        for folder in [&new, &there] {
            let folder = folder.display().to_string();
            let output = project.run_in("", &["open", "./f", "-o", &folder]);
            assert!(lacks_room(&output), "{output:?}");
        }
        assert!(!new.exists() && is_empty(&there));
        assert_eq!(fs::read_dir(disk).unwrap().count(), 1);
    });
}

#[test]
fn a_function_of_which_no_record_can_be_made_is_not_sealed() {
    let project = Project::new();
    with_little_memory("64k", |disk| {
        let full = disk.join("full");
        fs::write(&full, [b'x'; 64 << 10]).unwrap();
        let state = disk.join("state").display().to_string();
        let output = project.run_in("", &["seal", "--state-dir", &state]);
        assert!(lacks_room(&output), "{output:?}");
        fs::remove_file(full).unwrap();
        assert!(project.path("f/Dockerfile").exists());
        assert!(!project.path("f").join(FILE_NAME).exists());
        let left = Path::new(&state).join("functions");
        assert!(!left.exists() || is_empty(&left));
    });
}
