//! Every read model rebuilt at once, by one reading of the log.

use std::path::Path;

use annals::serve;
use reqwest::Client;

use crate::support::{self, Database, append, process::Process, until};

const ORDERS: i64 = 400;
const READ: &str = "annals_rebuild_read_events_total ";

#[tokio::test(flavor = "multi_thread")]
async fn all_at_once_read_the_log_once() {
    let database = Database::new().await;
    let (appender, _appended) = database.appender(&[]);
    for _ in 0..ORDERS {
        appender.append(append("order.created", support::ORDER)).await.expect("appended");
    }
    let settings = [("projector_batch_events_max", "20")];
    let annals = Process::serve(&database, &[], &settings);
    let client = Client::new();
    let metrics = || async {
        let metrics = client.get(format!("{}/metrics", annals.url)).send().await.expect("answered");
        metrics.text().await.expect("text")
    };
    let models = serve::folders(Path::new("projections")).expect("the folders load").len();
    let (read, pool) = (database.reader(), database.pool());
    until("all is folded", || async {
        let lags = annals::projector::lags(&read, &pool).await.expect("told");
        lags.len() == models && lags.values().all(|lag| lag.events == 0)
    })
    .await;
    let all = Process::run(&database, &["projections", "rebuild", "--all", "--json"], &settings);
    let all: serde_json::Value = all.parse().expect("JSON");
    let all = all.as_array().expect("rebuilds");
    assert!(all.len() == models && all.iter().all(|rebuild| rebuild["state"] == "done"), "{all:?}");
    let metrics = metrics().await;
    let read = metrics.lines().find_map(|line| line.strip_prefix(READ)).expect("it is exported");
    let read: i64 = read.parse().expect("a number");
    // Several of them read every order.
    assert!((ORDERS..2 * ORDERS).contains(&read), "{read} events were read for {ORDERS}");
}
