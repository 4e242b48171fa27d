//! Statements of folders whose rows would depend on which events come together, or on how rows happen to lie.

use annals::projector::{Fault, Folder};

use crate::folders::{changed, definition};

/// A value that another fold might not find again.
fn set(value: &str) -> String {
    format!("update counters c set counter = {value} from events e where c.id = e.stream_id")
}

/// By which events lead to rows of `counters`.
fn update(from: &str, condition: &str) -> String {
    format!("update counters c set counter = c.counter + 1 from {from} where {condition}")
}

/// The same, of events under another name.
fn with(common: &str, from: &str, condition: &str) -> String {
    format!("with {common} {}", update(from, condition))
}

/// The counters with another statement, which may meet rows of several streams.
fn shared(statement: &str) -> Result<Folder, Vec<Fault>> {
    let definition = definition("rows = \"own\"", "rows = \"shared\"");
    changed("counters", &[("projection.toml", Some(&definition)), ("on/counter.reset.sql", Some(statement))])
}

fn refused(statement: &str, said: &str) {
    let faults = shared(statement).err().unwrap_or_default();
    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert!(faults.len() == 1 && faults[0].contains(said), "{statement}\nwanted: {said}\nfound: {faults:#?}");
}

#[test]
fn what_leaves_order_to_chance_is_refused() {
    let faulty = [
        (
            set("(select max(n.c[1]) from (select array_agg(counter) as c from counters) n)"),
            "`array_agg` without",
        ),
        (
            set("(select max(n) from (select row_number() over () as n from counters) n)"),
            "`row_number` without",
        ),
        (
            set(
                "(select max(n) from (select lag(counter) over w as n from counters window w as (partition by id)) n)",
            ),
            "`lag` without",
        ),
        (set("(array(select counter from counters))[1]"), "`array` without"),
        (set("(array((select counter from counters)))[1]"), "`array` without"),
        (set("(select counter from counters limit 1)"), "`limit` without"),
        (set("(select counter from counters fetch first row only)"), "`limit` without"),
        (
            set(
                "(select max(n) from (select distinct on (counter) version as n from counters order by counter) n)",
            ),
            "`distinct on` without",
        ),
    ];
    for (statement, said) in faulty {
        refused(&statement, said);
    }
}

#[test]
fn what_drops_events_is_refused() {
    let lossy = [
        update("events e", "c.version = e.version"),
        update("events e", "c.id = e.stream_id or c.version = e.version"),
        update("(select (data ->> 'by')::bigint as n, version from events) e", "c.version = e.version"),
        update(
            "(select k.version from events e join counters k on k.id = e.stream_id) e",
            "c.version = e.version",
        ),
        update(
            "(select x ->> 'sku' as sku from events e, jsonb_array_elements(e.data -> 'items') x) e",
            "c.version = e.sku::bigint",
        ),
        update(
            "(select version, (select count(*) from jsonb_array_elements(data -> 'items')) as n from events) e",
            "c.version = e.version",
        ),
        with(
            "e as (select * from events), f as (select stream_id as id, version from e)",
            "f",
            "c.version = f.version",
        ),
        with("d as (select stream_id as version from events)", "events e", "c.version = e.version"),
        update("events e join others k on id2 = e.stream_id", "c.version = k.version"),
        update("events e", "c.id = e.stream_id or c.other = e.stream_id"),
        update(
            "(select stream_id as id from events union all select (data ->> 'to')::uuid as id from events) x",
            "c.id = x.id",
        ),
        update("(select version as v from events)", "c.version = v"),
        update(
            "(select stream_id as a, event_type as b from events union all select event_type as b, stream_id as a from events) x",
            "c.id = x.a",
        ),
        "update counters c set data = to_jsonb(e.*) from events e where c.version = e.version".to_owned(),
    ];
    for statement in lossy {
        refused(&statement, "compares none of its own columns with stream_id");
    }
}

#[test]
fn what_finds_its_rows_and_names_its_order_is_let_pass() {
    let harmless = [
        "update counters set counter = 0 from events where id = stream_id and version < 9".to_owned(),
        update("events e", "(e.data ->> 'now') is null and (e.stream_id = c.id)"),
        update("events e", "(c.version, c.id) = (1, e.stream_id)"),
        update("events e", "c.id = e.stream_id and c.version = 1 or e.stream_id = c.id"),
        update("events e", "c.id is not distinct from e.stream_id"),
        with("pg_totals as (select stream_id from events)", "pg_totals t", "c.id = t.stream_id"),
        with("e as (select stream_id as stream, version from events)", "e", "c.id = e.stream"),
        with("own as (select id from counters)", "own o, events e", "c.id = o.id and o.id = e.stream_id"),
        with(
            "hit as (select k.id, k.version from events e join counters k on k.id = e.stream_id)",
            "hit",
            "c.id = hit.id",
        ),
        with("x as (select stream_id as s from events), y as (select x.s as t from x)", "y", "c.id = y.t"),
        update("(select count(*) as n from events) e", "c.version = e.n"),
        update(
            "(select stream_id as id from events union all select stream_id from events) x",
            "c.id = x.id",
        ),
        "update counters c set counter = 0 from events e where c.version = e.version".to_owned(),
        update(
            "(select version, sum(position) as n from events group by version) e",
            "c.version = e.version",
        ),
        update("(select distinct version from events) e", "c.version = e.version"),
        update("(select * from events order by position desc limit 1) e", "c.version = e.version"),
        update(
            "(select version, row_number() over (partition by version order by position desc) as n from events) e",
            "c.version = e.version and e.n = 1",
        ),
        set("(select string_agg(d.id::text, ',' order by d.id) from counters d)::bigint"),
        set("(select cardinality(array_agg(distinct d.version)) from counters d)"),
        set(
            "(select jsonb_array_length(jsonb_agg(i -> 'n')) from jsonb_array_elements(e.data -> 'items') i)",
        ),
        set("(array(select i from jsonb_array_elements(e.data -> 'items') i))[1]::bigint"),
        set("(select d.counter from counters d order by d.id limit 1)"),
        set("(select i from jsonb_array_elements(e.data -> 'items') i limit 1)::bigint"),
        set("(case when exists (select from counters limit 1) then 1 else 0 end)"),
        set("(select max(n) from (select lag(counter) over (w rows unbounded preceding) as n from counters \
             window w as (order by id)) n)"),
        set(
            "(select max(n) from (select distinct on (counter) version as n from counters order by counter, id) n)",
        ),
    ];
    for statement in harmless {
        shared(&statement).expect(&statement);
    }
}
