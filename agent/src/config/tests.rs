use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("agent.toml"), text).map_err(|error| error.to_string())
}

#[test]
fn an_empty_file_gives_the_defaults() {
    assert_eq!(parse(""), Ok(Config::default()));
}

#[test]
fn a_gateway_on_another_port_is_also_the_one_deployed_to() {
    assert_eq!(
        parse("port = 8090").unwrap().gateway(),
        "http://127.0.0.1:8090"
    );
}

#[test]
fn an_interface_of_its_own_choice_is_attached_apart_from_the_others() {
    let config = parse("attach = \"tc\"\n[attach_interfaces]\neth0 = \"xdp\"").unwrap();
    assert_eq!(config.attach_at("eth0"), Attach::Xdp);
    assert_eq!(config.attach_at("eth1"), Attach::Tc);
    assert!(parse("attach = \"ebpf\"").unwrap_err().contains("ebpf"));
}

#[test]
fn the_next_keys_header_follows_the_key_header_unless_set() {
    let name = |text| parse(text).unwrap().next_key_header();
    assert_eq!(name(""), "X-RsFaaS-Next-Key");
    assert_eq!(name("key_header = \"X-Secret\""), "X-Next-Secret");
    assert_eq!(name("next_key_header = \"X-Then\""), "X-Then");
}

#[test]
fn an_unknown_key_is_an_error_that_names_it() {
    assert!(parse("prot = 8080").unwrap_err().contains("prot"));
}

#[test]
fn a_key_that_belongs_to_a_function_is_sent_to_its_place() {
    for (text, option) in [
        ("port = 8080\nisolation = \"connection\"", "--isolation"),
        ("rebuild = \"image\"", "--rebuild"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(
            error.contains("`rsfaas seal`") && error.contains(option),
            "{error}"
        );
    }
}

#[test]
fn all_mistakes_are_told_in_one_go() {
    let text = "port = 0\nprot = 8080\nstandby = \"two\"\nwrong_keys = 0\n\n[attach_interfaces]\neth0 = \"ebpf\"";
    let error = parse(text).unwrap_err();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(
        lines[0],
        "the configuration agent.toml is not valid: it has 5 mistakes"
    );
    for (line, starts) in [
        "  line 2, `prot`: unknown field `prot`",
        "  line 3, `standby`: invalid type: string \"two\"",
        "  line 6, `attach_interfaces`: unknown variant `ebpf`",
        "  `port` must not be 0",
        "  `wrong_keys` must be at least 1",
    ]
    .into_iter()
    .enumerate()
    {
        let line = lines[1 + line];
        assert!(line.starts_with(starts), "{line}");
    }
    assert_eq!(lines.len(), 6);
}

#[test]
fn a_single_mistake_is_told_in_the_same_line() {
    assert_eq!(
        parse("\nport = 0").unwrap_err(),
        "the configuration agent.toml is not valid: `port` must not be 0"
    );
    assert_eq!(
        parse("\nport = \"x\"").unwrap_err(),
        "the configuration agent.toml is not valid: line 2, `port`: invalid type: string \"x\", expected u16"
    );
}

#[test]
fn a_header_with_a_wrong_name_is_not_called_too_long_as_well() {
    let error = parse("key_header = \"\"").unwrap_err();
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn what_is_no_toml_is_told_with_its_place() {
    let error = parse("port = 8080\nport").unwrap_err();
    assert!(error.contains("line 2"), "{error}");
}

#[test]
fn values_that_cannot_work_are_refused() {
    for text in [
        "port = 0",
        "lease_limit = 0",
        "idle_limit = 0",
        "wrong_keys = 0",
        "key_header = \"a b\"",
        "next_key_header = \"a:\"",
        "next_key_header = \"x-rsfaas-KEY\"",
        "isolated = 0",
        "isolated = 98",
        "standby = 91",
        "standby = 9223372036854775807\nisolated = 9223372036854775807",
        "lease_limit = 31536001",
        "idle_limit = 9223372036854775807",
        "linger = 9223372036854775807",
        "unlock_timeout = 9223372036854775807",
        "head_timeout = 9223372036854775807",
        "answer_timeout_ms = 0",
        "answer_timeout_ms = 60001",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_function_has_no_more_containers_than_there_are_names_and_an_error_says_so() {
    assert!(parse("standby = 0\nisolated = 98").is_ok());
    let most = MOST_CONTAINERS - UnlockedNames::slots(0, 0);
    let error = parse("standby = 1\nisolated = 98").unwrap_err();
    assert!(
        error.contains(&format!("at most {most} together")),
        "{error}"
    );
}

#[test]
fn headers_that_the_programs_cannot_look_for_are_refused() {
    let parse_names = |key: usize, next: usize| {
        let (key, next) = ("K".repeat(key), "N".repeat(next));
        parse(&format!(
            "key_header = \"{key}\"\nnext_key_header = \"{next}\""
        ))
    };
    assert!(parse_names(40, 40).is_ok());
    for (key, next) in [(60, 60), (200, 2), (2, 200)] {
        assert!(parse_names(key, next).unwrap_err().contains("too long"));
    }
    let alone = format!("key_header = \"{}\"", "K".repeat(60));
    assert!(parse(&alone).unwrap_err().contains("both together"));
}

#[test]
fn the_longest_time_is_a_year_and_an_error_says_so() {
    assert!(parse(&format!("lease_limit = {LONGEST}")).is_ok());
    let error = parse(&format!("linger = {}", LONGEST + 1)).unwrap_err();
    assert!(
        error.contains(&format!("at most {LONGEST} seconds")),
        "{error}"
    );
}

#[test]
fn the_example_explains_and_repeats_the_defaults() {
    let example = include_str!("../../../deploy/agent.toml");
    assert_eq!(parse(example), Ok(Config::default()));
    let all: String = example
        .lines()
        .filter_map(|line| line.strip_prefix("#= "))
        .fold(String::new(), |text, line| text + line + "\n");
    let default = Config::default();
    let repeated = Config {
        next_key_header: Some(default.next_key_header()),
        gateway: Some(default.gateway()),
        // Of these the example names one that would do.
        credentials: Some("/etc/rsfaas/gateway".into()),
        purge_command: Some("/etc/rsfaas/purge".into()),
        attach_interfaces: [("eth0".to_owned(), Attach::Auto)].into(),
        ..default
    };
    assert_eq!(parse(&all), Ok(repeated));
}

#[test]
fn the_example_has_every_key() {
    let example = include_str!("../../../deploy/agent.toml");
    let error = parse("x = 1").unwrap_err();
    let (_, keys) = error.split_once("expected one of ").unwrap();
    let keys: Vec<&str> = keys.split('`').skip(1).step_by(2).collect();
    assert!(keys.contains(&"port") && keys.contains(&"attach_interfaces"));
    for key in keys {
        let has =
            |line: &str| line.starts_with(&format!("#= {key} = ")) || line == format!("#= [{key}]");
        assert!(example.lines().any(has), "{key}");
    }
}
