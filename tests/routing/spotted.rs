//! What the spotter makes of requests, at both hooks, through the kernel's test run.
use libtest_mimic::Failed;

use crate::{
    CASES, SEALED, UNLOCKED,
    gateway::Gateway,
    packet::Packet,
    rig::{Hook, Rig, Verdict},
    spellings::Random,
};

/// Whether a request, cut to a first segment, is held from there on.
fn holds(rig: &mut Rig, segment: &[u8]) -> bool {
    rig.open();
    let verdict = rig.spot(&Packet::of(segment));
    rig.forget();
    verdict == Verdict::Hold
}

/// Longest first segment: the test run of TC programs takes a page at most.
const SEGMENT: usize = 1460;

/// Every request by which the gateway reaches a function is held, whole and cut anywhere.
fn held(
    random: &mut Random,
    gateway: &Gateway,
    name: &str,
    requests: &[(Vec<u8>, Vec<u8>)],
) -> Result<(), Failed> {
    let mut rigs = [Hook::Tc, Hook::Xdp].map(Rig::new);
    let bytes: Vec<Vec<u8>> = requests
        .iter()
        .map(|(before, request)| [before.as_slice(), request].concat())
        .collect();
    let mut count = 0;
    for ((_, request), outcome) in requests.iter().zip(gateway.ask(&bytes)) {
        if !outcome.reached.iter().any(|reached| reached == name) {
            continue;
        }
        count += 1;
        let whole = request.len().min(SEGMENT);
        for cut in [whole, 1 + random.below(whole - 1)] {
            if !rigs.iter_mut().all(|rig| holds(rig, &request[..cut])) {
                let text = String::from_utf8_lossy(request);
                return Err(format!("passes, cut at {cut}: {text}").into());
            }
        }
    }
    println!("of {} requests {count} reach {name}", requests.len());
    if count == 0 {
        return Err("no request reached it".into());
    }
    Ok(())
}

pub(crate) fn unlocked_is_held(gateway: &Gateway) -> Result<(), Failed> {
    let mut random = Random(3);
    let requests: Vec<_> = (0..CASES).map(|_| random.odd_request(UNLOCKED)).collect();
    held(&mut random, gateway, UNLOCKED, &requests)
}

pub(crate) fn keyed_is_held(gateway: &Gateway) -> Result<(), Failed> {
    let mut random = Random(4);
    let requests: Vec<_> = (0..CASES)
        .map(|_| {
            let (first, before) = random.before();
            let mut request = before.as_bytes().to_vec();
            request.extend(random.keyed_request(SEALED));
            (first.as_bytes().to_vec(), request)
        })
        .collect();
    held(&mut random, gateway, SEALED, &requests)
}
