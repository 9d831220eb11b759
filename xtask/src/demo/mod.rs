//! `cargo xtask demo`: the main job, seen from the outside. An author seals a function, a caller
//! without the key is told so, a caller with it is answered, and afterwards all is ciphertext again.

mod timeline;

use std::path::Path;

use crate::{
    build,
    error::Error,
    scene::{ANSWER, Agent, Call, FUNCTION, Project, QUESTION, classic, verify},
    setup, testbed,
    testbed::Testbed,
};

/// What to do, and with which OpenFaaS.
pub(crate) struct Options {
    /// Leave everything running.
    pub(crate) keep: bool,
    /// Use the OpenFaaS that the environment names.
    pub(crate) existing: bool,
}

/// Runs the demonstration.
///
/// # Errors
/// When anything is not as it should be.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let existing = testbed::prerequisites(options.existing)?;
    heading("Set-up: tools, the agent, an OpenFaaS on this host");
    setup::run(setup::Options {
        existing: options.existing,
        no_clients: true,
        ..setup::Options::default()
    })?;
    let program = build::build(false)?;
    let testbed = existing.map_or_else(testbed::up, Ok)?;
    let project = Project::new(&testbed, "demo", &program)?;
    let agent = project.start_agent(1)?;
    let shown = show(&testbed, &project, &agent);
    if options.keep {
        keep(&testbed, &project, &agent, options.existing);
        agent.leave();
        return shown;
    }
    heading("Taking it down");
    let stopped = agent.stop();
    let removed = project.remove(&[FUNCTION, classic::FUNCTION]);
    shown.and(stopped).and(removed)?;
    if options.existing {
        println!("the functions are removed");
    } else {
        println!("the functions are removed; `cargo xtask testbed down` removes the OpenFaaS too");
    }
    Ok(())
}

fn show(testbed: &Testbed, project: &Project, agent: &Agent) -> Result<(), Error> {
    heading("The author deploys a function the classic way, then seals it");
    project.build_push_deploy(FUNCTION)?;
    let key = project.keygen()?;
    project.seal(FUNCTION, agent)?;
    agent.wait_until_parked(FUNCTION)?;
    let sealed = project.sealed_bytes(FUNCTION)?;
    println!("on disk now: {}", project.listing(FUNCTION)?);

    heading("1. A call without the key");
    let answer = Call::of(testbed, FUNCTION, QUESTION).run()?;
    answer.show();
    answer.expect(423, "X-RsFaaS-Key")?;

    heading("2. The same call with the key");
    let parked = parked(&project.deployed()?);
    verify(
        !parked.is_empty(),
        "a container waits for the handler, and the gateway has it",
    )?;
    let answer = Call::of(testbed, FUNCTION, QUESTION).key(&key).run()?;
    answer.show();
    answer.expect(200, ANSWER)?;

    heading("3. After the connection has closed (no key is needed to see this)");
    agent.wait_until_parked(FUNCTION)?;
    let after = project.sealed_bytes(FUNCTION)?;
    verify(
        sealed != after,
        "the handler on disk is ciphertext with other bytes than before",
    )?;
    verify(
        !contains(&after, ANSWER),
        "and the answer's word is not to be found in it",
    )?;
    let function = agent.function(FUNCTION)?;
    let deployed = project.deployed()?;
    verify(
        function["unlocked"].is_null() && !parked.iter().any(|name| deployed.contains(name)),
        "the unlocked container is gone, from the gateway too",
    )?;
    print!("{}", project.inspect(FUNCTION)?);

    heading("4. A call with a wrong key");
    let unlocks = function["unlocks"].clone();
    let wrong = project.other_key()?;
    let answer = Call::of(testbed, FUNCTION, QUESTION).key(&wrong).run()?;
    answer.show();
    answer.expect(403, "key-wrong")?;
    verify(
        agent.function(FUNCTION)?["unlocks"] == unlocks && project.deployed()? == deployed,
        "nothing was built for it, and nothing deployed",
    )?;

    heading("The keyed call, step by step");
    let timeline = agent.timeline(FUNCTION)?;
    timeline::show(&timeline)?;

    heading("5. The classic flow beside it: a changed handler, built, pushed, deployed, called");
    let classic = classic::run(testbed, project)?;
    println!(
        "from a locked function to its answer: {:.1} ms; the classic flow: {:.0} ms",
        timeline::answered(&timeline)?,
        classic.as_secs_f64() * 1e3,
    );
    Ok(())
}

/// The containers that wait for the handler, one of which serves the next keyed call.
fn parked(deployed: &[String]) -> Vec<String> {
    let of_ours =
        |name: &&String| name.starts_with(&format!("{FUNCTION}-")) && *name != classic::FUNCTION;
    deployed.iter().filter(of_ours).cloned().collect()
}

fn keep(testbed: &Testbed, project: &Project, agent: &Agent, existing: bool) {
    heading("Everything is left running");
    let key = project.key_file();
    println!(
        "call it:     curl -i {}/function/{FUNCTION} -d '{QUESTION}' -H \"X-RsFaaS-Key: $(cat {})\"\n\
         look at it:  {}\n\
         its log:     {}\n\
         end it:      {}",
        testbed.gateway,
        key.display(),
        agent.status_command(),
        agent.log().display(),
        end(agent.pid(), existing, &testbed.faas_cli, &testbed.gateway),
    );
}

/// The command that ends what is left running: first the agent, which needs the functions for sealing all, then
/// the testbed, or the functions on an OpenFaaS that stays.
fn end(agent: u32, existing: bool, faas_cli: &Path, gateway: &str) -> String {
    let rest = if existing {
        [FUNCTION, classic::FUNCTION]
            .map(|name| format!("{} remove {name} --gateway {gateway}", faas_cli.display()))
            .join(" && ")
    } else {
        "cargo xtask testbed down".to_owned()
    };
    format!("kill {agent} && tail --pid={agent} -f /dev/null && {rest}")
}

fn heading(text: &str) {
    println!("\n== {text}");
}

fn contains(bytes: &[u8], word: &str) -> bool {
    bytes
        .windows(word.len())
        .any(|window| window == word.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_parked_is_told_from_other_functions() {
        let deployed =
            ["pydict", "pydict-classic", "pydict-mkcwvsm2i-0", "pydicts"].map(str::to_owned);
        assert_eq!(parked(&deployed), ["pydict-mkcwvsm2i-0"]);
    }

    #[test]
    fn what_is_left_running_ends_by_commands_that_fit_the_openfaas() {
        let end = |existing| {
            end(
                7,
                existing,
                Path::new("/bin/faas-cli"),
                "http://10.0.0.1:8080",
            )
        };
        assert_eq!(
            end(false),
            "kill 7 && tail --pid=7 -f /dev/null && cargo xtask testbed down"
        );
        assert_eq!(
            end(true),
            "kill 7 && tail --pid=7 -f /dev/null \
             && /bin/faas-cli remove pydict --gateway http://10.0.0.1:8080 \
             && /bin/faas-cli remove pydict-classic --gateway http://10.0.0.1:8080"
        );
    }
}
