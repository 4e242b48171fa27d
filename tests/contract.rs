//! A server against its own document, by other people's tools. See `scripts/contract`.

mod support;

use std::process::{Command, Stdio};

use support::{Database, process::Process};

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_answers_as_the_document_says() {
    assert_contract("fuzz").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_client_works() {
    assert_contract("client").await;
}

/// Runs a command of the script on a server of its own.
async fn assert_contract(command: &str) {
    let database = Database::new().await;
    let annals = Process::serve(&database, &[], &[]);
    let mut script = Command::new("scripts/contract");
    // What had to be left out is told on stderr, past the test's own output.
    let ran = script.args([command, &annals.url]).stderr(Stdio::inherit()).output().expect("it is there");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
}
