//! What `rsfaas status --json` says, as tests, demonstration and benchmarks read it.
use serde_json::Value;

/// What it says of one function; nothing where that is not served.
#[must_use]
pub fn function(status: &Value, name: &str) -> Option<Value> {
    let functions = status["functions"].as_array()?;
    let mut named = functions.iter().filter(|function| function["name"] == name);
    named.next().cloned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_function_is_found_by_its_name_where_it_is_served() {
        let status =
            json!({"functions": [{"name": "a", "unlocks": 1}, {"name": "b", "unlocks": 2}]});
        assert_eq!(
            function(&status, "b").map(|it| it["unlocks"].clone()),
            Some(json!(2))
        );
        assert_eq!(function(&status, "c"), None);
        assert_eq!(function(&json!({}), "a"), None);
    }
}
