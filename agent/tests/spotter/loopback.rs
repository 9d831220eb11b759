//! What the one program at loopback does that those of other interfaces do not.
use aya::maps::{Map, MapData, ProgramArray};

use crate::{
    packet::{KEYED, Packet, SYN_ACK},
    rig::{
        Hook, Rig,
        Verdict::{Hold as HOLD, Pass as PASS},
    },
};

/// Takes out the program that watches, as the kernel does when an agent has died whose programs go on.
fn forget_watch(rig: &mut Rig) {
    let program = rig.spotter.classifier("spot_loopback").unwrap();
    let ids = program.info().unwrap().map_ids().unwrap().unwrap();
    let maps = ids.into_iter().map(|id| MapData::from_id(id).unwrap());
    let mut named = maps.filter(|map| map.info().unwrap().name_as_str() == Some("TAIL_CALLS"));
    let watch = Map::ProgramArray(named.next().unwrap());
    let mut watch = ProgramArray::try_from(watch).unwrap();
    watch.clear_index(&0).unwrap();
}

#[test]
fn where_the_agent_is_gone_nobody_waits_for_the_start_of_a_request_that_has_come() {
    let mut rig = Rig::new(Hook::Loopback);
    rig.open();
    forget_watch(&mut rig);
    // Another connection between the same ports, which starts somewhere else.
    let start = Packet::SEQUENCE + 1000;
    let accepted = Packet {
        flags: SYN_ACK,
        ..Packet::answer(start, b"")
    };
    assert_eq!(rig.watch(&accepted), PASS);
    let request = |head: &str| Packet {
        sequence: start,
        ..Packet::of(head.as_bytes())
    };
    assert_eq!(
        rig.spot(&request("GET /function/other HTTP/1.1\r\n\r\n")),
        PASS
    );
    assert_eq!(rig.count("dropped_early"), 0);
    assert_eq!(rig.spot(&request(KEYED)), HOLD, "a key goes nowhere");
}
