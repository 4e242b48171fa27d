//! Commands that are accepted now and done later, and answers that are kept for a time.

#[path = "accepted/bomb.rs"]
mod bomb;
mod support;

use annals::{
    aggregate::{Registry, RejectionKind, erase},
    command::{Answer, Commands, Error, Failure, Outcome, Request, background},
    log::{self, LogReader, Version},
    postgres,
};
use bomb::Bomb;
use chrono::{DateTime, Utc};
use serde_json::json;
use support::{
    DEADLINE, Database, Told, done, keyed,
    proxy::{Proxy, address, through},
    request, until,
};
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

fn order() -> serde_json::Value {
    serde_json::from_str(support::ORDER).expect("JSON")
}

/// Waits until the accepted command was taken once more.
async fn taken_again(client: &Client) {
    let due = async || {
        let row =
            client.query_one("select available_at from log.accepted", &[]).await.expect("it is accepted");
        row.get::<_, DateTime<Utc>>(0)
    };
    let before = due().await;
    until("it is taken again", || async { due().await > before }).await;
}

async fn found(commands: &Commands, command_id: Uuid) -> Answer {
    commands.find(command_id, "test").await.expect("looked up").expect("there")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_command_is_done_by_whoever_takes_it() {
    let database = Database::new().await;
    let (one, other) = (database.commands(&[]).await, database.commands(&[]).await);
    let create = keyed(request("counter.create", None, json!({"code": "s3cret"})), "create");
    let pending = one.accept(create.clone()).await.expect("accepted");
    assert_eq!((&pending.outcome, pending.replayed), (&Outcome::Pending, false));
    let client = database.client().await;
    let noted = async || {
        let row = client.query_one("select recorded_at from log.commands", &[]).await.expect("its row");
        row.get::<_, DateTime<Utc>>(0)
    };
    let accepted_at = noted().await;
    // Not done yet: a twin, now or later, is told so; nobody else's business; nothing of the secret is kept.
    let twin = other.execute(create.clone()).await.expect("answered");
    assert_eq!((twin.command_id, twin.outcome, twin.replayed), (pending.command_id, Outcome::Pending, true));
    assert!(one.find(pending.command_id, "somebody").await.expect("looked up").is_none());
    let dump = database.client().await.query(include_str!("support/dump.sql"), &[]).await.expect("a dump");
    assert!(dump.iter().any(|row| row.get::<_, String>(0).contains("\"body\"")));
    assert!(dump.iter().all(|row| !row.get::<_, String>(0).contains("s3cret")));

    let shutdown = CancellationToken::new();
    let working = tokio::spawn(background::run(other.clone(), shutdown.clone()));
    let find = || found(&one, pending.command_id);
    until("it is done", || async { find().await.outcome != Outcome::Pending }).await;
    assert!(noted().await > accepted_at, "the time of keeping begins with the answer");
    let answer = find().await;
    assert_eq!(done(&answer), done(&one.execute(create).await.expect("answered")));
    assert_eq!(answer.stream, pending.stream);
    let ship = json!({"carrier": "c", "tracking": "t"});
    let rejected = one.accept(request("order.ship", Some(Uuid::now_v7()), ship)).await.expect("accepted");
    let find = || found(&one, rejected.command_id);
    until("it is rejected", || async { find().await.outcome != Outcome::Pending }).await;
    assert_eq!(find().await.result().expect_err("no order").kind, RejectionKind::NotFound);
    let left: i64 = database
        .client()
        .await
        .query_one("select count(*) from log.accepted", &[])
        .await
        .expect("a count")
        .get(0);
    assert_eq!(left, 0, "what is done is wiped");
    shutdown.cancel();
    working.await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_huge_when_stored_is_not_accepted() {
    let database = Database::new().await;
    let commands = database.commands(&[]).await;
    let confirm = |numbers: &str, count: usize| {
        let body = format!(r#"{{"x":[{}]}}"#, vec![numbers; count].join(","));
        let body = serde_json::from_str(&body).expect("JSON");
        commands.accept(request("order.confirm", Some(Uuid::now_v7()), body))
    };
    for (number, count) in [("1e131071", 1), ("1e900", 6_000)] {
        let refused = confirm(number, count).await.expect_err("refused");
        assert!(matches!(refused, Error::Log(log::Error::Unfit(_))), "{refused}");
    }
    confirm("1e900", 10).await.expect("accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_command_for_another_version_is_told_the_version() {
    let database = Database::new().await;
    let commands = database.commands(&[]).await;
    let created = commands.execute(request("order.create", None, order())).await.expect("answered");
    let confirm = request("order.confirm", Some(created.stream.id), json!({}));
    let accepted = Request { if_match: Some(vec![Version(9)]), ..confirm };
    let pending = commands.accept(accepted).await.expect("accepted");
    let shutdown = CancellationToken::new();
    let working = tokio::spawn(background::run(commands.clone(), shutdown.clone()));
    let find = || found(&commands, pending.command_id);
    until("it is given up", || async { find().await.outcome != Outcome::Pending }).await;
    assert_eq!(find().await.outcome, Outcome::Failed(Failure::VersionMismatch { actual: Version(1) }));
    shutdown.cancel();
    working.await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_panics_or_takes_its_process_with_it_is_given_up() {
    let database = Database::new().await;
    let settings = [("command_background_attempts_max", "2"), ("command_background_lease_ms", "100")];
    let commands = database.commands_of(Registry::new(vec![erase::<Bomb>()]), &settings).await;
    let given_up = async |pending: Answer, working: &JoinHandle<()>| {
        let find = || found(&commands, pending.command_id);
        until("it is given up", || async { find().await.outcome != Outcome::Pending }).await;
        assert_eq!(find().await.outcome, Outcome::Failed(Failure::Broken));
        assert!(!working.is_finished(), "the others are still worked off");
    };
    let shutdown = CancellationToken::new();
    let working = tokio::spawn(background::run(commands.clone(), shutdown.clone()));
    let pending = commands.accept(request("bomb.make", None, json!({}))).await.expect("accepted");
    given_up(pending, &working).await;
    shutdown.cancel();
    working.await.expect("it ends");

    // As those leave one that did not come back so often.
    let orders = database.commands(&settings).await;
    let pending = orders.accept(request("order.create", None, order())).await.expect("accepted");
    database.client().await.batch_execute("update log.accepted set attempts = 2").await.expect("taken");
    let shutdown = CancellationToken::new();
    let working = tokio::spawn(background::run(orders.clone(), shutdown.clone()));
    given_up(pending, &working).await;
    shutdown.cancel();
    working.await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_only_a_newer_program_can_decide_waits_for_it() {
    let database = Database::new().await;
    let settings = [("command_background_attempts_max", "1"), ("command_background_lease_ms", "100")];
    let commands = database.commands(&settings).await;
    let mut newer = support::append("order.created", support::ORDER);
    newer.events[0].schema_version = 99;
    let order = newer.stream.id;
    database.appender(&[]).0.append(newer).await.expect("appended");
    let pending = commands.accept(request("order.confirm", Some(order), json!({}))).await.expect("accepted");
    let shutdown = CancellationToken::new();
    let working = tokio::spawn(background::run(commands.clone(), shutdown.clone()));
    let client = database.client().await;
    for _ in 0..3 {
        taken_again(&client).await;
    }
    assert_eq!(found(&commands, pending.command_id).await.outcome, Outcome::Pending);
    let tries = client.query_one("select attempts from log.accepted", &[]).await.expect("it is accepted");
    assert!(tries.get::<_, i32>(0) <= 1, "those did not count");
    shutdown.cancel();
    working.await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_twin_that_is_accepted_while_the_command_is_appended_is_found() {
    let database = Database::new().await;
    let commands = database.commands(&[]).await;
    let create = keyed(request("order.create", None, order()), "create");
    let waits = async |statement: &'static str| {
        let client = database.client().await;
        until(&format!("{statement} waits"), || async {
            let row = client.query_one(include_str!("support/waits.sql"), &[&statement]).await;
            row.expect("a row").get(0)
        })
        .await;
    };
    let mut client = database.client().await;
    let held = client.transaction().await.expect("a transaction");
    held.batch_execute("lock table log.accepted in access exclusive mode").await.expect("locked");
    let (one, other, twin) = (commands.clone(), commands.clone(), create.clone());
    let accepted = tokio::spawn(async move { one.accept(create).await });
    waits("log.accept").await;
    let answered = tokio::spawn(async move { other.execute(twin).await });
    waits("log.append").await;
    held.rollback().await.expect("released");
    let accepted = accepted.await.expect("it ends").expect("accepted");
    let answered = answered.await.expect("it ends").expect("answered");
    assert_eq!(
        (answered.command_id, answered.outcome, answered.replayed),
        (accepted.command_id, Outcome::Pending, true)
    );
}

/// An order that these commands read only once `client` has given the advisory lock 1 back.
async fn slow_order(database: &Database, client: &Client, settings: &[(&str, &str)]) -> (Commands, Uuid) {
    let created = database.commands(&[]).await.execute(request("order.create", None, order())).await;
    let slow = created.expect("created").stream.id;
    client.batch_execute(include_str!("accepted/slow_stream.sql")).await.expect("installed");
    client.execute("insert into public.slow values ($1)", &[&slow]).await.expect("slow");
    client.query_one("select pg_advisory_lock(1)", &[]).await.expect("held");

    // As the writer, whom the policy holds; the owner of the tests' databases is above it.
    let databases = database.config(&[]).databases;
    let reading = postgres::bounded_pool(&databases.writer, &databases, DEADLINE, "-c role=annals_writer");
    let reader = LogReader::new(reading.expect("a pool"));
    (database.commands_by(support::registry(), reader, settings).await, slow)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_accepted_command_holds_up_no_other() {
    let database = Database::new().await;
    let client = database.client().await;
    let settings = [("command_background_concurrency", "2"), ("command_background_lease_ms", "100")];
    let (commands, slow) = slow_order(&database, &client, &settings).await;
    let shutdown = CancellationToken::new();
    let working = tokio::spawn(background::run(commands.clone(), shutdown.clone()));
    let slow = commands.accept(request("order.confirm", Some(slow), json!({}))).await.expect("accepted");
    until("the slow one is in hand", || async {
        let row = client.query_one(include_str!("support/waits.sql"), &[&"log.events"]).await;
        row.expect("a row").get(0)
    })
    .await;
    // Due again while it is in hand, it takes no other place.
    for _ in 0..3 {
        taken_again(&client).await;
    }
    for _ in 0..3 {
        let next = commands.accept(request("order.create", None, order())).await.expect("accepted");
        until("it is done", || async { found(&commands, next.command_id).await.outcome != Outcome::Pending })
            .await;
    }
    assert_eq!(found(&commands, slow.command_id).await.outcome, Outcome::Pending);
    client.query_one("select pg_advisory_unlock(1)", &[]).await.expect("released");
    let is_done = async || found(&commands, slow.command_id).await.outcome != Outcome::Pending;
    until("the slow one is done", is_done).await;
    shutdown.cancel();
    working.await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_were_taken_too_often_are_worked_off_one_at_a_time() {
    let database = Database::new().await;
    let client = database.client().await;
    let settings = [("command_background_attempts_max", "2"), ("command_background_lease_ms", "1000")];
    let (commands, slow) = slow_order(&database, &client, &settings).await;
    let slow = commands.accept(request("order.confirm", Some(slow), json!({}))).await.expect("accepted");
    let other = commands.accept(request("order.create", None, order())).await.expect("accepted");
    // As a process leaves them that ended with both in hand.
    client.batch_execute("update log.accepted set attempts = 1").await.expect("taken");
    let shutdown = CancellationToken::new();
    let working = tokio::spawn(background::run(commands.clone(), shutdown.clone()));
    let tries = async |pending: &Answer| {
        let row = client.query_one(include_str!("accepted/tries.sql"), &[&pending.command_id]).await;
        row.expect("it is accepted").get::<_, String>(0)
    };
    until("one is in hand, the other is given back", || async {
        (tries(&slow).await.as_str(), tries(&other).await.as_str()) == ("2, taken", "1, taken")
    })
    .await;
    client.query_one("select pg_advisory_unlock(1)", &[]).await.expect("released");
    for pending in [slow, other] {
        let find = || found(&commands, pending.command_id);
        until("it is done", || async { matches!(find().await.outcome, Outcome::Done(_)) }).await;
    }
    shutdown.cancel();
    working.await.expect("it ends");
}

#[tokio::test]
async fn an_owner_or_key_out_of_bounds_is_not_accepted() {
    let database = Database::new().await;
    let client = database.client().await;
    let accept = async |principal: usize, key: usize| {
        let (id, text) = (Uuid::now_v7(), |length| "x".repeat(length));
        client
            .query_one(
                include_str!("../src/log/accept.sql"),
                &[
                    &id,
                    &"order.create",
                    &text(principal),
                    &text(key),
                    &[1_u8; 32].as_slice(),
                    &"test",
                    &"order",
                    &id,
                    &json!({}),
                ],
            )
            .await
    };
    for (principal, key) in [(0, 1), (513, 1), (1, 0), (1, 801)] {
        let refused = accept(principal, key).await.expect_err("refused");
        assert_eq!(refused.code().map(|state| state.code()), Some("23514"), "{refused}");
    }
    accept(512, 800).await.expect("accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_cleaned_away_when_their_time_is_over_and_pending_ones_never() {
    let database = Database::new().await;
    let settings =
        [("command_keep_seconds", "1"), ("command_clean_interval_ms", "10"), ("command_clean_rows_max", "3")];
    let commands = database.commands(&settings).await;
    for _ in 0..10 {
        commands.execute(request("order.create", None, order())).await.expect("answered");
    }
    let pending = commands.accept(request("order.create", None, order())).await.expect("accepted");
    let shutdown = CancellationToken::new();
    let cleaning = tokio::spawn(background::clean(commands.clone(), shutdown.clone()));
    let client = database.client().await;
    until("only the pending one is left", || async {
        let left = client.query("select command_id from log.commands", &[]).await.expect("rows");
        left.len() == 1 && left[0].get::<_, Uuid>(0) == pending.command_id
    })
    .await;
    assert_eq!(database.events().await.len(), 10, "events stay");
    shutdown.cancel();
    cleaning.await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_stands_and_says_nothing_is_left() {
    let database = Database::new().await;
    let created = database.commands(&[]).await.execute(request("order.create", None, order())).await;
    let order = created.expect("created").stream.id;
    let proxy = Proxy::to(address(&database.url)).await;
    let config = database.config(&[("database_url", &through(&database.url, &proxy))]);
    let pool = postgres::pool(&config.databases.writer, &config.databases).expect("a pool");
    let reader = LogReader::new(pool);
    reader.head().await.expect("a connection");
    proxy.freeze();
    let settings = [("command_database_timeout_ms", "200")];
    let commands = database.commands_by(support::registry(), reader, &settings).await;
    let confirm = || commands.execute(request("order.confirm", Some(order), json!({})));
    let silent = confirm().await;
    assert!(matches!(silent, Err(Error::Database(postgres::Error::Silent))), "{silent:?}");
    done(&confirm().await.expect("another connection answers"));
}
