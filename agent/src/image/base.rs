//! The base image: everything that is built, but no handler; and what makes its process wait. Where the
//! container runs something else than the handler's files, also what a build makes of them: unless these are in the
//! image and Python or Node.js loads them, only a build with them tells.
use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use bollard::models::ImageConfig;

use super::{
    Engine, ImageError, Leftover, Reference, arguments,
    built::{self, Layer},
    context::Context,
    difference::Tree,
    export, locate,
    park::{self, Settings},
    recipe::Recipe,
};
use crate::{
    openfaas::FaasCli,
    seal::archive::{Archive, Built},
    stack::{self, Function, StackFile},
    state::Park,
};

/// The step that has an image with the handler, to be looked into.
const WHOLE: &str = "sealing";
/// The layer's archive in the context.
const LAYER: &str = "layer.tar";

/// A base image and what was learned of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseImage {
    /// Its name, as the provider pulls it.
    pub image: Reference,
    /// What is mounted in the container, absolute: the handler folder, or the last of several places.
    pub handler_dir: PathBuf,
    /// Where its process waits.
    pub park: Park,
    /// Why there.
    pub why: String,
    /// Port on which the function's own process listens.
    pub upstream_port: u16,
    /// The image's user; empty for root.
    pub user: String,
}

/// A function that is ready to be sealed. Holds plaintext: no `Debug`.
pub struct Prepared {
    /// Its base.
    pub base: BaseImage,
    /// What a build has made of the handler, where that is delivered in its place.
    pub built: Option<Built>,
    /// What that build has left in the engine.
    pub left: Vec<Leftover>,
}

/// What is needed to prepare a function.
pub struct Preparation<'a> {
    /// Builds.
    pub engine: &'a Engine,
    /// Puts templates together.
    pub faas: &'a FaasCli,
    /// Where the function is from.
    pub stack: &'a StackFile,
    /// The function.
    pub function: &'a Function,
    /// The author's files; none where they are sealed already.
    pub source: Option<&'a Archive>,
}

impl Preparation<'_> {
    /// Builds and pushes the base image. No file of the author's but dependency manifests takes part in it.
    ///
    /// # Errors
    /// When faas-cli, the engine or the registry fail, or the function cannot be sealed.
    pub async fn run(self) -> Result<Prepared, ImageError> {
        let function = self.function;
        if !self.stack.copied().is_empty() {
            let why = "`configuration.copy` of its stack file has files put into its handler folder that would not be \
                       sealed; move them there yourself, and take it out of the stack file";
            return Err(self.unparkable(why.to_owned()));
        }
        if !self.stack.has_template(function) {
            return Err(self.unparkable(format!(
                "its template {:?} is not in {}; in {}, run `{}` (or `faas-cli template pull URL`, for one that is \
                 elsewhere)",
                function.lang,
                self.stack.templates().display(),
                self.stack.folder().display(),
                self.stack.template_command(function),
            )));
        }
        let mut arguments = self.arguments()?;
        let image = Reference::parse(&function.image);
        // An earlier run that was killed has left it, with the handler in it.
        let left = self.passing(&image, WHOLE).to_string();
        self.engine.remove_with_containers(&left).await?;
        let recipe = if stack::is_dockerfile(&function.lang) {
            Recipe::of_dockerfile(function, self.plain_source()?)?
        } else {
            Recipe::of_template(self.faas, self.stack, function).await?
        };
        let plain = self.passing(&image, "building");
        // Without a handler the template's own tests could only fail.
        arguments.insert("TEST_ENABLED".into(), "false".into());
        let steps = self
            .engine
            .build(&plain, recipe.base(function)?, arguments)
            .await
            .map_err(|error| self.without_handler(error))?;
        let result = self.prepare(&recipe, &image, &plain, &steps).await;
        self.engine.remove(&plain.to_string()).await?;
        result
    }

    async fn prepare(
        &self,
        recipe: &Recipe,
        image: &Reference,
        plain: &Reference,
        steps: &[String],
    ) -> Result<Prepared, ImageError> {
        let folder = match recipe {
            Recipe::Template { .. } => locate::find(self.engine, &plain.to_string()).await?,
            Recipe::Dockerfile { .. } => None,
        };
        let (_, config) = self.engine.inspect(&plain.to_string()).await?;
        let settings = Settings {
            config: &config,
            entry: &self.function.entry,
        };
        let upstream_port = settings
            .upstream_port()
            .map_err(|why| self.unparkable(why))?;
        let (made, left) = match &folder {
            Some(_) if settings.is_interpreted() => (None, Vec::new()),
            _ => {
                self.build_handler(recipe, image, plain, steps, folder.as_deref())
                    .await?
            }
        };
        let choice = settings.choose(folder.is_some());
        let (built, layer) = made.unzip();
        let watched = match &built {
            Some(built) => built.places.last().cloned(),
            None => folder,
        };
        let base = BaseImage {
            image: self
                .finish(image, plain, &config, choice.park, layer.as_ref())
                .await?,
            handler_dir: watched.unwrap_or_default(),
            park: choice.park,
            why: choice.why,
            upstream_port,
            user: config.user.clone().unwrap_or_default(),
        };
        Ok(Prepared { base, built, left })
    }

    /// Builds the image with the handler, takes out what it has and the base has not, and removes it again. Gives
    /// nothing where that is the author's files alone, in the handler's folder of the image.
    async fn build_handler(
        &self,
        recipe: &Recipe,
        image: &Reference,
        plain: &Reference,
        base_steps: &[String],
        folder: Option<&Path>,
    ) -> Result<(Option<(Built, Layer)>, Vec<Leftover>), ImageError> {
        let source = self.plain_source()?;
        let whole = self.passing(image, WHOLE);
        let built = self
            .engine
            .build_noted(
                &whole,
                recipe.whole(self.function, source)?,
                self.arguments()?,
            )
            .await;
        let separated = match &built.outcome {
            Ok(()) => self.separate(plain, &whole, folder).await,
            Err(_) => Ok(None),
        };
        let known: BTreeSet<&String> = base_steps.iter().collect();
        let own = built.steps.iter().filter(|step| !known.contains(step));
        let left = self.engine.forget(&whole, own.rev()).await?;
        built.outcome?;
        Ok((separated?, left))
    }

    async fn separate(
        &self,
        plain: &Reference,
        whole: &Reference,
        folder: Option<&Path>,
    ) -> Result<Option<(Built, Layer)>, ImageError> {
        let base = export::read(self.engine, &plain.to_string(), Tree::read).await?;
        let compare = move |archive| {
            let difference = base.difference(archive)?;
            Ok((base, difference))
        };
        let (base, difference) = export::read(self.engine, &whole.to_string(), compare).await?;
        if let Some(folder) = folder
            && difference.is_source(folder, self.plain_source()?)
        {
            return Ok(None);
        }
        let separated = built::separate(&base, difference);
        separated.map(Some).map_err(|why| self.unparkable(why))
    }

    /// Adds what makes the process wait, and pushes.
    async fn finish(
        &self,
        image: &Reference,
        plain: &Reference,
        config: &ImageConfig,
        park: Park,
        layer: Option<&Layer>,
    ) -> Result<Reference, ImageError> {
        let failed = || ImageError::context(&self.function.name);
        let mut dockerfile = park::dockerfile(plain, config, park);
        let mut context = park::files(Context::new(), park).map_err(failed())?;
        if let Some(tar) = layer
            .map(Layer::tar)
            .transpose()
            .map_err(failed())?
            .flatten()
        {
            context = context.file(LAYER, 0o644, &tar).map_err(failed())?;
            dockerfile.push_str(&format!("ADD {LAYER} /\n"));
        }
        let context = context
            .file("Dockerfile", 0o644, dockerfile.as_bytes())
            .map_err(failed())?;
        let building = self.passing(image, "parking");
        self.engine
            .build(&building, context, HashMap::new())
            .await?;
        let (id, _) = self.engine.inspect(&building.to_string()).await?;
        let digits: String = id.trim_start_matches("sha256:").chars().take(12).collect();
        let base = image.tagged(&format!("rsfaas-base-{digits}"));
        self.engine.tag(&building, &base).await?;
        self.engine.remove(&building.to_string()).await?;
        self.engine.push(&base).await?;
        Ok(base)
    }

    /// An image that is there for as long as one step takes. It has the same name each time, by which a later run finds
    /// it, and the function's name in that: another one of the same repository may be sealed meanwhile.
    fn passing(&self, image: &Reference, step: &str) -> Reference {
        image.tagged(&format!("rsfaas-{step}-{}", self.function.name))
    }

    fn plain_source(&self) -> Result<&Archive, ImageError> {
        self.source.ok_or_else(|| ImageError::SealedBuild {
            function: self.function.name.clone(),
            folder: self.function.handler.clone(),
        })
    }

    fn arguments(&self) -> Result<HashMap<String, String>, ImageError> {
        let variable = |name: &str| std::env::var(name).ok();
        arguments::of(self.function, &self.stack.templates(), &variable)
            .map_err(|error| self.unparkable(error.to_string()))
    }

    /// A build that fails may do so for want of the author's files.
    fn without_handler(&self, error: ImageError) -> ImageError {
        match error {
            ImageError::Build { .. } => ImageError::Base {
                function: self.function.name.clone(),
                source: Box::new(error),
            },
            other => other,
        }
    }

    fn unparkable(&self, why: String) -> ImageError {
        ImageError::Unparkable {
            function: self.function.name.clone(),
            why,
        }
    }
}

#[cfg(test)]
mod tests;
