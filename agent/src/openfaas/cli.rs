//! faas-cli: deploys, removes, and writes build contexts. Secrets never stand in its arguments.
use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use rustix::fs::{MemfdFlags, memfd_create};
use tokio::process::Command;

use super::{FaasError, login, turns::Turns};
use crate::stack::Deployment;

/// How long a deployment may take. For hangs only: it may pull a large image.
pub(super) const TIMEOUT: Duration = Duration::from_secs(600);
/// How long a build or a push may take: both may take hours, and whoever waits for them can end them.
const BUILD_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a removal may take, which pulls nothing: a stop must not wait for longer than service managers do.
pub(super) const REMOVE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a deployment over a function that runs is tried, and the pause in between.
const OVER_TRIES: usize = 3;
const OVER_PAUSE: Duration = Duration::from_secs(1);
/// What faas-cli says where the gateway has no function of that name (404). Nothing less will do: "not found" may be a
/// program or a host.
const NOTHING_TO_REMOVE: &str = "no existing function to remove";
/// So much of the end of what faas-cli wrote goes into an error, in bytes.
const SAID: usize = 600;

/// The faas-cli on this host, with its gateway.
pub struct FaasCli {
    program: PathBuf,
    gateway: String,
    /// The file of a login of its own, where one was configured.
    credentials: Option<PathBuf>,
    turns: Turns,
}

impl FaasCli {
    /// A faas-cli for a gateway, with faas-cli's own login or that of a `user:password` file.
    ///
    /// # Errors
    /// When the credentials cannot be read.
    pub fn new(
        program: &Path,
        gateway: &str,
        credentials: Option<&Path>,
    ) -> Result<Self, FaasError> {
        let cli = Self {
            program: program.to_owned(),
            gateway: gateway.to_owned(),
            credentials: credentials.map(Path::to_owned),
            turns: Turns::new(),
        };
        cli.login()?;
        Ok(cli)
    }

    /// The gateway's address.
    #[must_use]
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// To be waited for by whoever deploys or removes what nobody waits for.
    #[must_use]
    pub fn turns(&self) -> &Turns {
        &self.turns
    }

    /// Deploys a function, or updates it.
    ///
    /// # Errors
    /// When faas-cli cannot be run, or fails.
    pub async fn deploy(&self, deployment: &Deployment) -> Result<(), FaasError> {
        let stack = |error: &dyn std::fmt::Display| FaasError::Stack(error.to_string());
        let text = deployment.to_yaml().map_err(|error| stack(&error))?;
        // In memory: the function's environment is in it, and nobody would remove a file after an agent that was killed.
        let mut file = memfd_create("deployment", MemfdFlags::CLOEXEC)
            .map(File::from)
            .map_err(|error| stack(&error))?;
        file.write_all(text.as_bytes())
            .map_err(|error| stack(&error))?;
        let mut command = self.command();
        command.args(["deploy", "--yaml", "/dev/stdin"]).stdin(file);
        command.args(
            deployment
                .fixed()
                .flat_map(|fixed| ["--env".to_owned(), fixed]),
        );
        finish("deploy", self.run("deploy", &mut command).await?)
    }

    /// Deploys over a function that runs. Its provider may give up on a container that is slow to end (faasd does,
    /// while it kills what has not ended in 30 seconds), and has only to be asked again; `failed` is told of each
    /// such failure.
    ///
    /// # Errors
    /// When faas-cli cannot be run, or fails every time.
    pub async fn deploy_over(
        &self,
        deployment: &Deployment,
        failed: impl Fn(&FaasError),
    ) -> Result<(), FaasError> {
        for _ in 1..OVER_TRIES {
            match self.deploy(deployment).await {
                Err(error @ FaasError::Cli { .. }) => failed(&error),
                other => return other,
            }
            tokio::time::sleep(OVER_PAUSE).await;
        }
        self.deploy(deployment).await
    }

    /// Removes a function; one that is not there is no error.
    ///
    /// # Errors
    /// When faas-cli cannot be run, or fails.
    pub async fn remove(&self, name: &str) -> Result<(), FaasError> {
        let mut command = self.command();
        command.args(["remove", name, "--gateway", &self.gateway]);
        let output = self.run_for("remove", &mut command, REMOVE_TIMEOUT).await?;
        if !output.status.success() && said(&output).to_lowercase().contains(NOTHING_TO_REMOVE) {
            return Ok(());
        }
        finish("remove", output)
    }

    /// Runs a step on a stack file, in the folder where its paths start.
    ///
    /// # Errors
    /// When faas-cli cannot be run, or fails.
    pub async fn step(
        &self,
        step: &'static str,
        folder: &Path,
        stack: &Path,
        function: &str,
        more: &[&str],
    ) -> Result<(), FaasError> {
        let mut command = self.command();
        command
            .args([step, "--filter", function])
            .args(more)
            .arg("--yaml")
            .arg(stack)
            .current_dir(folder);
        finish(step, self.run_for(step, &mut command, limit(step)).await?)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("OPENFAAS_URL", &self.gateway)
            .stdin(Stdio::null());
        command
    }

    /// A folder with the login as it is now, since passwords change while an agent runs.
    fn login(&self) -> Result<Option<tempfile::TempDir>, FaasError> {
        let file = self.credentials.as_deref();
        file.map(|file| login::folder_for(&self.gateway, file))
            .transpose()
    }

    async fn run(&self, step: &'static str, command: &mut Command) -> Result<Output, FaasError> {
        self.run_for(step, command, TIMEOUT).await
    }

    async fn run_for(
        &self,
        step: &'static str,
        command: &mut Command,
        limit: Duration,
    ) -> Result<Output, FaasError> {
        command.kill_on_drop(true);
        // Removed once the command has ended.
        let login = self.login()?;
        if let Some(login) = &login {
            command.env("OPENFAAS_CONFIG", login.path());
        }
        match tokio::time::timeout(limit, command.output()).await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(source)) => Err(FaasError::NoCli {
                program: self.program.clone(),
                source,
            }),
            Err(_) => Err(FaasError::CliTimeout { step, limit }),
        }
    }
}

/// How long a step on a stack file may take.
fn limit(step: &str) -> Duration {
    match step {
        "build" | "push" => BUILD_TIMEOUT,
        _ => TIMEOUT,
    }
}

fn finish(step: &'static str, output: Output) -> Result<(), FaasError> {
    if output.status.success() {
        return Ok(());
    }
    Err(FaasError::Cli {
        step,
        said: format!("{} ({})", said(&output), output.status),
    })
}

/// The end of what it wrote.
fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let end = String::from_utf8_lossy(&text[text.len().saturating_sub(SAID)..])
        .trim()
        .to_owned();
    end.replace('\n', " / ")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::script;

    fn faas_cli(text: &str) -> (tempfile::TempDir, FaasCli) {
        let folder = tempfile::tempdir().unwrap();
        let path = script::write(&folder.path().join("faas-cli"), text);
        let cli = FaasCli::new(&path, "http://g", None).unwrap();
        (folder, cli)
    }

    #[tokio::test]
    async fn a_failure_tells_the_end_of_what_was_said() {
        let (_folder, cli) = faas_cli("echo unauthorized >&2; exit 1");
        let error = cli.remove("pydict").await.unwrap_err().to_string();
        assert!(
            error.contains("faas-cli remove failed: unauthorized"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_provider_that_gives_up_on_the_container_before_is_asked_again() {
        let (folder, cli) = faas_cli(
            "[ -e \"$0.asked\" ] || { touch \"$0.asked\"; echo cannot delete running task >&2; exit 1; }",
        );
        let failures = RefCell::new(Vec::new());
        cli.deploy_over(&Deployment::example(), |error| {
            failures.borrow_mut().push(error.to_string());
        })
        .await
        .unwrap();
        assert!(folder.path().join("faas-cli.asked").exists());
        let failures = failures.into_inner();
        assert!(
            failures.len() == 1 && failures[0].contains("cannot delete running task"),
            "{failures:?}"
        );
    }

    #[tokio::test]
    async fn a_deployment_is_read_from_no_file() {
        let (folder, cli) =
            faas_cli("cat \"$3\" > \"$0.read\"; readlink /proc/self/fd/0 > \"$0.from\"");
        cli.deploy(&Deployment::example()).await.unwrap();
        let read = |what: &str| std::fs::read_to_string(folder.path().join(what)).unwrap();
        assert_eq!(
            read("faas-cli.read"),
            Deployment::example().to_yaml().unwrap()
        );
        assert!(read("faas-cli.from").starts_with("/memfd:"));
    }

    #[tokio::test]
    async fn removing_what_is_not_there_is_no_error() {
        let (_folder, cli) =
            faas_cli("echo Deleting: pydict.; echo No existing function to remove >&2; exit 1");
        cli.remove("pydict").await.unwrap();
        let (_folder, cli) = faas_cli("echo docker: not found >&2; exit 1");
        assert!(cli.remove("pydict").await.is_err());
    }

    #[tokio::test]
    async fn a_password_that_changes_is_the_one_that_is_used_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let text = "grep token \"$OPENFAAS_CONFIG/config.yml\" > \"$0.login\"; echo \"$OPENFAAS_CONFIG\" > \"$0.folder\"";
        let path = script::write(&folder.path().join("faas-cli"), text);
        let credentials = folder.path().join("credentials");
        std::fs::write(&credentials, "admin:old\n").unwrap();
        let cli = FaasCli::new(&path, "http://g", Some(&credentials)).unwrap();
        std::fs::write(&credentials, "admin:secret\n").unwrap();
        cli.remove("pydict").await.unwrap();
        let written = |what| std::fs::read_to_string(path.with_extension(what)).unwrap();
        assert!(written("login").contains("YWRtaW46c2VjcmV0"));
        assert!(!Path::new(written("folder").trim()).exists());
        std::fs::remove_file(&credentials).unwrap();
        let error = cli.remove("pydict").await.unwrap_err();
        assert!(matches!(error, FaasError::LoginFile { .. }), "{error}");
    }

    #[test]
    fn builds_and_pushes_are_not_given_up_after_what_a_deployment_may_take() {
        for step in ["build", "push"] {
            assert!(limit(step) > 10 * TIMEOUT, "{step}");
        }
        assert_eq!(limit("deploy"), TIMEOUT);
    }

    #[tokio::test]
    async fn a_missing_program_is_told_with_what_to_do() {
        let cli = FaasCli::new(Path::new("/nonexistent/faas-cli"), "http://g", None).unwrap();
        let error = cli.remove("pydict").await.unwrap_err().to_string();
        assert!(error.contains("install faas-cli"), "{error}");
    }
}
