//! The command pipeline on a real log: one effect per key, true answers, chains of hot aggregates, secrets.

mod support;

use annals::{
    aggregate::RejectionKind,
    command::{Answer, Commands, Error, Request},
    log::Version,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use support::{Database, Told, done, keyed, request};
use uuid::Uuid;

fn order() -> Value {
    serde_json::from_str(support::ORDER).expect("JSON")
}

async fn create(commands: &Commands, command: &str, body: Value) -> Uuid {
    let answer = commands.execute(request(command, None, body)).await.expect("answered");
    assert!(answer.result().is_ok(), "{answer:?}");
    answer.stream.id
}

fn told(answer: &Answer) -> (Version, String, Uuid) {
    (answer.version, format!("{:?}", answer.outcome), answer.command_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_twins_have_one_effect_and_one_answer() {
    let database = Database::new().await;
    let servers = [database.commands(&[]).await, database.commands(&[]).await];
    let twins = |command: &'static str, id: Option<Uuid>, body: Value| {
        let servers = &servers;
        async move {
            let requests =
                (0..50).map(|n| servers[n % 2].execute(keyed(request(command, id, body.clone()), command)));
            let answers: Vec<_> =
                join_all(requests).await.into_iter().map(|answer| answer.expect("answered")).collect();
            let first = answers.iter().filter(|answer| !answer.replayed).count();
            assert_eq!(first, 1, "{command} took effect once");
            assert!(answers.iter().all(|answer| told(answer).0 == answers[0].version));
            let body = |answer: &Answer| {
                let text = done(answer);
                serde_json::from_str::<Value>(&text).expect("JSON")
            };
            assert!(answers.iter().all(|answer| body(answer) == body(&answers[0])));
            assert!(answers.iter().all(|answer| answer.command_id == answers[0].command_id));
            answers[0].stream.id
        }
    };
    let id = twins("order.create", None, order()).await;
    twins("order.confirm", Some(id), json!({})).await;
    let types: Vec<_> = database.events().await.into_iter().map(|event| event.event_type).collect();
    assert_eq!(types, ["order.created", "order.confirmed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_is_repeated_to_its_twins() {
    let database = Database::new().await;
    let commands = database.commands(&[]).await;
    let id = create(&commands, "order.create", order()).await;
    let ship = || keyed(request("order.ship", Some(id), json!({"carrier": "c", "tracking": "t"})), "ship");
    let first = commands.execute(ship()).await.expect("answered");
    let rejection = first.result().expect_err("not paid");
    assert_eq!((rejection.kind, &rejection.members["state"]), (RejectionKind::Rule, &json!("created")));
    commands
        .execute(request("order.confirm", Some(id), json!({})))
        .await
        .expect("answered")
        .result()
        .expect("accepted");
    let second = commands.execute(ship()).await.expect("answered");
    assert!(second.replayed);
    assert_eq!(second.result().expect_err("the first answer"), rejection);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_serves_one_request_of_one_principal() {
    let database = Database::new().await;
    let commands = database.commands(&[]).await;
    let first = keyed(request("order.create", None, order()), "key");
    commands.execute(first.clone()).await.expect("answered");
    let other_body = Request {
        body: json!({"customer_id": "c", "items": [{"sku": "a", "quantity": 1}], "total": 1}),
        ..first.clone()
    };
    assert!(matches!(commands.execute(other_body).await, Err(Error::KeyReused)));
    let other_caller = Request { principal: "somebody".into(), ..first };
    assert!(!commands.execute(other_caller).await.expect("answered").replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_cache_says_no_false_no() {
    let database = Database::new().await;
    let (one, other) = (database.commands(&[]).await, database.commands(&[]).await);
    let pay =
        |id| request("order.pay", Some(id), json!({"amount": serde_json::Number::from(9), "reference": "r"}));
    for _ in 0..20 {
        // `one` knows the order as created; the confirmation goes through `other`.
        let id = create(&one, "order.create", order()).await;
        other
            .execute(request("order.confirm", Some(id), json!({})))
            .await
            .expect("answered")
            .result()
            .expect("yes");
        one.execute(pay(id)).await.expect("answered").result().expect("a no would be false");
        // And the other way round: what `other` still believes to be allowed is refused.
        let again = other.execute(pay(id)).await.expect("answered").result().expect_err("paid already");
        assert_eq!(again.members["state"], json!("paid"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_falls_with_the_one_it_was_decided_on() {
    let database = Database::new().await;
    // One command per batch, so that the links are held against the log one after the other.
    let one = database.commands(&[("append_batch_requests_max", "1")]).await;
    let other = database.commands(&[]).await;
    let refund = |id, amount: i64| {
        let amount = serde_json::Number::from(amount);
        request("order.refund", Some(id), json!({"amount": amount, "reason": "r"}))
    };
    for _ in 0..20 {
        let id = create(&one, "order.create", order()).await;
        let paid = json!({"amount": serde_json::Number::from(9), "reference": "r"});
        for (command, body) in [("order.confirm", json!({})), ("order.pay", paid)] {
            one.execute(request(command, Some(id), body)).await.expect("answered").result().expect("yes");
        }
        // What `one` knows is out of date by this one.
        other.execute(refund(id, 5)).await.expect("answered").result().expect("yes");
        // It decides the second on what the first would lead to; the first is not appended, but `other`'s event has the
        // version that the second counts on.
        let (first, second) = tokio::join!(one.execute(refund(id, 1)), one.execute(refund(id, 5)));
        first.expect("answered").result().expect("4 are left");
        let second = second.expect("answered").result().expect_err("3 are left");
        assert_eq!(second.kind, RejectionKind::Rule);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn if_match_insists_on_a_version() {
    let database = Database::new().await;
    let (one, other) = (database.commands(&[]).await, database.commands(&[]).await);
    let id = create(&one, "order.create", order()).await;
    let confirm = |versions: &[i64]| Request {
        if_match: Some(versions.iter().copied().map(Version).collect()),
        ..request("order.confirm", Some(id), json!({}))
    };
    for versions in [&[2][..], &[0], &[]] {
        let mismatch = one.execute(confirm(versions)).await.expect_err("another version");
        assert!(matches!(mismatch, Error::VersionMismatch { actual: Version(1) }), "{mismatch:?}");
    }
    let confirmed = one.execute(keyed(confirm(&[7, 1]), "confirm")).await.expect("answered");
    assert_eq!(confirmed.version, Version(2));
    // Replay comes before the precondition.
    let replayed = one.execute(keyed(confirm(&[7, 1]), "confirm")).await.expect("answered");
    assert!(replayed.replayed && replayed.version == Version(2));
    // A cache that is behind must not refuse a right version, nor accept a wrong one.
    other.execute(request("order.cancel", Some(id), json!({"reason": "r"}))).await.expect("answered");
    let cancel = |version| Request {
        if_match: Some(vec![Version(version)]),
        ..request("order.cancel", Some(id), json!({"reason": "r"}))
    };
    let stale = one.execute(cancel(2)).await.expect_err("stale");
    assert!(matches!(stale, Error::VersionMismatch { actual: Version(3) }), "{stale:?}");
    assert!(one.execute(cancel(3)).await.expect("decided").result().is_err(), "cancelled already");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_aggregate_is_a_chain_of_answers() {
    let database = Database::new().await;
    let servers = [database.commands(&[]).await, database.commands(&[]).await];
    let id = create(&servers[0], "counter.create", json!({"code": "1234"})).await;
    let increment = || request("counter.increment", Some(id), json!({}));
    let alone = join_all((0..500).map(|_| servers[0].execute(increment()))).await;
    let mut counts: Vec<_> = alone.into_iter().map(|answer| count(&answer.expect("answered"))).collect();
    counts.sort_unstable();
    assert!(counts.iter().copied().eq(1..=500), "each has an answer of its own");
    // Two servers on one aggregate: conflicts, and still one effect each.
    let both = join_all((0..200).map(|n| servers[n % 2].execute(increment()))).await;
    let mut done = 0;
    for answer in both {
        match answer {
            Ok(answer) => assert!(count(&answer) > 500),
            Err(Error::Conflict { .. }) => continue,
            Err(error) => panic!("{error:?}"),
        }
        done += 1;
    }
    assert_eq!(database.events().await.len(), 1 + 500 + done);
}

fn count(answer: &Answer) -> u64 {
    let answer: Value = done(answer).parse().expect("JSON");
    answer["counter"].as_u64().expect("a count")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_name_has_one_owner() {
    let database = Database::new().await;
    let servers = [database.commands(&[]).await, database.commands(&[]).await];
    let name = |n: usize| if n.is_multiple_of(3) { " APOLLO " } else { "apollo" };
    let create = |n: usize, name: &str| {
        servers[n % 2].execute(request("project.create", None, json!({ "name": name })))
    };
    let answers = join_all((0..100).map(|n| create(n, name(n)))).await;
    let mut owner = None;
    for answer in answers {
        let answer = answer.expect("answered");
        match answer.result() {
            Ok(_) => assert!(owner.replace(answer.stream.id).is_none(), "two owners"),
            Err(rejection) => {
                assert_eq!(rejection.kind, RejectionKind::Invalid);
                assert_eq!(rejection.violations[0].pointer, "/name");
                assert_eq!(rejection.violations[0].detail, "a project with this name already exists");
            }
        }
    }
    let owner = owner.expect("one owner");
    let rename = request("project.update", Some(owner), json!({"name": "gemini"}));
    servers[0].execute(rename).await.expect("answered").result().expect("renamed");
    assert!(create(0, "Apollo").await.expect("answered").result().is_ok(), "free after renaming");
    assert!(create(1, "GEMINI").await.expect("answered").result().is_err());
    servers[1]
        .execute(request("project.delete", Some(owner), json!({})))
        .await
        .expect("answered")
        .result()
        .expect("gone");
    assert!(create(0, "GEMINI").await.expect("answered").result().is_ok(), "free after deletion");
    let again =
        servers[0].execute(request("project.delete", Some(owner), json!({}))).await.expect("answered");
    assert_eq!(again.result().expect_err("gone").kind, RejectionKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_stored_nowhere() {
    let database = Database::new().await;
    let commands = database.commands(&[]).await;
    let (right, wrong) = ("s3cret-right-c0de", "s3cret-wrong-c0de");
    let id = create(&commands, "counter.create", json!({ "code": right })).await;
    let submit = |code: &str| {
        commands.execute(keyed(request("counter.submit-code", Some(id), json!({ "code": code })), &code[7..]))
    };
    commands.execute(request("counter.increment", Some(id), json!({"by": 5}))).await.expect("answered");
    assert_eq!(
        submit(wrong).await.expect("answered").result().expect_err("wrong").detail,
        "the code is wrong"
    );
    assert_eq!(count(&submit(right).await.expect("answered")), 0);
    let dump = database.client().await.query(include_str!("support/dump.sql"), &[]).await.expect("a dump");
    let dump: Vec<String> = dump.iter().map(|row| row.get(0)).collect();
    assert!(dump.iter().any(|row| row.contains("counter.submit-code")), "the dump holds the commands");
    let leaks = dump.iter().filter(|row| row.contains(right) || row.contains(wrong));
    assert_eq!(leaks.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_goes_on_when_its_caller_stops_waiting() {
    let database = Database::new().await;
    let commands = database.commands(&[]).await;
    for _ in 0..20 {
        let mut executing = Box::pin(commands.execute(request("order.create", None, order())));
        // Started and dropped, as a broken connection does.
        let _ = futures_util::poll!(&mut executing);
        drop(executing);
    }
    support::until("all twenty are in the log", || async { database.events().await.len() == 20 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_is_told_without_retries_too() {
    let database = Database::new().await;
    let commands = database.commands(&[("command_retries_max", "0")]).await;
    create(&commands, "project.create", json!({"name": "apollo"})).await;
    let second = commands.execute(request("project.create", None, json!({"name": "Apollo"}))).await;
    assert_eq!(second.expect("answered").result().expect_err("taken").kind, RejectionKind::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cache_it_is_only_slower() {
    let database = Database::new().await;
    let commands =
        database.commands(&[("command_cache_aggregates_max", "0"), ("command_load_events_max", "2")]).await;
    let id = create(&commands, "counter.create", json!({"code": "1"})).await;
    for n in 1..=5 {
        let answer =
            commands.execute(request("counter.increment", Some(id), json!({}))).await.expect("answered");
        assert_eq!(count(&answer), n);
    }
}
