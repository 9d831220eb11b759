//! `rsfaas seal`: from a plain function to a sealed one.
use std::time::{SystemTime, UNIX_EPOCH};

use super::{
    exit::Failure,
    key_file::KeyFile,
    openfaas::{Setting, Stack, wait_for},
};
use crate::{
    fault::{self, Point},
    image::{self, Engine, Reference},
    seal::{
        FILE_NAME,
        file::SealedFile,
        folder::{Outcome, Report, seal_folder},
        key::Key,
    },
    stack::{Deployment, Function},
    state::{Isolation, Rebuild, SealedFunction},
};

/// Seal the functions of a stack file: their handlers become ciphertext.
///
/// Prepares and pushes an image without the handler, encrypts the handler folder's files (dependency
/// manifests such as requirements.txt stay readable), removes what plain builds left, deploys a locked
/// function in the plain one's place, and registers the function with the agent, which takes it up
/// without a restart. May be run again at any point: what is sealed already stays as it is.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    stack: Stack,
    #[command(flatten)]
    key: KeyFile,
    /// How an unlocked container comes to its handler: `mount`, in memory, or `image`, for hosts where
    /// the agent does not run beside the containers. With `image`, plaintext touches the disks of
    /// Docker Engine, registry and provider while the function is unlocked.
    #[arg(long, value_enum, default_value_t)]
    rebuild: Rebuild,
    /// Who shares an unlocked container: `shared`, every connection with the key, or `connection`, where each
    /// has a container of its own.
    #[arg(long, value_enum, default_value_t)]
    isolation: Isolation,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let setting = args.stack.read()?;
    let key = args.key.read()?;
    wait_for(async {
        setting.check_gateway().await?;
        for function in &setting.functions {
            seal(&setting, function, &key, args).await?;
        }
        Ok(())
    })
}

async fn seal(
    setting: &Setting,
    function: &Function,
    key: &Key,
    args: &Args,
) -> Result<(), Failure> {
    let (rebuild, isolation) = (args.rebuild, args.isolation);
    let name = &function.name;
    let file = SealedFile::in_folder(&function.handler);
    let known = setting
        .state
        .function(name)?
        .filter(|known| known.sealed == *file.path());
    let record = match known {
        Some(record) if file.exists()? => record,
        _ => {
            eprintln!("{name}: building and pushing an image without the handler");
            let record = prepare(setting, function, &file).await?;
            fault::pass(Point::SealPrepared);
            record
        }
    };
    let record = SealedFunction {
        rebuild,
        isolation,
        ..record
    };
    if rebuild == Rebuild::Image {
        eprintln!(
            "warning: {name}: rebuild by image: while the function is unlocked its source is on the \
             disks of Docker Engine, registry and provider"
        );
    }
    if file.exists()? {
        // A sealed handler of another key must not be taken for this key's.
        file.open(key, name)?;
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let report = seal_folder(&function.handler, name, key, now)?;
    let deployed = setting
        .state
        .function(name)?
        .is_some_and(|known| known == record);
    if report.outcome == Outcome::Already && deployed {
        eprintln!(
            "{name}: already sealed with key {}; nothing was changed",
            report.key_id
        );
        return Ok(());
    }
    tell(name, &report);
    purge(name, &function.image).await?;
    fault::pass(Point::SealPurged);
    eprintln!("{name}: deploying the locked function");
    let locked = Deployment::of(&record, setting.faas.gateway())
        .bare()
        .image(&record.locked_image, "locked")
        .environment(rsfaas_shim::FUNCTION, name)
        .environment(rsfaas_shim::KEY_HEADER, &setting.key_header);
    setting.faas.deploy(&locked).await?;
    fault::pass(Point::SealDeployed);
    // Only now does no container of the plain function use it.
    if let Err(error) = image::remove_pulled(&Reference::parse(&function.image)).await {
        eprintln!("warning: {name}: {error}");
    }
    setting.state.register(&record)?;
    fault::pass(Point::SealRegistered);
    eprintln!("{name}: sealed");
    Ok(())
}

/// Builds the two images and puts the record together.
async fn prepare(
    setting: &Setting,
    function: &Function,
    file: &SealedFile,
) -> Result<SealedFunction, Failure> {
    let engine = Engine::connect().await?;
    let base = image::build_base(&engine, &setting.faas, &setting.stack, function).await?;
    let locked = image::build_locked(&engine, &Reference::parse(&function.image)).await?;
    Ok(SealedFunction {
        name: function.name.clone(),
        sealed: file.path().to_owned(),
        base_image: base.image.to_string(),
        locked_image: locked.to_string(),
        handler_dir: base.handler_dir,
        park: base.park,
        upstream_port: base.upstream_port,
        user: base.user,
        rebuild: Rebuild::default(),
        isolation: Isolation::default(),
        stack: function.entry.clone(),
        gateway: setting.stack.gateway().map(str::to_owned),
    })
}

fn tell(name: &str, report: &Report) {
    match report.outcome {
        Outcome::Done => eprintln!(
            "{name}: handler encrypted to {FILE_NAME}, key {}",
            report.key_id
        ),
        Outcome::Completed => {
            eprintln!(
                "{name}: an interrupted sealing was finished, key {}",
                report.key_id
            );
        }
        Outcome::Already => eprintln!("{name}: the handler is sealed, key {}", report.key_id),
    }
    for manifest in &report.manifests {
        eprintln!(
            "{name}: {} stays readable: the image is built from it",
            manifest.display()
        );
    }
    if let Some(history) = &report.history {
        eprintln!(
            "warning: {name}: {} may still hold the source",
            history.display()
        );
    }
    for file in &report.hard_linked {
        eprintln!(
            "warning: {name}: {} has another name elsewhere, still readable",
            file.display()
        );
    }
}

/// Removes what plain builds left, and lists what it could not.
async fn purge(name: &str, image: &str) -> Result<(), Failure> {
    let engine = Engine::connect().await?;
    for left in image::purge(&engine, &Reference::parse(image)).await? {
        eprintln!(
            "warning: {name}: left: {}; to remove it: {}",
            left.what, left.how
        );
    }
    Ok(())
}
