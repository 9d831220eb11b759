//! Removes what plain builds of a function left, once nothing uses it any more.
use super::{super::exit::Failure, super::openfaas::Setting, images::Images, tell};
use crate::{
    image::{self, Engine, Leftover, Purge, Purged, Reference, Traces},
    seal::archive::Archive,
    stack::Function,
    state::{Rebuild, SealedFunction},
};

/// The images that the plain function has beside the one that is known, while it may still be deployed.
pub(super) async fn images(setting: &Setting, function: &Function) -> Images {
    let name = &function.name;
    let deployed = setting.deployed_images().await.inspect_err(|error| {
        tell!("warning: {name}: the image that is deployed is not known, and may be left: {error}");
    });
    let deployed = deployed.unwrap_or_default();
    let others = setting.stack.entries().filter(|(other, _)| other != name);
    let others = others.filter_map(|(_, entry)| entry.get("image")?.as_str());
    Images::of(name, &Reference::parse(&function.image), &deployed, others)
}

/// Removes the images with the handler that leases have left, where the function is not rebuilt by image any more: while it
/// is, the agent looks for them.
pub(super) async fn remove_lease_images(
    setting: &Setting,
    record: &SealedFunction,
    registered: Option<&SealedFunction>,
) -> Result<(), Failure> {
    if record.rebuild == Rebuild::Image {
        return Ok(());
    }
    let earlier = registered.filter(|earlier| earlier.rebuild == Rebuild::Image);
    let images = setting.lease_images();
    images
        .remove(earlier.unwrap_or(record), earlier.is_some())
        .await
}

/// Removes what plain builds left, and says what was proved and what is left.
pub(super) async fn purge(
    setting: &Setting,
    function: &Function,
    record: &SealedFunction,
    handler: &Archive,
    images: Images,
) -> Result<(), Failure> {
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
    failure.map_or(Ok(()), |error| Err(error.into()))
}
