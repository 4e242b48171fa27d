//! What Postgres finds when it tries a folder's SQL, before the first event and the first request.

use annals::projector::{Folder, Status};

use crate::{
    folders::{changed, definition},
    stage::Stage,
    support::until,
};

const TABLE: (&str, Option<&str>) = (
    "table.sql",
    Some(
        "create table counters (id uuid primary key, counter bigint not null, version bigint not null, root numeric, \
         tags json, marks jsonb, at timestamptz, year integer generated always as (extract(year from at at time zone 'UTC')) stored)",
    ),
);

async fn refused(stage: &Stage, folder: &Folder) -> String {
    let process = stage.process(&[folder], &[]).await;
    let reason = process.stands_still("counters").await;
    process.stop().await;
    reason
}

async fn accepted(stage: &Stage, folder: &Folder) {
    let process = stage.process(&[folder], &[]).await;
    until("it is made", async || process.status("counters") == Status::Running).await;
    process.stop().await;
}

fn set(value: &str) -> String {
    format!("update counters c set root = {value} from events e where c.id = e.stream_id")
}

#[tokio::test]
async fn what_only_the_first_event_or_request_would_meet_is_told_at_once() {
    let stage = Stage::new().await;
    let insert = |key: &str| {
        format!(
            "insert into counters (id, counter, version) select e.stream_id, 0, e.version from events e \
             on conflict ({key}) do nothing"
        )
    };
    let lists = |column: &str| {
        definition("filter = []", &format!("filter = [\"{column}\", \"counter\"]"))
            .replace("sort = [\"id\"]", "sort = [\"id\", \"version\"]")
    };
    let folder = |key: &str, column: &str| {
        let (insert, lists) = (insert(key), lists(column));
        let files = [TABLE, ("on/counter.created.sql", Some(&*insert)), ("projection.toml", Some(&*lists))];
        changed("counters", &files).expect("it loads")
    };
    let reason = refused(&stage, &folder("version", "tags")).await;
    for said in [
        "on/counter.created.sql: there is no unique or exclusion constraint matching",
        "projection.toml: `tags` in `filter`: operator does not exist: json = json",
    ] {
        assert!(reason.contains(said), "{said}: {reason}");
    }
    accepted(&stage, &folder("id", "marks")).await;
}

#[tokio::test]
async fn what_is_refused_of_no_events_alone_is_let_pass() {
    let stage = Stage::new().await;
    let statement = "insert into counters (id, counter, version) select null, count(*), 0 from events having count(*) = 0";
    let statement = ("on/counter.reset.sql", Some(statement));
    let definition = definition("rows = \"own\"", "rows = \"shared\"");
    let definition = ("projection.toml", Some(&*definition));
    accepted(&stage, &changed("counters", &[TABLE, statement, definition]).expect("it loads")).await;
}

#[tokio::test]
async fn a_function_that_gives_a_float_is_refused_by_what_it_is_given() {
    let stage = Stage::new().await;
    for (value, said) in [
        (
            "date_part('epoch', e.recorded_at)::numeric",
            "`date_part` gives a float here, which rounds: use `extract`",
        ),
        ("sqrt(e.version)::numeric", "`sqrt` gives a float here, which rounds: give it `numeric`"),
        ("(select sum(power(d.counter, 2)) from counters d)::numeric", "`sum` gives a float here"),
    ] {
        let statement = set(value);
        let folder = changed("counters", &[TABLE, ("on/counter.reset.sql", Some(&*statement))]);
        let reason = refused(&stage, &folder.expect("it loads")).await;
        assert!(reason.contains(&format!("on/counter.reset.sql: {said}")), "{reason}");
    }
    let table = TABLE.1.map(|table| table.replace("extract(year from ", "date_part('year', "));
    let folder = changed("counters", &[("table.sql", table.as_deref())]).expect("it loads");
    let reason = refused(&stage, &folder).await;
    assert!(reason.contains("table.sql: `date_part` gives a float here"), "{reason}");
    let statement = set("extract(epoch from e.recorded_at) + sqrt(e.version::numeric) + power(c.root, 2) + \
         extract(epoch from to_timestamp(e.version) + interval '1 day' * e.version)");
    let folder = changed("counters", &[TABLE, ("on/counter.reset.sql", Some(&*statement))]);
    accepted(&stage, &folder.expect("it loads")).await;
}
