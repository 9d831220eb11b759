//! Processes behind the gate, and Node.js.
use std::fs;

use crate::{
    PATIENCE,
    container::Container,
    templates::{INDEX_JS, INDEX_MJS, handler_js},
};

#[tokio::test]
async fn a_gated_process_starts_once_the_handler_is_there() {
    let container = Container::gated(Container::folder(), &["/usr/bin/python3", "index.py"]);
    let _delivered = container.serve().await;
    assert_eq!(container.call("night"), "\"Nacht\"");
    assert_eq!(container.call("environment"), "[]");
}

#[tokio::test]
async fn a_node_process_parked_in_its_require_serves_what_is_delivered() {
    let container = Container::node("index.js", INDEX_JS);
    let parked = container.parked().await;
    let name = fs::read_to_string(format!("/proc/{}/comm", parked.pid())).unwrap();
    assert_eq!(
        name, "node\n",
        "the gate that it has waiting was taken for it"
    );
    let delivered = container.deliver_to(parked, &handler_js());
    delivered.ready(container.port, PATIENCE).await.unwrap();
    assert_eq!(container.call("night"), "\"Nacht\"");
    assert_eq!(container.call("data"), "\"words\"");
    assert_eq!(container.call("environment"), "[]");
}

#[tokio::test]
async fn an_es_module_waits_before_its_first_line() {
    let container = Container::node("index.mjs", INDEX_MJS);
    let delivered = container.deliver(&handler_js()).await;
    delivered.ready(container.port, PATIENCE).await.unwrap();
    assert_eq!(container.call("night"), "\"Nacht\"");
}
