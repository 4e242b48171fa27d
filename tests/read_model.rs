//! Reading read models: rows, pages, queries, and waiting for what was written.

mod support;

use std::{path::Path, sync::Arc, time::Duration};

use annals::{
    json::RawJson,
    log::{Appender, Expected, Position},
    postgres,
    projector::{self, Deps, Folder, Progress},
    read_model::{Error, Freshness, ListQuery, ReadModels},
    trace::Spans,
};
use futures_util::future::join_all;
use support::{DEADLINE, Database, append_to, until};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

/// Stands in for a rebuild: the same rows as generation 2.
const REBUILT: &str = include_str!("support/rebuilt.sql");

/// A log whose projections are followed by this process, which also reads them.
struct Stage {
    database: Database,
    appender: Appender,
    models: ReadModels,
    _running: DropGuard,
}

impl Stage {
    /// `own`: whether projectors and readers are of one process, so that the readers are woken.
    async fn new(own: bool, settings: &[(&str, &str)]) -> Self {
        let database = Database::new().await;
        let (appender, head) = database.appender(&[]);
        let config = database.config(settings);
        let folders: Vec<_> =
            ["orders", "projects"].map(|name| load(&Path::new("projections").join(name))).into();
        let names: Vec<_> = folders.iter().map(|folder| folder.name.clone()).collect();
        let progress = || Progress::new(names.iter().map(String::as_str));
        let workers = progress();
        let readers = if own { workers.clone() } else { progress() };
        let read = postgres::pool(&config.databases.reader, &config.databases).expect("a pool");
        let (log, reads) = (database.reader(), config.reads.clone());
        let models = ReadModels::new(&config.databases, log, None, readers, reads).expect("a pool");
        let log_id = database.identity().await.log_id;
        let registry = Arc::new(support::registry());
        let (progress, spans) = (workers, Spans::default());
        let deps = Deps { reader: database.reader(), read, registry, log_id, head, progress, spans };
        let shutdown = CancellationToken::new();
        tokio::spawn(projector::run(deps, folders, None, config.projector, shutdown.clone()));
        Self { database, appender, models, _running: shutdown.drop_guard() }
    }

    /// Appends an order's creation and gives what to wait for to see it.
    async fn order(&self, id: Uuid, customer: &str, total: &str) -> Freshness {
        let data = format!(r#"{{"customer_id":"{customer}","items":[],"total":{total}}}"#);
        let append = append_to(id, Expected::NoStream, &[("order.created", &data)]);
        fresh(self.appender.append(append).await.expect("appended"))
    }
}

fn load(path: &Path) -> Folder {
    Folder::load(path).expect("a shipped folder loads")
}

fn fresh(outcome: annals::log::Outcome) -> Freshness {
    let annals::log::Outcome::Appended { positions: Some((_, last)), .. } = outcome else {
        panic!("not appended: {outcome:?}");
    };
    Freshness { after: Some(last), wait: DEADLINE }
}

fn values(items: &[RawJson], column: &str) -> Vec<String> {
    let value = |item: &RawJson| item.parse::<serde_json::Value>().expect("JSON")[column].to_string();
    items.iter().map(value).collect()
}

fn query(text: &str) -> ListQuery {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    ListQuery::parse(pairs.map(|pair| pair.split_once('=').expect("a pair")))
}

#[tokio::test]
async fn what_was_written_is_read() {
    for own in [true, false] {
        let stage = Stage::new(own, &[]).await;
        for number in 0..20 {
            let id = Uuid::now_v7();
            let fresh = stage.order(id, "c-1", &format!("{number}.10")).await;
            let answer = stage.models.get("orders", &[&id.to_string()], fresh).await.expect("an answer");
            let row = answer.value.expect("the row is there");
            let customer = r#""customer_id":"c-1","status":"created","total":"#;
            assert!(row.as_str().contains(&format!("{customer}{number}.10")), "{}", row.as_str());
            assert!(Some(answer.position) >= fresh.after);
            assert_eq!((answer.generation, answer.parked), (1, 0));
        }
    }
}

#[tokio::test]
async fn whoever_waits_does_not_wait_for_the_next_fold() {
    // Only a reader of the same process makes a worker fold before its turn.
    let stage = Stage::new(true, &[("projector_fold_interval_ms", "60000")]).await;
    for number in 0..20 {
        let ids = [(); 4].map(|()| Uuid::now_v7());
        let total = format!("{number}.10");
        let orders = join_all(ids.iter().map(|id| stage.order(*id, "c-1", &total))).await;
        let fresh = orders.into_iter().max_by_key(|fresh| fresh.after).expect("four");
        for id in ids {
            let answer = stage.models.get("orders", &[&id.to_string()], fresh).await.expect("an answer");
            assert!(answer.value.is_some(), "the row is there");
        }
    }
}

#[tokio::test]
async fn a_page_of_large_rows_is_short_and_tells_the_next() {
    let stage = Stage::new(true, &[("read_page_bytes_max", "1024")]).await;
    let mut last = Freshness::default();
    let customers: Vec<String> = [100, 100, 3_000, 400, 400].map(|length| "c".repeat(length)).into();
    for customer in &customers {
        last = stage.order(Uuid::now_v7(), customer, "1.00").await;
    }
    let (mut cursor, mut seen, mut pages) = (String::new(), Vec::new(), Vec::new());
    loop {
        let page = stage.models.list("orders", &query(&format!("sort=id&limit=4{cursor}")), last).await;
        let page = page.expect("a page").value;
        pages.push(page.items.len());
        seen.extend(values(&page.items, "customer_id"));
        match page.next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    // A row that begins within the bytes is whole.
    assert_eq!(pages, [3, 2]);
    let seen: Vec<_> = seen.iter().map(|seen| seen.trim_matches('"')).collect();
    assert_eq!(seen, customers);
}

#[tokio::test]
async fn pages_cover_every_row_once_in_any_order() {
    let stage = Stage::new(true, &[]).await;
    let mut last = Freshness::default();
    for number in 0..25 {
        last = stage.order(Uuid::now_v7(), &format!("c-{}", number % 2), &format!("{}.00", number % 7)).await;
    }
    for (sort, column) in
        [("total", "total"), ("-total", "total"), ("-created_at", "created_at"), ("total,-id", "total")]
    {
        let mut cursor = String::new();
        let mut seen = Vec::new();
        let mut sorted = Vec::new();
        loop {
            let page =
                stage.models.list("orders", &query(&format!("sort={sort}&limit=4{cursor}")), last).await;
            let page = page.expect("a page").value;
            assert!(page.items.len() <= 4);
            seen.extend(values(&page.items, "id"));
            sorted.extend(values(&page.items, column));
            match page.next {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), 25, "{sort}");
        let ordered =
            if sort.starts_with('-') { sorted.iter().rev().is_sorted() } else { sorted.is_sorted() };
        assert!(ordered, "{sort}: {sorted:?}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 25, "{sort}");
    }
    let filtered = query("customer_id=c-1&total.gte=2&total.lt=4");
    let page = stage.models.list("orders", &filtered, last).await.expect("a page").value;
    let mut totals = values(&page.items, "total");
    totals.sort();
    assert_eq!(totals, ["2.00", "2.00", "3.00", "3.00"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_took_of_a_read_model_is_waited_for_again() {
    let stage = Stage::new(true, &[("projector_poll_interval_ms", "200")]).await;
    let id = Uuid::now_v7();
    let now = stage.order(id, "c-1", "1.00").await;
    let key = id.to_string();
    assert!(stage.models.get("orders", &[&key], now).await.expect("read").value.is_some());
    // What a crash leaves where a fold's commit did not wait for the disk; readers and workers remember more.
    let client = stage.database.client().await;
    client.batch_execute(include_str!("read_model/unfold.sql")).await.expect("forgotten");
    let row = stage.models.get("orders", &[&key], now).await.expect("read");
    assert!(row.value.is_some(), "the token asked for it");
    client.batch_execute(include_str!("read_model/unfold.sql")).await.expect("forgotten");
    let page = stage.models.list("orders", &query("customer_id=c-1"), now).await.expect("read");
    assert_eq!(page.value.items.len(), 1, "the token asked for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_parameters_are_named_also_when_there_is_no_connection_left() {
    let stage = Stage::new(true, &[("pool_size", "2")]).await;
    let now = stage.order(Uuid::now_v7(), "c-1", "1.00").await;
    let asked = (0..16).map(|_| {
        let (models, query) = (stage.models.clone(), query("total=tea"));
        async move { models.list("orders", &query, now).await.map(|_: annals::read_model::Answer<_>| ()) }
    });
    for outcome in join_all(asked).await {
        assert!(matches!(&outcome, Err(Error::BadParameters(bad)) if bad[0].name == "total"), "{outcome:?}");
    }
    stage.models.list("orders", &query("total=1.00"), now).await.expect("rows");
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let stage = Stage::new(true, &[]).await;
    let now = stage.order(Uuid::now_v7(), "c-1", "1.00").await;
    stage.order(Uuid::now_v7(), "c-1", "1.00").await;
    let orders = |text: &str| {
        let (models, query) = (stage.models.clone(), query(text));
        async move { models.list("orders", &query, now).await }
    };
    let names = |outcome: Result<_, Error>| match outcome.map(|_: annals::read_model::Answer<_>| ()) {
        Err(Error::BadParameters(bad)) => bad.into_iter().map(|bad| bad.name).collect::<Vec<_>>().join(" "),
        other => panic!("{other:?}"),
    };
    for (text, bad) in [
        ("total.gte=tea", "total.gte"),
        ("customer_id=a\0b", "customer_id"),
        ("items=1", "items"),
        ("sort=items", "sort"),
        ("limit=0", "limit"),
        ("total.like=0", "total.like"),
        ("total=tea&customer_id=a\0b&status=created", "total customer_id"),
        ("limit=0&sort=items,id,id&items=1&total=tea&total.lt=1", "limit sort sort items total"),
    ] {
        assert_eq!(names(orders(text).await), bad, "{text}");
    }
    let one = stage.models.get("orders", &["tea"], now).await;
    assert!(matches!(one, Err(Error::BadParameters(bad)) if bad[0].name == "id"));

    let next = orders("limit=1").await.expect("a page").value.next.expect("more");
    for bad in [format!("limit=1&sort=-id&cursor={next}"), "cursor=tea".into(), format!("cursor={next}x")] {
        assert!(matches!(orders(&bad).await, Err(Error::BadCursor(_))), "{bad}");
    }
    let client = stage.database.client().await;
    client.batch_execute(REBUILT).await.expect("another generation");
    assert!(
        matches!(orders(&format!("limit=1&cursor={next}")).await, Err(Error::BadCursor(reason)) if reason.contains("rebuilt"))
    );
    assert!(matches!(stage.models.get("teas", &["1"], now).await, Err(Error::Unknown(_))));
}

#[tokio::test]
async fn a_row_is_of_the_live_generation_also_where_the_one_before_is_gone() {
    let stage = Stage::new(true, &[]).await;
    let id = Uuid::now_v7();
    let now = stage.order(id, "ann", "1.00").await;
    let key = id.to_string();
    let get = async || stage.models.get("orders", &[&key], now).await;
    assert_eq!(get().await.expect("an answer").generation, 1);
    let client = stage.database.client().await;
    client.batch_execute(REBUILT).await.expect("another generation");
    let rebuilt = get().await.expect("an answer");
    assert_eq!((rebuilt.generation, rebuilt.value.is_some()), (2, true));
    client.batch_execute(include_str!("read_model/roll_back.sql")).await.expect("the one before");
    let rolled_back = get().await.expect("an answer");
    assert_eq!((rolled_back.generation, rolled_back.value.is_some()), (1, true));
    client.batch_execute(REBUILT).await.expect("another generation");
    client.batch_execute(include_str!("read_model/other_key.sql")).await.expect("another key");
    let other_key = stage.models.get("orders", &["ann", &key], now).await.expect("an answer");
    assert_eq!((other_key.generation, other_key.value.is_some()), (2, true));
    client.batch_execute(include_str!("read_model/roll_back.sql")).await.expect("the one before");
    assert_eq!(get().await.expect("an answer").generation, 1);
    client.batch_execute("drop schema projection_orders_1 cascade").await.expect("gone");
    assert!(matches!(get().await, Err(Error::Database(_))), "the live one's tables are missing");
}

#[tokio::test]
async fn a_session_that_reads_may_do_nothing_else() {
    let database = Database::new().await;
    let config = database.config(&[]);
    let limit = Duration::from_millis(70);
    let pool = postgres::reading_pool(&config.databases.reader, &config.databases, limit).expect("a pool");
    let client = pool.get().await.expect("a session");
    let row = client.query_one("select current_user::text", &[]).await.expect("readable");
    assert_eq!(row.get::<_, String>(0), "annals_reader");
    let refused = |statement: &'static str| async {
        let error = client.batch_execute(statement).await.expect_err("refused");
        error.code().map(|state| state.code().to_owned())
    };
    assert_eq!(refused("create temporary table t (c integer)").await.as_deref(), Some("25006"));
    assert_eq!(refused("select pg_sleep(60)").await.as_deref(), Some("57014"));
}

#[tokio::test]
async fn named_queries_take_typed_parameters() {
    let stage = Stage::new(true, &[("read_query_rows_max", "2")]).await;
    let mut now = Freshness::default();
    for name in ["Green Tea", "Black tea", "50%_off", "Coffee"] {
        let data = format!(r#"{{"name":"{name}"}}"#);
        let append = append_to(Uuid::now_v7(), Expected::NoStream, &[("project.created", &data)]);
        now = fresh(stage.appender.append(append).await.expect("appended"));
    }
    let search = |text: &'static str| {
        let models = stage.models.clone();
        async move { models.query("projects", "search", &[("text", text)], now).await }
    };
    assert_eq!(
        values(&search("TEA").await.expect("rows").value, "name"),
        [r#""Black tea""#, r#""Green Tea""#]
    );
    assert_eq!(values(&search("%_").await.expect("rows").value, "name"), [r#""50%_off""#]);
    assert!(matches!(search("e").await, Err(Error::TooManyRows(2))), "three; none is left out in silence");
    let (small, mut last) = (Stage::new(true, &[("read_page_bytes_max", "1024")]).await, now);
    for _ in 0..9 {
        let data = format!(r#"{{"name":"{}"}}"#, "tea".repeat(8));
        let append = append_to(Uuid::now_v7(), Expected::NoStream, &[("project.created", &data)]);
        last = fresh(small.appender.append(append).await.expect("appended"));
    }
    let large = small.models.query("projects", "search", &[("text", "tea")], last).await;
    assert!(matches!(large, Err(Error::TooManyBytes(1_024))), "{large:?}");
    let missing = stage.models.query("projects", "search", &[], now).await;
    assert!(matches!(missing, Err(Error::BadParameters(bad)) if bad[0].name == "text"));
    let unknown = stage.models.query("projects", "teas", &[], now).await;
    assert!(matches!(unknown, Err(Error::UnknownQuery(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_leaves_no_busy_session_to_the_next() {
    let stage = Stage::new(true, &[("read_statement_timeout_ms", "300000")]).await;
    let now = stage.order(Uuid::now_v7(), "c-1", "1.00").await;
    stage.models.list("orders", &query(""), now).await.expect("a page");
    let projects = async || stage.models.list("projects", &query(""), Freshness::default()).await;
    projects().await.expect("a page");
    let mut other = stage.database.client().await;
    let lock = other.transaction().await.expect("begun");
    lock.batch_execute("lock table projection_orders_1.orders").await.expect("locked");
    let models = stage.models.clone();
    let hung_up =
        tokio::spawn(async move { models.list("orders", &query(""), Freshness::default()).await.map(drop) });
    let blocked = "select exists (select from pg_stat_activity where datname = current_database() \
                   and wait_event_type = 'Lock' and query like '%projection_orders_1%')";
    // A transaction would see the same activity for ever.
    let watching = stage.database.client().await;
    until("it waits for the lock", async || watching.query_one(blocked, &[]).await.expect("told").get(0))
        .await;
    hung_up.abort();
    assert!(hung_up.await.is_err_and(|error| error.is_cancelled()));
    tokio::time::timeout(DEADLINE, projects()).await.expect("it does not wait for the lock").expect("a page");
}

#[tokio::test]
async fn nobody_waits_longer_than_wished_or_in_numbers_without_end() {
    let stage = Stage::new(true, &[("read_waiters_max", "2")]).await;
    let now = stage.order(Uuid::now_v7(), "c-1", "1.00").await;
    stage.models.list("orders", &query(""), now).await.expect("a page");
    let never = |wait| Freshness { after: Some(Position(1_000)), wait };
    let waiting = |wait| {
        let models = stage.models.clone();
        async move { models.get("orders", &[&Uuid::nil().to_string()], never(wait)).await }
    };
    let short = Duration::from_millis(20);
    let (one, two, three) = tokio::join!(waiting(short), waiting(short), waiting(short));
    assert!(matches!((one, two), (Err(Error::Behind), Err(Error::Behind))));
    assert!(matches!(three, Err(Error::Overloaded)));
}
