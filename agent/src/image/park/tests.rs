//! Images and entries of stack files, and where their processes wait.
use serde_json::json;

use super::*;

fn config(env: &[&str]) -> ImageConfig {
    ImageConfig {
        env: Some(env.iter().map(ToString::to_string).collect()),
        cmd: Some(vec!["fwatchdog".into()]),
        ..ImageConfig::default()
    }
}

fn choose(env: &[&str], entry: &Value, in_image: bool) -> Park {
    let config = config(env);
    let settings = Settings {
        config: &config,
        entry,
    };
    settings.choose(in_image).park
}

fn layer(env: &[&str], park: Park) -> String {
    dockerfile(&Reference::parse("r/f:1"), &config(env), park)
}

#[test]
fn interpreters_wait_where_they_load_the_handler() {
    let python = ["fprocess=python index.py", "mode=http"];
    assert_eq!(choose(&python, &Value::Null, true), Park::Python);
    let node = ["fprocess=/usr/bin/node index.js", "mode=http"];
    assert_eq!(choose(&node, &Value::Null, true), Park::Node);
}

#[test]
fn only_python_and_node_are_known_to_load_the_authors_files() {
    let with = |config: &ImageConfig, entry: &Value| Settings { config, entry }.is_interpreted();
    for (env, is_interpreted) in [
        (&["fprocess=python3 index.py", "mode=http"][..], true),
        (&["fprocess=/usr/bin/node index.js"], true),
        (&["fprocess=python2 index.py", "PYTHONPATH=/lib"], true),
        (&["fprocess=./handler", "mode=http"], false),
        (&["fprocess=php index.php", "mode=http"], false),
        (&[], false),
    ] {
        assert_eq!(with(&config(env), &Value::Null), is_interpreted, "{env:?}");
    }
    let own = ImageConfig {
        cmd: Some(vec!["/usr/local/bin/python".into(), "server.py".into()]),
        ..ImageConfig::default()
    };
    assert!(with(&own, &Value::Null));
    let python = config(&["fprocess=python3 index.py"]);
    let entry = json!({"environment": {"fprocess": "./handler"}});
    assert!(!with(&python, &entry));
    let unread = json!({"environment_file": ["/nonexistent"]});
    assert!(!with(&python, &unread));
}

#[test]
fn python_2_waits_behind_the_gate() {
    for (process, version, park) in [
        ("python index.py", "2.7.18", Park::Gate),
        ("/usr/bin/python2.7 index.py", "", Park::Gate),
        ("python3 index.py", "2.7.18", Park::Python),
        ("python index.py", "3.12.2", Park::Python),
    ] {
        let process = format!("fprocess={process}");
        let version = format!("PYTHON_VERSION={version}");
        let env = [process.as_str(), version.as_str(), "mode=http"];
        assert_eq!(choose(&env, &Value::Null, true), park, "{env:?}");
    }
}

#[test]
fn a_program_that_comes_with_the_handler_waits_behind_the_gate() {
    for process in ["fprocess=./handler", "fprocess=python index.py"] {
        assert_eq!(
            choose(&[process, "mode=http"], &Value::Null, false),
            Park::Gate
        );
    }
}

#[test]
fn where_each_request_has_a_process_of_its_own_the_container_waits() {
    let classic = ["fprocess=node index.js"];
    assert_eq!(choose(&classic, &Value::Null, true), Park::Container);
    assert_eq!(choose(&[], &Value::Null, true), Park::Container);
}

#[test]
fn what_the_stack_file_says_counts_before_the_image() {
    let entry = json!({"fprocess": "/usr/bin/python3 index.py"});
    let image = ["fprocess=node x", "mode=http"];
    assert_eq!(choose(&image, &entry, true), Park::Python);
    let entry = json!({"environment": {"NODE_OPTIONS": "--inspect"}});
    assert_eq!(choose(&image, &entry, true), Park::Gate);
}

#[test]
fn a_process_in_the_environment_waits_behind_the_gate() {
    let image = ["fprocess=node x", "mode=http"];
    for name in PROCESS {
        let entry = json!({"fprocess": "python y", "environment": {name: "python index.py"}});
        assert_eq!(choose(&image, &entry, true), Park::Gate, "{name}");
        assert_eq!(choose(&["mode=http"], &entry, true), Park::Gate, "{name}");
        assert_eq!(choose(&[], &entry, true), Park::Container, "{name}");
    }
    let image = ["fprocess=node x", "function_process=python y", "mode=http"];
    assert_eq!(choose(&image, &Value::Null, true), Park::Python);
    assert_eq!(
        choose(&image[..1], &json!({"fprocess": ""}), true),
        Park::Container
    );
}

#[test]
fn a_process_in_an_environment_file_leaves_the_container_to_wait() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let entry = json!({"environment_file": [file.path()]});
    let image = ["fprocess=node x", "mode=http"];
    for (text, park) in [
        ("A: b", Park::Node),
        ("fprocess: python y", Park::Container),
        ("function_process: ./y", Park::Container),
    ] {
        std::fs::write(&file, format!("environment:\n  {text}\n")).unwrap();
        assert_eq!(choose(&image, &entry, true), park, "{text}");
    }
}

#[test]
fn each_way_of_waiting_has_its_layer() {
    for (env, park, expected) in [
        (
            &["fprocess=python x", "PYTHONPATH=/lib/x"][..],
            Park::Python,
            "ENV PYTHONPATH=\"/.rsfaas/python:/lib/x\"\n",
        ),
        (
            &["fprocess=node x"],
            Park::Node,
            "ENV NODE_OPTIONS=\"--require=/.rsfaas/node/park.js\"\n",
        ),
        (
            &["fprocess=./handler"],
            Park::Gate,
            "ENV fprocess=\"/.rsfaas/gate ./handler\"\n",
        ),
        (
            &["function_process=./a", "fprocess=./b"],
            Park::Gate,
            "ENV function_process=\"/.rsfaas/gate ./a\"\nENV fprocess=\"/.rsfaas/gate ./b\"\n",
        ),
        (
            &[],
            Park::Container,
            "ENTRYPOINT [\"/.rsfaas/gate\",\"fwatchdog\"]\nCMD []\n",
        ),
    ] {
        let text = layer(env, park);
        assert!(text.ends_with(expected), "{text}");
    }
}

#[test]
fn the_port_is_that_of_the_upstream_url() {
    for (env, port) in [
        ("upstream_url=http://127.0.0.1:5000/", 5000),
        ("http_upstream_url=http://localhost:3000", 3000),
        ("upstream_url=http://127.0.0.1:5000/api/v1:x", 5000),
        ("upstream_url=http://127.0.0.1", 80),
        ("port=8081", 8081),
        ("other=1", 8080),
    ] {
        assert_eq!(port_with(&["mode=http", env], &Value::Null), Ok(port));
    }
    let both = [
        "mode=http",
        "upstream_url=http://127.0.0.1:5000",
        "http_upstream_url=http://127.0.0.1:9000",
    ];
    assert_eq!(port_with(&both, &Value::Null), Ok(9000));
    let entry = json!({"environment": {"upstream_url": "http://127.0.0.1:9001"}});
    assert_eq!(port_with(&both[..2], &entry), Ok(9001));
}

#[test]
fn where_nothing_tells_the_port_the_function_is_refused() {
    let unknown = port_with(&["mode=http", "upstream_url=5000"], &Value::Null);
    assert!(unknown.is_err_and(|why| why.contains("upstream_url is \"5000\"")));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        &file,
        "environment:\n  upstream_url: http://127.0.0.1:9000\n",
    )
    .unwrap();
    let entry = json!({"environment_file": [file.path()]});
    assert!(port_with(&["mode=http"], &entry).is_err());
    assert_eq!(port_with(&["port=7000"], &entry), Ok(7000), "no upstream");
    std::fs::write(&file, "environment:\n  mode: http\n").unwrap();
    let image = ["port=7000", "upstream_url=http://127.0.0.1:5000"];
    assert_eq!(port_with(&image, &entry), Ok(5000));
}

fn port_with(env: &[&str], entry: &Value) -> Result<u16, String> {
    let config = config(env);
    let config = &config;
    Settings { config, entry }.upstream_port()
}
