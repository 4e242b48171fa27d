//! Folders whose rows would depend on which stream is folded first, or on which events are folded together.

use crate::folders::{changed, definition};

/// The counters in another manner, with another table and other statements.
fn all_faults(manner: &[(&str, &str)], table: &str, statements: &[(&str, &str)]) -> Vec<String> {
    let mut toml = definition("", "");
    for (from, to) in manner {
        toml = toml.replace(from, to);
    }
    let table = format!(
        "create table counters (id uuid primary key, counter bigint not null, version bigint not null); {table}"
    );
    let mut changes = vec![("projection.toml", &*toml), ("table.sql", &*table)];
    changes.extend(statements);
    let changes: Vec<_> = changes.into_iter().map(|(file, text)| (file, Some(text))).collect();
    let faults = changed("counters", &changes).err().unwrap_or_default();
    faults.iter().map(ToString::to_string).collect()
}

fn faults(manner: &[(&str, &str)], table: &str, statement: &str) -> Vec<String> {
    all_faults(manner, table, &[("on/counter.reset.sql", statement)])
}

const SHARED: (&str, &str) = ("rows = \"own\"", "rows = \"shared\"");
const GLOBAL: (&str, &str) = ("order = \"stream\"", "order = \"global\"");

fn refused(found: &[String], statement: &str, said: &str) {
    assert!(found.len() == 1 && found[0].contains(said), "{statement}\nwanted: {said}\nfound: {found:#?}");
}

#[test]
fn rows_of_one_stream_are_found_by_what_tells_streams_apart() {
    for statement in [
        "update counters c set version = 0 from events e where c.counter = e.stream_id",
        "update counters set version = 0",
        "delete from counters c using events e where c.counter = e.stream_id",
        "delete from counters",
        "merge into counters c using events e on c.counter = e.stream_id when matched then delete",
        "with e as (select distinct stream_id as s from events) delete from counters c using e where c.counter = e.s",
    ] {
        let found = faults(&[], "", statement);
        refused(&found, statement, "it changes rows of `counters`");
        refused(&found, statement, "order = \"global\"");
        assert_eq!(faults(&[GLOBAL], "", statement), [""; 0], "{statement}");
    }
    for statement in [
        "delete from counters c using events e where c.id = e.stream_id",
        "delete from counters where id in (select e.stream_id from events e)",
        "delete from counters c where exists (select from events e where e.stream_id = c.id)",
        "merge into counters c using events e on c.id = e.stream_id when matched then delete",
        "with e as (select distinct stream_id as s from events) delete from counters c using e where c.id = e.s",
        "delete from counters c using events e join counters k on k.id = e.stream_id where c.id = k.id",
        "insert into counters select e.stream_id, coalesce(k.counter, 0), 0 from events e left join counters k on k.id = e.stream_id \
         on conflict (id) do update set counter = excluded.counter",
        "with gone as (delete from counters c using events e where c.id = e.stream_id returning c.id) \
         delete from counters l using gone g where l.id = g.id",
        "update counters set counter = (select count(*) from jsonb_array_elements(e.data -> 'items') i) from events e \
         where id = e.stream_id",
    ] {
        assert_eq!(faults(&[], "", statement), [""; 0], "{statement}");
    }
}

#[test]
fn rows_that_are_read_for_a_stream_are_found_by_what_tells_streams_apart() {
    let table = "create table kept (id uuid primary key, by uuid, n bigint);";
    let faults = |manner: &[(&str, &str)], column: &str| {
        let read = format!(
            "update counters c set counter = k.n from events e left join kept k on k.{column} = e.stream_id where c.id = e.stream_id"
        );
        let keep = "insert into kept select e.stream_id, (e.data ->> 'by')::uuid, 1 from events e";
        all_faults(manner, table, &[("on/counter.incremented.sql", keep), ("on/counter.reset.sql", &read)])
    };
    refused(&faults(&[], "by"), "by", "it reads rows of `kept`");
    assert_eq!(faults(&[], "id"), [""; 0]);
    assert_eq!(faults(&[GLOBAL], "by"), [""; 0]);
}

#[test]
fn rows_that_a_statement_writes_are_not_read_for_events_that_share_them() {
    let balances = "create table balances (account text primary key, balance bigint not null);";
    let entry = |value: &str, join: &str| {
        format!(
            "with kept as (
                 insert into balances as b select e.data ->> 'account', sum((e.data ->> 'by')::bigint) from events e group by 1
                 on conflict (account) do update set balance = b.balance + excluded.balance
             )
             insert into counters select e.stream_id, {value}, e.version from events e
             left join balances b on {join}"
        )
    };
    let (by, account) = ("(e.data ->> 'by')::bigint", "b.account = e.data ->> 'account'");
    let own = entry(&format!("coalesce(b.balance, 0) + {by}"), account);
    let summed = entry(
        &format!(
            "coalesce(b.balance, 0) + sum({by}) over (partition by e.data ->> 'account' order by e.position)"
        ),
        account,
    );
    let found = entry(by, "b.account = e.stream_id::text");
    let absent = "insert into balances select e.data ->> 'account', 0 from events e \
                  left join balances b on b.account = e.data ->> 'account' where b.account is null";
    let other = "insert into counters select e.stream_id, b.balance, e.version from events e \
                 join balances b on b.account = e.data ->> 'account'";
    let manner = [SHARED, GLOBAL];
    refused(&faults(&manner, balances, &own), &own, "it reads `balances` for each event, and writes it");
    for statement in [&*summed, &*found, absent, other] {
        assert_eq!(faults(&manner, balances, statement), [""; 0], "{statement}");
    }
}

#[test]
fn inserts_do_not_depend_on_which_events_are_folded_together() {
    let days = "create table days (day date primary key, n bigint not null, last timestamptz);";
    let insert =
        |select: &str, conflict: &str| format!("insert into days as d {select} on conflict (day) {conflict}");
    let add = "do update set n = d.n + 1";
    let day = "(e.recorded_at at time zone 'UTC')::date";
    let counter = |n: &str| format!("insert into counters select e.stream_id, {n}, e.version from events e");
    for (statement, said) in [
        (
            insert(&format!("select distinct {day}, 1 from events e"), add),
            "it counts events that are folded together once",
        ),
        (
            insert(&format!("select {day}, 1 from events e group by 1"), add),
            "it counts events that are folded together once",
        ),
        (
            insert(&format!("select {day}, count(*) from events e group by 1"), "do nothing"),
            "drops what the next batch adds",
        ),
        (counter("count(*) over ()"), "a window over `events`"),
        (counter("rank() over (order by e.position)"), "a window over `events`"),
        (format!("{} window w as (order by e.position)", counter("rank() over w")), "a window over `events`"),
    ] {
        refused(&faults(&[SHARED, GLOBAL], days, &statement), &statement, said);
    }
    for statement in [
        insert(
            &format!("select {day}, count(*) from events e group by 1"),
            "do update set n = d.n + excluded.n",
        ),
        insert(&format!("select distinct {day}, 1 from events e"), "do nothing"),
        insert(
            &format!("select distinct {day}, 1, e.recorded_at from events e"),
            "do update set last = greatest(d.last, excluded.last)",
        ),
        insert(&format!("select {day}, min(e.position) from events e group by 1"), "do nothing"),
        counter("count(*) over (partition by e.stream_id)"),
        counter("rank() over (order by e.position) + (select count(*) from counters)"),
        format!("{} window w as (partition by e.stream_id order by e.position)", counter("rank() over w")),
    ] {
        assert_eq!(faults(&[SHARED, GLOBAL], days, &statement), [""; 0], "{statement}");
    }
}

#[test]
fn rows_that_gather_streams_keep_neither_the_first_nor_the_last_one_s_values() {
    let customers =
        "create table customers (id text primary key, name text, n bigint not null, position bigint);";
    let insert = |conflict: &str| {
        format!(
            "insert into customers as c (id, name, n, position) \
             select e.data ->> 'customer', e.data ->> 'name', 1, e.position from events e on conflict {conflict}"
        )
    };
    for (conflict, said) in [
        ("(id) do nothing", "keeps the first one's name, position"),
        ("do nothing", "keeps the first one's name, position"),
        ("(id) do update set name = excluded.name, n = c.n + excluded.n", "keeps the last one's name,"),
    ] {
        let statement = insert(conflict);
        refused(&faults(&[SHARED], customers, &statement), &statement, said);
        assert_eq!(faults(&[SHARED, GLOBAL], customers, &statement), [""; 0], "{statement}");
    }
    let constant = "insert into customers (id, n) select distinct e.data ->> 'customer', 0 from events e on conflict (id) do nothing";
    let own = "insert into counters select e.stream_id, 0, e.version from events e \
               on conflict (id) do update set version = excluded.version";
    let last = insert(
        "(id) do update set name = excluded.name, position = excluded.position where c.position < excluded.position",
    );
    let added =
        insert("(id) do update set n = c.n + excluded.n, position = greatest(c.position, excluded.position)");
    for statement in [constant, own, &last, &added] {
        assert_eq!(faults(&[SHARED], customers, statement), [""; 0], "{statement}");
    }
}
