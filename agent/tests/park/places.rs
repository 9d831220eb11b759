//! What is delivered where, and who may do what with it.
use std::{
    fs,
    io::Read as _,
    os::unix::fs::{MetadataExt as _, chown},
    path::PathBuf,
};

use rsfaas::rebuild::mount::{DeliveryPlace, PlaceContent};

use crate::{
    PATIENCE, USER,
    container::Container,
    templates::{INDEX, file, folder_place, handler},
};

#[tokio::test]
async fn single_files_and_folders_are_delivered_to_places_of_their_own() {
    let root = Container::folder();
    let home = root.path().join("home");
    fs::write(home.join("handler.sh"), "").unwrap();
    fs::create_dir(home.join("static")).unwrap();
    let text = "#!/bin/sh\ncat static/a/page; exec sleep 60\n";
    let container = Container::gated(root, &["./handler.sh"]);
    let (static_dir, program) = (home.join("static"), home.join("handler.sh"));
    let watched = container.handler_dir();
    let mut script = file("", text);
    script.mode = 0o755;
    let places = [
        folder_place(&static_dir, &[file("a/page", "page")]),
        DeliveryPlace {
            path: &program,
            content: PlaceContent::File(script),
        },
        // The one that the process watches is the last.
        folder_place(&watched, &[]),
    ];
    let parked = container.parked().await;
    let mut delivered = parked.deliver(&places).unwrap();
    let seen = PathBuf::from(format!("/proc/{}/root", delivered.pid()));
    let program = seen.join(program.strip_prefix("/").unwrap());
    assert_eq!(fs::read_to_string(&program).unwrap(), text);
    assert_eq!(fs::metadata(&program).unwrap().mode() & 0o7777, 0o555);
    let mut open = fs::File::open(&program).unwrap();
    assert_eq!(fs::read_to_string(home.join("handler.sh")).unwrap(), "");
    delivered.wipe_and_kill().await.unwrap();
    let mut left = String::new();
    open.read_to_string(&mut left).unwrap();
    assert_eq!(left, "");
}

#[tokio::test]
async fn beside_a_delivered_module_nothing_compiled_is_written() {
    let root = Container::folder();
    // A folder of the base's in which the function's user may write.
    let app = root.path().join("home/app");
    fs::create_dir(&app).unwrap();
    chown(&app, Some(USER), Some(USER)).unwrap();
    let module = app.join("main.py");
    fs::write(&module, "").unwrap();
    let server = INDEX.replace("from function", "sys.path.insert(0, 'app')\nfrom main");
    fs::write(root.path().join("home/index.py"), server).unwrap();
    let container = Container::gated(root, &["/usr/bin/python3", "index.py"]);
    let watched = container.handler_dir();
    let text = "class handler:\n    def handle(word):\n        return word\n";
    let places = [
        DeliveryPlace {
            path: &module,
            content: PlaceContent::File(file("", text)),
        },
        folder_place(&watched, &[]),
    ];
    let delivered = container.parked().await.deliver(&places).unwrap();
    delivered.ready(container.port, PATIENCE).await.unwrap();
    assert_eq!(container.call("night"), "\"night\"");
    let beside = fs::read_dir(container.seen(&delivered).join("../app")).unwrap();
    let names: Vec<_> = beside.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["main.py"]);
}

/// Run with `--nocapture` it tells how long that took.
#[tokio::test]
async fn five_thousand_files_of_ten_megabytes_are_delivered() {
    let paths: Vec<String> = (0..5000)
        .map(|number| format!("package{}/module{number}.py", number / 50))
        .collect();
    let content = "x = 1\n".repeat(341);
    let mut entries = handler().to_vec();
    entries.extend(paths.iter().map(|path| file(path, &content)));
    let container = Container::python();
    let parked = container.parked().await;
    let folder = container.handler_dir();
    let places = [folder_place(&folder, &entries)];
    let start = std::time::Instant::now();
    let delivered = parked.deliver(&places).unwrap();
    println!("5,000 files, 10 MB: delivered in {:?}", start.elapsed());
    delivered.ready(container.port, PATIENCE).await.unwrap();
    assert_eq!(container.call("night"), "\"Nacht\"");
}

#[tokio::test]
async fn delivered_files_are_read_only_and_belong_to_the_functions_user() {
    let container = Container::python();
    let delivered = container.serve().await;
    assert_eq!(container.call("write"), "\"EROFS\"");
    for (path, mode) in [
        ("handler.py", 0o444),
        ("words", 0o555),
        ("words/__init__.py", 0o444),
        ("", 0o555),
    ] {
        let found = fs::metadata(container.seen(&delivered).join(path)).unwrap();
        assert_eq!(
            (found.uid(), found.gid(), found.mode() & 0o7777),
            (USER, USER, mode),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_host_sees_neither_the_mount_nor_the_files() {
    let container = Container::python();
    let _delivered = container.serve().await;
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        !mounts.contains(container.root.path().to_str().unwrap()),
        "{mounts}"
    );
    let names: Vec<_> = fs::read_dir(container.handler_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["__init__.py"]);
}

#[tokio::test]
async fn what_the_base_image_keeps_in_a_small_folder_stays_visible() {
    let root = Container::folder();
    let base = root.path().join("home/function/base");
    fs::create_dir(&base).unwrap();
    fs::write(base.join("__init__.py"), "NAME = 'from the base'\n").unwrap();
    fs::write(root.path().join("home/function/handler.py"), "stale").unwrap();
    let container = Container::python_in(root);
    let _delivered = container.serve().await;
    assert_eq!(container.call("base"), "\"from the base\"");
}

#[tokio::test]
async fn what_the_base_image_keeps_in_a_large_folder_stays_visible() {
    let root = Container::folder();
    let folder = root.path().join("home/function");
    fs::create_dir(folder.join("base")).unwrap();
    fs::write(folder.join("base/__init__.py"), "NAME = 'from the base'\n").unwrap();
    fs::write(folder.join("large.bin"), vec![7; 3 << 20]).unwrap();
    let container = Container::python_in(root);
    let mut delivered = container.serve().await;
    assert_eq!(container.call("base"), "\"from the base\"");
    assert_eq!(container.call("write"), "\"EROFS\"");
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", delivered.pid())).unwrap();
    assert!(mounts.contains(" - overlay rsfaas "), "{mounts}");
    let mut open = fs::File::open(container.seen(&delivered).join("handler.py")).unwrap();
    delivered.wipe_and_kill().await.unwrap();
    let mut left = String::new();
    open.read_to_string(&mut left).unwrap();
    assert_eq!(left, "");
}
