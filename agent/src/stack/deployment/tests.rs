//! What is deployed of a function, and as what.
use std::collections::BTreeMap;

use super::{substitute::Substituted, *};
use crate::state::{Isolation, Park, Rebuild};

fn function() -> SealedFunction {
    SealedFunction {
        name: "pydict".into(),
        sealed: "/f/handler.sealed".into(),
        base_image: "r/pydict:base".into(),
        locked_image: "r/pydict:locked".into(),
        handler_dir: "/home/app/function".into(),
        park: Park::Python,
        upstream_port: 5000,
        user: "app".into(),
        rebuild: Rebuild::Mount,
        isolation: Isolation::Shared,
        key_header: "X-RsFaaS-Key".into(),
        stack: json!({
            "lang": "python3", "handler": "./pydict", "image": "r/pydict:1", "fprocess": "python x",
            "environment": {"A": 1}, "secrets": ["token"], "labels": {"team": "a"},
            "limits": {"memory": "64m"}, "build_args": {"B": 1}, "annotations": {
                "topic": "cron-function", "schedule": "* * * * *", "com.openfaas.profile": "gvisor",
                "com.openfaas.health.http.path": "/healthy", "com.openfaas.ready.http.path": "/ready",
            },
        }),
        manifests: None,
    }
}

fn entry(deployment: &Deployment) -> Value {
    let text = deployment.to_yaml().unwrap();
    let file: Value = serde_norway::from_str(&text).unwrap();
    assert_eq!(file["provider"]["gateway"], "http://g");
    file["functions"][deployment.name.as_str()].clone()
}

#[test]
fn an_unlocked_container_has_everything_that_the_function_has() {
    let deployment = Deployment::of(&function(), "http://g")
        .named("pydict-abc123-0")
        .unlocked("r/pydict:base")
        .environment("TOKEN", "t")
        .behind("/.rsfaas/gate");
    let entry = entry(&deployment);
    assert_eq!(entry["image"], "r/pydict:base");
    assert_eq!(entry["environment"], json!({"A": 1, "TOKEN": "t"}));
    assert_eq!(entry["secrets"], json!(["token"]));
    assert_eq!(entry["limits"]["memory"], "64m");
    assert_eq!(entry["fprocess"], "/.rsfaas/gate python x");
    assert_eq!(entry["labels"]["team"], "a");
    assert_eq!(entry["labels"]["com.rsfaas.role"], "unlocked");
    assert_eq!(entry["labels"]["com.rsfaas.function"], "pydict");
    assert!(entry["build_args"].is_null());
    let kept = json!({
        "com.openfaas.profile": "gvisor", "com.openfaas.health.http.path": "/healthy",
        "com.openfaas.ready.http.path": "/ready",
    });
    assert_eq!(entry["annotations"], kept, "no connector may call it");
}

#[test]
fn what_cannot_answer_is_not_probed_by_the_functions_own_path() {
    let deployment = Deployment::of(&function(), "http://g");
    let annotations = |deployment: Deployment| entry(&deployment)["annotations"].take();
    let parked = deployment.clone().unlocked("b").unprobed();
    assert_eq!(
        annotations(parked),
        json!({"com.openfaas.profile": "gvisor"})
    );
    let locked = annotations(deployment.bare().image("l", "locked"));
    let kept = json!({
        "com.openfaas.profile": "gvisor", "schedule": "* * * * *", "topic": "cron-function",
    });
    assert_eq!(locked, kept);
}

#[test]
fn a_process_is_behind_the_gate_wherever_the_entry_names_it() {
    let mut function = function();
    function.stack["environment"] =
        json!({"function_process": "./a", "fprocess": "./b", "PROCESS": "c"});
    let deployment = Deployment::of(&function, "http://g").behind("/gate");
    let entry = entry(&deployment);
    let expected =
        json!({"function_process": "/gate ./a", "fprocess": "/gate ./b", "PROCESS": "c"});
    assert_eq!(entry["environment"], expected);
    assert_eq!(entry["fprocess"], "/gate python x");
    function.stack = json!({"fprocess": ""});
    let deployment = Deployment::of(&function, "http://g").behind("/gate");
    assert_eq!(
        self::entry(&deployment)["fprocess"],
        "",
        "the image's counts"
    );
}

#[test]
fn what_keeps_compiled_files_off_the_disk_is_not_left_to_the_entry() {
    let mut function = function();
    function.stack["environment"] = json!({"PYTHONDONTWRITEBYTECODE": ""});
    let deployment = Deployment::of(&function, "http://g");
    assert_eq!(deployment.fixed().count(), 0);
    let fixed: Vec<_> = deployment.nothing_compiled().fixed().collect();
    assert_eq!(
        fixed,
        ["PYTHONDONTWRITEBYTECODE=1", "NODE_DISABLE_COMPILE_CACHE=1"]
    );
}

#[test]
fn faas_cli_gets_values_and_finds_no_variables_in_them() {
    let environment =
        json!({"A": "${HOME}", "B": "$$", "C": "a\\/b\\\\c\n\\", "D": "3.10", "E": "Null"});
    let stack = json!({"environment": environment});
    let function = SealedFunction {
        stack,
        ..function()
    };
    let text = Deployment::of(&function, "http://g").to_yaml().unwrap();
    let Substituted { text, unset } = substitute::substitute(&text, &|_| None).unwrap();
    assert!(unset.is_empty());
    let file: BTreeMap<String, Value> = serde_norway::from_str(&text).unwrap();
    assert_eq!(file["functions"]["pydict"]["environment"], environment);
}

#[test]
fn an_unlocked_container_has_one_replica_whatever_the_author_scales_to() {
    let mut function = function();
    function.stack["labels"] = json!({
        "com.openfaas.scale.min": "2", "com.openfaas.scale.max": 5, "com.openfaas.scale.zero": true,
    });
    let of = |deployment: Deployment| {
        let labels = entry(&deployment)["labels"].take();
        ["min", "max", "zero"].map(|name| labels[format!("com.openfaas.scale.{name}")].clone())
    };
    let deployment = Deployment::of(&function, "http://g");
    let unlocked = of(deployment.clone().unlocked("r/pydict:base"));
    assert_eq!(unlocked, ["1", "1", "false"]);
    let locked = of(deployment.image("l", "locked"));
    assert_eq!(locked, [json!("2"), json!(5), json!(true)], "the author's");
}

#[test]
fn a_locked_function_has_neither_environment_nor_secrets() {
    let entry = entry(
        &Deployment::of(&function(), "http://g")
            .bare()
            .image("l", "locked"),
    );
    for key in ["environment", "secrets", "fprocess"] {
        assert!(entry[key].is_null(), "{key}");
    }
}
