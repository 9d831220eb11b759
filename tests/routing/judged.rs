//! What the agent makes of requests, and what the gateway makes of those that it lets go on.
use std::collections::HashMap;

use agent_ebpf::HeldPlace;
use libtest_mimic::Failed;
use rsfaas::head::{Action, Connection, Decision, Request, Target};

use crate::{
    CASES, HEADER, SEALED, UNLOCKED,
    gateway::{Gateway, Outcome},
    spellings::Random,
};

/// What the agent makes of a connection's bytes, and what it lets go on where each request is decided about like this.
fn judge(bytes: &[u8], decide: impl Fn(&Request) -> Decision) -> (Vec<(Target, bool)>, Vec<u8>) {
    let mut connection = Connection::new(HEADER);
    let mut judged = Vec::new();
    let mut released = Vec::new();
    let mut actions =
        std::collections::VecDeque::from(connection.segment(0, bytes, HeldPlace::default()));
    while let Some(action) = actions.pop_front() {
        match action {
            Action::Judge { id, request } => {
                let decision = decide(&request);
                judged.push((request.target, request.direct));
                actions.extend(connection.decide(id, &decision));
            }
            Action::Release { bytes, .. } => released.extend_from_slice(&bytes),
            Action::PassWindow { .. } | Action::Opaque | Action::OpaqueOnAnswer { .. } => {}
        }
    }
    (judged, released)
}

/// Nobody may call the unlocked container by its name.
fn hide(request: &Request) -> Decision {
    match &request.target {
        Target::Function { name } | Target::Async { name } if name == UNLOCKED => Decision::Hide,
        _ => Decision::Pass,
    }
}

/// Who asks for the sealed function with a key is served.
fn serve(request: &Request) -> Decision {
    match &request.target {
        Target::Function { name } if name == SEALED && request.direct => {
            Decision::Unlock(UNLOCKED.into())
        }
        Target::Function { name } if name == SEALED => Decision::Strip,
        _ => Decision::Pass,
    }
}

pub(crate) fn agent_agrees(gateway: &Gateway) -> Result<(), Failed> {
    let mut random = Random(1);
    let requests: Vec<Vec<u8>> = (0..CASES).map(|_| random.plain_request(SEALED)).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for (request, outcome) in requests.iter().zip(gateway.ask(&requests)) {
        let text = String::from_utf8_lossy(request);
        let line = text.lines().next().unwrap_or_default();
        let (judged, _) = judge(request, hide);
        let said: Vec<&str> = judged
            .iter()
            .filter_map(|(target, _)| match target {
                Target::Function { name } => Some(name.as_str()),
                _ => None,
            })
            .collect();
        let direct = judged
            .iter()
            .any(|(target, direct)| *direct && matches!(target, Target::Function { .. }));
        // The gateway writes the decoded path into a request of its own, and the provider decodes it
        // again; what comes of that reaches no other function.
        let forwarded = outcome.answered
            && !["%25", "%3f", "%23", "#"]
                .iter()
                .any(|code| line.contains(code));
        let reached = outcome.reached;
        if (!reached.is_empty() || (direct && forwarded)) && said != reached {
            return Err(format!("{line}: reaches {reached:?}, and the agent says {said:?}").into());
        }
        *counts
            .entry(if reached.is_empty() {
                "not reached"
            } else {
                "reached"
            })
            .or_default() += 1;
        if direct {
            *counts.entry("direct").or_default() += 1;
        }
    }
    println!("of {CASES} requests: {counts:?}");
    Ok(())
}

pub(crate) fn keyed_is_served(gateway: &Gateway) -> Result<(), Failed> {
    let mut random = Random(5);
    let requests: Vec<Vec<u8>> = (0..CASES).map(|_| random.keyed_request(SEALED)).collect();
    let released: Vec<Vec<u8>> = requests
        .iter()
        .map(|request| judge(request, serve).1)
        .collect();
    let before = gateway.ask(&requests);
    let mut served = 0;
    for ((released, before), after) in released.iter().zip(before).zip(gateway.ask(&released)) {
        let expected: Vec<&str> = before
            .reached
            .iter()
            .map(|name| if name == SEALED { UNLOCKED } else { name })
            .collect();
        if after.reached != expected {
            let text = String::from_utf8_lossy(released);
            return Err(format!("reaches {:?}, not {expected:?}: {text}", after.reached).into());
        }
        served += usize::from(expected.contains(&UNLOCKED));
    }
    println!("of {CASES} requests {served} are served");
    if served == 0 {
        return Err("no request was served".into());
    }
    Ok(())
}

pub(crate) fn unlocked_is_out_of_reach(gateway: &Gateway) -> Result<(), Failed> {
    let mut random = Random(2);
    let requests: Vec<Vec<u8>> = (0..CASES)
        .map(|_| random.odd_request(UNLOCKED))
        .map(|(first, request)| [first, request].concat())
        .collect();
    let released: Vec<Vec<u8>> = requests
        .iter()
        .map(|request| judge(request, hide).1)
        .collect();
    let before = gateway.ask(&requests);
    let is_unlocked = |outcome: &Outcome| outcome.reached.iter().any(|name| name == UNLOCKED);
    let reachable = before.iter().filter(|outcome| is_unlocked(outcome)).count();
    println!("of {CASES} requests {reachable} reach it where no agent is");
    for (released, outcome) in released.iter().zip(gateway.ask(&released)) {
        if is_unlocked(&outcome) {
            return Err(String::from_utf8_lossy(released).into_owned().into());
        }
    }
    Ok(())
}
