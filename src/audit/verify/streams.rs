//! Goes through the events stream by stream: checks versions and positions, and which claims the events lead to.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Row;
use uuid::Uuid;

use super::Report;
use crate::{
    aggregate::{AnyAggregate, AnyState, Claim, DecodeError, Registry},
    json::RawJson,
};

/// A claim that a stream holds by its events.
pub(super) struct Held {
    pub(super) scope: &'static str,
    pub(super) value: String,
    pub(super) stream_type: String,
    pub(super) stream_id: Uuid,
}

/// Folds streams as their events come, ordered by stream id and version.
pub(super) struct Streams<'a> {
    registry: &'a Registry,
    stream_id: Uuid,
    /// Streams of different types may have one id.
    open: BTreeMap<String, Stream<'a>>,
    /// Of the streams that are over.
    pub(super) held: Vec<Held>,
}

struct Stream<'a> {
    version: i64,
    position: i64,
    /// `None` where its events cannot be read (any more).
    folded: Option<(&'a dyn AnyAggregate, AnyState)>,
    claims: BTreeSet<(&'static str, String)>,
}

impl<'a> Streams<'a> {
    pub(super) fn new(registry: &'a Registry) -> Self {
        Self { registry, stream_id: Uuid::nil(), open: BTreeMap::new(), held: Vec::new() }
    }

    /// Takes the next event.
    pub(super) fn take(&mut self, row: &Row, report: &mut Report) {
        let (id, version, stream_type): (Uuid, i64, String) = (row.get(0), row.get(1), row.get(2));
        if id != self.stream_id {
            self.end(report);
            self.stream_id = id;
        }
        let registry = self.registry;
        let stream = self.open.entry(stream_type).or_insert_with_key(|stream_type| {
            let aggregate = registry.stream(stream_type);
            if aggregate.is_none() {
                let detail = format!(
                    "stream {id} is of type `{stream_type}`, which this program does not know; a newer one may"
                );
                report.fault("events", detail);
            }
            Stream {
                version: 0,
                position: 0,
                folded: aggregate.map(|aggregate| (aggregate, aggregate.initial())),
                claims: BTreeSet::new(),
            }
        });
        let position: i64 = row.get(3);
        if version != stream.version + 1 {
            let detail = format!("stream {id} has version {version} after {}, at {position}", stream.version);
            report.fault("versions", detail);
        }
        if position <= stream.position {
            report.fault("versions", format!("stream {id} has version {version} at {position}, too early"));
        }
        (stream.version, stream.position) = (version, position);
        if let Err(error) = stream.fold(row.get(4), row.get(5), &row.get(6)) {
            stream.folded = None;
            report.fault("events", format!("{position}: {error}"));
        }
    }

    /// Nothing more comes of the streams at hand.
    pub(super) fn end(&mut self, report: &mut Report) {
        let stream_id = self.stream_id;
        for (stream_type, stream) in std::mem::take(&mut self.open) {
            report.streams += 1;
            self.held.extend(stream.claims.into_iter().map(|(scope, value)| Held {
                scope,
                value,
                stream_type: stream_type.clone(),
                stream_id,
            }));
        }
    }
}

impl Stream<'_> {
    fn fold(&mut self, event_type: &str, schema_version: i32, data: &RawJson) -> Result<(), DecodeError> {
        let Some((aggregate, state)) = &mut self.folded else {
            return Ok(());
        };
        for claim in aggregate.claims(state, event_type, schema_version, data)? {
            match claim {
                Claim::Take(value) => self.claims.insert((value.scope, value.value)),
                Claim::Release(value) => self.claims.remove(&(value.scope, value.value)),
            };
        }
        *state = aggregate.fold(state, &mut std::iter::once((event_type, schema_version, data)))?;
        Ok(())
    }
}
