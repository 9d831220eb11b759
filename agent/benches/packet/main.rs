//! What a packet costs in the spotter's programs, by the kernel's own run-time counters, and what each
//! hook leaves of a link's throughput. Real packets, through veth pairs in network namespaces of the
//! benchmark's own. Needs root; prints one JSON object. `cargo xtask bench packet` runs it.
#![expect(
    clippy::unwrap_used,
    reason = "a step that fails is a benchmark that fails"
)]

mod classes;
mod hooks;
#[path = "../../tests/support/namespace.rs"]
mod namespace;

/// Rounds in which everything is measured once, so that what disturbs the host disturbs all alike.
const ROUNDS: usize = 11;

fn main() {
    let ns = namespace::in_namespace(classes::measure).join().unwrap();
    let gbit_s = hooks::measure();
    println!("{}", serde_json::json!({"ns": ns, "gbit_s": gbit_s}));
}

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
