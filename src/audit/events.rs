//! Events by what is known of them, and one event with what led to it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{Audit, Error};
use crate::{
    json::RawJson,
    log::{Event, Metadata, Position, event},
    page::Page,
};

const FIND: &str = include_str!("find_events.sql");
const TRACE: &str = include_str!("trace_event.sql");

/// Which events are asked for; what is `None` is not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, clap::Args)]
pub struct Filter {
    /// Such as `order`.
    #[arg(long)]
    pub stream_type: Option<String>,
    /// Such as `order.created`.
    #[arg(long)]
    pub event_type: Option<String>,
    /// Who asked for it, such as `key:<id>`.
    #[arg(long)]
    pub actor: Option<String>,
    /// The conversation that it is of.
    #[arg(long)]
    pub correlation_id: Option<String>,
    /// The event or message that led to it.
    #[arg(long)]
    pub causation_id: Option<Uuid>,
    /// The command that it came of.
    #[arg(long)]
    pub command_id: Option<Uuid>,
    /// Recorded at or after.
    #[arg(long)]
    pub from: Option<DateTime<Utc>>,
    /// Recorded before; of an export not later than the database's clock.
    #[arg(long)]
    pub to: Option<DateTime<Utc>>,
}

impl Filter {
    /// Whether an event at hand is asked for.
    pub fn takes(&self, event: &Event) -> bool {
        let plain = self.stream_type.as_ref().is_none_or(|wanted| *wanted == event.stream_type)
            && self.event_type.as_ref().is_none_or(|wanted| *wanted == event.event_type)
            && self.from.is_none_or(|from| event.recorded_at >= from)
            && self.to.is_none_or(|to| event.recorded_at < to);
        plain && (!self.asks_for_metadata() || self.takes_metadata(event))
    }

    fn asks_for_metadata(&self) -> bool {
        self.actor.is_some()
            || self.correlation_id.is_some()
            || self.causation_id.is_some()
            || self.command_id.is_some()
    }

    fn takes_metadata(&self, event: &Event) -> bool {
        event.metadata.parse::<Metadata>().is_ok_and(|metadata| {
            self.actor.as_ref().is_none_or(|wanted| *wanted == metadata.actor)
                && self.correlation_id.as_ref().is_none_or(|wanted| *wanted == metadata.correlation_id)
                && self.causation_id.is_none_or(|wanted| Some(wanted) == metadata.causation_id)
                && self.command_id.is_none_or(|wanted| wanted == metadata.command_id)
        })
    }
}

/// A page of events, and how far in the log it has looked.
#[derive(Debug, Clone)]
pub struct Found {
    pub page: Page<Position>,
    pub reached: Position,
}

/// An event and what led to it, its own cause first.
#[derive(Debug, Clone, Serialize)]
pub struct Traced {
    #[serde(flatten)]
    pub event: Event,
    pub causes: Vec<Event>,
}

impl Audit {
    /// Events in the log's order, or `backwards`, from where an earlier page ended.
    pub async fn events(
        &self,
        filter: &Filter,
        cursor: Option<Position>,
        backwards: bool,
        limit: usize,
    ) -> Result<Found, Error> {
        let reached = self.reach().await?;
        let (after, until) = match (cursor, backwards) {
            (Some(cursor), false) => (cursor.0, reached.0),
            (Some(cursor), true) => (0, reached.0.min(cursor.0 - 1)),
            (None, _) => (0, reached.0),
        };
        let (events, cut) = self.find(filter, after, until, backwards, limit + 1).await?;
        let shown = &events[..events.len().min(limit)];
        let more = cut || events.len() > limit;
        let next = more.then(|| shown.last().map(|event| event.position)).flatten();
        Ok(Found { page: Page { items: shown.iter().map(RawJson::of).collect(), next }, reached })
    }

    /// Events after a position and up to another one, which the index has reached; and whether there are more than fit.
    pub(super) async fn find(
        &self,
        filter: &Filter,
        after: i64,
        until: i64,
        backwards: bool,
        most: usize,
    ) -> Result<(Vec<Event>, bool), Error> {
        let Filter { stream_type, event_type, actor, correlation_id, causation_id, command_id, from, to } =
            filter;
        self.events_of(
            FIND,
            &[
                &after,
                &until,
                stream_type,
                event_type,
                actor,
                correlation_id,
                causation_id,
                command_id,
                &backwards,
                &(most as i32),
                from,
                to,
            ],
        )
        .await
    }

    /// One event with its chain of causes.
    pub async fn event(&self, event_id: Uuid) -> Result<Option<Traced>, Error> {
        let head = self.log.head().await?;
        self.reach_all(head).await?;
        let rows = self.rows(TRACE, &[&event_id]).await?;
        let mut chain = rows.iter().map(event);
        let Some(event) = chain.next() else {
            return Ok(None);
        };
        Ok(Some(Traced { event, causes: chain.collect() }))
    }
}
