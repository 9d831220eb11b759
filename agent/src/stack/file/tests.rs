//! What is read of stack files, and where their paths start.
use serde_json::json;

use super::*;

fn read(text: &str) -> Result<Vec<Function>, String> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("pydict/handler.py", ""),
        (
            "template/node/template.yml",
            "language: node\nfprocess: node index.js\n",
        ),
        ("template/dockerfile/template.yml", "fprocess: none\n"),
    ] {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let path = folder.path().join("stack.yaml");
    StackFile::parse(path, text, &environment)
        .and_then(|file| file.functions(None))
        .map_err(|error| error.to_string())
}

fn environment(name: &str) -> Option<String> {
    (name == "REGISTRY").then(|| "registry:5000".to_owned())
}

const GOOD: &str = "
provider: {name: openfaas, gateway: http://127.0.0.1:8080}
functions:
  pydict:
    lang: python3-flask
    handler: ./pydict
    image: registry:5000/pydict:1
    environment: {A: 1}
    environment_file: [env.yml]
    build_args: {TEST: 1}
    build_options: [dev]
";

#[test]
fn a_function_is_read_with_its_paths_made_absolute() {
    let functions = read(GOOD).unwrap();
    assert_eq!(functions.len(), 1);
    assert_eq!(functions[0].lang, "python3-flask");
    assert!(functions[0].handler.is_absolute());
    assert!(
        functions[0].entry["environment_file"][0]
            .as_str()
            .unwrap()
            .starts_with('/')
    );
    assert_eq!(functions[0].build_args["TEST"], "1");
    assert_eq!(functions[0].build_options, ["dev"]);
}

#[test]
fn variables_are_replaced_before_anything_is_read() {
    let text = GOOD.replace("registry:5000", "${REGISTRY}").replace(
        "{A: 1}",
        "{A: '${REGISTRY}', B: ${B:-3.10}, C: '$${REGISTRY}'}",
    );
    let function = read(&text).unwrap().remove(0);
    assert_eq!(function.image, "registry:5000/pydict:1");
    let expected = json!({"A": "registry:5000", "B": "3.10", "C": "${REGISTRY}"});
    assert_eq!(function.entry["environment"], expected);
    let file = StackFile::parse("/tmp/s".into(), &format!("{GOOD}# ${{NONE}}"), &environment);
    assert_eq!(file.unwrap().unset(), ["NONE"]);
}

/// A repository with these folders and the stack file in `deploy`, whose paths start there or in the root.
fn repository(folders: &[&str], handler: &str) -> (tempfile::TempDir, StackFile) {
    let root = tempfile::tempdir().unwrap();
    for folder in ["deploy"].iter().chain(folders) {
        std::fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    let text = GOOD.replace("./pydict", handler);
    let path = root.path().join("deploy/stack.yaml");
    let file = StackFile::parse(path, &text, &environment).unwrap();
    let file = file.worked_on_in(root.path(), Some("pydict"));
    (root, file)
}

#[test]
fn paths_start_in_the_working_folder_where_the_handlers_are_there() {
    for folders in [&["pydict"][..], &["pydict", "deploy/pydict"]] {
        let (root, file) = repository(folders, "./pydict");
        let at = |path: &str| root.path().join(path);
        assert_eq!(file.folder(), root.path());
        assert_eq!(file.templates(), at("template"));
        assert_eq!(file.build_folder("f"), at("build/f"));
        let function = file.functions(None).unwrap().remove(0);
        assert_eq!(function.handler, at("pydict").canonicalize().unwrap());
        let variables = &function.entry["environment_file"][0];
        assert_eq!(variables, at("env.yml").to_str().unwrap());
    }
}

#[test]
fn a_function_that_is_never_built_has_no_say_in_where_paths_start() {
    let root = tempfile::tempdir().unwrap();
    for folder in ["deploy", "pydict"] {
        std::fs::create_dir(root.path().join(folder)).unwrap();
    }
    let text =
        format!("{GOOD}  figlet: {{skip_build: true, handler: ./figlet, image: r/figlet}}\n");
    let path = root.path().join("deploy/stack.yaml");
    let file = StackFile::parse(path, &text, &environment).unwrap();
    assert_eq!(file.worked_on_in(root.path(), None).folder(), root.path());
}

#[test]
fn paths_start_in_the_stack_files_folder_where_they_do_not_lead_from_the_working_folder() {
    let (root, file) = repository(&["deploy/pydict"], "./pydict");
    assert_eq!(file.folder(), root.path().join("deploy"));
    assert!(
        file.functions(None).unwrap()[0]
            .handler
            .ends_with("deploy/pydict")
    );
    for handler in [".", "./", "..", "deploy/.."] {
        let (root, file) = repository(&[], handler);
        assert_eq!(file.folder(), root.path().join("deploy"), "{handler}");
    }
    let (root, file) = repository(&[], "./pydict");
    let error = file.functions(None).unwrap_err().to_string();
    for folder in ["deploy/./pydict:", "; the working folder"] {
        assert!(error.contains(folder), "{error}");
    }
    assert!(
        error.contains(&format!("{} ", root.path().display())),
        "{error}"
    );
}

#[test]
fn the_gateway_that_every_new_file_names_is_nobodys_choice() {
    let gateway = |named: &str| {
        let text = GOOD.replace("http://127.0.0.1:8080", named);
        let file = StackFile::parse("/tmp/s".into(), &text, &environment).unwrap();
        file.gateway().map(str::to_owned)
    };
    assert_eq!(gateway("http://127.0.0.1:8080"), None);
    assert_eq!(gateway("''"), None);
    assert_eq!(gateway("http://g:8080").unwrap(), "http://g:8080");
}

#[test]
fn the_process_is_that_of_the_template_where_the_entry_names_none() {
    let process = |lang: &str, more: &str| {
        let text = GOOD.replace("python3-flask", &format!("{lang}{more}"));
        read(&text).unwrap()[0].entry["fprocess"].clone()
    };
    assert_eq!(process("node", ""), "node index.js");
    assert_eq!(process("node", "\n    fprocess: ''"), "node index.js");
    assert_eq!(process("node", "\n    fprocess: node other"), "node other");
    for without in ["dockerfile", "Dockerfile", "python3-flask"] {
        assert_eq!(process(without, ""), Value::Null, "{without}");
    }
}

#[test]
fn mistakes_are_told_with_file_and_function() {
    for (from, to, expected) in [
        ("    lang: python3-flask\n", "", "`lang` is missing"),
        ("./pydict", "./nowhere", "nowhere"),
        ("pydict:1", "${TAG%0}", "line 7: `${TAG%0}`"),
        ("  pydict:\n", "  Py_dict:\n", "lower-case"),
        ("name: openfaas", "name: faas", "provider"),
        ("functions:", "functions: [", "is not a stack file"),
    ] {
        let error = read(&GOOD.replace(from, to)).unwrap_err();
        assert!(
            error.contains(expected) && error.contains("stack.yaml"),
            "{error}"
        );
    }
}

#[test]
fn a_name_that_is_not_there_is_told_with_those_that_are() {
    let file = StackFile::parse("/tmp/stack.yaml".into(), GOOD, &environment).unwrap();
    let error = file.functions(Some("other")).unwrap_err().to_string();
    assert!(error.contains("pydict"), "{error}");
}

#[test]
fn a_function_that_is_never_built_is_left_out_and_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("f")).unwrap();
    let text = "provider: {name: openfaas}\nfunctions:\n  f: {lang: node, handler: ./f, image: i}\n  \
                figlet: {skip_build: true, image: r/figlet}\n  \
                g: {lang: node, handler: ./f, image: j, skip_build: false}\n";
    let file = StackFile::parse(folder.path().join("stack.yaml"), text, &environment).unwrap();
    let functions = file.functions(None).unwrap();
    let names: Vec<&str> = functions.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["f", "g"]);
    assert!(file.unbuilt().eq(["figlet"]));
    let error = file.functions(Some("figlet")).unwrap_err().to_string();
    assert!(error.contains("`skip_build`"), "{error}");
}

#[test]
fn a_build_is_skipped_by_every_word_that_faas_cli_takes_for_true() {
    for (word, is_skipped) in [
        ("true", true),
        ("yes", true),
        ("on", true),
        ("y", true),
        ("no", false),
        ("off", false),
        ("false", false),
    ] {
        let text = GOOD.replace("image:", &format!("skip_build: {word}\n    image:"));
        let file = StackFile::parse("/tmp/s".into(), &text, &environment).unwrap();
        assert_eq!(file.unbuilt().count(), usize::from(is_skipped), "{word}");
    }
}
