//! The command pipeline on a real log: one effect per key, true answers, chains of hot aggregates, secrets.

mod support;

use annals::{
    aggregate::{Rejection, RejectionKind},
    command::{Answer, Commands, Error, Outcome, Request, background},
    log::Version,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use support::{Database, request};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

fn order() -> Value {
    serde_json::from_str(support::ORDER).expect("JSON")
}

/// Yes or no, for a command that is done.
trait Told {
    fn result(&self) -> Result<String, Rejection>;
}

impl Told for Answer {
    fn result(&self) -> Result<String, Rejection> {
        match &self.outcome {
            Outcome::Done(answer) => Ok(answer.as_str().to_owned()),
            Outcome::Rejected(rejection) => Err(rejection.clone()),
            other => panic!("{other:?}"),
        }
    }
}

fn done(answer: &Answer) -> String {
    answer.result().expect("accepted")
}

async fn create(commands: &Commands, command: &str, body: Value) -> Uuid {
    let answer = commands
        .execute(request(command, None, body))
        .await
        .expect("answered");
    assert!(answer.result().is_ok(), "{answer:?}");
    answer.stream.id
}

fn keyed(request: Request, key: &str) -> Request {
    Request {
        idempotency_key: Some(key.into()),
        ..request
    }
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
            let answers: Vec<_> = join_all(requests)
                .await
                .into_iter()
                .map(|answer| answer.expect("answered"))
                .collect();
            let first = answers.iter().filter(|answer| !answer.replayed).count();
            assert_eq!(first, 1, "{command} took effect once");
            assert!(answers.iter().all(|answer| told(answer).0 == answers[0].version));
            let body = |answer: &Answer| {
                let text = done(answer);
                serde_json::from_str::<Value>(&text).expect("JSON")
            };
            assert!(answers.iter().all(|answer| body(answer) == body(&answers[0])));
            assert!(
                answers
                    .iter()
                    .all(|answer| answer.command_id == answers[0].command_id)
            );
            answers[0].stream.id
        }
    };
    let id = twins("order.create", None, order()).await;
    twins("order.confirm", Some(id), json!({})).await;
    let types: Vec<_> = database
        .events()
        .await
        .into_iter()
        .map(|event| event.event_type)
        .collect();
    assert_eq!(types, ["order.created", "order.confirmed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_is_repeated_to_its_twins() {
    let database = Database::new().await;
    let commands = database.commands(&[]).await;
    let id = create(&commands, "order.create", order()).await;
    let ship = || {
        keyed(
            request("order.ship", Some(id), json!({"carrier": "c", "tracking": "t"})),
            "ship",
        )
    };
    let first = commands.execute(ship()).await.expect("answered");
    let rejection = first.result().expect_err("not paid");
    assert_eq!(
        (rejection.kind, &rejection.members["state"]),
        (RejectionKind::Rule, &json!("created"))
    );
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
    assert!(matches!(
        commands.execute(other_body).await,
        Err(Error::KeyReused)
    ));
    let other_caller = Request {
        principal: "somebody".into(),
        ..first
    };
    assert!(!commands.execute(other_caller).await.expect("answered").replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_cache_says_no_false_no() {
    let database = Database::new().await;
    let (one, other) = (database.commands(&[]).await, database.commands(&[]).await);
    let pay = |id| {
        request(
            "order.pay",
            Some(id),
            json!({"amount": serde_json::Number::from(9), "reference": "r"}),
        )
    };
    for _ in 0..20 {
        // `one` knows the order as created; the confirmation goes through `other`.
        let id = create(&one, "order.create", order()).await;
        other
            .execute(request("order.confirm", Some(id), json!({})))
            .await
            .expect("answered")
            .result()
            .expect("yes");
        one.execute(pay(id))
            .await
            .expect("answered")
            .result()
            .expect("a no would be false");
        // And the other way round: what `other` still believes to be allowed is refused.
        let again = other
            .execute(pay(id))
            .await
            .expect("answered")
            .result()
            .expect_err("paid already");
        assert_eq!(again.members["state"], json!("paid"));
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
        assert!(
            matches!(mismatch, Error::VersionMismatch { actual: Version(1) }),
            "{mismatch:?}"
        );
    }
    let confirmed = one
        .execute(keyed(confirm(&[7, 1]), "confirm"))
        .await
        .expect("answered");
    assert_eq!(confirmed.version, Version(2));
    // Replay comes before the precondition.
    let replayed = one
        .execute(keyed(confirm(&[7, 1]), "confirm"))
        .await
        .expect("answered");
    assert!(replayed.replayed && replayed.version == Version(2));
    // A cache that is behind must not refuse a right version, nor accept a wrong one.
    other
        .execute(request("order.cancel", Some(id), json!({"reason": "r"})))
        .await
        .expect("answered");
    let cancel = |version| Request {
        if_match: Some(vec![Version(version)]),
        ..request("order.cancel", Some(id), json!({"reason": "r"}))
    };
    let stale = one.execute(cancel(2)).await.expect_err("stale");
    assert!(
        matches!(stale, Error::VersionMismatch { actual: Version(3) }),
        "{stale:?}"
    );
    assert!(
        one.execute(cancel(3)).await.expect("decided").result().is_err(),
        "cancelled already"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_aggregate_is_a_chain_of_answers() {
    let database = Database::new().await;
    let servers = [database.commands(&[]).await, database.commands(&[]).await];
    let id = create(&servers[0], "counter.create", json!({"code": "1234"})).await;
    let increment = || request("counter.increment", Some(id), json!({}));
    let alone = join_all((0..500).map(|_| servers[0].execute(increment()))).await;
    let mut counts: Vec<_> = alone
        .into_iter()
        .map(|answer| count(&answer.expect("answered")))
        .collect();
    counts.sort_unstable();
    assert!(
        counts.iter().copied().eq(1..=500),
        "each has an answer of its own"
    );
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
    let name = |n: usize| if n % 3 == 0 { " APOLLO " } else { "apollo" };
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
                assert_eq!(
                    rejection.violations[0].detail,
                    "a project with this name already exists"
                );
            }
        }
    }
    let owner = owner.expect("one owner");
    let rename = request("project.update", Some(owner), json!({"name": "gemini"}));
    servers[0]
        .execute(rename)
        .await
        .expect("answered")
        .result()
        .expect("renamed");
    assert!(
        create(0, "Apollo").await.expect("answered").result().is_ok(),
        "free after renaming"
    );
    assert!(create(1, "GEMINI").await.expect("answered").result().is_err());
    servers[1]
        .execute(request("project.delete", Some(owner), json!({})))
        .await
        .expect("answered")
        .result()
        .expect("gone");
    assert!(
        create(0, "GEMINI").await.expect("answered").result().is_ok(),
        "free after deletion"
    );
    let again = servers[0]
        .execute(request("project.delete", Some(owner), json!({})))
        .await
        .expect("answered");
    assert_eq!(again.result().expect_err("gone").kind, RejectionKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_stored_nowhere() {
    let database = Database::new().await;
    let commands = database.commands(&[]).await;
    let (right, wrong) = ("s3cret-right-c0de", "s3cret-wrong-c0de");
    let id = create(&commands, "counter.create", json!({ "code": right })).await;
    let submit = |code: &str| {
        commands.execute(keyed(
            request("counter.submit-code", Some(id), json!({ "code": code })),
            &code[7..],
        ))
    };
    commands
        .execute(request("counter.increment", Some(id), json!({"by": 5})))
        .await
        .expect("answered");
    assert_eq!(
        submit(wrong)
            .await
            .expect("answered")
            .result()
            .expect_err("wrong")
            .detail,
        "the code is wrong"
    );
    assert_eq!(count(&submit(right).await.expect("answered")), 0);
    let dump = database
        .client()
        .await
        .query(include_str!("support/dump.sql"), &[])
        .await
        .expect("a dump");
    let dump: Vec<String> = dump.iter().map(|row| row.get(0)).collect();
    assert!(
        dump.iter().any(|row| row.contains("counter.submit-code")),
        "the dump holds the commands"
    );
    let leaks = dump
        .iter()
        .filter(|row| row.contains(right) || row.contains(wrong));
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
    support::until("all twenty are in the log", || async {
        database.events().await.len() == 20
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cache_it_is_only_slower() {
    let database = Database::new().await;
    let commands = database
        .commands(&[
            ("command_cache_aggregates_max", "0"),
            ("command_load_events_max", "2"),
        ])
        .await;
    let id = create(&commands, "counter.create", json!({"code": "1"})).await;
    for n in 1..=5 {
        let answer = commands
            .execute(request("counter.increment", Some(id), json!({})))
            .await
            .expect("answered");
        assert_eq!(count(&answer), n);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_command_is_done_by_whoever_takes_it() {
    let database = Database::new().await;
    let (one, other) = (database.commands(&[]).await, database.commands(&[]).await);
    let create = keyed(
        request("counter.create", None, json!({"code": "s3cret"})),
        "create",
    );
    let pending = one.accept(create.clone()).await.expect("accepted");
    assert_eq!((&pending.outcome, pending.replayed), (&Outcome::Pending, false));
    // Not done yet: a twin, now or later, is told so; nobody else's business; nothing of the secret is kept.
    let twin = other.execute(create.clone()).await.expect("answered");
    assert_eq!(
        (twin.command_id, twin.outcome, twin.replayed),
        (pending.command_id, Outcome::Pending, true)
    );
    assert!(
        one.find(pending.command_id, "somebody")
            .await
            .expect("looked up")
            .is_none()
    );
    let dump = database
        .client()
        .await
        .query(include_str!("support/dump.sql"), &[])
        .await
        .expect("a dump");
    assert!(
        dump.iter()
            .any(|row| row.get::<_, String>(0).contains("\"body\""))
    );
    assert!(dump.iter().all(|row| !row.get::<_, String>(0).contains("s3cret")));

    let shutdown = CancellationToken::new();
    let working = tokio::spawn(background::run(other.clone(), shutdown.clone()));
    let find = || async {
        one.find(pending.command_id, "test")
            .await
            .expect("looked up")
            .expect("there")
    };
    support::until("it is done", || async {
        find().await.outcome != Outcome::Pending
    })
    .await;
    let answer = find().await;
    assert_eq!(done(&answer), done(&one.execute(create).await.expect("answered")));
    assert_eq!(answer.stream, pending.stream);
    let ship = json!({"carrier": "c", "tracking": "t"});
    let rejected = one
        .accept(request("order.ship", Some(Uuid::now_v7()), ship))
        .await
        .expect("accepted");
    let find = || async {
        one.find(rejected.command_id, "test")
            .await
            .expect("looked up")
            .expect("there")
    };
    support::until("it is rejected", || async {
        find().await.outcome != Outcome::Pending
    })
    .await;
    assert_eq!(
        find().await.result().expect_err("no order").kind,
        RejectionKind::NotFound
    );
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
async fn answers_are_cleaned_away_when_their_time_is_over_and_pending_ones_never() {
    let database = Database::new().await;
    let settings = [
        ("command_keep_seconds", "1"),
        ("command_clean_interval_ms", "10"),
        ("command_clean_rows_max", "3"),
    ];
    let commands = database.commands(&settings).await;
    for _ in 0..10 {
        create(&commands, "order.create", order()).await;
    }
    let pending = commands
        .accept(request("order.create", None, order()))
        .await
        .expect("accepted");
    let shutdown = CancellationToken::new();
    let cleaning = tokio::spawn(background::clean(commands.clone(), shutdown.clone()));
    let client = database.client().await;
    support::until("only the pending one is left", || async {
        let left = client
            .query("select command_id from log.commands", &[])
            .await
            .expect("rows");
        left.len() == 1 && left[0].get::<_, Uuid>(0) == pending.command_id
    })
    .await;
    assert_eq!(database.events().await.len(), 10, "events stay");
    shutdown.cancel();
    cleaning.await.expect("it ends");
}
