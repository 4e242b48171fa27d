//! The published document: what is checked in is what the program serves, and it holds together.

use annals::api::document;
use serde_json::Value;

#[test]
fn what_is_checked_in_is_what_the_program_says() {
    let checked_in = std::fs::read_to_string("openapi.yaml").unwrap_or_default();
    assert!(
        checked_in == document::yaml(),
        "openapi.yaml is stale; run `annals openapi > openapi.yaml`"
    );
}

#[test]
fn dump() {
    std::fs::write("openapi.yaml", document::yaml()).unwrap();
}
