//! `rsfaas seal`: from a plain function to a sealed one.
mod check;
mod history;
mod images;
mod known;
mod tell;

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use self::images::Images;
use super::{
    exit::Failure,
    key_file::KeyFile,
    openfaas::{Setting, Stack, wait_for},
};
use crate::{
    fault::{self, Point},
    image::{
        self, Engine, ImageError, LeftOut, Leftover, Preparation, Prepared, Purge, Purged,
        Reference, Traces,
    },
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
    let of_file = |known: &SealedFunction| known.sealed == *file.path();
    let begun = setting.state.begun(name)?.filter(of_file);
    let registered = setting.state.function(name)?.filter(of_file);
    let known = begun.as_ref().or(registered.as_ref()).cloned();
    let (rebuild, isolation) = known::way(args.rebuild, args.isolation, known.as_ref());
    let is_sealed_build = match &sealed {
        Some(handler) => handler.places()?.is_some(),
        None => false,
    };
    let template = LeftOut::of(&setting.stack, function)?;
    let left_out = |path: &Path| template.has(path);
    let manifests = known::manifests(&function.handler, &left_out)?;
    let changed =
        |record: &SealedFunction| known::changed(record, &setting.stack, function, &manifests);
    let is_base_gone = match &known {
        Some(record) if sealed.is_some() => {
            known::is_base_gone(record, function, is_sealed_build).await?
        }
        _ => false,
    };
    let (record, built) = match known {
        // What was begun of something else begins again, but where that takes the author's files.
        Some(record)
            if sealed.is_some()
                && !is_base_gone
                && (begun.is_none() || is_sealed_build || changed(&record).is_empty()) =>
        {
            for changed in changed(&record) {
                tell!("warning: {name}: {changed}");
            }
            (record, None)
        }
        _ => {
            let prepared = prepare(setting, function, &file, manifests, &left_out).await?;
            fault::pass(Point::SealPrepared);
            prepared
        }
    };
    let is_built = is_sealed_build || built.is_some();
    if is_built && rebuild == Rebuild::Image {
        return Err(ImageError::Unparkable {
            function: name.clone(),
            why: "rebuild by image copies the author's files alone over the base image, and this function's build \
                  makes more of them (a program, say); seal it with `--rebuild mount`"
                .to_owned(),
        }
        .into());
    }
    let record = SealedFunction {
        rebuild,
        isolation,
        key_header: setting.key_header.clone(),
        ..record
    };
    if rebuild == Rebuild::Image {
        tell!(
            "warning: {name}: rebuild by image: while the function is unlocked its source is on the \
             disks of Docker Engine, registry and provider"
        );
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let is_finished = !is_base_gone && begun.is_none() && registered.as_ref() == Some(&record);
    if is_finished && sealed.is_some() && Survey::without(&function.handler, &left_out)?.is_clean()
    {
        if known::is_deployed(&record, deployed) {
            tell!(
                "{name}: already sealed with key {}; nothing was changed",
                key.id()
            );
            return Ok(());
        }
        tell!("{name}: sealed, but what is deployed is not the locked function");
        known::build_locked_again(&record, function).await?;
    }
    if let Some(registered) = &registered {
        known::follow_key_header(registered, &record, function).await?;
    }
    // Whatever ends this run from here on, the next one knows how to go on.
    setting.state.begin(&record)?;
    fault::pass(Point::SealNoted);
    let report = seal_built(&function.handler, name, key, now, built, &left_out)?;
    tell::report(name, &report);
    let images = images(setting, function).await;
    tell!("{name}: deploying the locked function");
    let locked = Deployment::of(&record, setting.faas.gateway())
        .bare()
        .image(&record.locked_image, "locked")
        .environment(rsfaas_shim::FUNCTION, name)
        .environment(rsfaas_shim::KEY_HEADER, &record.key_header);
    let told = |error: &FaasError| tell!("warning: {name}: {error}; trying again");
    setting.faas.deploy_over(&locked, told).await?;
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
    fault::pass(Point::SealPurged);
    if purged.is_ok() {
        setting.state.finish(name)?;
    }
    fault::pass(Point::SealFinished);
    tell!("{name}: sealed");
    let records = setting.state.all().into_iter().flatten();
    // With one that cannot be read it is not known what is used.
    let records = records.collect::<Result<Vec<_>, _>>().unwrap_or_default();
    let earlier = registered.filter(|earlier| known::is_base_unused(earlier, &records));
    if let Some(SealedFunction { base_image, .. }) = earlier {
        tell!(
            "{name}: its earlier image without the handler, {base_image}, is not used by this host any more; where no other \
             host uses it, and once the parked containers are replaced: docker image rm {base_image}, and delete it with its \
             registry's own means"
        );
    }
    // The next run goes on with it.
    Ok(purged?)
}

/// Builds the images and puts the record together; with the author's files and what a build has made of
/// them, where that is delivered in their place. `manifests` are those that the base image is built from.
async fn prepare(
    setting: &Setting,
    function: &Function,
    file: &SealedFile,
    manifests: String,
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
        rebuild: Rebuild::default(),
        isolation: Isolation::default(),
        key_header: setting.key_header.clone(),
        stack: function.entry.clone(),
        manifests: Some(manifests),
    };
    Ok((record, source.zip(built)))
}

/// The images that the plain function has beside the one that is known, while it may still be deployed.
async fn images(setting: &Setting, function: &Function) -> Images {
    let name = &function.name;
    let deployed = setting.deployed_images().await.inspect_err(|error| {
        tell!("warning: {name}: the image that is deployed is not known, and may be left: {error}");
    });
    let deployed = deployed.unwrap_or_default();
    let others = setting.stack.entries().filter(|(other, _)| other != name);
    let others = others.filter_map(|(_, entry)| entry.get("image")?.as_str());
    Images::of(name, &Reference::parse(&function.image), &deployed, others)
}

/// Removes what plain builds left, and says what was proved and what is left.
async fn purge(
    setting: &Setting,
    function: &Function,
    record: &SealedFunction,
    handler: &Archive,
    images: Images,
) -> Result<(), ImageError> {
    let name = &function.name;
    let image = Reference::parse(&function.image);
    let all = images.further.iter().chain([&image]);
    for image in all.filter(|image| !images.stays(image)) {
        if let Err(error) = image::remove_pulled(image).await {
            tell!("warning: {name}: {error}");
        }
    }
    let context = setting.stack.build_folder(name);
    let context = context.canonicalize().unwrap_or(context);
    let purged = match Engine::connect().await {
        Ok(engine) => {
            let purge = Purge {
                engine: &engine,
                image: &image,
                further: &images.further,
                taken: &images.taken,
                context: (!function.handler.starts_with(&context)).then_some(context),
                base: &Reference::parse(&record.base_image),
                traces: Traces::of(handler),
                command: setting.purge_command.clone(),
            };
            purge.run().await
        }
        Err(error) => Purged {
            failure: Some(error),
            ..Purged::default()
        },
    };
    let Purged {
        mut left,
        proved,
        failure,
    } = purged;
    left.extend(images.left);
    if failure.is_some() {
        left.push(Leftover {
            what: "whatever earlier builds have left in Docker Engine".to_owned(),
            how: "run `rsfaas seal` again".to_owned(),
        });
    }
    for proof in proved {
        tell!("{name}: checked: {proof}");
    }
    tell::left(name, &left);
    failure.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests;
