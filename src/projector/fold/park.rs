//! Parking streams: an event that the database refuses does not stop the others, but the later events of its own
//! stream wait behind it, in order.

use std::collections::{BTreeMap, HashSet};

use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::{Error, Fold, Poison};
use crate::{
    log::{Event, Partition},
    projector::{checkpoint::Passed, folder::OnError, generation::Generation},
};

const STREAMS: &str = include_str!("parked_streams.sql");
const PARK: &str = include_str!("park.sql");
const COUNT: &str = include_str!("count_parked.sql");

/// Streams that are parked.
pub(super) struct Streams(HashSet<(String, Uuid)>);

/// An event that is to be parked, and what is wrong with it; nothing, where it only waits.
pub(super) struct ToPark<'a> {
    pub(super) partition: &'a Partition,
    pub(super) event: &'a Event,
    pub(super) poison: Option<Poison>,
}

impl Streams {
    pub(super) fn hold(&self, event: &Event) -> bool {
        !self.0.is_empty() && self.0.contains(&(event.stream_type.clone(), event.stream_id))
    }

    pub(super) fn insert(&mut self, event: &Event) {
        self.0.insert((event.stream_type.clone(), event.stream_id));
    }
}

impl Fold<'_> {
    /// The streams that a generation has parked; under the lock of the checkpoints concerned.
    pub(super) async fn parked(
        &self,
        transaction: &Transaction<'_>,
        generation: &Generation,
    ) -> Result<Streams, Error> {
        if generation.folder.on_error == OnError::Stop {
            return Ok(Streams(HashSet::new()));
        }
        let statement = transaction.prepare_cached(STREAMS).await?;
        let rows = transaction.query(&statement, &[&generation.folder.name, &generation.number]).await?;
        Ok(Streams(rows.iter().map(|row| (row.get(0), row.get(1))).collect()))
    }

    /// Parks events and counts them so. An error, for which the projection stops, where they become too many.
    pub(super) async fn park(
        &self,
        transaction: &Transaction<'_>,
        generation: &Generation,
        events: &[ToPark<'_>],
        passed: &mut BTreeMap<&Partition, Passed>,
    ) -> Result<(), Error> {
        let Some(last) = events.last() else {
            return Ok(());
        };
        let (name, number) = (&generation.folder.name, generation.number);
        let of = |text: fn(&Poison) -> Option<&str>| -> Vec<Option<&str>> {
            events.iter().map(|parked| parked.poison.as_ref().and_then(text)).collect()
        };
        let park = transaction.prepare_cached(PARK).await?;
        transaction
            .execute(
                &park,
                &[
                    name,
                    &number,
                    &events.iter().map(|parked| parked.event.position.0).collect::<Vec<_>>(),
                    &events.iter().map(|parked| parked.event.stream_type.as_str()).collect::<Vec<_>>(),
                    &events.iter().map(|parked| parked.event.stream_id).collect::<Vec<_>>(),
                    &events.iter().map(|parked| parked.partition.number).collect::<Vec<_>>(),
                    &events.iter().map(|parked| parked.event.version.0).collect::<Vec<_>>(),
                    &events.iter().map(|parked| parked.event.event_id).collect::<Vec<_>>(),
                    &events.iter().map(|parked| parked.event.event_type.as_str()).collect::<Vec<_>>(),
                    &of(|poison| Some(&poison.statement)),
                    &of(|poison| poison.sqlstate.as_deref()),
                    &of(|poison| Some(&poison.error)),
                ],
            )
            .await?;
        for parked in events {
            if let Some(passed) = passed.get_mut(parked.partition) {
                passed.applied -= 1;
                passed.parked += 1;
            }
        }
        let count = transaction.prepare_cached(COUNT).await?;
        let count: i64 = transaction.query_one(&count, &[name, &number]).await?.get(0);
        if count > self.limits.parked_max {
            return Err(Error::Poison(Box::new(Poison::too_many(last.event, self.limits.parked_max))));
        }
        Ok(())
    }
}
