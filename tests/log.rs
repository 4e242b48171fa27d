//! The log on a real Postgres: what `log.append` promises, and the group commit in front of it.

mod support;

use annals::{
    aggregate::{Claim, UniqueValue, Violation},
    log::{Append, Expected, Outcome, Position, Status, Version},
};
use futures_util::future::join_all;
use support::{Database, ORDER, append, append_to};
use uuid::Uuid;

fn unique(value: &str) -> UniqueValue {
    UniqueValue { scope: "test.value", value: value.into(), taken: Violation::at("/value", "taken") }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_creators_leave_no_gap() {
    let database = Database::new().await;
    let (appender, _) = database.appender(&[]);
    let outcomes = join_all((0..200).map(|_| appender.append(append("order.created", ORDER)))).await;
    let mut positions: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| match outcome.expect("appended") {
            Outcome::Appended { version: Version(1), positions: Some((first, last)) } if first == last => {
                first.0
            }
            other => panic!("{other:?}"),
        })
        .collect();
    positions.sort_unstable();
    assert_eq!(positions, (1..=200).collect::<Vec<_>>());
    let events = database.events().await;
    assert!(events.iter().map(|event| event.position.0).eq(1..=200));
    assert!(events.iter().all(|event| event.version == Version(1)));
    assert!(events.is_sorted_by_key(|event| event.recorded_at));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_writers_with_one_expected_version_wins() {
    let database = Database::new().await;
    let (one, _) = database.appender(&[]);
    let (other, _) = database.appender(&[]);
    let stream = Uuid::now_v7();
    one.append(append_to(stream, Expected::NoStream, &[("order.created", ORDER)])).await.expect("created");
    let attempts = (0..50).map(|n| {
        let appender = if n % 2 == 0 { &one } else { &other };
        appender.append(append_to(stream, Expected::Exactly(Version(1)), &[("order.confirmed", "{}")]))
    });
    let outcomes: Vec<_> =
        join_all(attempts).await.into_iter().map(|outcome| outcome.expect("answered")).collect();
    let won = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Appended { .. })).count();
    let lost = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Conflict { .. })).count();
    assert_eq!((won, lost), (1, 49));
    assert_eq!(database.events().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_may_count_on_an_event() {
    let database = Database::new().await;
    let (appender, _) = database.appender(&[]);
    let stream = Uuid::now_v7();
    let created = append_to(stream, Expected::NoStream, &[("order.created", ORDER)]);
    let link = |version, event| {
        append_to(stream, Expected::Last(Version(version), event), &[("order.confirmed", "{}")])
    };
    let second = link(1, created.events[0].event_id);
    let third = link(2, second.events[0].event_id);
    let mistaken = link(3, second.events[0].event_id);
    let behind_it = link(4, mistaken.events[0].event_id);
    let late = link(3, mistaken.events[0].event_id);
    let queued: Vec<_> = [created, second, third.clone(), mistaken, behind_it]
        .into_iter()
        .map(|append| appender.enqueue(append).expect("queued"))
        .collect();
    let mut outcomes =
        join_all(queued).await.into_iter().map(|outcome| outcome.expect("answered").expect("answered"));
    for version in 1..=3 {
        let outcome = outcomes.next().expect("an outcome");
        assert!(
            matches!(outcome, Outcome::Appended { version: Version(at), .. } if at == version),
            "{outcome:?}"
        );
    }
    for outcome in outcomes.chain([appender.append(late).await.expect("answered")]) {
        assert_eq!(outcome, Outcome::Conflict { actual: Version(3) });
    }
    let next = link(3, third.events[0].event_id);
    assert!(matches!(appender.append(next).await, Ok(Outcome::Appended { version: Version(4), .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_that_its_bytes_cut_short_says_so() {
    let database = Database::new().await;
    let (appender, _) = database.appender(&[]);
    // As many as one fetch holds and more; and at the end there is room for less than one.
    let (stream, data) = (Uuid::now_v7(), format!(r#"{{"text":"{}"}}"#, "x".repeat(1_989)));
    let events = vec![("order.created", data.as_str()); 500];
    for _ in 0..2 {
        appender.append(append_to(stream, Expected::Any, &events)).await.expect("appended");
    }
    let (reader, mut at, mut readings) = (database.reader(), Position(0), 0);
    loop {
        let page = reader.between(at, Position(1_000), None, 10_000, 700_500).await.expect("read");
        assert!(
            page.events.iter().map(|event| event.position.0).eq(at.0 + 1..=at.0 + page.events.len() as i64)
        );
        at = page.events.last().map_or(at, |last| last.position);
        readings += 1;
        if !page.more {
            break;
        }
    }
    assert_eq!((at, readings), (Position(1_000), 3));
    // Few are no reason to take more bytes than asked for.
    let few = reader.between(Position(0), Position(1_000), None, 10, 3_000).await.expect("read");
    assert_eq!((few.events.len(), few.more), (2, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_appended_in_order_and_breaks_at_its_first_fault() {
    let database = Database::new().await;
    let (appender, _) = database.appender(&[]);
    let stream = Uuid::now_v7();
    let link = |expected| append_to(stream, expected, &[("order.confirmed", "{}")]);
    let queued: Vec<_> = [
        append_to(stream, Expected::NoStream, &[("order.created", ORDER)]),
        link(Expected::Exactly(Version(1))),
        link(Expected::Exactly(Version(2))),
        link(Expected::Exactly(Version(9))),
        link(Expected::Exactly(Version(3))),
        link(Expected::Any),
    ]
    .into_iter()
    .map(|append| appender.enqueue(append).expect("queued"))
    .collect();
    let mut outcomes = Vec::new();
    for outcome in join_all(queued).await {
        outcomes.push(match outcome.expect("answered").expect("an outcome") {
            Outcome::Appended { version, .. } => Ok(version.0),
            Outcome::Conflict { actual } => Err(actual.0),
            other => panic!("{other:?}"),
        });
    }
    // Whether the faulty link shares a batch with those before it depends on timing; those behind it then fall with
    // it, otherwise they stand alone.
    assert_eq!(outcomes[..4], [Ok(1), Ok(2), Ok(3), Err(3)]);
    assert!(outcomes[4] == Ok(4) || outcomes[4] == Err(3), "{outcomes:?}");
    let versions: Vec<_> = database.events().await.iter().map(|event| event.version.0).collect();
    assert!(versions.iter().copied().eq(1..=versions.len() as i64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_command_gets_the_first_answer() {
    let database = Database::new().await;
    let (appender, _) = database.appender(&[]);
    let keyed = |fingerprint: u8| Append {
        idempotency_key: Some("key".into()),
        fingerprint: vec![fingerprint; 32],
        answer: annals::json::RawJson::trusted(format!(r#"{{"id":{fingerprint}}}"#)),
        ..append("order.created", ORDER)
    };
    let twins = join_all((0..50).map(|_| appender.append(keyed(1)))).await;
    let mut first = None;
    let mut repeats = Vec::new();
    for twin in twins {
        match twin.expect("answered") {
            Outcome::Appended { positions, .. } => assert!(first.replace(positions).is_none(), "two effects"),
            Outcome::Duplicate(record) => repeats.push(record),
            other => panic!("{other:?}"),
        }
    }
    let first = first.expect("one effect");
    assert_eq!(repeats.len(), 49);
    for repeat in repeats {
        assert_eq!((repeat.positions, repeat.status), (first, Status::Done));
        assert_eq!(repeat.answer.expect("an answer").as_str(), r#"{"id": 1}"#);
    }
    assert_eq!(appender.append(keyed(2)).await.expect("answered"), Outcome::FingerprintMismatch);
    let other_principal = Append { principal: "other".into(), ..keyed(2) };
    assert!(matches!(appender.append(other_principal).await, Ok(Outcome::Appended { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_is_an_append_of_no_events() {
    let database = Database::new().await;
    let (appender, _) = database.appender(&[]);
    let reject = |expected| Append {
        events: vec![],
        status: Status::Rejected,
        idempotency_key: Some("no".into()),
        ..append_to(Uuid::now_v7(), expected, &[("order.created", ORDER)])
    };
    let stale = appender.append(reject(Expected::Exactly(Version(3)))).await.expect("answered");
    assert_eq!(stale, Outcome::Conflict { actual: Version(0) });
    let stored = appender.append(reject(Expected::NoStream)).await.expect("answered");
    assert_eq!(stored, Outcome::Appended { version: Version(0), positions: None });
    let Outcome::Duplicate(record) = appender.append(reject(Expected::NoStream)).await.expect("answered")
    else {
        panic!("a repeat");
    };
    assert_eq!((record.status, record.positions), (Status::Rejected, None));
    assert_eq!(database.events().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_has_one_owner_until_it_is_released() {
    let database = Database::new().await;
    let (appender, _) = database.appender(&[]);
    let take = |stream, value: &str| Append {
        claims: vec![Claim::Take(unique(value))],
        ..append_to(stream, Expected::Any, &[("project.created", "{}")])
    };
    let creators: Vec<_> = (0..100).map(|_| Uuid::now_v7()).collect();
    let outcomes = join_all(creators.iter().map(|stream| appender.append(take(*stream, "apollo")))).await;
    let mut winner = None;
    for (stream, outcome) in creators.iter().zip(outcomes) {
        match outcome.expect("answered") {
            Outcome::Appended { .. } => assert!(winner.replace(*stream).is_none(), "two owners"),
            outcome => assert_eq!(outcome, Outcome::Claimed { claim: 0 }),
        }
    }
    let winner = winner.expect("one owner");
    let loser = Uuid::now_v7();
    let release = |stream| Append {
        claims: vec![Claim::Release(unique("apollo"))],
        ..append_to(stream, Expected::Any, &[("project.deleted", "{}")])
    };
    // Only its owner can release it; taking it again is nothing new for the owner.
    appender.append(release(loser)).await.expect("answered");
    assert_eq!(
        appender.append(take(loser, "apollo")).await.expect("answered"),
        Outcome::Claimed { claim: 0 }
    );
    assert!(matches!(appender.append(take(winner, "apollo")).await, Ok(Outcome::Appended { .. })));
    appender.append(release(winner)).await.expect("answered");
    assert!(matches!(appender.append(take(loser, "apollo")).await, Ok(Outcome::Appended { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_request_fails_alone() {
    let database = Database::new().await;
    let (appender, _) = database.appender(&[]);
    // Caught before the batch: what Postgres would refuse or blow up.
    let unfit = [r#"{"a":"\u0000"}"#, r#"{"a":1e100000}"#];
    // Met by the database alone: text that is no JSON at all, which no serializer of ours writes.
    let refused = "{nonsense";
    let mut data = vec![ORDER; 256];
    data[17] = unfit[0];
    data[80] = unfit[1];
    data[200] = refused;
    let outcomes = join_all(data.iter().map(|data| appender.append(append("order.created", data)))).await;
    for (data, outcome) in data.iter().zip(outcomes) {
        match outcome {
            Ok(outcome) => assert!(*data == ORDER && matches!(outcome, Outcome::Appended { .. })),
            Err(annals::log::Error::Unfit(_)) => assert!(unfit.contains(data)),
            Err(annals::log::Error::Refused(_)) => assert_eq!(*data, refused),
            Err(error) => panic!("{error}"),
        }
    }
    let events = database.events().await;
    assert!(events.iter().map(|event| event.position.0).eq(1..=253));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_needs_read_committed() {
    let database = Database::new().await;
    let client = database.client().await;
    let call = include_str!("support/append_nothing.sql");
    for (level, fits) in [("read committed", true), ("repeatable read", false), ("serializable", false)] {
        client.batch_execute(&format!("begin isolation level {level}")).await.expect("begun");
        let result = client.batch_execute(call).await;
        client.batch_execute("rollback").await.expect("rolled back");
        match result {
            Ok(()) => assert!(fits, "{level}"),
            Err(error) => assert!(
                !fits && error.code().is_some_and(|code| code.code() == "25000"),
                "{level}: {error:?}"
            ),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_stays() {
    let database = Database::new().await;
    let (appender, _) = database.appender(&[]);
    appender.append(append("order.created", ORDER)).await.expect("appended");
    let client = database.client().await;
    let statements = [
        "insert into log.events select (e).* from log.events e",
        "update log.events set data = '{}'",
        "delete from log.events",
        "truncate log.events",
    ];
    for role in [
        "annals_writer",
        "annals_projector",
        "annals_reader",
        "annals_migrator",
        "annals_owner",
        "postgres_self",
    ] {
        for (number, statement) in statements.iter().enumerate() {
            if number == 0 && matches!(role, "annals_owner" | "postgres_self") {
                continue; // the owner and a superuser may insert; log.append does so as the owner
            }
            let set =
                if role == "postgres_self" { "reset role".to_owned() } else { format!("set role {role}") };
            client.batch_execute(&set).await.expect("the role exists");
            client.batch_execute("set session_replication_role = replica").await.ok();
            let error = client.batch_execute(statement).await.expect_err("refused");
            let state = error.code().expect("an SQLSTATE").code().to_owned();
            assert!(["42501", "23001"].contains(&state.as_str()), "{role}: {statement}: {error:?}");
            client.batch_execute("reset role; reset session_replication_role").await.expect("reset");
        }
    }
    assert_eq!(database.events().await.len(), 1);
    assert_eq!(database.reader().head().await.expect("a head"), Position(1));
}
