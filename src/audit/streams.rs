//! One stream: what it is, its events, and its aggregate as it stood.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Audit, Error};
use crate::{
    json::RawJson,
    log::{Events, Position, StreamId, Version},
    page::Page,
};

const SUMMARY: &str = include_str!("stream_summary.sql");

/// What a stream comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    #[serde(flatten)]
    pub stream: StreamId,
    /// How many events it has.
    pub version: Version,
    pub first_position: Position,
    pub last_position: Position,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Up to where a history is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    Now,
    Version(Version),
    /// What was recorded at or before.
    Time(DateTime<Utc>),
}

/// An aggregate as it stood.
#[derive(Debug, Clone, Serialize)]
pub struct State {
    #[serde(flatten)]
    pub stream: StreamId,
    pub version: Version,
    /// When its last event up to there was recorded.
    pub recorded_at: DateTime<Utc>,
    pub state: RawJson,
}

impl Audit {
    /// What a stream comes to; `None` where there is none.
    pub async fn stream(&self, stream: &StreamId) -> Result<Option<Summary>, Error> {
        let rows = self.rows(SUMMARY, &[&stream.stream_type, &stream.id]).await?;
        Ok(rows.first().map(|row| Summary {
            stream: StreamId { stream_type: row.get(0), id: row.get(1) },
            version: Version(row.get(2)),
            first_position: Position(row.get(3)),
            last_position: Position(row.get(4)),
            created_at: row.get(5),
            updated_at: row.get(6),
        }))
    }

    /// Its events after a version.
    pub async fn stream_events(
        &self,
        stream: &StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Page<Version>, Error> {
        let Events { events, more } = self.log.stream(stream, after, limit + 1).await?;
        let shown = &events[..events.len().min(limit)];
        let next = more.then(|| shown.last().map(|event| event.version)).flatten();
        Ok(Page { items: shown.iter().map(RawJson::of).collect(), next })
    }

    /// The aggregate as it stood; `None` where there was nothing yet, or the stream is of no type this program knows.
    pub async fn state(&self, stream: &StreamId, at: At) -> Result<Option<State>, Error> {
        let Some(aggregate) = self.registry.stream(&stream.stream_type) else {
            return Ok(None);
        };
        let events_max = self.config.batch_events_max;
        let mut state = aggregate.initial();
        let mut last = None;
        loop {
            let after = last.map_or(Version(0), |(version, _)| version);
            let Events { events, more } = self.log.stream(stream, after, events_max).await?;
            let taken: Vec<_> = events
                .iter()
                .take_while(|event| match at {
                    At::Now => true,
                    At::Version(version) => event.version <= version,
                    At::Time(time) => event.recorded_at <= time,
                })
                .collect();
            let mut data = taken.iter().map(|event| (&*event.event_type, event.schema_version, &event.data));
            state = aggregate.fold(&state, &mut data)?;
            last = taken.last().map(|event| (event.version, event.recorded_at)).or(last);
            if !more || taken.len() < events.len() {
                break;
            }
        }
        Ok(last
            // Beyond its end there is nothing that stood.
            .filter(|(version, _)| !matches!(at, At::Version(wanted) if wanted > *version))
            .map(|(version, recorded_at)| State {
                stream: stream.clone(),
                version,
                recorded_at,
                state: aggregate.state_json(&state),
            }))
    }
}
