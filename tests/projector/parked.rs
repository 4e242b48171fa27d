//! Events that are parked with their streams, and what a person does about them.

use std::collections::BTreeMap;

use annals::{
    log::{Expected, Position, StreamId},
    projector::{
        Folder, Status,
        parked::{self, Error, Mended, Mender, Parked},
    },
};
use tokio_util::sync::DropGuard;
use uuid::Uuid;

use crate::{
    stage::{Process, Stage},
    support::{self, append_to, until},
};

const STANDING: &str = include_str!("standing.sql");

/// Projects whose names are unique: a second one of the same name cannot be folded. A change that does not follow the
/// version before it leaves the row as it is, so rows tell if the order was broken.
fn names() -> Folder {
    let files = [
        (
            "projection.toml",
            r#"
            name = "names"
            version = 1
            events = ["project.created", "project.changed", "project.deleted"]
            key = ["id"]
            rows = "shared"
            on_error = "park"
            "#,
        ),
        (
            "table.sql",
            "create table names (id uuid primary key, name text not null unique, version bigint not null)",
        ),
        (
            "on/project.created.sql",
            "insert into names (id, name, version) select e.stream_id, e.data ->> 'name', e.version from events e",
        ),
        (
            "on/project.changed.sql",
            "update names n set name = e.data ->> 'name', version = e.version from events e \
             where n.id = e.stream_id and n.version = e.version - 1",
        ),
        ("on/project.deleted.sql", "delete from names n using events e where n.id = e.stream_id"),
    ];
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
    Folder::parse(BTreeMap::from(files)).expect("it loads")
}

struct Names {
    stage: Stage,
    process: Process,
    /// Where Kafka is read.
    _relay: Option<DropGuard>,
}

/// A worker that has begun looks into the log for holes alone: all else comes from Kafka.
const FROM_KAFKA: [(&str, &str); 2] =
    [("projector_poll_interval_ms", "60000"), ("projector_batch_events_max", "3")];

impl Names {
    async fn new(settings: &[(&str, &str)]) -> Self {
        let stage = Stage::new().await;
        let process = stage.process(&[&names()], settings).await;
        Self { stage, process, _relay: None }
    }

    async fn over_kafka() -> Self {
        let stage = Stage::new().await;
        let relay = stage.relay().await;
        let process = stage.kafka_process(&[&names()], &FROM_KAFKA).await;
        Self { stage, process, _relay: Some(relay) }
    }

    /// Appends events to a project, given by verb and name.
    async fn append(&self, id: Uuid, events: &[(&str, &str)]) {
        let data: Vec<_> = events
            .iter()
            .map(|(verb, name)| (format!("project.{verb}"), format!(r#"{{"name":"{name}"}}"#)))
            .collect();
        let events: Vec<_> = data.iter().map(|(event, data)| (event.as_str(), data.as_str())).collect();
        self.stage.append(append_to(id, Expected::Any, &events)).await;
    }

    async fn rows(&self) -> BTreeMap<Uuid, String> {
        let rows = self.stage.rows("names").await;
        let text =
            |row: &serde_json::Value| format!("{} {}", row["name"].as_str().expect("a name"), row["version"]);
        rows.iter().map(|(id, row)| (*id, text(row))).collect()
    }

    async fn parked(&self) -> Vec<Parked> {
        parked::list(&self.stage.database.pool(), "names", Position(0), 100).await.expect("listed")
    }

    /// Applied, ignored, parked.
    async fn standing(&self) -> (i64, i64, i64) {
        let client = self.stage.database.client().await;
        let row = client.query_one(STANDING, &[&"names"]).await.expect("a row");
        (row.get(0), row.get(1), row.get(2))
    }

    async fn mend(&self, id: Uuid, skip: bool) -> Result<Mended, Error> {
        let (read, log) = (self.stage.database.pool(), self.stage.database.reader());
        let (registry, config) = (support::registry(), self.stage.database.config(&[]));
        let mender = Mender { read: &read, log: &log, registry: &registry, limits: &config.projector };
        let stream = StreamId { stream_type: "project".into(), id };
        if skip { mender.skip("names", &stream).await } else { mender.retry("names", &stream).await }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_parked_alone_and_in_order_until_its_cause_is_gone() {
    for batch in ["1", "10000"] {
        let names = Names::new(&[("projector_batch_events_max", batch)]).await;
        let (first, twin, other) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        names.append(first, &[("created", "tea")]).await;
        names.append(twin, &[("created", "tea"), ("changed", "milk")]).await;
        names.append(other, &[("created", "cake")]).await;
        names.append(twin, &[("changed", "soup")]).await;
        names.append(other, &[("changed", "pie")]).await;
        names.stage.folded("names").await;
        assert_eq!(names.rows().await, BTreeMap::from([(first, "tea 1".into()), (other, "pie 2".into())]));
        assert_eq!(names.standing().await, (3, 0, 3));
        let parked = names.parked().await;
        let seen: Vec<_> = parked.iter().map(|parked| (parked.stream_id, parked.version)).collect();
        assert_eq!(seen, [(twin, 1), (twin, 2), (twin, 3)]);
        assert_eq!(parked[0].statement.as_deref(), Some("on/project.created.sql"));
        assert!(parked[0].error.as_ref().is_some_and(|error| error.contains("duplicate key")), "{parked:?}");
        assert!(parked[1..].iter().all(|parked| parked.error.is_none()));
        assert_eq!(names.process.status("names"), Status::Running);

        let mended = names.mend(twin, false).await.expect("tried");
        assert_eq!(mended, Mended { applied: 0, skipped: 0, left: 3 });
        names.append(first, &[("deleted", "")]).await;
        names.stage.folded("names").await;
        let mended = names.mend(twin, false).await.expect("mended");
        assert_eq!(mended, Mended { applied: 3, skipped: 0, left: 0 });
        names.append(twin, &[("changed", "rice")]).await;
        names.stage.folded("names").await;
        assert_eq!(names.rows().await, BTreeMap::from([(twin, "rice 4".into()), (other, "pie 2".into())]));
        assert_eq!(names.standing().await, (8, 0, 0));
        assert!(matches!(names.mend(twin, false).await, Err(Error::NotParked)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_kafka_too_a_stream_is_parked_alone_and_in_order_until_it_is_tried_again_or_skipped() {
    let mut names = Names::over_kafka().await;
    let [first, twin, third, other] = [(); 4].map(|()| Uuid::now_v7());
    names.append(first, &[("created", "tea")]).await;
    // Between partitions nothing has an order: who comes first has the name.
    names.stage.folded("names").await;
    names.append(twin, &[("created", "tea"), ("changed", "milk")]).await;
    names.append(other, &[("created", "cake")]).await;
    names.append(twin, &[("changed", "soup")]).await;
    names.append(other, &[("changed", "pie")]).await;
    names.stage.folded("names").await;
    assert_eq!(names.rows().await, BTreeMap::from([(first, "tea 1".into()), (other, "pie 2".into())]));
    assert_eq!(names.standing().await, (3, 0, 3));

    // Whoever takes the partitions over knows what waits.
    drop(names.process);
    names.process = names.stage.kafka_process(&[&self::names()], &FROM_KAFKA).await;
    names.append(twin, &[("changed", "rice")]).await;
    names.append(other, &[("changed", "flan")]).await;
    names.stage.folded("names").await;
    let parked = async |names: &Names| -> Vec<(Uuid, i64)> {
        names.parked().await.iter().map(|parked| (parked.stream_id, parked.version)).collect()
    };
    assert_eq!(parked(&names).await, [(twin, 1), (twin, 2), (twin, 3), (twin, 4)]);
    assert_eq!(names.rows().await[&other], "flan 3");
    let mended = names.mend(twin, false).await.expect("tried");
    assert_eq!(mended, Mended { applied: 0, skipped: 0, left: 4 });
    names.append(first, &[("deleted", "")]).await;
    names.stage.folded("names").await;
    let mended = names.mend(twin, false).await.expect("mended");
    assert_eq!(mended, Mended { applied: 4, skipped: 0, left: 0 });

    names.append(twin, &[("changed", "corn")]).await;
    names.stage.folded("names").await;
    names.append(third, &[("created", "corn"), ("deleted", "")]).await;
    names.append(other, &[("changed", "oats")]).await;
    names.stage.folded("names").await;
    assert_eq!(parked(&names).await, [(third, 1), (third, 2)]);
    let mended = names.mend(third, true).await.expect("skipped");
    assert_eq!(mended, Mended { applied: 1, skipped: 1, left: 0 });
    names.append(third, &[("created", "beans")]).await;
    names.stage.folded("names").await;
    let rows = [(twin, "corn 5".into()), (third, "beans 3".into()), (other, "oats 4".into())];
    assert_eq!(names.rows().await, BTreeMap::from(rows));
    assert_eq!(names.standing().await, (13, 1, 0));
    assert_eq!(names.process.status("names"), Status::Running);
    let client = names.stage.database.client().await;
    let from_kafka = client.query_one(include_str!("offsets.sql"), &[]).await.expect("a row");
    assert!(from_kafka.get::<_, i64>(0) > 0, "all was read from the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_skipped_is_left_out_and_the_others_go_on() {
    let names = Names::new(&[]).await;
    let (first, twin) = (Uuid::now_v7(), Uuid::now_v7());
    names.append(first, &[("created", "tea")]).await;
    names.append(twin, &[("created", "milk"), ("changed", "tea"), ("deleted", ""), ("created", "tea")]).await;
    names.stage.folded("names").await;
    assert_eq!((names.parked().await.len(), names.standing().await), (3, (2, 0, 3)));
    // Without the change the deletion goes through; the new creation meets the same name.
    let mended = names.mend(twin, true).await.expect("skipped");
    assert_eq!(mended, Mended { applied: 1, skipped: 1, left: 1 });
    assert_eq!(names.rows().await, BTreeMap::from([(first, "tea 1".into())]));
    assert_eq!(names.parked().await[0].version, 4);
    let mended = names.mend(twin, true).await.expect("skipped");
    assert_eq!((mended, names.standing().await), (Mended { applied: 0, skipped: 1, left: 0 }, (3, 2, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_and_a_retry_keep_a_stream_in_order() {
    let names = Names::new(&[("projector_batch_events_max", "3")]).await;
    let _twin = names.stage.process(&[&self::names()], &[("projector_batch_events_max", "2")]).await;
    let (first, twin) = (Uuid::now_v7(), Uuid::now_v7());
    names.append(first, &[("created", "tea")]).await;
    names.append(twin, &[("created", "tea")]).await;
    names.stage.folded("names").await;
    names.append(first, &[("deleted", "")]).await;
    for number in 0..60 {
        names.append(twin, &[("changed", &format!("n{number}"))]).await;
        if number % 10 == 5 {
            // Whether the deletion is folded by now or not: in order it stays.
            let _ = names.mend(twin, false).await;
        }
    }
    names.stage.folded("names").await;
    let _ = names.mend(twin, false).await;
    assert_eq!(names.rows().await, BTreeMap::from([(twin, "n59 61".into())]));
    assert_eq!(names.standing().await, (63, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_program_parked_is_left_to_one() {
    let names = Names::new(&[]).await;
    let (first, twin) = (Uuid::now_v7(), Uuid::now_v7());
    names.append(first, &[("created", "tea")]).await;
    names.append(twin, &[("created", "tea")]).await;
    names.stage.folded("names").await;
    let client = names.stage.database.client().await;
    let newer = "update projections.generations set made_for = '{\"project.created\": 99}'";
    client.batch_execute(newer).await.expect("made for it");
    for skip in [false, true] {
        let refused = names.mend(twin, skip).await;
        assert!(
            matches!(&refused, Err(Error::Refused(why)) if why.contains("project.created")),
            "{refused:?}"
        );
    }
    assert_eq!(names.parked().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_that_is_parked_stops_and_so_does_what_is_not_an_event_s_fault() {
    let names = Names::new(&[("projector_parked_max", "2")]).await;
    let (first, twin) = (Uuid::now_v7(), Uuid::now_v7());
    names.append(first, &[("created", "tea")]).await;
    names.append(twin, &[("created", "tea"), ("changed", "milk")]).await;
    names.stage.folded("names").await;
    assert_eq!(names.standing().await, (1, 0, 2));
    names.append(twin, &[("changed", "soup")]).await;
    let reason = names.process.stands_still("names").await;
    assert!(reason.contains("more than 2 events would be parked"), "{reason}");
    assert_eq!(names.parked().await.len(), 2);

    let names = Names::new(&[]).await;
    names.append(first, &[("created", "tea")]).await;
    names.stage.folded("names").await;
    let client = names.stage.database.client().await;
    client.batch_execute("alter table projection_names_1.names drop column version").await.expect("dropped");
    names.append(first, &[("changed", "milk")]).await;
    let reason = names.process.stands_still("names").await;
    assert!(reason.contains("version"), "{reason}");
    until("it is said", async || names.process.status("names") != Status::Running).await;
    assert_eq!(names.parked().await.len(), 0);
}
