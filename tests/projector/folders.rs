//! What makes a folder be refused, before any database sees it and when its generation is made.

use std::{collections::BTreeMap, fs, path::Path};

use annals::projector::{Fault, Folder, Status};

use crate::{
    stage::{Counters, Stage, shipped, shipped_path},
    support::until,
};

/// Copies a shipped folder and changes some of its files; `None` removes one.
pub(crate) fn changed(name: &str, changes: &[(&str, Option<&str>)]) -> Result<Folder, Vec<Fault>> {
    let dir = tempfile::tempdir().expect("a folder");
    let copy = dir.path().join(name);
    for (path, text) in shipped(name).files() {
        let path = copy.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }
    for (path, text) in changes {
        let path = copy.join(path);
        match text {
            Some(text) => {
                fs::create_dir_all(path.parent().expect("a parent")).expect("made");
                fs::write(path, text).expect("written");
            }
            None => fs::remove_file(path).expect("removed"),
        }
    }
    Folder::load(Path::new(&copy))
}

#[test]
fn all_faults_of_a_folder_are_told_at_once() {
    let folder = changed(
        "counters",
        &[
            (
                "projection.toml",
                Some("name = \"counters\"\nversion = 0\nevents = [\"counter.created\", \"tea\"]\nkey = []"),
            ),
            ("table.sql", Some("create table events (id uuid primary key)")),
            ("on/counter.created.sql", Some("select 1; select 2")),
            ("on/counter.incremented.sql", None),
            ("on/counter.reste.sql", Some("select 1")),
        ],
    );
    let faults: BTreeMap<String, String> =
        folder.expect_err("it has faults").into_iter().map(|fault| (fault.to_string(), fault.file)).collect();
    for part in [
        "`version` must be at least 1",
        "`tea` in `events`",
        "`key` is empty",
        "table.sql: a table cannot be called `events`",
        "on/counter.created.sql: it holds more than one statement",
        "on/tea.sql: the file is missing",
        "on/counter.reste.sql",
    ] {
        assert!(faults.keys().any(|fault| fault.contains(part)), "{part}: {faults:#?}");
    }
    assert!(Folder::load(&shipped_path("counters")).is_ok());
}

#[tokio::test]
async fn what_only_the_database_sees_is_a_fault_too() {
    let stage = Stage::new().await;
    for (file, text, part) in [
        (
            "on/counter.reset.sql",
            "update counters set tea = 1 from events e where id = e.stream_id",
            "\"tea\" of relation",
        ),
        (
            "on/counter.reset.sql",
            "update counters set counter = length(query_to_xml('select 1', true, true, '')::text) from events e \
             where id = e.stream_id",
            "`query_to_xml` is volatile",
        ),
        (
            "table.sql",
            "create table counters (id uuid primary key, counter bigint, version bigint, \
             unique (id, version) deferrable initially deferred)",
            "is deferred",
        ),
        (
            "table.sql",
            "create table counters (id uuid primary key, counter tea)",
            "type \"tea\" does not exist",
        ),
    ] {
        let folder = changed("counters", &[(file, Some(text))]).expect("it loads");
        let process = stage.process(&[&folder], &[]).await;
        let reason = process.stands_still("counters").await;
        assert!(reason.contains(file) && reason.contains(part), "{reason}");
        process.stop().await;
    }
    let process = stage.process(&[&shipped("counters")], &[]).await;
    until("nothing of the refused ones is left", async || process.status("counters") == Status::Running)
        .await;
}

/// The definition of the counters, with a line instead of another.
pub(crate) fn definition(from: &str, to: &str) -> String {
    let definition = shipped("counters").files()["projection.toml"].clone();
    assert!(definition.contains(from), "{definition}");
    definition.replace(from, to)
}

/// One fault each, of tables: the file to change, its text, and what has to be said of it.
fn faulty_tables() -> Vec<(&'static str, String, &'static str)> {
    let table = |columns: &str| {
        format!(
            "create table counters (id uuid primary key, counter bigint not null, version bigint not null, {columns})"
        )
    };
    let tables = "table.sql";
    vec![
        (tables, table("at timestamptz default now()"), "`now` depends on the clock"),
        (tables, table("at date default current_date"), "`current_date` depends on the clock"),
        (tables, table("at date default 'Today'"), "the present time"),
        (tables, table("x uuid default gen_random_uuid()"), "`gen_random_uuid` depends on chance"),
        (
            tables,
            table("x text generated always as (current_user) stored"),
            "`current_user` depends on the session",
        ),
        (
            tables,
            table("x text generated always as (current_role) stored"),
            "`current_role` depends on the session",
        ),
        (tables, table("number bigserial"), "a serial numbers rows"),
        (tables, table("number bigint generated always as identity"), "an identity numbers rows"),
        (tables, table("number bigint default nextval('s')"), "`nextval` depends on the session"),
        (tables, table("x double precision"), "column `x`: a float rounds"),
        (tables, table("x real[]"), "column `x`: a float rounds"),
        (tables, table("x money"), "column `x`: `money` depends"),
        (tables, table("x pg_catalog.\"float8\""), "column `x`: a float rounds"),
        (tables, table("x timetz"), "column `x`: a time with a zone"),
        (tables, table("x time(3) with time zone"), "column `x`: a time with a zone"),
        (tables, table("x timestamp"), "column `x`: a `timestamp` has no zone"),
        (tables, table("x information_schema.time_stamp"), "column `x`: a type of another schema"),
        (tables, table("cursor text"), "column `cursor` is called like a parameter"),
        (tables, table("consistency_token text"), "column `consistency_token` is called like a parameter"),
        (tables, table("name text unique"), "the unique key (name) of `counters`"),
        (tables, table("name text, unique (name, counter)"), "the unique key (name, counter)"),
        (tables, "create table tea (id uuid primary key)".into(), "it makes no table `counters`"),
        (tables, "create table a.counters (id uuid primary key)".into(), "names a schema"),
        (tables, "create unlogged table counters (id uuid primary key)".into(), "outlive a crash"),
        (tables, "create table counters as select 1 as id".into(), "name its columns itself"),
        (tables, format!("{}; drop table x", table("x text")), "`drop table`: it may only make"),
        (
            tables,
            format!("{}; create trigger t before insert on counters execute function f()", table("x text")),
            "`create trigger`: it may only make",
        ),
        ("indexes.sql", "create unique index u on counters (counter)".into(), "belongs into table.sql"),
        (
            tables,
            "create table counters (id uuid not null, counter bigint not null, version bigint not null)"
                .into(),
            "make (id) its primary key",
        ),
        (
            tables,
            "create table counters (id uuid unique, counter bigint, version bigint)".into(),
            "`id` is sorted by and must be `not null`",
        ),
        ("indexes.sql", "create index i on tea (id)".into(), "there is no table `tea`"),
        (
            "indexes.sql",
            "create index concurrently i on counters (counter)".into(),
            "leave `concurrently` out",
        ),
    ]
}

/// The same, of statements and of the definition.
fn faulty_statements() -> Vec<(&'static str, String, &'static str)> {
    let update = |value: &str| {
        format!("update counters c set counter = {value} from events e where c.id = e.stream_id")
    };
    let (toml, on) = ("projection.toml", "on/counter.reset.sql");
    vec![
        (
            on,
            "merge into counters c using events e on c.id = e.stream_id when matched then update set counter = 0 \
             when not matched then insert (id, counter, version) values (e.stream_id, 0, 0)"
                .into(),
            "the unique key (id) of `counters`",
        ),
        (on, update("random()"), "`random` depends on chance"),
        (on, update("extract(epoch from clock_timestamp())"), "`clock_timestamp` depends on the clock"),
        (on, update("extract(year from age(e.recorded_at))"), "`age` depends on the clock"),
        (on, update("pg_backend_pid()"), "`pg_backend_pid` depends on the session"),
        (on, update("current_setting('a.b')::bigint"), "`current_setting` depends on the session's settings"),
        (on, update("(select count(*) from pg_locks() l)"), "`pg_locks` depends on the session"),
        (on, update("(e.data ->> 'by')::float8"), "a cast to `float8`"),
        (on, update("(select count(*) from pg_locks)"), "`pg_locks` depends on the session"),
        (on, update("(select extract(day from d) from current_date d)"), "`current_date` depends on the clock"),
        (on, update("(select length(user) from user)"), "`user` depends on the session"),
        (on, update("(select count(*) from counters tablesample bernoulli (10))"), "takes rows by chance"),
        (on, update("(select id from counters for update skip locked)"), "`skip locked` leaves out"),
        (on, update("length(c.ctid::text)"), "`ctid` depends on where rows lie"),
        (on, update("extract(hour from timetz '10:00+02')"), "a cast to `timetz`"),
        (on, update("$1"), "`$1` stands for nothing"),
        (on, "update log.events set version = 1".into(), "`log.events` names a schema"),
        (on, "truncate counters".into(), "it may only insert, update, delete and merge"),
        (on, "update counters set".into(), "Expected"),
        (on, "-- nothing".into(), "it holds no statement"),
        ("on/counter.tea.sql", update("1"), "lists nothing that this file is for"),
        (toml, definition("version = 1", "version = 0"), "`version` must be at least 1"),
        (toml, definition("filter = []", "filter = [\"tea\"]"), "table `counters` has no column `tea`"),
        (toml, definition("key = [\"id\"]", "key = [\"tea\"]"), "table `counters` has no column `tea`"),
        (
            toml,
            definition("\"counter.reset\"]", "\"counter.reset\", \"counter.tea\"]"),
            "on/counter.tea.sql: the file",
        ),
        (toml, format!("{}\n[queries.tea]", definition("", "")), "queries/tea.sql: the file is missing"),
    ]
}

#[test]
fn each_fault_is_found_alone() {
    let mut unlike = Vec::new();
    for (file, text, said) in faulty_tables().into_iter().chain(faulty_statements()) {
        let faults = changed("counters", &[(file, Some(&text))]).err().unwrap_or_default();
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        if faults.len() != 1 || !faults[0].contains(said) {
            unlike.push(format!("{file}: {text}\n  wanted: {said}\n  found: {faults:#?}"));
        }
    }
    assert!(unlike.is_empty(), "{}", unlike.join("\n"));
}

#[test]
fn a_text_that_means_the_present_time_is_a_fault_in_any_quotes() {
    let faults = |text: &str| -> Vec<String> {
        let table = format!(
            "create table counters (id uuid primary key, counter bigint not null, version bigint not null, x text \
             default {text})"
        );
        let faults = changed("counters", &[("table.sql", Some(&table))]).err().unwrap_or_default();
        faults.iter().map(ToString::to_string).collect()
    };
    for text in [
        "'today'",
        "' NOW '",
        "'now()'",
        "'today 10:00'",
        "'Tomorrow  10:00:00.5 PM'",
        "'monday, yesterday 9:00 Europe/Berlin'",
        "'today CEST'",
        "'[today,tomorrow)'",
        "E'now'",
        r"E'\156ow'",
        r"U&'\006eow'",
        "$$now$$",
        "$x$today 10:00$x$",
        "timestamptz 'Today 10:00'",
    ] {
        let found = faults(text);
        assert!(found.len() == 1 && found[0].contains("the present time"), "{text}: {found:#?}");
    }
    for text in ["'due today'", "'today only'", "'today%'", "'nowhere'", "'10:00 UTC'", "$$epoch$$"] {
        assert_eq!(faults(text), [""; 0], "{text}");
    }
}

#[test]
fn what_is_harmless_is_let_pass() {
    let shared = definition("rows = \"own\"", "rows = \"shared\"");
    let unique =
        "create table counters (id uuid primary key, counter bigint not null, version bigint unique)";
    let query = format!("{shared}\n[queries.now]");
    changed("counters", &[("projection.toml", Some(&shared)), ("table.sql", Some(unique))])
        .expect("rows are shared");
    changed("counters", &[("projection.toml", Some(&query)), ("queries/now.sql", Some("select now()"))])
        .expect("an answer may depend on the clock");
    let events = "insert into counters select e.stream_id, 0, e.version from events e \
                  on conflict (id) do update set version = excluded.version";
    changed("counters", &[("on/counter.created.sql", Some(events))]).expect("columns in the table's order");
    let both = "insert into counters (id, counter, version) (select e.stream_id, 0, e.version from events e where \
                e.version = 1 union all select e.stream_id, 1, e.version from events e where e.version > 1)";
    changed("counters", &[("on/counter.created.sql", Some(both))]).expect("each select has the stream's id");
}

#[test]
fn a_folder_may_be_a_link() {
    let dir = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(
        fs::canonicalize(shipped_path("counters")).expect("there"),
        dir.path().join("counters"),
    )
    .expect("linked");
    let loaded = Folder::load_all(dir.path()).expect("read");
    let loaded: Vec<_> = loaded.iter().map(|(name, folder)| (name.as_str(), folder.is_ok())).collect();
    assert_eq!(loaded, [("counters", true)]);
}

#[test]
fn the_parameters_of_a_query_are_those_that_are_declared() {
    let query = |parameters: &str, sql: &str| {
        let toml = format!("{}\n[queries.tea]\nparameters = [{parameters}]", definition("", ""));
        let faults = changed("counters", &[("projection.toml", Some(&toml)), ("queries/tea.sql", Some(sql))]);
        faults.err().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let id = "{ name = \"id\", type = \"uuid\" }";
    assert_eq!(query(id, "select $1, $1, random()"), [""; 0]);
    assert!(query(id, "select $2")[0].contains("`$2` stands for nothing: projection.toml declares 1"));
    assert!(query(&format!("{id}, {id}"), "select $1, $2")[0].contains("`id` stands twice"));
}

#[tokio::test]
async fn a_generation_lives_on_though_its_folder_would_be_refused_today() {
    let stage = Stage::new().await;
    stage.count(&mut Counters::new(3), 5).await;
    let process = stage.process(&[&shipped("counters")], &[]).await;
    stage.folded("counters").await;
    process.stop().await;
    // As if it had been made before unique indexes were refused there.
    let client = stage.database.client().await;
    let old = "update projections.generations set folder = folder || \
               '{\"indexes.sql\": \"create unique index u on counters (id)\"}'";
    assert_eq!(client.execute(old, &[]).await.expect("changed"), 1);
    let definition = definition("version = 1", "version = 2");
    let newer = changed("counters", &[("projection.toml", Some(&definition))]).expect("it loads");
    let _process = stage.process(&[&newer], &[]).await;
    until("a rebuild cures it", || async {
        let live = "select live_generation from projections.projections";
        client.query_one(live, &[]).await.expect("a row").get::<_, i32>(0) == 2
    })
    .await;
}
