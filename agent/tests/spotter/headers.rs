//! The headers that carry keys, by other names than the usual ones.
use agent_ebpf::NAME_LEN;

use crate::{
    packet::Packet,
    rig::{
        Rig,
        Verdict::{Hold as HOLD, Pass as PASS},
    },
};

at_each_hook! {
    headers_of_other_names_are_spotted_and_no_others,
}

fn headers_of_other_names_are_spotted_and_no_others(rig: Rig) {
    let hook = rig.hook;
    let longest = format!("X-{}", "k".repeat(NAME_LEN - 2));
    for names in [
        // Short, beginning as the usual ones do, beginning as each other do, and as long as may be.
        ["K", "N"],
        ["X-RsFaaS-Key-2", "X-RsFaaS-Ke"],
        ["X-RsFaaS-Next-Key", "X-RsFaaS-Key"],
        ["secret", "secret-next"],
        [&longest, "X-k"],
    ] {
        let mut rig = Rig::with_headers(hook, names[0], names[1]);
        let mut port = 10_000;
        let mut fate = |name: &str| {
            port += 1;
            let head =
                format!("POST /function/pydict HTTP/1.1\r\nHost: a\r\n{name}: rsfaas1x\r\n\r\n");
            rig.spot(&Packet {
                source_port: port,
                ..Packet::of(head.as_bytes())
            })
        };
        for name in names {
            for name in [
                name.to_owned(),
                name.to_ascii_uppercase(),
                name.to_ascii_lowercase(),
            ] {
                assert_eq!(fate(&name), HOLD, "{name} of {names:?}");
            }
        }
        let near = names.iter().flat_map(|name| {
            [
                format!("{name}q"),
                format!("q{name}"),
                name[..name.len() - 1].to_owned(),
            ]
        });
        let usual = ["X-RsFaaS-Key", "X-RsFaaS-Next-Key"].map(str::to_owned);
        for name in near.chain(usual) {
            if !name.is_empty() && !names.iter().any(|own| own.eq_ignore_ascii_case(&name)) {
                assert_eq!(fate(&name), PASS, "{name} beside {names:?}");
            }
        }
    }
}

#[test]
fn a_longer_name_than_the_longest_is_refused() {
    let name = |length| "k".repeat(length);
    assert!(rsfaas::spot::check_headers(&name(NAME_LEN), "N").is_ok());
    assert!(rsfaas::spot::check_headers(&name(NAME_LEN + 1), "N").is_err());
}
