//! Projections that are dropped. The servers here have no folder of `names`; workers of other processes do, for a while.

use std::{fs, sync::Arc};

use annals::{
    admin::Admin,
    domain::admin::Action,
    log::{Expected, Position},
    projector::{self, Folder, Progress, lags},
    rebuild::{self, Options, State},
    trace::Spans,
};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    asked, get, noted, post,
    support::{
        self, Database, append_to, names::NAMES, process::Process, server::Answer, server::Server, until,
    },
};

const KNOWN: &str = include_str!("known.sql");
const WAITS: &str = include_str!("../support/waits.sql");
const FORGET: &str = include_str!("../../src/rebuild/forget_projection.sql");
const ROWS: &str = "/api/read-models/names";
const DROP: &str = "/projections/names/drop";

fn names() -> Folder {
    let dir = tempfile::tempdir().expect("made");
    let folder = dir.path().join("names");
    for (file, text) in NAMES {
        let file = folder.join(file);
        fs::create_dir_all(file.parent().expect("in a folder")).expect("made");
        fs::write(file, text).expect("written");
    }
    Folder::load(&folder).expect("it loads")
}

/// Works for `names`, and for its rebuilds, until `condition` holds.
async fn work(database: &Database, condition: impl AsyncFnMut() -> bool) {
    let config = database.config(&[("projector_poll_interval_ms", "5")]);
    let deps = projector::Deps {
        reader: database.reader(),
        read: database.pool(),
        registry: Arc::new(support::registry()),
        log_id: database.identity().await.log_id,
        head: watch::channel(Position::default()).1,
        progress: Progress::new(["names"]),
        spans: Spans::default(),
    };
    let shutdown = CancellationToken::new();
    let rebuilding = rebuild::run(deps.clone(), vec![names()], config.projector.clone(), shutdown.clone());
    let folding = projector::run(deps, vec![names()], None, config.projector, shutdown.clone());
    let working = tokio::spawn(async { tokio::join!(rebuilding, folding) });
    until("they have done it", condition).await;
    shutdown.cancel();
    working.await.expect("no panic");
}

/// The log gets a project of this name.
async fn create(database: &Database, name: &str) {
    let (appender, _appended) = database.appender(&[]);
    let created = ("project.created", &*json!({ "name": name }).to_string());
    appender.append(append_to(Uuid::now_v7(), Expected::NoStream, &[created])).await.expect("appended");
}

/// A server, and `names` with one row.
async fn stage() -> (Database, Server) {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[]).await;
    create(&database, "tea").await;
    work(&database, async || told(&server).await == ["tea"]).await;
    (database, server)
}

/// The names that are told.
async fn told(server: &Server) -> Vec<String> {
    let answer = server.get(ROWS).await;
    if answer.status != StatusCode::OK {
        return vec![];
    }
    let items = answer.json()["items"].as_array().cloned().unwrap_or_default();
    let mut names: Vec<_> =
        items.iter().map(|row| row["name"].as_str().expect("a text").to_owned()).collect();
    names.sort();
    names
}

async fn known(database: &Database) -> i64 {
    database.client().await.query_one(KNOWN, &[&"names"]).await.expect("a row").get(0)
}

/// Makes true what admins noted, until `condition` holds.
async fn catch_up(database: &Database, condition: impl AsyncFnMut() -> bool) {
    let pool = database.pool();
    let commands = database.commands(&[]).await;
    let admin = Admin::new(commands, pool.clone(), pool, vec![], &database.config(&[]));
    let ending = CancellationToken::new();
    tokio::spawn(admin.run(ending.clone()));
    until("it is made true", condition).await;
    ending.cancel();
}

/// Notes that `names`, made then, is dropped, as a process that dies at once.
async fn note(database: &Database, made_at: &str) {
    let body = json!({"projection": "names", "made_at": made_at});
    let request = support::request("admin.drop-projection", Some(Uuid::now_v7()), body);
    database.commands(&[]).await.execute(request).await.expect("noted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_projection_is_gone_and_made_anew_it_equals_the_log() {
    let (database, server) = stage().await;
    let pool = database.pool();
    create(&database, "tea").await;
    let id = Uuid::now_v7();
    rebuild::start(&pool, id, "names", None, Options::default()).await.expect("begun");
    work(&database, async || rebuild::get(&pool, id).await.expect("known").state == State::Done).await;
    assert_eq!(server.get(ROWS).await.header("annals-generation"), Some("2"));
    assert_eq!(server.get(ROWS).await.header("annals-parked"), Some("1"));
    let before = noted(&database).await.len();

    let dropping = |key: &str| asked(&server, Method::POST, DROP).header("Idempotency-Key", key);
    let first = Answer::of(dropping("1")).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (StatusCode::NO_CONTENT, None));
    let again = Answer::of(dropping("1")).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::NO_CONTENT, Some("true")));
    assert_eq!(Answer::of(dropping("2")).await.problem(), "not-found");
    assert_eq!(post(&server, DROP, &json!({})).await.problem(), "not-found");
    assert_eq!(post(&server, "/projections/%00/drop", &json!({})).await.problem(), "not-found");
    assert_eq!(Answer::of(dropping("")).await.faults(), ["Idempotency-Key"]);

    let noted = &noted(&database).await[before..];
    assert_eq!(noted, [("admin.projection_dropped".to_owned(), "dev-admin".to_owned())]);
    assert_eq!(known(&database).await, 0);
    for path in [ROWS.to_owned(), format!("{ROWS}/{id}")] {
        assert_eq!(server.get(&path).await.problem(), "not-found");
    }
    assert_eq!(get(&server, "/projections/names").await.problem(), "not-found");
    assert!(!lags(&database.reader(), &pool).await.expect("known").contains_key("names"));

    // One that knew the former generations meets none of them; and it is another projection.
    create(&database, "coffee").await;
    work(&database, async || told(&server).await == ["coffee", "tea"]).await;
    assert_eq!(server.get(ROWS).await.header("annals-generation"), Some("3"));
    assert_eq!(Answer::of(dropping("1")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(told(&server).await, ["coffee", "tea"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_would_come_back_or_is_being_rebuilt_is_not_dropped() {
    let (database, server) = stage().await;
    let pool = database.pool();
    // This one has its folder here.
    let with_folder = Server::start(&database, &[]).await;
    until("it is made", async || get(&server, "/projections/orders").await.status == StatusCode::OK).await;
    let refused = post(&with_folder, "/projections/orders/drop", &json!({})).await;
    assert_eq!((refused.problem().as_str(), refused.status), ("rejected", StatusCode::CONFLICT));
    assert!(refused.text.contains("start the servers without it"), "{refused:?}");

    let id = Uuid::now_v7();
    rebuild::start(&pool, id, "names", None, Options::default()).await.expect("begun");
    let refused = post(&server, DROP, &json!({})).await;
    assert_eq!((refused.problem().as_str(), refused.status), ("rejected", StatusCode::CONFLICT));
    assert!(refused.text.contains("cancel the rebuild first"), "{refused:?}");
    assert!(noted(&database).await.is_empty(), "what is refused is not noted");
    // The same when it begins after that was looked at.
    let made_at = rebuild::made_at(&pool, "names").await.expect("known");
    let dropped = rebuild::drop_projection(&pool, "names", &made_at).await;
    assert!(matches!(dropped, Err(rebuild::Error::BeingRebuilt(_))), "{dropped:?}");
    assert_eq!(told(&server).await, ["tea"]);
    rebuild::cancel(&pool, id).await.expect("cancelled");
    assert_eq!(post(&server, DROP, &json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(known(&database).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_did_not_drop_is_dropped_but_not_what_was_made_since() {
    let (database, server) = stage().await;
    let pool = database.pool();
    let made_at = rebuild::made_at(&pool, "names").await.expect("known");
    note(&database, &made_at).await;
    catch_up(&database, async || known(&database).await == 0).await;

    work(&database, async || told(&server).await == ["tea"]).await;
    note(&database, &made_at).await;
    // Refused when it was noted, because of this rebuild.
    let id = Uuid::now_v7();
    rebuild::start(&pool, id, "names", None, Options::default()).await.expect("begun");
    note(&database, &rebuild::made_at(&pool, "names").await.expect("known")).await;
    rebuild::cancel(&pool, id).await.expect("cancelled");
    // Behind both, so that they were looked at.
    let (later, options) = (Uuid::now_v7(), json!({}));
    let body =
        json!({"action": Action::Rebuild, "projection": "names", "rebuild_id": later, "options": options});
    let request = support::request("admin.act", Some(Uuid::now_v7()), body);
    database.commands(&[]).await.execute(request).await.expect("noted");
    catch_up(&database, async || rebuild::get(&pool, later).await.is_ok()).await;
    assert_eq!(told(&server).await, ["tea"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_meanwhile_is_waited_for_or_finds_nothing() {
    let (database, server) = stage().await;
    let mut reader = database.client().await;
    let reading = reader.transaction().await.expect("begun");
    reading.query("select from projection_names_1.names", &[]).await.expect("read");
    let waits = async |text: &str| {
        let client = database.client().await;
        until("somebody waits", async || client.query_one(WAITS, &[&text]).await.expect("a row").get(0))
            .await;
    };
    let dropping = tokio::spawn(Answer::of(asked(&server, Method::POST, DROP)));
    waits("drop schema").await;
    assert!(!dropping.is_finished());
    reading.commit().await.expect("ended");
    assert_eq!(dropping.await.expect("no panic").status, StatusCode::NO_CONTENT);

    work(&database, async || told(&server).await == ["tea"]).await;
    // Between the look at what serves and the rows.
    let dropping = reader.transaction().await.expect("begun");
    dropping.query(FORGET, &[&"names"]).await.expect("forgotten");
    dropping.batch_execute("drop schema projection_names_2 cascade").await.expect("dropped");
    let paths = [ROWS.to_owned(), format!("{ROWS}/{}", Uuid::now_v7())];
    let reads = paths.map(|path| tokio::spawn(Answer::of(server.request(Method::GET, &path))));
    waits(r#""$r""#).await;
    dropping.commit().await.expect("dropped");
    for read in reads {
        assert_eq!(read.await.expect("no panic").problem(), "not-found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_lag_is_not_told_any_more_and_the_command_line_drops_it_too() {
    let (database, _) = stage().await;
    let empty = tempfile::tempdir().expect("made");
    let settings = [("projections_dir", empty.path().to_str().expect("UTF-8"))];
    let annals = Process::serve(&database, &[], &settings);
    let is_told = async || {
        let metrics = reqwest::get(format!("{}/metrics", annals.url)).await.expect("answered");
        metrics.text().await.expect("text").contains(r#"projection="names""#)
    };
    until("its lag is told", is_told).await;
    fs::create_dir(empty.path().join("names")).expect("made");
    let drop = ["projections", "drop", "names"];
    let (code, said) = Process::fail(&database, &drop, &settings);
    assert!(code == Some(1) && said.contains("start the servers without it"), "{said}");
    fs::remove_dir(empty.path().join("names")).expect("removed");
    assert_eq!(Process::run(&database, &drop, &settings), "names: dropped\n");
    let (_, said) = Process::fail(&database, &drop, &settings);
    assert!(said.contains("there is no read model `names`"), "{said}");
    let listed = Process::run(&database, &["projections", "list", "--json"], &settings);
    assert_eq!(listed.trim(), "[]");
    until("its lag is not told", async || !is_told().await).await;
    let (event, actor) = noted(&database).await.pop().expect("an event");
    assert!(event == "admin.projection_dropped" && actor.starts_with("cli:"), "{event} {actor}");
}
