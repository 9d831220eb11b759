//! Requests that the programs let go on by themselves.
use aya::programs::TestRunOptions;
use nix::time::{ClockId, clock_gettime};
use rsfaas::spot::{Event, Known};
use zeroize::Zeroizing;

use crate::{
    packet::{KEYED, Packet, SYN_ACK},
    rig::{
        Hook, Rig,
        Verdict::{Hold as HOLD, Pass as PASS},
        flow_key,
    },
};

/// As long as the keyed one.
const UNLOCKED: &str =
    "POST /function/pydict-abc123-0 HTTP/1.1\r\nHost: a\r\nX-Pad: 567890\r\n\r\n";
const BODY: u32 = 4;

/// The programs know the head, and another client has a new connection from this port.
fn known(hook: Hook) -> Rig {
    assert_eq!(UNLOCKED.len(), KEYED.len());
    let rig = Rig::new(hook);
    let name = rig.admission_key.name(KEYED.as_bytes()).unwrap();
    let known = Known {
        function: "pydict".into(),
        head: Zeroizing::new(UNLOCKED.into()),
        body: BODY,
    };
    assert!(rig.admissions.open(&name, known).unwrap());
    rig.admissions.looked(now()).unwrap();
    rig
}

/// The time of the kernel's monotonic clock, in nanoseconds.
fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

fn keyed(rig: &mut Rig, port: u16, behind: &str) -> Packet {
    let packet = Packet {
        source_port: port,
        ..Packet::of(format!("{KEYED}{behind}").as_bytes())
    };
    let accepted = Packet {
        port,
        flags: SYN_ACK,
        ..Packet::answer(packet.sequence, b"")
    };
    assert_eq!(rig.watch(&accepted), PASS);
    packet
}

/// The sum that a TCP checksum is made of, without the pseudo-header, which does not change.
fn sum(segment: &[u8]) -> u32 {
    let sum: u32 = segment
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    sum % 0xffff
}

#[test]
fn a_known_head_goes_on_in_its_new_form_with_the_checksum_of_that() {
    let mut rig = known(Hook::Tc);
    for behind in ["", "body"] {
        let mut packet = keyed(&mut rig, 20_000 + behind.len() as u16, behind);
        for ip_options in [0, 8] {
            packet.ip_options = ip_options;
            packet.source_port += 1;
            packet = keyed(&mut rig, packet.source_port, behind);
            let before = packet.build();
            let mut after = vec![0; before.len()];
            let options = TestRunOptions {
                data_out: Some(&mut after),
                ..TestRunOptions::default()
            };
            assert_eq!(rig.run_as(&before, options), PASS);
            let segment = before.len() - packet.tcp().len();
            let (head, body) = after[segment + 20..].split_at(UNLOCKED.len());
            assert_eq!((head, body), (UNLOCKED.as_bytes(), behind.as_bytes()));
            assert_eq!(after[..segment + 16], before[..segment + 16]);
            assert_eq!(sum(&after[segment..]), sum(&before[segment..]));
        }
    }
    assert_eq!(rig.count("admitted"), 4);
}

#[test]
fn the_agent_is_told_of_it_by_its_number_alone() {
    let mut rig = known(Hook::Tc);
    let mut ring = rig.spotter.ring().unwrap();
    let packet = keyed(&mut rig, 20_000, "body");
    assert_eq!(rig.spot(&packet), PASS);
    let Some(Ok(Event::Admitted(admitted))) = ring.next().map(|item| Event::parse(&item)) else {
        panic!("not told");
    };
    let known = rig.admissions.known(admitted.admission).unwrap();
    assert_eq!((known.function.as_str(), known.body), ("pydict", BODY));
    assert_eq!(admitted.sequence, packet.sequence);
    assert_eq!(admitted.flow.source_port, packet.source_port);
    assert!(ring.next().is_none(), "its bytes are told, too");
}

#[test]
fn the_rest_of_its_body_passes_and_what_comes_behind_is_held() {
    let mut rig = known(Hook::Tc);
    let packet = keyed(&mut rig, 20_000, "bo");
    assert_eq!(rig.spot(&packet), PASS);
    let rest = |behind: u32, payload: &str| Packet {
        sequence: packet.sequence + packet.payload.len() as u32 + behind,
        payload: payload.into(),
        ..packet.clone()
    };
    assert_eq!(rig.spot(&rest(0, "dy")), PASS);
    assert_eq!(rig.spot(&rest(2, KEYED)), HOLD);
    // Sent again, it is the agent's: it knows in which form it has gone on.
    assert_eq!(rig.spot(&packet), HOLD);
}

#[test]
fn the_next_request_on_the_connection_goes_on_once_the_first_is_answered() {
    let mut rig = known(Hook::Tc);
    let mut packet = keyed(&mut rig, 40_000, "body");
    for _ in 0..3 {
        assert_eq!(rig.spot(&packet), PASS);
        packet.sequence += packet.payload.len() as u32;
        rig.answer(packet.sequence, "HTTP/1.1 200 OK\r\n");
    }
    assert_eq!(rig.spot(&packet), PASS);
    // Sent ahead.
    packet.sequence += packet.payload.len() as u32;
    assert_eq!(rig.spot(&packet), HOLD);
}

#[test]
fn on_a_connection_that_the_agent_has_it_goes_on_where_the_agent_says_that_a_head_starts() {
    let mut rig = known(Hook::Tc);
    let other = "POST /function/pydict HTTP/1.1\r\nX-RsFaaS-Key: x\r\n\r\n";
    let mut packet = keyed(&mut rig, 40_000, "body");
    packet.payload = other.into();
    assert_eq!(rig.spot(&packet), HOLD);
    let next = Packet {
        sequence: packet.sequence + other.len() as u32,
        payload: KEYED.into(),
        ..packet
    };
    rig.answer(next.sequence, "HTTP/1.1 200 OK\r\n");
    assert_eq!(rig.spot(&next), HOLD);
    let set = rig.flows.set_next_head(&flow_key(), next.sequence);
    set.unwrap();
    assert_eq!(rig.spot(&next), PASS);
}

#[test]
fn what_is_not_the_known_head_alone_is_held() {
    let mut rig = known(Hook::Tc);
    for (port, behind) in [(20_000, "body!"), (20_001, "bodyGET / HTTP/1.1\r\n\r\n")] {
        let packet = keyed(&mut rig, port, behind);
        assert_eq!(rig.spot(&packet), HOLD);
    }
    let another = KEYED.replace("rsfaas1x", "rsfaas1y");
    let mut packet = keyed(&mut rig, 20_002, "");
    packet.payload = another.into();
    assert_eq!(rig.spot(&packet), HOLD);
    let mut part = keyed(&mut rig, 20_003, "");
    part.payload.pop();
    assert_eq!(rig.spot(&part), HOLD);
    // Of a flow that is older than the programs nobody knows where its requests start.
    let old = Packet {
        source_port: 20_004,
        ..Packet::of(KEYED.as_bytes())
    };
    assert_eq!(rig.spot(&old), HOLD);
    assert_eq!(rig.count("admitted"), 0);
}

#[test]
fn after_a_failure_nothing_goes_on_until_the_agent_has_looked() {
    let mut rig = known(Hook::Tc);
    let packet = keyed(&mut rig, 40_000, "");
    assert_eq!(rig.spot(&packet), PASS);
    rig.answer(
        Packet::SEQUENCE + packet.payload.len() as u32,
        "HTTP/1.1 502 Bad Gateway\r\n",
    );
    let next = keyed(&mut rig, 20_000, "");
    assert_eq!(rig.spot(&next), HOLD);
    assert!(rig.admissions.are_halted().unwrap());
    rig.admissions.looked(now()).unwrap();
    let next = keyed(&mut rig, 20_001, "");
    assert_eq!(rig.spot(&next), PASS);
}

#[test]
fn what_is_closed_goes_on_no_more_and_who_has_is_told_before_the_barrier() {
    let mut rig = known(Hook::Tc);
    let mut ring = rig.spotter.ring().unwrap();
    assert!(!rig.admissions.begin_barrier());
    assert!(!rig.admissions.drain("another").unwrap());
    let packet = keyed(&mut rig, 20_000, "");
    assert_eq!(rig.spot(&packet), PASS);
    assert!(rig.admissions.drain("pydict").unwrap());
    let packet = keyed(&mut rig, 20_001, "");
    assert_eq!(rig.spot(&packet), HOLD);
    assert!(rig.admissions.begin_barrier());
    let has_room = rig.spotter.ask_for_barrier().unwrap();
    rig.admissions.barrier_asked(has_room);
    assert!(!rig.admissions.begin_barrier(), "one at a time");
    let mut told = Vec::new();
    while let Some(item) = ring.next() {
        told.push(Event::parse(&item).unwrap());
    }
    assert!(matches!(
        told[..],
        [Event::Admitted(_), Event::Held(_), Event::Barrier]
    ));
    let (drained, cleaned) = rig.admissions.barrier_come();
    cleaned.unwrap();
    assert_eq!(drained, ["pydict"]);
    assert!(!rig.admissions.drain("pydict").unwrap(), "nothing is left");
}

#[test]
fn a_barrier_without_room_is_asked_for_again() {
    let rig = known(Hook::Tc);
    rig.admissions.close("pydict").unwrap();
    rig.admissions.clean();
    assert!(rig.admissions.begin_barrier());
    rig.admissions.barrier_asked(false);
    assert!(rig.admissions.begin_barrier());
}

#[test]
fn at_xdp_a_known_head_is_held() {
    let mut rig = known(Hook::Xdp);
    let packet = keyed(&mut rig, 20_000, "");
    assert_eq!(rig.spot(&packet), HOLD);
    assert_eq!(rig.count("admitted"), 0);
}
