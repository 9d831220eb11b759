//! `rsfaas unseal`: back to a plain function.
use super::{
    exit::Failure,
    key_file::KeyFile,
    openfaas::{Setting, Stack, wait_for},
};
use crate::{
    seal::{
        file::SealedFile,
        folder::{Outcome, unseal_folder},
        key::Key,
    },
    stack::Function,
};

/// Give the plain handler folder and the plain function back.
///
/// The agent stops serving the function, the handler is decrypted to its folder, and the function is
/// built, pushed and deployed by faas-cli as it was before.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    stack: Stack,
    #[command(flatten)]
    key: KeyFile,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let setting = args.stack.read()?;
    let key = args.key.read()?;
    wait_for(async {
        setting.check_gateway().await?;
        for function in &setting.functions {
            unseal(&setting, function, &key).await?;
        }
        Ok(())
    })
}

async fn unseal(setting: &Setting, function: &Function, key: &Key) -> Result<(), Failure> {
    let name = &function.name;
    let file = SealedFile::in_folder(&function.handler);
    if file.exists()? {
        // Before the agent lets go of it: a wrong key must change nothing.
        file.open(key, name)?;
    }
    setting.state.unregister(name)?;
    let outcome = unseal_folder(&function.handler, name, key)?;
    if outcome == Outcome::Already {
        eprintln!("{name}: the handler folder is plain already");
    } else {
        eprintln!("{name}: the handler folder is plain again");
    }
    for step in ["build", "push", "deploy"] {
        eprintln!("{name}: faas-cli {step}");
        setting
            .faas
            .step(step, setting.stack.path(), name, &[])
            .await?;
    }
    eprintln!("{name}: unsealed");
    Ok(())
}
