//! Records read by a consumer of other people's making: the CloudEvents SDK for Python over Confluent's client.
//!
//! The packages are fetched once, into `.cache/cloudevents`. Only without Python is there nothing to test.

#[path = "relay/stage.rs"]
mod stage;
mod support;
#[path = "relay/topic.rs"]
mod topic;

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};
use stage::Stage;
use support::{ORDER, append, kafka_brokers};
use tokio::task::spawn_blocking;

const PACKAGES: &str = "tests/cloudevents/requirements.txt";
const ENVIRONMENT: &str = ".cache/cloudevents";

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_cloudevents_sdk_decodes_the_topic() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: there is no python3 on this machine");
        return;
    }
    let stage = Stage::new().await;
    let _relay = stage.relay().await;
    stage.append(append("order.created", ORDER)).await;
    stage.append(append("order.cancelled", r#"{"reason":"rain"}"#)).await;
    stage.relayed(2).await;
    let topic = format!("{}.order", stage.prefix);
    let mut decoded = spawn_blocking(move || consume(&topic, 2)).await.expect("consumed");
    decoded.sort_by_key(|event| event["attributes"]["position"].to_string());

    for (event, decoded) in stage.database.events().await.iter().zip(&decoded) {
        let attributes = &decoded["attributes"];
        let expected = [
            ("specversion", "1.0".to_owned()),
            ("id", event.event_id.to_string()),
            ("source", format!("urn:uuid:{}", stage.database.identity().await.log_id)),
            ("type", event.event_type.clone()),
            ("subject", format!("order/{}", event.stream_id)),
            ("datacontenttype", "application/json".to_owned()),
            ("dataschema", format!("urn:annals:schema:{}:1", event.event_type)),
            ("partitionkey", event.stream_id.to_string()),
            ("position", event.position.to_string()),
            ("streamversion", "1".to_owned()),
        ];
        for (name, value) in expected {
            assert_eq!(attributes[name], json!(value), "{name}");
        }
        let time = attributes["time"].as_str().expect("a time");
        assert_eq!(time.parse::<chrono::DateTime<chrono::Utc>>().expect("RFC 3339"), event.recorded_at);
    }
    assert_eq!(decoded[0]["data"]["items"][0]["sku"], "tea");
    assert_eq!(decoded[1]["data"], json!({ "reason": "rain" }));
    assert_eq!(decoded.len(), 2);
}

fn consume(topic: &str, count: usize) -> Vec<Value> {
    let python = environment();
    let arguments = ["tests/cloudevents/consume.py", &kafka_brokers(), topic, &count.to_string()];
    let printed = run(Command::new(python).args(arguments));
    printed.lines().map(|line| line.parse().expect("a line of JSON")).collect()
}

/// The packages' interpreter. What is half fetched is fetched again: the note comes last.
fn environment() -> String {
    let python = format!("{ENVIRONMENT}/bin/python");
    let wanted = fs::read_to_string(PACKAGES).expect("the list of packages");
    let installed = Path::new(ENVIRONMENT).join("installed.txt");
    if fs::read_to_string(&installed).is_ok_and(|packages| packages == wanted) {
        return python;
    }
    run(Command::new("python3").args(["-m", "venv", "--clear", ENVIRONMENT]));
    let install =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", PACKAGES];
    run(Command::new(&python).args(install));
    fs::write(installed, wanted).expect("noted");
    python
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}
