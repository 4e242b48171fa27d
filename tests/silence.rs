//! Connections to Postgres that stand although nothing comes over them any more: who waits on one goes on over another, and
//! what was done meanwhile is not done twice.

#[path = "projector/stage.rs"]
#[allow(dead_code, reason = "shared with the tests of projectors")]
mod stage;
mod support;

use std::time::Duration;

use annals::{
    postgres,
    rebuild::{self, Options, State},
};
use deadpool_postgres::Pool;
use reqwest::{Method, StatusCode};
use stage::{Counters, Process, Stage, shipped};
use support::{
    DEADLINE, Database,
    proxy::{Proxy, address, through},
    server::Server,
    until,
};
use tokio::time::timeout;
use tokio_postgres::{Client, Transaction};
use uuid::Uuid;

const WAITS: &str = include_str!("support/waits.sql");

/// A stage, a process with projectors behind a proxy, and counters that it has folded.
async fn behind_a_proxy(settings: &[(&str, &str)]) -> (Stage, Proxy, Process, Counters) {
    let stage = Stage::new().await;
    let proxy = Proxy::to(address(&stage.database.url)).await;
    let url = through(&stage.database.url, &proxy);
    let own = [("database_url", url.as_str()), ("projector_session_timeout_ms", "6000")];
    let process = stage.process(&[&shipped("counters")], &[&own, settings].concat()).await;
    let mut counters = Counters::new(10);
    stage.count(&mut counters, 60).await;
    stage.assert_counted(&counters).await;
    (stage, proxy, process, counters)
}

/// Has commits that write to a table wait until the transaction ends.
async fn hold_commits<'c>(holder: &'c mut Client, table: &str) -> Transaction<'c> {
    let sql = include_str!("silence/commit_waits.sql").replace("{{table}}", table);
    holder.batch_execute(&sql).await.expect("a trigger");
    let lock = holder.transaction().await.expect("begun");
    lock.batch_execute("select pg_advisory_xact_lock(1)").await.expect("locked");
    lock
}

/// Waits until a statement with this text waits for a lock, and has nothing come over the connections any more.
async fn freeze_at(statement: &str, stage: &Stage, proxy: &Proxy) {
    let client = stage.database.client().await;
    let waits = async || client.query_one(WAITS, &[&statement]).await.expect("told").get(0);
    until(&format!("`{statement}` waits"), waits).await;
    proxy.freeze();
}

/// What is appended now is folded too.
async fn goes_on(stage: &Stage, counters: &mut Counters) {
    stage.assert_counted(counters).await;
    stage.count(counters, 10).await;
    stage.assert_counted(counters).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_goes_on_from_a_statement_whose_answer_is_lost() {
    let (stage, proxy, process, mut counters) = behind_a_proxy(&[]).await;
    let mut holder = stage.database.client().await;
    let lock = holder.transaction().await.expect("begun");
    lock.batch_execute("lock table projection_counters_1.counters in exclusive mode").await.expect("locked");
    stage.count(&mut counters, 10).await;
    freeze_at("counters", &stage, &proxy).await;
    lock.rollback().await.expect("unlocked");
    goes_on(&stage, &mut counters).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fold_that_was_committed_unheard_is_not_done_again() {
    let (stage, proxy, process, mut counters) = behind_a_proxy(&[]).await;
    let mut holder = stage.database.client().await;
    let lock = hold_commits(&mut holder, "projection_counters_1.counters").await;
    stage.count(&mut counters, 10).await;
    freeze_at("COMMIT", &stage, &proxy).await;
    lock.rollback().await.expect("unlocked");
    goes_on(&stage, &mut counters).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_goes_on() {
    let (stage, proxy, process, mut counters) = behind_a_proxy(&[("projector_batch_events_max", "5")]).await;
    let pool = stage.database.pool();
    let options = Options { max_events_per_second: Some(50), ..Options::default() };
    let id = rebuild::start(&pool, Uuid::now_v7(), "counters", None, options).await.expect("begun").id;
    let now = async || rebuild::get(&pool, id).await.expect("known");
    until("the rebuild is on its way", async || now().await.events_done > 0).await;
    proxy.freeze();
    let left = now().await;
    assert!(left.events_done < left.events_total, "{left:?}");
    until("the rebuild ends", async || now().await.state.is_final()).await;
    let done = now().await;
    assert_eq!((done.state, done.error), (State::Done, None));
    goes_on(&stage, &mut counters).await;
    assert_eq!(stage.schema("counters").await, "projection_counters_2");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_was_committed_unheard_is_not_done_again() {
    let (stage, proxy, process, mut counters) = behind_a_proxy(&[]).await;
    let mut holder = stage.database.client().await;
    let lock = hold_commits(&mut holder, "projections.projections").await;
    let pool = stage.database.pool();
    let begun = rebuild::start(&pool, Uuid::now_v7(), "counters", None, Options::default()).await;
    let id = begun.expect("begun").id;
    freeze_at("COMMIT", &stage, &proxy).await;
    lock.rollback().await.expect("unlocked");
    until("the swap is there", async || stage.schema("counters").await == "projection_counters_2").await;
    goes_on(&stage, &mut counters).await;
    let done = rebuild::get(&pool, id).await.expect("known");
    assert_eq!((done.state, done.error), (State::Done, None));
    assert_eq!(rebuild::list(&pool, None, None, 10).await.expect("listed").len(), 1);
    assert_eq!(stage.schema("counters").await, "projection_counters_2");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_is_at_work_for_is_waited_for_and_what_nobody_uses_stays() {
    let database = Database::new().await;
    let config = database.config(&[]);
    let patience = Duration::from_millis(100);
    let url = database.url.clone().into();
    let pool = || postgres::watched_pool(&url, &config.databases, patience).expect("a pool");
    let (pool, another) = (pool(), pool());
    let pid_after = async |pool: &Pool, seconds: f64| {
        let session = pool.get().await.expect("a session");
        let row = session.query_one("select pg_backend_pid() from pg_sleep($1)", &[&seconds]).await;
        row.expect("it is at work").get::<_, i32>(0)
    };
    let pid = pid_after(&pool, 1.0).await;
    pid_after(&another, 1.0).await;
    assert_eq!(pid_after(&pool, 0.0).await, pid, "the same session");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_is_told_in_time_and_the_next_one_is_answered() {
    let database = Database::new().await;
    let proxy = Proxy::to(address(&database.url)).await;
    let url = through(&database.url, &proxy);
    let short = [("read_statement_timeout_ms", "500"), ("tcp_user_timeout_ms", "2000")];
    let server = Server::start(&database, &[&[("database_url", url.as_str())], &short[..]].concat()).await;
    let order = server.create_order().await;
    for path in [&order, "/api/orders"] {
        until("it can be read", async || server.get(path).await.status == StatusCode::OK).await;
        proxy.freeze();
        let silent = timeout(DEADLINE, server.get(path)).await.expect("it does not hang");
        assert_eq!(silent.status, StatusCode::SERVICE_UNAVAILABLE, "{silent:?}");
        assert_eq!(server.get(path).await.status, StatusCode::OK);
    }
    // Nor does the next one meet the same where nobody waits for so long.
    proxy.freeze();
    let impatient = || server.request(Method::GET, &order).timeout(Duration::from_millis(200));
    until("it can be read", async || {
        impatient().send().await.is_ok_and(|answer| answer.status().is_success())
    })
    .await;
}
