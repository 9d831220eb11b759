//! What tests rebuild.
use std::path::Path;

use serde_json::json;

use crate::state::SealedFunction;

/// A function each of whose connections has its own container. It has no handler.
pub(super) fn function(folder: &Path) -> SealedFunction {
    let record = json!({
        "name": "pydict", "sealed": folder.join("handler.sealed"), "base_image": "r/pydict:base",
        "locked_image": "r/pydict:locked", "handler_dir": "/home/app/function", "park": "python",
        "upstream_port": 5000, "isolation": "connection", "stack": {},
    });
    serde_json::from_value(record).unwrap()
}
