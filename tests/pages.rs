//! docs/consume-the-topics.md and docs/audit.md: their commands, run as they stand there against a server of its own.

mod support;

use std::{fs, path::Path, process::Command};

use support::{Database, kafka_brokers, process::Process, topic_prefix};
use tempfile::tempdir;

/// The page's blocks in this language, one after the other.
fn blocks(page: &str, language: &str) -> String {
    let text = fs::read_to_string(page).expect("the page");
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence).skip(1);
    blocks.map(|block| block.split_once("```\n").expect("it is closed").0).collect()
}

/// Runs a page's commands in one shell that stops at the first fault; what they printed.
///
/// What `make dev` has in a fixed place is elsewhere here: the addresses, the program and the topic.
async fn run(page: &str) -> String {
    let (database, prefix, brokers) = (Database::new().await, topic_prefix(), kafka_brokers());
    let settings = [("kafka_brokers", &*brokers), ("topic_prefix", &*prefix)];
    let annals = Process::serve(&database, &[], &settings);
    let folder = tempdir().expect("a folder");
    let env = folder.path().join("env");
    let url = &database.url;
    let lines = [
        format!("ANNALS_DATABASE_URL={url}"),
        format!("ANNALS_KAFKA_BROKERS={brokers}"),
        format!("ANNALS_TOPIC_PREFIX={prefix}"),
    ];
    fs::write(&env, lines.join("\n")).expect("written");
    let programs = Path::new(env!("CARGO_BIN_EXE_annals")).parent().expect("a folder");
    let commands = blocks(page, "sh")
        .replace(".dev/env", env.to_str().expect("UTF-8"))
        .replace("$PWD/target/debug", programs.to_str().expect("UTF-8"))
        .replace("http://127.0.0.1:8080", &annals.url)
        .replace("annals.order", &format!("{prefix}.order"));
    let script = format!("set -euo pipefail\n{commands}");
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).env("TMPDIR", folder.path());
    let output = tokio::task::spawn_blocking(move || shell.output().expect("bash runs")).await;
    let output = output.expect("no panic");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn the_topics_are_consumed_as_the_page_says() {
    let page = "docs/consume-the-topics.md";
    let said = run(page).await;
    for part in ["ce_type:order.created", "ce_prevposition:0", "order/", "last sent 1", "0 missing"] {
        assert!(said.contains(part), "`{part}` is not in\n{said}");
    }
    let consumer = fs::read_to_string("docs/consume_orders.py").expect("the consumer");
    assert_eq!(blocks(page, "python"), consumer, "the page shows it as it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_answers_as_the_page_says() {
    let said = run("docs/audit.md").await;
    for part in [
        "\"status\":\"created\"",
        "event: order.created",
        "1 events, 1 streams",
        "\"events\":1,",
        "nothing was changed",
    ] {
        assert!(said.contains(part), "`{part}` is not in\n{said}");
    }
}
