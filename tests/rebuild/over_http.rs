//! What readers get over HTTP while a rebuild swaps and a person goes back: a row, and the rows of a named query, each
//! answer of one whole generation.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    stage::{Counters, Stage},
    support::{DEADLINE, process::Process, until},
};

/// What was counted, and so many times as much as the number of the version. All of it shows in each row; and the query
/// reads the table twice.
fn write_tally(folder: &Path, version: i32) {
    let more = if version == 1 { "" } else { ", note text not null default 'second'" };
    let files = [
        (
            "projection.toml",
            format!(
                r#"
                name = "tally"
                version = {version}
                events = ["counter.created", "counter.incremented"]
                key = ["id"]
                [queries.all]
                "#
            ),
        ),
        (
            "table.sql",
            format!(
                "create table tally (id uuid primary key, count bigint not null, times bigint not null, \
                 factor integer not null{more})"
            ),
        ),
        (
            "on/counter.created.sql",
            format!(
                "insert into tally (id, count, times, factor) select e.stream_id, 0, 0, {version} from events e"
            ),
        ),
        (
            "on/counter.incremented.sql",
            format!(
                "update tally t set count = t.count + (e.data ->> 'by')::bigint, \
                 times = t.times + {version} * (e.data ->> 'by')::bigint from events e where t.id = e.stream_id"
            ),
        ),
        (
            "queries/all.sql",
            format!(
                "select t.*, {version} as asked, (select sum(s.count) from tally s) as counts, \
                 (select sum(s.times) from tally s) as all_times from tally t order by t.id"
            ),
        ),
    ];
    for (file, text) in files {
        let file = folder.join("tally").join(file);
        fs::create_dir_all(file.parent().expect("in a folder")).expect("made");
        fs::write(file, text).expect("written");
    }
}

/// A reader, and what it saw of each generation.
struct Reader {
    client: Client,
    url: String,
    generation: i64,
    seen: [usize; 2],
}

impl Reader {
    fn of(annals: &Process) -> Self {
        let url = format!("{}/api/read-models/tally", annals.url);
        Self { client: Client::new(), url, generation: 0, seen: [0, 0] }
    }

    async fn read(&mut self, path: &str) -> Value {
        let request = self.client.get(format!("{}/{path}", self.url)).bearer_auth("dev-consumer");
        let answer = request.send().await.expect("answered");
        let (status, generation) = (answer.status(), answer.headers().get("annals-generation").cloned());
        let json: Value = answer.json().await.expect("JSON");
        assert_eq!(status, StatusCode::OK, "{json}");
        let generation = generation.expect("it is told").to_str().expect("ASCII").parse().expect("a number");
        self.generation = generation;
        self.seen[generation as usize - 1] += 1;
        json
    }

    /// A row is as its generation makes it.
    fn check(&self, row: &Value) {
        let number = |column: &str| row[column].as_i64().expect("a number");
        assert_eq!(number("factor"), self.generation, "{row}");
        assert_eq!(number("times"), self.generation * number("count"), "{row}");
        assert_eq!(row["note"] == "second", self.generation == 2, "{row}");
    }

    async fn read_row(&mut self, id: Uuid) {
        let row = self.read(&id.to_string()).await;
        self.check(&row);
    }

    async fn read_query(&mut self, rows_min: usize) {
        let answer = self.read("queries/all").await;
        let rows = answer["items"].as_array().expect("rows");
        assert!(rows.len() >= rows_min, "{answer}");
        let sum =
            |column: &str| -> i64 { rows.iter().map(|row| row[column].as_i64().expect("a number")).sum() };
        let (counts, times) = (sum("count"), sum("times"));
        for row in rows {
            self.check(row);
            assert_eq!(row["asked"], self.generation, "the query is that generation's: {row}");
            assert_eq!((&row["counts"], &row["all_times"]), (&json!(counts), &json!(times)), "{row}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_named_queries_are_of_one_generation_through_swaps_and_ways_back() {
    let stage = Stage::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    let settings =
        [("projections_dir", folder.path().to_str().expect("UTF-8")), ("projector_poll_interval_ms", "5")];
    write_tally(folder.path(), 1);
    let mut counters = Counters::new(20);
    stage.count(&mut counters, 100).await;
    let (ids, created): (Vec<Uuid>, _) =
        (counters.expected.keys().copied().collect(), counters.expected.len());
    let mut old = Process::serve(&stage.database, &[], &settings);
    stage.folded("tally").await;
    old.signal("TERM");
    old.end().await;
    write_tally(folder.path(), 2);
    let annals = Process::serve(&stage.database, &[], &settings);

    let (ended, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let reading: Vec<_> = (0..8)
        .map(|number| {
            let (mut reader, ids) = (Reader::of(&annals), ids.clone());
            let (ended, reads) = (ended.clone(), reads.clone());
            tokio::spawn(async move {
                while !ended.load(Ordering::Relaxed) {
                    if number % 2 == 0 {
                        reader.read_row(ids[reader.seen.iter().sum::<usize>() % ids.len()]).await;
                    } else {
                        reader.read_query(created).await;
                    }
                    reads.fetch_add(1, Ordering::Relaxed);
                }
                reader.seen
            })
        })
        .collect();
    let more_reads = async || {
        let before = reads.load(Ordering::Relaxed);
        until("they read on", || async { reads.load(Ordering::Relaxed) > before + 40 }).await;
    };
    let live = async || -> i32 {
        let sql = "select live_generation from projections.projections where projection = 'tally'";
        stage.database.client().await.query_one(sql, &[]).await.expect("a row").get(0)
    };
    let client = Client::new();
    until("the second version serves", async || {
        stage.count(&mut counters, 1).await;
        live().await == 2
    })
    .await;
    for _ in 0..20 {
        let back = format!("{}/api/admin/projections/tally/rollback", annals.url);
        let back =
            client.post(back).bearer_auth("dev-admin").timeout(DEADLINE).send().await.expect("answered");
        assert_eq!(back.status(), StatusCode::OK);
        stage.count(&mut counters, 1).await;
        more_reads().await;
    }
    ended.store(true, Ordering::Relaxed);
    for reader in reading {
        let seen = reader.await.expect("no reader saw a mixture");
        assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    }
}
