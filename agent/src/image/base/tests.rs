//! What is built and delivered of a function, with an engine whose images are made by hand.
use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::Path,
    sync::{Arc, Mutex},
};

use bollard::{API_DEFAULT_VERSION, Docker};
use serde_json::json;

use super::{
    super::{
        difference::tests::{FILE, FOLDER, Made, image},
        project::MARKER,
    },
    *,
};
use crate::{
    seal::archive::Survey,
    server::{serve, tell},
};

/// Images that an engine has built: the base, and the one with the handler.
#[derive(Default)]
struct Images {
    env: Vec<&'static str>,
    base: Vec<u8>,
    whole: Vec<u8>,
    /// What each build says in the end.
    failure: Option<&'static str>,
}

impl Images {
    /// The answer to a request; a container bears the name of its image.
    fn answer(&self, request: &str, body: &str) -> Vec<u8> {
        let is_whole = request.contains("rsfaas-sealing");
        let image = match body.contains("rsfaas-sealing") {
            true => "rsfaas-sealing",
            false => "base",
        };
        let (call, _) = request.split_once('?').unwrap_or((request, ""));
        let json = match call.split('/').next_back() {
            Some("export") if is_whole => return self.whole.clone(),
            Some("export") => return self.base.clone(),
            Some("create") => json!({"Id": image, "Warnings": []}),
            Some("json") if call.starts_with("GET /images/") => {
                json!({"Id": "sha256:0123456789abcdef", "Config": {"Env": self.env}})
            }
            Some("build") if self.failure.is_some() => {
                json!({"errorDetail": {"message": self.failure}})
            }
            Some("build" | "push") => json!({}),
            _ => json!([]),
        };
        json.to_string().into_bytes()
    }

    /// An engine that has them, and what it is asked.
    fn engine(self, folder: &Path) -> (Engine, Arc<Mutex<Vec<String>>>) {
        let socket = folder.join("docker.sock");
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&asked);
        serve(UnixListener::bind(&socket).unwrap(), move |head, body| {
            let request = head.split(" HTTP/1.1\r\n").next().unwrap();
            log.lock().unwrap().push(request.to_owned());
            tell(
                "200 OK",
                self.answer(request, &String::from_utf8_lossy(body)),
            )
        });
        let docker = Docker::connect_with_unix(socket.to_str().unwrap(), 10, API_DEFAULT_VERSION);
        (Engine(docker.unwrap()), asked)
    }
}

/// A function `f` of `handler.x`, in a folder of its own.
struct Project {
    folder: tempfile::TempDir,
    stack: StackFile,
    function: Function,
    source: Archive,
}

impl Project {
    fn new(lang: &str, configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let handler = folder.path().join("f");
        fs::create_dir(&handler).unwrap();
        fs::write(handler.join("handler.x"), "author").unwrap();
        fs::write(handler.join("Dockerfile"), "FROM x\nCOPY . .\n").unwrap();
        let path = folder.path().join("stack.yaml");
        let text = format!(
            "provider: {{name: openfaas}}\n{configuration}\nfunctions:\n  f: {{lang: {lang}, handler: ./f, \
             image: r/f}}\n"
        );
        fs::write(&path, text).unwrap();
        let stack = StackFile::read(&path).unwrap();
        let function = stack.functions(None).unwrap().remove(0);
        let source = Survey::of(&function.handler).unwrap().read().unwrap();
        Self {
            folder,
            stack,
            function,
            source,
        }
    }

    fn preparation<'a>(&'a self, engine: &'a Engine, faas: &'a FaasCli) -> Preparation<'a> {
        Preparation {
            engine,
            faas,
            stack: &self.stack,
            function: &self.function,
            source: Some(&self.source),
        }
    }

    /// The recipe of a template that has the handler folder in its context.
    fn recipe(&self) -> Recipe {
        let project = tempfile::tempdir_in(self.folder.path()).unwrap();
        let function = project.path().join("build/function");
        fs::create_dir_all(&function).unwrap();
        fs::write(function.join(MARKER), "").unwrap();
        Recipe::Template {
            project,
            context: "build".into(),
        }
    }
}

fn faas() -> FaasCli {
    FaasCli::new("/nonexistent/faas-cli".as_ref(), "http://g", None).unwrap()
}

/// Another function of the same repository may be sealed at the same time.
fn for_f_alone(asked: &[String]) {
    let builds = asked.iter().filter(|it| it.starts_with("POST /build?"));
    let tags = builds.map(|it| it.split(['?', '&']).find_map(|it| it.strip_prefix("t=")));
    let tags: Vec<_> = tags.map(Option::unwrap).collect();
    assert!(!tags.is_empty(), "{asked:?}");
    assert!(tags.iter().all(|tag| tag.ends_with("-f")), "{tags:?}");
}

/// Prepares a function whose template keeps the handler folder in its image, where it also has this program; tells
/// whether it was built with the handler.
async fn prepare(env: &[&'static str], program: &str) -> (Prepared, bool) {
    let project = Project::new("x", "");
    let of = |handler, program| -> [Made<'_>; 4] {
        [
            ("app/", FOLDER, 0o755, ""),
            ("app/handler.x", FILE, 0o644, handler),
            ("app/.rsfaas-handler", FILE, 0o644, ""),
            ("program", FILE, 0o755, program),
        ]
    };
    let handler = project.function.handler.join("handler.x");
    let mode = fs::Permissions::from_mode(0o644);
    fs::set_permissions(handler, mode).unwrap();
    let images = Images {
        env: env.to_vec(),
        base: image(&of("stub", "made of the stub")),
        whole: image(&of("author", program)),
        failure: None,
    };
    let (engine, asked) = images.engine(project.folder.path());
    let faas = faas();
    let reference = Reference::parse("r/f:1");
    let preparation = project.preparation(&engine, &faas);
    let plain = preparation.passing(&reference, "building");
    let prepared = preparation
        .prepare(&project.recipe(), &reference, &plain, &[])
        .await
        .unwrap();
    let asked = asked.lock().unwrap();
    let is_built = asked.iter().any(|it| it.contains("rsfaas-sealing"));
    for_f_alone(&asked);
    (prepared, is_built)
}

#[tokio::test]
async fn a_program_that_is_compiled_beside_its_source_is_delivered() {
    let env = ["fprocess=/program", "mode=http"];
    let (prepared, is_built) = prepare(&env, "made of the handler").await;
    assert!(is_built);
    let places = prepared.built.unwrap().places;
    assert_eq!(places, ["/app/handler.x", "/program"].map(PathBuf::from));
    assert_eq!(prepared.base.handler_dir, Path::new("/program"));
    assert_eq!(prepared.base.park, Park::Gate);
}

#[tokio::test]
async fn scripts_of_which_a_build_makes_nothing_are_delivered_as_they_are() {
    let env = ["fprocess=bash /app/handler.x", "mode=http"];
    let (prepared, is_built) = prepare(&env, "made of the stub").await;
    assert!(is_built && prepared.built.is_none());
    assert_eq!(prepared.base.handler_dir, Path::new("/app"));
    assert_eq!(prepared.base.park, Park::Gate);
}

#[tokio::test]
async fn a_python_handler_is_never_built() {
    let env = ["fprocess=python index.py", "mode=http"];
    let (prepared, is_built) = prepare(&env, "made of the handler").await;
    assert!(!is_built && prepared.built.is_none());
    assert_eq!(prepared.base.handler_dir, Path::new("/app"));
    assert_eq!(prepared.base.park, Park::Python);
}

/// What is said of a function in a project without templates, with that configuration in its stack file.
async fn refused(configuration: &str) -> String {
    let project = Project::new("python3", configuration);
    let (engine, _) = Images::default().engine(project.folder.path());
    let faas = faas();
    let error = project
        .preparation(&engine, &faas)
        .run()
        .await
        .err()
        .unwrap();
    assert!(matches!(error, ImageError::Unparkable { .. }));
    error.to_string()
}

#[tokio::test]
async fn files_that_faas_cli_would_copy_into_the_handler_are_refused() {
    let error = refused("configuration: {copy: [./common]}").await;
    assert!(error.contains("`configuration.copy`"), "{error}");
}

#[tokio::test]
async fn a_template_that_is_not_there_is_told_with_what_brings_it() {
    let error = refused("").await;
    assert!(
        error.contains("/template; in ") && error.contains("faas-cli template store pull python3`"),
        "{error}"
    );
    let error = refused("configuration: {templates: [{name: python3, source: 'https://x'}]}").await;
    assert!(
        error.contains("faas-cli template pull stack -f /") && error.contains("/stack.yaml`"),
        "{error}"
    );
}

#[tokio::test]
async fn a_build_that_fails_without_the_handler_is_told_as_such() {
    let project = Project::new("dockerfile", "");
    let images = Images {
        failure: Some("cannot find module providing package shop"),
        ..Images::default()
    };
    let (engine, asked) = images.engine(project.folder.path());
    let faas = faas();
    let preparation = project.preparation(&engine, &faas);
    let error = crate::chain::of(&preparation.run().await.err().unwrap());
    for part in [
        "without the handler",
        "vendor/",
        "cannot find module providing package shop",
    ] {
        assert!(error.contains(part), "{error}");
    }
    for_f_alone(&asked.lock().unwrap());
}
