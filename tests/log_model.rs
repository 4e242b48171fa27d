//! `log.append` against a model of the log: random batches of many requests, in which everything that may meet does.

#[path = "log_model/batch.rs"]
mod batch;
#[path = "log_model/model.rs"]
mod model;
mod support;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
};

use annals::{
    aggregate::{Claim, UniqueValue, Violation},
    log::{Append, Expected, Outcome, Position, Status, Version},
};
use batch::SCOPE;
use futures_util::future::join_all;
use model::{Log, Request};
use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestCaseError, TestRunner},
};
use support::{Database, append_to};
use tokio_postgres::Client;
use uuid::Uuid;

/// Histories tried; each has some hundred requests.
const HISTORIES: u32 = 96;
const TYPES: [&str; 2] = ["lamp", "shelf"];
/// Data that Postgres refuses: it fails its whole batch, and changes nothing.
const POISON: &str = r#"{"text":"\u0000"}"#;

/// A request before it meets a log: small numbers, so that much meets.
#[derive(Debug, Clone)]
struct Wish {
    stream: usize,
    expect: Expect,
    /// 0: the domain says no.
    events: i64,
    key: Option<usize>,
    principal: usize,
    fingerprint: u8,
    /// The command of this many requests ago, again.
    repeat: Option<usize>,
    claims: Vec<(usize, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Any,
    /// Nothing that could be: only where the stream stands.
    Asks,
    NoStream,
    /// As it is when the request's turn comes, if all before it goes through.
    Right,
    Wrong(i64),
}

fn wish() -> impl Strategy<Value = Wish> {
    let expect = prop_oneof![
        6 => Just(Expect::Right),
        2 => Just(Expect::Any),
        2 => Just(Expect::NoStream),
        1 => (-2..3_i64).prop_map(Expect::Wrong),
        1 => Just(Expect::Asks),
    ];
    let events = prop_oneof![1 => Just(0_i64), 4 => 1..4_i64];
    let claims = vec((0..4_usize, prop::bool::weighted(0.7)), 0..3);
    let key = prop::option::weighted(0.3, 0..4_usize);
    let repeat = prop::option::weighted(0.1, 1..9_usize);
    (0..5_usize, expect, events, key, 0..2_usize, 0..8_u8, repeat, claims).prop_map(
        |(stream, expect, events, key, principal, fingerprint, repeat, claims)| Wish {
            stream,
            expect,
            events,
            key,
            principal,
            // Mostly the same one.
            fingerprint: fingerprint / 7,
            repeat,
            claims,
        },
    )
}

/// The names a history uses, which no other one does.
struct Names {
    id: Uuid,
    streams: [Uuid; 5],
}

impl Names {
    fn new() -> Self {
        Self { id: Uuid::now_v7(), streams: [(); 5].map(|()| Uuid::now_v7()) }
    }

    fn request(&self, wish: &Wish, expected: Option<i64>, sent: &[Request]) -> Request {
        let repeated = wish.repeat.and_then(|ago| sent.len().checked_sub(ago)).map(|index| &sent[index]);
        Request {
            command_id: repeated.map_or_else(Uuid::now_v7, |request| request.command_id),
            principal: format!("{}-{}", self.id, wish.principal),
            key: wish.key.map(|key| format!("key-{key}")),
            fingerprint: wish.fingerprint,
            stream_type: TYPES[wish.stream % 2],
            stream_id: self.streams[wish.stream],
            expected,
            events: wish.events,
            claims: if wish.events == 0 { vec![] } else { self.claims(wish) },
        }
    }

    fn claims(&self, wish: &Wish) -> Vec<(String, bool)> {
        let by_value: BTreeMap<_, _> = wish.claims.iter().copied().collect();
        by_value.into_iter().map(|(value, taken)| (format!("{}-{value}", self.id), taken)).collect()
    }
}

/// What a batch may hold once; the program makes a twin wait a batch.
#[derive(Default)]
struct Held(HashSet<String>);

impl Held {
    fn admits(&mut self, request: &Request) -> bool {
        let key = request.key.as_ref().map(|key| format!("key {} {key}", request.principal));
        let claims = request.claims.iter().map(|(value, _)| format!("claim {value}"));
        let all: Vec<_> = [request.command_id.to_string()].into_iter().chain(key).chain(claims).collect();
        let admitted = !all.iter().any(|one| self.0.contains(one));
        if admitted {
            self.0.extend(all);
        }
        admitted
    }
}

/// The next batch: expectations are settled, twins left out.
fn batch(names: &Names, log: &Log, wishes: &[Wish], sent: &mut Vec<Request>) -> Vec<Request> {
    let (mut held, mut batch) = (Held::default(), Vec::new());
    let mut versions: BTreeMap<usize, i64> = BTreeMap::new();
    for wish in wishes {
        let stored = log.version(TYPES[wish.stream % 2], names.streams[wish.stream]);
        let version = versions.entry(wish.stream).or_insert(stored);
        let expected = match wish.expect {
            Expect::Any => None,
            Expect::NoStream => Some(0),
            Expect::Right => Some(*version),
            Expect::Wrong(by) => Some(*version + by),
            Expect::Asks => Some(-1),
        };
        let request = names.request(wish, expected, sent);
        if held.admits(&request) {
            *version += if wish.expect == Expect::Asks { 0 } else { request.events };
            batch.push(request);
        }
    }
    sent.extend(batch.iter().cloned());
    batch
}

/// Plays a history on the log and on the model; both say the same of every request.
async fn play(sessions: &[Client], log: &mut Log, batches: &[(Vec<Wish>, bool)]) {
    let (names, mut sent) = (Names::new(), Vec::new());
    for (turn, (wishes, poisoned)) in batches.iter().enumerate() {
        let client = &sessions[turn % sessions.len()];
        let before = sent.len();
        let batch = batch(&names, log, wishes, &mut sent);
        if *poisoned && batch.iter().any(|request| request.events > 0) {
            let refused = batch::append(client, &batch, POISON).await.expect_err("refused");
            assert!(refused.code().is_some_and(|state| state.code().starts_with("22")), "{refused}");
            sent.truncate(before);
            continue;
        }
        let outcomes = batch::append(client, &batch, "{}").await.expect("appended");
        assert_eq!(outcomes, log.append(&batch), "{batch:#?}");
    }
}

#[test]
fn the_log_does_what_its_model_does() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (database, sessions) = runtime.block_on(async {
        let database = Database::new().await;
        let sessions = vec![database.client().await, database.client().await, database.client().await];
        (database, sessions)
    });
    let log = std::cell::RefCell::new(Log::default());
    let histories = vec((vec(wish(), 1..16), prop::bool::weighted(0.05)), 1..14);
    let config =
        Config { cases: HISTORIES, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let tried = TestRunner::new(config).run(&histories, |batches| {
        // A case that failed may have left the model behind the log; only the head is shared between cases.
        let mut log = log.borrow_mut();
        log.head = runtime.block_on(head(&sessions[0]));
        let played = catch_unwind(AssertUnwindSafe(|| runtime.block_on(play(&sessions, &mut log, &batches))));
        played.map_err(|panic| {
            let said = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            TestCaseError::fail(said)
        })
    });
    tried.unwrap_or_else(|error| panic!("{error}"));
    runtime.block_on(assert_whole(&database, &log.borrow()));
}

async fn head(client: &Client) -> i64 {
    client.query_one(include_str!("log_model/head.sql"), &[]).await.expect("readable").get(0)
}

/// What the tables hold is what the model holds.
async fn assert_whole(database: &Database, log: &Log) {
    let mut versions: BTreeMap<(String, Uuid), i64> = BTreeMap::new();
    let events = database.events().await;
    assert!(events.iter().map(|event| event.position.0).eq(1..=log.head), "positions are 1, 2, 3 …");
    for event in &events {
        let version = versions.entry((event.stream_type.clone(), event.stream_id)).or_default();
        *version += 1;
        assert_eq!(event.version.0, *version, "versions are 1, 2, 3 …");
    }
    let expected: BTreeMap<_, _> =
        log.versions.iter().map(|((name, id), version)| (((*name).to_owned(), *id), *version)).collect();
    assert_eq!(versions, expected);
    assert!(events.is_sorted_by_key(|event| event.recorded_at));
    let rows = database.client().await.query(include_str!("log_model/claims.sql"), &[&SCOPE]).await;
    let claims: BTreeSet<(String, Uuid)> =
        rows.expect("readable").iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected: BTreeSet<_> = log.claims.iter().map(|(value, (_, id))| (value.clone(), *id)).collect();
    assert_eq!(claims, expected, "claims are what the appends made of them");
}

#[tokio::test]
async fn a_principal_or_key_out_of_bounds_is_refused() {
    let database = Database::new().await;
    let client = database.client().await;
    let request = |principal: usize, key: usize| Request {
        command_id: Uuid::now_v7(),
        principal: "p".repeat(principal),
        key: Some("k".repeat(key)),
        fingerprint: 1,
        stream_type: TYPES[0],
        stream_id: Uuid::now_v7(),
        expected: Some(0),
        events: 1,
        claims: Vec::new(),
    };
    for (principal, key) in [(0, 1), (513, 1), (1, 0), (1, 801)] {
        let bad = [request(1, 2), request(principal, key)];
        let refused = batch::append(&client, &bad, "{}").await.expect_err("refused");
        assert_eq!(refused.code().map(|state| state.code()), Some("23514"), "{refused}");
    }
    assert_eq!(head(&client).await, 0);
    batch::append(&client, &[request(512, 800)], "{}").await.expect("appended");
    assert_eq!(head(&client).await, 1);
}

/// The same wishes by the program's own way in: several appenders at once, each making its own batches.
#[tokio::test(flavor = "multi_thread")]
async fn appenders_side_by_side_keep_the_log_whole() {
    let database = Database::new().await;
    let appenders = [(); 3].map(|()| database.appender(&[("append_batch_requests_max", "16")]).0);
    let mut runner = TestRunner::deterministic();
    let (names, mut acknowledged, mut keyed) = (Names::new(), BTreeMap::new(), BTreeMap::new());
    for _ in 0..20 {
        let wishes = vec(wish(), 60).new_tree(&mut runner).expect("wishes").current();
        let appends: Vec<Append> = wishes.iter().map(|wish| to_append(&names, wish)).collect();
        let outcomes = appends
            .iter()
            .enumerate()
            .map(|(n, append)| appenders[n % appenders.len()].append(append.clone()));
        let mut duplicates = Vec::new();
        for (append, outcome) in appends.iter().zip(join_all(outcomes).await) {
            let key = append.idempotency_key.clone().map(|key| (append.principal.clone(), key));
            match outcome.expect("answered") {
                Outcome::Appended { version, positions } => {
                    let twin = key.and_then(|key| keyed.insert(key, append.command_id));
                    assert_eq!(twin, None, "a key takes effect once");
                    let effect = (append.stream.id, version, positions, append.events.len());
                    acknowledged.insert(append.command_id, effect);
                }
                Outcome::Duplicate(first) => duplicates.push(first),
                _ => {}
            }
        }
        for first in duplicates {
            let (stream, version, positions, _) = &acknowledged[&first.command_id];
            let told = (first.stream.id, first.version, first.positions);
            assert_eq!(told, (*stream, Some(*version), *positions));
        }
    }
    assert_acknowledged(&database, acknowledged).await;
}

fn to_append(names: &Names, wish: &Wish) -> Append {
    let request = names.request(wish, None, &[]);
    let event = format!("{}.happened", request.stream_type);
    let expected = match wish.expect {
        Expect::NoStream => Expected::NoStream,
        Expect::Wrong(by) => Expected::Exactly(Version(by.max(0))),
        Expect::Asks => Expected::Exactly(Version(-1)),
        Expect::Any | Expect::Right => Expected::Any,
    };
    let unique = |value: String| UniqueValue { scope: SCOPE, value, taken: Violation::at("", "taken") };
    let claim =
        |(value, taken)| if taken { Claim::Take(unique(value)) } else { Claim::Release(unique(value)) };
    let events = vec![(event.as_str(), "{}"); request.events.max(1) as usize];
    let append = append_to(request.stream_id, expected, &events);
    let rejected = request.events == 0;
    Append {
        principal: request.principal,
        idempotency_key: request.key,
        fingerprint: vec![0; 32],
        claims: request.claims.into_iter().map(claim).collect(),
        status: if rejected { Status::Rejected } else { Status::Done },
        events: if rejected { vec![] } else { append.events },
        ..append
    }
}

type Acknowledged = BTreeMap<Uuid, (Uuid, Version, Option<(Position, Position)>, usize)>;

/// What was acknowledged is there, whole and at its place; what was not is nowhere.
async fn assert_acknowledged(database: &Database, acknowledged: Acknowledged) {
    let events = database.events().await;
    assert!(events.iter().map(|event| event.position.0).eq(1..=events.len() as i64));
    let total: usize = acknowledged.values().map(|(_, _, _, count)| count).sum();
    assert_eq!(events.len(), total);
    assert!(total > 200, "much went through: {total}");
    for (stream, version, positions, count) in
        acknowledged.into_values().filter(|(_, _, positions, _)| positions.is_some())
    {
        let (first, last) = positions.expect("those with events");
        let own = &events[first.0 as usize - 1..last.0 as usize];
        assert_eq!(own.len(), count);
        assert!(own.iter().all(|event| event.stream_id == stream));
        assert_eq!(own.last().expect("an event").version, version);
    }
}
