//! What `seal` and `unseal` share: a stack file, and the OpenFaaS that it is deployed to.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use tokio::runtime::Builder;

use super::{
    exit::{Exit, Failure},
    lease_images::LeaseImages,
    signals::leave_to_others,
};
use crate::{
    config::Config,
    openfaas::{FaasCli, FaasError, Gateway},
    stack::{Function, StackFile},
    state::StateDir,
};

/// faas-cli's variable for the gateway's address.
const VARIABLE: &str = "OPENFAAS_URL";

/// Which functions, and where the agent's folders are.
#[derive(Debug, clap::Args)]
pub(super) struct Stack {
    /// The stack file; without it stack.yaml, or stack.yml where there is none. Its paths start in the working folder
    /// where its functions' handlers are there, as with faas-cli, and otherwise in its own folder.
    #[arg(short = 'f', long = "yaml", value_name = "FILE")]
    file: Option<PathBuf>,
    /// One function of it; without this, all of them.
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// The agent's configuration; without it /etc/rsfaas/agent.toml where that exists.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The agent's state folder; without it, that of the agent's configuration.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// What was found of them.
pub(super) struct Setting {
    pub(super) stack: StackFile,
    pub(super) functions: Vec<Function>,
    /// Whether there is one function only, which was asked for by its name.
    pub(super) is_one: bool,
    pub(super) state: StateDir,
    pub(super) faas: FaasCli,
    /// The gateway's API.
    gateway: Gateway,
    /// Where the agent answers, if one runs.
    pub(super) control_socket: PathBuf,
    pub(super) key_header: String,
    /// The operator's command that removes what a registry keeps of an image that was removed.
    pub(super) purge_command: Option<PathBuf>,
}

impl Stack {
    pub(super) fn read(&self) -> Result<Setting, Failure> {
        let config = Config::read(self.config.as_deref())?;
        let file = self.file.clone().unwrap_or_else(|| usual(Path::new("")));
        let stack = self.stack(&file)?;
        for name in stack.unset() {
            tell!(
                "warning: {}: ${{{name}}} is not set and stands for nothing; sudo keeps variables that are named \
                 in --preserve-env",
                file.display()
            );
        }
        if self.function.is_none() {
            for name in stack.unbuilt() {
                tell!("{name}: left out: by `skip_build` it is never built");
            }
        }
        let functions = stack.functions(self.function.as_deref())?;
        let variable = std::env::var(VARIABLE).ok();
        let (place, address) = address(stack.gateway(), variable.as_deref(), || config.gateway());
        let faas = FaasCli::new(&config.faas_cli, &address, config.credentials.as_deref())?;
        let gateway = Gateway::new(&address, config.credentials.as_deref())
            .map_err(|error| place.failure(&file, error))?;
        let state = StateDir::new(self.state_dir.as_ref().unwrap_or(&config.state_dir));
        Ok(Setting {
            stack,
            functions,
            is_one: self.function.is_some(),
            state,
            faas,
            gateway,
            control_socket: config.control_socket,
            key_header: config.key_header,
            purge_command: config.purge_command,
        })
    }

    /// The stack file, with the folder where its paths start.
    fn stack(&self, file: &Path) -> Result<StackFile, Failure> {
        let stack = StackFile::read(file)?;
        let Ok(working) = std::env::current_dir() else {
            return Ok(stack);
        };
        let own = stack.folder().to_owned();
        let stack = stack.worked_on_in(&working, self.function.as_deref());
        if stack.folder() != own {
            tell!(
                "{}: handlers, templates and environment files are those of the working folder {}",
                file.display(),
                stack.folder().display()
            );
        }
        Ok(stack)
    }
}

impl Setting {
    /// The images that leases leave.
    pub(super) fn lease_images(&self) -> LeaseImages<'_> {
        LeaseImages {
            state: &self.state,
            control_socket: &self.control_socket,
            purge_command: self.purge_command.clone(),
        }
    }

    /// The images that are deployed, by the functions' names. The gateway is asked with the login.
    pub(super) async fn deployed_images(&self) -> Result<BTreeMap<String, String>, FaasError> {
        self.gateway.images().await
    }
}

/// Where the gateway's address is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Stack,
    Variable,
    Config,
}

impl Place {
    /// What it means that an address of there cannot be used.
    fn failure(self, file: &Path, error: FaasError) -> Failure {
        match self {
            Self::Stack => {
                let place = file.display();
                Failure::new(Exit::Stack, format!("{place}: provider.gateway: {error}"))
            }
            Self::Variable => Failure::new(Exit::Usage, format!("{VARIABLE}: {error}")),
            Self::Config => error.into(),
        }
    }
}

/// The gateway's address, by faas-cli's rules: what the stack file names, then the environment, and only then what the
/// host is set to; `http` where no scheme is written.
fn address(
    stack: Option<&str>,
    variable: Option<&str>,
    host: impl Fn() -> String,
) -> (Place, String) {
    let variable = variable.filter(|variable| !variable.is_empty());
    let (place, named) = match (stack, variable) {
        (Some(named), _) => (Place::Stack, named),
        (None, Some(named)) => (Place::Variable, named),
        (None, None) => return (Place::Config, host()),
    };
    let named = named.trim_end_matches('/').to_lowercase();
    if named.starts_with("http") {
        (place, named)
    } else {
        (place, format!("http://{named}"))
    }
}

/// The stack file of a folder where none is named, by faas-cli's rules.
fn usual(folder: &Path) -> PathBuf {
    let [first, second] = ["stack.yaml", "stack.yml"].map(|name| folder.join(name));
    if !first.exists() && second.exists() {
        second
    } else {
        first
    }
}

/// Runs work that waits for others.
pub(super) fn wait_for<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    run(&mut Builder::new_current_thread(), work)
}

/// The same for work that holds signals back at times: no other thread takes them meanwhile.
pub(super) fn wait_for_without_signals<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut runtime = Builder::new_current_thread();
    runtime.on_thread_start(|| {
        let _ = leave_to_others();
    });
    run(&mut runtime, work)
}

fn run<T>(
    runtime: &mut Builder,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    runtime
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Unexpected, error))?
        .block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_file_that_is_not_named_has_either_usual_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name| folder.path().join(name);
        assert_eq!(usual(folder.path()), at("stack.yaml"));
        std::fs::write(at("stack.yml"), "").unwrap();
        assert_eq!(usual(folder.path()), at("stack.yml"));
        std::fs::write(at("stack.yaml"), "").unwrap();
        assert_eq!(usual(folder.path()), at("stack.yaml"));
    }

    #[test]
    fn no_thread_but_the_one_that_works_takes_a_signal_that_ends_the_program() {
        use nix::sys::signal::{SigSet, Signal};

        let holds = || SigSet::thread_get_mask().unwrap().contains(Signal::SIGTERM);
        let work = async { Ok((holds(), tokio::task::spawn_blocking(holds).await.unwrap())) };
        assert_eq!(wait_for_without_signals(work).unwrap(), (false, true));
    }

    #[test]
    fn the_gateway_is_the_stack_files_then_the_environments_then_the_hosts() {
        let address =
            |stack, variable| address(stack, variable, || "http://127.0.0.1:8090".to_owned());
        for (stack, variable, expected) in [
            (
                Some("http://g:8080/"),
                Some("http://e"),
                (Place::Stack, "http://g:8080"),
            ),
            (Some("G:8080"), None, (Place::Stack, "http://g:8080")),
            (
                None,
                Some("gateway:31112"),
                (Place::Variable, "http://gateway:31112"),
            ),
            (None, Some("https://e/"), (Place::Variable, "https://e")),
            (None, Some(""), (Place::Config, "http://127.0.0.1:8090")),
            (None, None, (Place::Config, "http://127.0.0.1:8090")),
        ] {
            let (place, address) = address(stack, variable);
            assert_eq!((place, address.as_str()), expected);
        }
    }

    #[test]
    fn an_address_that_cannot_be_used_is_told_with_where_it_is_named() {
        for (place, exit, start) in [
            (Place::Stack, Exit::Stack, "f.yaml: provider.gateway: "),
            (Place::Variable, Exit::Usage, "OPENFAAS_URL: "),
            (Place::Config, Exit::Config, "the gateway's address "),
        ] {
            let error = Gateway::new("https://e", None).err().unwrap();
            let failure = place.failure(Path::new("f.yaml"), error);
            let said = failure.to_string();
            assert_eq!(failure.exit(), exit);
            assert!(
                said.starts_with(start) && said.contains("\"https://e\""),
                "{said}"
            );
        }
    }
}
