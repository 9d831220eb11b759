//! The canary search can fail: what is planted in a place is found there. Needs root.

/// Tests, each named after its function.
macro_rules! trials {
    ($($test:ident,)+) => {
        vec![$(Trial::test(stringify!($test), || $test().map_err(Into::into)),)+]
    };
}

mod plant;
mod processes;
mod records;
mod swap;

use std::{
    error::Error,
    fs::{self, File, OpenOptions},
    io::Write as _,
    process::{Command, ExitCode},
    time::{Duration, SystemTime},
};

use libtest_mimic::{Arguments, Trial};
use rsfaas_tests::{
    canary::{
        Finding, Needles, Place, Secret,
        places::{Blocks, BpfMaps, Delivered, Files, KernelLog, UnnamedFiles},
        search,
    },
    random,
};

use crate::plant::{
    ARRAY, Disk, HASH, LRU_HASH, LRU_PER_CPU_HASH, PER_CPU_ARRAY, PER_CPU_HASH, gzip, map_with,
    ramfs_with, ring_with, write_and_delete, zstd,
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let mut trials = trials![
        a_secret_in_a_file_is_found_wherever_the_file_is,
        a_secret_in_a_compressed_layer_is_found,
        a_layer_that_cannot_be_unpacked_counts_as_not_searched,
        a_file_of_an_image_that_only_looks_like_a_layer_is_searched_as_it_is,
        a_folder_that_must_be_there_and_is_not_counts_as_not_searched,
        of_shared_folders_only_what_has_changed_since_is_searched,
        a_secret_in_the_free_blocks_of_a_disk_is_found,
        a_compressed_secret_in_the_free_blocks_of_a_disk_is_found,
        an_image_that_is_not_mounted_where_the_data_lie_counts_as_not_searched,
        a_secret_in_a_deleted_file_that_is_open_is_found,
        a_secret_in_the_kernel_log_is_found,
        a_delivered_handler_is_found_in_memory_that_is_mounted_nowhere,
        a_secret_in_a_bpf_map_is_found_on_whatever_cpu_it_is,
        a_secret_in_a_ring_buffer_is_found_wherever_the_reader_is,
    ];
    trials.extend(processes::trials());
    trials.extend(records::trials());
    let mut arguments = Arguments::from_args();
    // One after the other: a child that another test makes has this process's descriptors until its `exec`, and what
    // was closed meanwhile is found there.
    arguments.test_threads = Some(1);
    trials.extend(swap::trials(arguments.list));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A secret of this run: other runs leave theirs in the kernel's log.
fn secret() -> Result<String> {
    Ok(random::hex(16)?)
}

fn find(place: impl Place + 'static, secret: &str) -> Result<Finding> {
    find_in(Box::new(place), secret)
}

fn find_in(place: Box<dyn Place>, secret: &str) -> Result<Finding> {
    let needles = Needles::new(vec![Secret::new("source", secret.as_bytes())?])?;
    let mut report = search(&[place], &needles);
    Ok(report.findings.remove(0))
}

fn hits(place: impl Place + 'static, secret: &str) -> Result<u64> {
    let finding = find(place, secret)?;
    assert!(finding.failures.is_empty(), "{:?}", finding.failures);
    Ok(finding.hit_count)
}

fn a_secret_in_a_file_is_found_wherever_the_file_is() -> Result {
    let (folder, secret) = (tempfile::tempdir()?, secret()?);
    let deep = folder.path().join("a/b/c");
    fs::create_dir_all(&deep)?;
    let files = || Files::new("files", [folder.path().to_owned()]);
    assert_eq!(hits(files(), &secret)?, 0);
    fs::write(deep.join("notes"), format!("the source: {secret}\n"))?;
    // Both ends of it.
    assert_eq!(hits(files(), &secret)?, 2);
    Ok(())
}

fn a_secret_in_a_compressed_layer_is_found() -> Result {
    let secret = secret()?;
    for packed in [gzip(&secret)?, zstd(&secret)] {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("data"), packed)?;
        let files = Files::new("files", [folder.path().to_owned()]);
        assert_eq!(hits(files, &secret)?, 2);
    }
    Ok(())
}

/// What is told of a file among layers that could not be searched.
fn failures(file: &str, bytes: &[u8]) -> Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join(file);
    fs::create_dir_all(path.parent().ok_or("no folder")?)?;
    fs::write(path, bytes)?;
    let files = Files::new("layers", [folder.path().to_owned()]).with_layers();
    Ok(find(files, &secret()?)?.failures)
}

fn a_layer_that_cannot_be_unpacked_counts_as_not_searched() -> Result {
    let layer = gzip(&secret()?)?;
    let cut = &layer[..layer.len() / 2];
    // Its checksum, which stands before the length at the end.
    let mut changed = layer.clone();
    changed[layer.len() - 8] ^= 1;
    for (file, bytes) in [
        ("data", [0x28, 0xb5, 0x2f, 0xfd, 0, 0].as_slice()),
        ("registry/v2/blobs/sha256/ab/abcd/data", cut),
        ("registry/v2/blobs/sha256/ab/abcd/data", &changed),
        ("content/blobs/sha256/abcd", cut),
    ] {
        let failures = failures(file, bytes)?;
        let told = failures
            .first()
            .is_some_and(|it| it.contains("cannot be unpacked"));
        assert!(told, "{file}: {failures:?}");
    }
    Ok(())
}

fn a_file_of_an_image_that_only_looks_like_a_layer_is_searched_as_it_is() -> Result {
    let failures = failures("snapshots/1/fs/looks-so", &[0x1f, 0x8b, 8, 0, 1, 2])?;
    assert!(failures.is_empty(), "{failures:?}");
    Ok(())
}

fn a_folder_that_must_be_there_and_is_not_counts_as_not_searched() -> Result {
    let nowhere = || Files::new("files", ["/nonexistent/folder".into()]);
    assert_eq!(find(nowhere(), &secret()?)?.failures.len(), 1);
    let finding = find(nowhere().optional(), &secret()?)?;
    assert_eq!(finding.absent.as_deref(), Some("no /nonexistent/folder"));
    Ok(())
}

fn of_shared_folders_only_what_has_changed_since_is_searched() -> Result {
    let (folder, secret) = (tempfile::tempdir()?, secret()?);
    fs::write(folder.path().join("log"), &secret)?;
    let files = || Files::new("files", [folder.path().to_owned()]);
    let now = SystemTime::now();
    assert_eq!(hits(files().since(now), &secret)?, 2);
    assert_eq!(
        hits(files().since(now + Duration::from_secs(60)), &secret)?,
        0
    );
    Ok(())
}

fn a_secret_in_the_free_blocks_of_a_disk_is_found() -> Result {
    let (disk, secret) = (Disk::new()?, secret()?);
    assert_eq!(hits(disk.blocks(), &secret)?, 0);
    write_and_delete(&disk.mount().join("handler.py"), secret.as_bytes())?;
    assert_eq!(hits(Files::new("files", [disk.mount()]), &secret)?, 0);
    assert_eq!(hits(disk.blocks(), &secret)?, 2);
    Ok(())
}

fn a_compressed_secret_in_the_free_blocks_of_a_disk_is_found() -> Result {
    let (disk, secret) = (Disk::new()?, secret()?);
    write_and_delete(&disk.mount().join("layer"), &gzip(&secret)?)?;
    assert_eq!(hits(disk.blocks(), &secret)?, 2);
    Ok(())
}

fn an_image_that_is_not_mounted_where_the_data_lie_counts_as_not_searched() -> Result {
    let (disk, folder) = (Disk::new()?, tempfile::tempdir()?);
    let other = Blocks {
        mount: folder.path().to_owned(),
        ..disk.blocks()
    };
    let failures = find(other, &secret()?)?.failures;
    let told = failures
        .first()
        .is_some_and(|it| it.contains("not mounted"));
    assert!(told, "{failures:?}");
    Ok(())
}

fn a_secret_in_a_deleted_file_that_is_open_is_found() -> Result {
    let (folder, secret) = (tempfile::tempdir()?, secret()?);
    let path = folder.path().join("deleted");
    fs::write(&path, &secret)?;
    let mut child = Command::new("sleep")
        .arg("60")
        .stdin(File::open(&path)?)
        .spawn()?;
    fs::remove_file(&path)?;
    let found = find(UnnamedFiles, &secret);
    child.kill()?;
    child.wait()?;
    assert_eq!(found?.hit_count, 2);
    Ok(())
}

fn a_secret_in_the_kernel_log_is_found() -> Result {
    let secret = secret()?;
    assert_eq!(hits(KernelLog, &secret)?, 0);
    writeln!(
        OpenOptions::new().write(true).open("/dev/kmsg")?,
        "{secret}"
    )?;
    assert_eq!(hits(KernelLog, &secret)?, 2);
    Ok(())
}

fn a_delivered_handler_is_found_in_memory_that_is_mounted_nowhere() -> Result {
    let secret = secret()?;
    let mount = ramfs_with(&secret)?;
    assert_eq!(find(Delivered, &secret)?.hit_count, 2);
    drop(mount);
    assert_eq!(find(Delivered, &secret)?.hit_count, 0);
    Ok(())
}

fn a_secret_in_a_bpf_map_is_found_on_whatever_cpu_it_is() -> Result {
    for kind in [
        ARRAY,
        HASH,
        LRU_HASH,
        PER_CPU_ARRAY,
        PER_CPU_HASH,
        LRU_PER_CPU_HASH,
    ] {
        let secret = secret()?;
        let _map = map_with(kind, secret.as_bytes())?;
        let pid = std::process::id();
        assert_eq!(hits(BpfMaps { pid }, &secret)?, 2, "kind {kind}");
    }
    Ok(())
}

fn a_secret_in_a_ring_buffer_is_found_wherever_the_reader_is() -> Result {
    let secret = secret()?;
    let _ring = ring_with(secret.as_bytes())?;
    let finding = find(
        BpfMaps {
            pid: std::process::id(),
        },
        &secret,
    )?;
    let in_rings = finding
        .hits
        .iter()
        .filter(|hit| hit.at.ends_with("kind 27"));
    assert_eq!(in_rings.count(), 2, "{finding:?}");
    Ok(())
}
