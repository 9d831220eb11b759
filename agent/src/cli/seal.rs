//! `rsfaas seal`: from a plain function to a sealed one.
mod check;
mod found;
mod history;
mod images;
mod known;
mod purge;
mod tell;

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use self::{
    found::{Found, Plan},
    purge::{images, purge, remove_lease_images},
};
use super::{
    exit::Failure,
    key_file::KeyFile,
    openfaas::{Setting, Stack, wait_for},
};
use crate::{
    fault::{self, Point},
    image::{self, Engine, ImageError, LeftOut, Preparation, Prepared, Reference},
    openfaas::FaasError,
    seal::{
        FILE_NAME,
        archive::{Archive, Built, IsLeftOut, Survey},
        file::SealedFile,
        folder::seal_built,
        key::Key,
    },
    stack::{Deployment, Function},
    state::{Isolation, Rebuild, SealedFunction},
};

/// Seal the functions of a stack file: their handlers become ciphertext.
///
/// Prepares and pushes an image without the handler, encrypts the handler folder's files (dependency
/// manifests such as requirements.txt stay readable), deploys a locked function in the plain one's place,
/// registers the function with the agent, which takes it up without a restart, and removes what plain
/// builds left. May be run again at any point: it goes on where an earlier run ended, and what is sealed
/// already stays as it is, but that an image without the handler that its registry has lost is built again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    stack: Stack,
    #[command(flatten)]
    key: KeyFile,
    /// How an unlocked container comes to its handler: `mount`, in memory, or `image`, for hosts where
    /// the agent does not run beside the containers. With `image`, plaintext touches the disks of
    /// Docker Engine, registry and provider while the function is unlocked. Without this `mount`, or what the
    /// function is sealed with already.
    #[arg(long, value_enum)]
    rebuild: Option<Rebuild>,
    /// Who shares an unlocked container: `shared`, every connection with the key, or `connection`, where each
    /// has a container of its own. Without this `shared`, or what the function is sealed with already.
    #[arg(long, value_enum)]
    isolation: Option<Isolation>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let setting = args.stack.read()?;
    let key = args.key.read()?;
    let place = args.key.place();
    check::check(
        &setting.stack,
        &setting.functions,
        place.as_deref(),
        setting.state.root(),
    )?;
    setting.state.check_writable()?;
    wait_for(async {
        // The gateway is asked with the login before anything is changed.
        let deployed = setting.deployed_images().await?;
        check::deployed(&setting.functions, &deployed)?;
        tell::repositories(&history::above(&setting.functions));
        for function in &setting.functions {
            let deployed = deployed.get(&function.name).map(String::as_str);
            seal(&setting, function, &key, args, deployed)
                .await
                .map_err(|failure| failure.of(&function.name))?;
        }
        Ok(())
    })
}

/// Whether a function's handler is still to be sealed.
fn is_plain(function: &Function) -> bool {
    !function.handler.join(FILE_NAME).exists()
}

/// Seals one function, of which this image is deployed.
async fn seal(
    setting: &Setting,
    function: &Function,
    key: &Key,
    args: &Args,
    deployed: Option<&str>,
) -> Result<(), Failure> {
    let name = &function.name;
    let file = SealedFile::in_folder(&function.handler);
    // A sealed handler of another key must not be taken for this key's.
    let sealed = file.exists()?.then(|| file.open(key, name)).transpose()?;
    let template = LeftOut::of(&setting.stack, function)?;
    let left_out = |path: &Path| template.has(path);
    let found = Found::look(
        setting,
        function,
        args,
        sealed.as_ref(),
        deployed,
        &left_out,
    )
    .await?;
    let plan = found.plan();
    let (record, built) = match &plan {
        Plan::AlreadyDone(record) | Plan::Redeploy(record) | Plan::Resume(record) => {
            for changed in &found.changed {
                tell!("warning: {name}: {changed}");
            }
            (record.clone(), None)
        }
        Plan::Build => {
            let prepared = prepare(setting, function, &file, &found, &left_out).await?;
            fault::pass(Point::SealPrepared);
            prepared
        }
    };
    check_way(&record, found.is_sealed_build || built.is_some())?;
    match plan {
        Plan::AlreadyDone(_) => {
            tell!(
                "{name}: already sealed with key {}; nothing was changed",
                key.id()
            );
            return Ok(());
        }
        Plan::Redeploy(_) => {
            tell!("{name}: sealed, but what is deployed is not the locked function");
            known::build_locked_again(&record, function).await?;
        }
        Plan::Resume(_) => {
            if let Some(registered) = &found.registered {
                known::follow_key_header(registered, &record, function).await?;
            }
        }
        Plan::Build => {}
    }
    // Whatever ends this run from here on, the next one knows how to go on.
    setting.state.begin(&record)?;
    fault::pass(Point::SealNoted);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let report = seal_built(&function.handler, name, key, now, built, &left_out)?;
    tell::report(name, &report);
    let images = images(setting, function).await;
    deploy_locked(setting, &record).await?;
    fault::pass(Point::SealDeployed);
    // From the registration on a caller may give it another key.
    let handler = match sealed {
        Some(handler) => handler,
        None => file.open(key, name)?,
    };
    setting.state.register(&record)?;
    fault::pass(Point::SealRegistered);
    // Only now does no container of the plain function use it.
    let purged = purge(setting, function, &record, &handler, images).await;
    let purged = purged.and(remove_lease_images(setting, &record, found.registered.as_ref()).await);
    fault::pass(Point::SealPurged);
    if purged.is_ok() {
        setting.state.finish(name)?;
    }
    fault::pass(Point::SealFinished);
    tell!("{name}: sealed");
    tell_unused_base(setting, found.registered);
    // The next run goes on with it.
    purged
}

/// Refuses a way of unlocking that the function's build does not allow, and warns of what one puts on disks.
fn check_way(record: &SealedFunction, is_built: bool) -> Result<(), ImageError> {
    let name = &record.name;
    if record.rebuild == Rebuild::Mount {
        return Ok(());
    }
    if is_built {
        return Err(ImageError::Unparkable {
            function: name.clone(),
            why: "rebuild by image copies the author's files alone over the base image, and this function's build \
                  makes more of them (a program, say); seal it with `--rebuild mount`"
                .to_owned(),
        });
    }
    tell!(
        "warning: {name}: rebuild by image: while the function is unlocked its source is on the \
         disks of Docker Engine, registry and provider"
    );
    Ok(())
}

/// Deploys the locked function under the function's own name.
async fn deploy_locked(setting: &Setting, record: &SealedFunction) -> Result<(), FaasError> {
    let name = &record.name;
    tell!("{name}: deploying the locked function");
    let locked = Deployment::of(record, setting.faas.gateway())
        .bare()
        .image(&record.locked_image, "locked")
        .environment(rsfaas_shim::FUNCTION, name)
        .environment(rsfaas_shim::KEY_HEADER, &record.key_header);
    let told = |error: &FaasError| tell!("warning: {name}: {error}; trying again");
    setting.faas.deploy_over(&locked, told).await
}

/// Says which image of an earlier sealing nothing on this host uses any more.
fn tell_unused_base(setting: &Setting, earlier: Option<SealedFunction>) {
    let records = setting.state.all().into_iter().flatten();
    // With one that cannot be read it is not known what is used.
    let records = records.collect::<Result<Vec<_>, _>>().unwrap_or_default();
    let earlier = earlier.filter(|earlier| known::is_base_unused(earlier, &records));
    if let Some(SealedFunction {
        name, base_image, ..
    }) = earlier
    {
        tell!(
            "{name}: its earlier image without the handler, {base_image}, is not used by this host any more; where no other \
             host uses it, and once the parked containers are replaced: docker image rm {base_image}, and delete it with its \
             registry's own means"
        );
    }
}

/// Builds the images and puts the record together; with the author's files and what a build has made of
/// them, where that is delivered in their place.
async fn prepare(
    setting: &Setting,
    function: &Function,
    file: &SealedFile,
    found: &Found,
    left_out: IsLeftOut<'_>,
) -> Result<(SealedFunction, Option<(Archive, Built)>), Failure> {
    let name = &function.name;
    tell!("{name}: building and pushing an image without the handler");
    let engine = Engine::connect().await?;
    let source = match file.exists()? {
        true => None,
        false => Some(Survey::without(&function.handler, left_out)?.read()?),
    };
    let preparation = Preparation {
        engine: &engine,
        faas: &setting.faas,
        stack: &setting.stack,
        function,
        source: source.as_ref(),
    };
    let Prepared { base, built, left } = preparation.run().await?;
    tell::way(name, &base, built.as_ref());
    tell::left(name, &left);
    let locked = image::build_locked(&engine, &Reference::parse(&function.image)).await?;
    let record = SealedFunction {
        name: function.name.clone(),
        sealed: file.path().to_owned(),
        base_image: base.image.to_string(),
        locked_image: locked.to_string(),
        handler_dir: base.handler_dir,
        park: base.park,
        upstream_port: base.upstream_port,
        user: base.user,
        rebuild: found.rebuild,
        isolation: found.isolation,
        key_header: setting.key_header.clone(),
        stack: function.entry.clone(),
        manifests: Some(found.manifests.clone()),
    };
    Ok((record, source.zip(built)))
}

#[cfg(test)]
mod tests;
