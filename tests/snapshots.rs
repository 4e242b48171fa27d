//! Snapshots: taken every so many events, used when they fit, never believed over events.

mod support;

use annals::command::Commands;
use serde_json::{Value, json};
use support::{Database, Told, done, request, until};
use tokio_postgres::Client;
use uuid::Uuid;

const EVERY_10: [(&str, &str); 2] =
    [("command_snapshot_events", "10"), ("command_cache_aggregates_max", "0")];

async fn counter(commands: &Commands, increments: usize) -> Uuid {
    let create = request("counter.create", None, json!({"code": "c"}));
    let id = commands.execute(create).await.expect("answered").stream.id;
    for _ in 0..increments {
        count(commands, id).await;
    }
    id
}

async fn count(commands: &Commands, id: Uuid) -> i64 {
    let answer = commands.execute(request("counter.increment", Some(id), json!({}))).await.expect("answered");
    let answer: Value = done(&answer).parse().expect("JSON");
    answer["counter"].as_i64().expect("a number")
}

/// The version of a stream's snapshot; 0 where there is none.
async fn kept(client: &Client, id: Uuid) -> i64 {
    let row = client.query_opt("select version from log.snapshots where stream_id = $1", &[&id]).await;
    row.expect("readable").map_or(0, |row| row.get(0))
}

async fn tamper(client: &Client, id: Uuid, change: &str) {
    let update = format!("update log.snapshots set {change} where stream_id = '{id}'");
    client.batch_execute(&update).await.expect("a superuser may");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_taken_every_so_many_events_and_the_next_load_begins_there() {
    let database = Database::new().await;
    let client = database.client().await;
    let commands = database.commands(&EVERY_10).await;
    let id = counter(&commands, 34).await;
    until("the state of version 30 is kept", || async { kept(&client, id).await >= 30 }).await;
    assert_eq!(count(&commands, id).await, 35);
    // That it is used shows when it is made to lie.
    tamper(&client, id, "state = jsonb_set(state, '{counter}', '1000')").await;
    let version = kept(&client, id).await;
    assert_eq!(count(&commands, id).await, 1_000 + 36 - (version - 1));
    let unused = database.commands(&[]).await;
    assert_eq!(count(&unused, id).await, 37, "without snapshots the events alone speak");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_fit_is_as_good_as_none() {
    let database = Database::new().await;
    let client = database.client().await;
    let commands = database.commands(&EVERY_10).await;
    let lie = "state = jsonb_set(state, '{counter}', '1000')";
    let misfits = [
        format!("revision = revision + 1, {lie}"),
        format!("version = version + 1000, {lie}"),
        "state = '[]'".to_owned(),
    ];
    for misfit in misfits {
        let id = counter(&commands, 12).await;
        until("one is kept", || async { kept(&client, id).await >= 10 }).await;
        tamper(&client, id, &misfit).await;
        assert_eq!(count(&commands, id).await, 13, "{misfit}");
    }
    // The next one takes the place of one of another revision.
    let id = counter(&commands, 12).await;
    until("one is kept", || async { kept(&client, id).await >= 10 }).await;
    tamper(&client, id, "revision = 99, version = 12").await;
    count(&commands, id).await;
    until("today's code has written its own", || async { kept(&client, id).await == 13 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_on_snapshots_are_those_on_events() {
    let database = Database::new().await;
    let every = [("command_snapshot_events", "1"), ("command_cache_aggregates_max", "0")];
    let servers = [database.commands(&every).await, database.commands(&every).await];
    let client = database.client().await;
    let total = serde_json::from_str::<Value>("90071992547409.93").expect("a number");
    let order = json!({"customer_id": "c", "items": [{"sku": "s", "quantity": 1}], "total": total});
    let create = servers[0].execute(request("order.create", None, order)).await.expect("answered");
    let id = create.stream.id;
    let pay = |amount: &str| json!({"amount": serde_json::from_str::<Value>(amount).expect("a number"), "reference": "r"});
    for (step, (command, body, accepted)) in [
        ("order.confirm", json!({}), true),
        ("order.confirm", json!({}), false),
        ("order.pay", pay("90071992547409.92"), false),
        ("order.pay", pay("90071992547409.93"), true),
        ("order.cancel", json!({"reason": "r"}), true),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = servers[step % 2].execute(request(command, Some(id), body)).await.expect("answered");
        assert_eq!(answer.result().is_ok(), accepted, "{command}: {answer:?}");
        until("its state is kept", || async {
            kept(&client, id).await == answer.version.0 || kept(&client, id).await == 0
        })
        .await;
    }
}
