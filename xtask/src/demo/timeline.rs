//! The steps of a lease as people read them; each must have been seen.

use serde_json::Value;

use crate::error::Error;

/// Every step with what it means. One of the two in the same line must be there.
const STEPS: [(&[&str], &str); 13] = [
    (&["held"], "the spotter holds the request"),
    (&["key-checked"], "the key is the function's"),
    (&["opened"], "the handler is decrypted, in memory"),
    (
        &["taken", "deployed"],
        "a container is taken from standby, or deployed",
    ),
    (
        &["delivered"],
        "the handler is in the container's mount namespace",
    ),
    (&["ready"], "the function listens"),
    (&["released"], "the request goes on to the gateway"),
    (&["answered"], "the first bytes of the answer leave"),
    (&["closed"], "the connection is closed"),
    (
        &["wiped"],
        "the plaintext is overwritten, the process killed",
    ),
    (&["reencrypted"], "the handler is encrypted afresh"),
    (&["removed"], "the container is removed"),
    (&["parked"], "the next container is parked"),
];

/// Prints the steps.
///
/// # Errors
/// When one was not seen.
pub(super) fn show(timeline: &Value) -> Result<(), Error> {
    let mut lines = Vec::new();
    for (names, meaning) in STEPS {
        let (name, time) = names
            .iter()
            .find_map(|name| time(timeline, name).map(|time| (*name, time)))
            .ok_or_else(|| Error::NotSeen(format!("the step {names:?} in {timeline}")))?;
        lines.push((time, name, meaning));
    }
    lines.sort_by(|(first, ..), (second, ..)| first.total_cmp(second));
    for (time, name, meaning) in lines {
        println!("{time:>10.2} ms  {name:<12} {meaning}");
    }
    Ok(())
}

/// When the answer began, in milliseconds.
pub(super) fn answered(timeline: &Value) -> Result<f64, Error> {
    time(timeline, "answered").ok_or_else(|| Error::NotSeen("the answer's time".into()))
}

fn time(timeline: &Value, step: &str) -> Option<f64> {
    let steps = timeline["steps"].as_array()?;
    steps.iter().find(|entry| entry[0] == step)?[1].as_f64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_step_that_was_not_seen_is_an_error_that_names_it() {
        let timeline = json!({"steps": [["held", 0.0], ["key-checked", 0.1]]});
        assert!(show(&timeline).unwrap_err().to_string().contains("opened"));
    }

    #[test]
    fn the_time_of_the_answer_is_found() {
        let timeline = json!({"steps": [["held", 0.0], ["answered", 17.5]]});
        assert!((answered(&timeline).unwrap() - 17.5).abs() < f64::EPSILON);
    }
}
