//! Long packets, a full ring buffer, and the verifier.
use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use aya::programs::TestRunOptions;
use rsfaas::spot::{Event, Events};

use crate::{
    packet::{FIN, KEYED, Packet},
    rig::{
        Hook, Rig,
        Verdict::{Hold as HOLD, Pass as PASS},
        flow_key,
    },
};

at_each_hook! {
    a_full_ring_buffer_is_told_in_the_agents_log,
    what_follows_a_segment_that_found_no_room_is_not_held_in_its_place,
    an_answer_that_found_no_room_is_told_with_its_next_segment,
    other_tasks_have_their_turn_while_the_ring_buffer_is_not_empty,
}

/// The kernel's test run of TC programs takes no packet as long.
#[test]
fn at_xdp_a_segment_in_several_buffers_is_held_whole() {
    let mut rig = Rig::new(Hook::Xdp);
    let head = format!("{KEYED}{}", "b".repeat(9000));
    assert_eq!(rig.request(&head), HOLD);
    let mut ring = rig.spotter.ring().unwrap();
    let record = ring.next().unwrap();
    assert!(
        record
            .windows(9000)
            .any(|window| window.iter().all(|byte| *byte == b'b'))
    );
}

/// Writes for a subscriber into memory.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Holds more than the ring buffer has room for, of which nothing is read.
fn fill(rig: &mut Rig) {
    let packet = Packet::of(KEYED.as_bytes()).build();
    let options = TestRunOptions {
        repeat: 10_000,
        ..TestRunOptions::default()
    };
    assert_eq!(rig.run_as(&packet, options), HOLD);
    assert!(rig.count("dropped_ring_full") > 0);
}

#[tokio::main(flavor = "current_thread")]
async fn a_full_ring_buffer_is_told_in_the_agents_log(mut rig: Rig) {
    let mut log = rig.spotter.log().unwrap();
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    fill(&mut rig);
    let told = async {
        while !written.text().contains("the ring buffer is full") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let told = async {
        tokio::select! {
            ended = log.forward() => panic!("the log ended: {ended:?}"),
            () = told => {}
        }
    };
    // For hangs only.
    let told = tokio::time::timeout(Duration::from_secs(60), told).await;
    assert!(told.is_ok(), "it is not told: {}", written.text());
    assert!(written.text().contains("WARN"), "{}", written.text());
}

#[tokio::main(flavor = "current_thread")]
async fn other_tasks_have_their_turn_while_the_ring_buffer_is_not_empty(mut rig: Rig) {
    fill(&mut rig);
    let mut events = Events::new(rig.spotter.ring().unwrap()).unwrap();
    let turns = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&turns);
    tokio::spawn(async move {
        loop {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    // The first waits for the descriptor, in any case.
    events.next(1).await.unwrap();
    let before = turns.load(Ordering::Relaxed);
    for _ in 0..10 {
        assert_eq!(events.next(1).await.unwrap().len(), 1);
    }
    assert!(turns.load(Ordering::Relaxed) >= before + 10);
}

#[test]
fn the_programs_stay_well_below_the_verifiers_limit() {
    let mut rig = Rig::new(Hook::Tc);
    let tc = |rig: &mut Rig, name| rig.spotter.classifier(name).unwrap().info().unwrap();
    for (name, info) in [
        ("spot_ethernet", tc(&mut rig, "spot_ethernet")),
        ("spot_ip", tc(&mut rig, "spot_ip")),
        ("spot_loopback", tc(&mut rig, "spot_loopback")),
        ("spot_leaving", tc(&mut rig, "spot_leaving")),
        ("watch_ethernet", tc(&mut rig, "watch_ethernet")),
        ("spot_xdp", rig.spotter.xdp().unwrap().info().unwrap()),
    ] {
        let instructions = info.verified_instruction_count();
        // The limit is a million, and kernels differ by a factor in how many instructions they go through.
        assert!(
            instructions.is_some_and(|count| count < 500_000),
            "{name}: {instructions:?}"
        );
    }
}

fn what_follows_a_segment_that_found_no_room_is_not_held_in_its_place(mut rig: Rig) {
    let mut ring = rig.spotter.ring().unwrap();
    let mut large = Packet::of(KEYED.as_bytes());
    large.payload.resize(2000, b'x');
    // Many more than it has room for.
    for port in 10_000..60_000 {
        large.source_port = port;
        assert_eq!(rig.spot(&large), HOLD);
        if rig.count("dropped_ring_full") > 0 {
            break;
        }
    }
    while ring.next().is_some() {}
    let held = rig.count("held_keyed");
    let follows = Packet {
        sequence: large.sequence + 2000,
        ..large.clone()
    };
    assert_eq!(rig.spot(&follows), HOLD);
    assert!(
        ring.next().is_none(),
        "the agent would take it for the start"
    );
    assert_eq!(rig.spot(&large), HOLD);
    assert_eq!(rig.spot(&follows), HOLD);
    assert!(ring.next().is_some() && ring.next().is_some());
    assert_eq!(rig.count("held_keyed") + rig.count("held_flow"), held + 2);
    assert_eq!(rig.count("dropped_ring_full"), 2);
}

fn an_answer_that_found_no_room_is_told_with_its_next_segment(mut rig: Rig) {
    rig.open();
    fill(&mut rig);
    rig.flows.await_answer(&flow_key()).unwrap();
    let end = Packet {
        flags: FIN,
        ..Packet::answer(Packet::SEQUENCE, b"")
    };
    // An end takes less room than a segment.
    while rig.count("lost_end") == 0 {
        assert_eq!(rig.watch(&end), PASS);
    }
    let behind = Packet::SEQUENCE + KEYED.len() as u32;
    rig.answer(behind, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(rig.count("lost_answer"), 1);
    let mut ring = rig.spotter.ring().unwrap();
    while ring.next().is_some() {}
    rig.answer(behind, "word");
    let told = Event::parse(&ring.next().unwrap()).unwrap();
    assert!(matches!(told, Event::Answer(..)));
    assert_eq!(rig.count("lost_answer"), 1);
}
