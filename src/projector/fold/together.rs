//! The usual way to run a batch: wave by wave, one statement per group, sent without waiting for each other's answers.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use futures_util::{StreamExt, future::try_join3, stream::FuturesOrdered};
use tokio_postgres::Statement;
use uuid::Uuid;

use super::{
    Error, Fold, enter,
    error::of_statement,
    park::ToPark,
    session::{PLAN, Plan},
};
use crate::{
    json::RawJson,
    log::{Event, Partition},
    projector::{
        batch::Batch,
        checkpoint::{self, Passed},
        generation::Generation,
        waves::{self, Group},
    },
};

/// From how many events on a statement is planned for its very size; below, planning would take longer than running.
const OWN_PLAN_EVENTS_MIN: usize = 256;

impl Fold<'_> {
    /// Runs a batch in a generation; returns what became of its events.
    pub(super) async fn together<'b>(
        &self,
        transaction: &Transaction<'_>,
        generation: &Generation,
        batch: &Batch<'b>,
    ) -> Result<BTreeMap<&'b Partition, Passed>, Error> {
        let parked = self.parked(transaction, generation).await?;
        let (mut events, mut passed) = self.readable(generation, batch)?;
        let behind = batch
            .events
            .iter()
            .filter(|(_, event)| parked.hold(event) && generation.statements.contains_key(&event.event_type));
        let behind: Vec<_> =
            behind.map(|(partition, event)| ToPark { partition, event, poison: None }).collect();
        self.park(transaction, generation, &behind, &mut passed).await?;
        events.retain(|(_, event)| !parked.hold(event));
        let Generation { number, folder, .. } = generation;
        let groups = waves::cut(events.iter().map(|(_, event)| &**event), folder.order);
        let advancing =
            checkpoint::advance(transaction, &folder.name, *number, &batch.moved, &passed, self.stream_types);
        if groups.is_empty() {
            advancing.await?;
        } else {
            // None needs another's answer; they are sent in this order.
            let sending = self.send(transaction, generation, &groups);
            try_join3(advancing, enter(transaction, generation), sending).await?;
        }
        Ok(passed)
    }

    async fn send(
        &self,
        transaction: &Transaction<'_>,
        generation: &Generation,
        groups: &[Group<'_>],
    ) -> Result<(), Error> {
        let planning = transaction.prepare_cached(PLAN).await?;
        let mut statements: BTreeMap<&str, Statement> = BTreeMap::new();
        for group in groups {
            if !statements.contains_key(group.event_type) {
                let statement = transaction
                    .prepare_cached(&generation.statements[group.event_type])
                    .await
                    .map_err(|error| of_statement(group.events[0], error))?;
                statements.insert(group.event_type, statement);
            }
        }
        let steps = self.steps(groups);
        // Polled in this order at first, which is when each is sent.
        let mut pending: FuturesOrdered<_> = steps
            .iter()
            .map(|step| async {
                match step {
                    Step::Plan(plan) => {
                        transaction.execute(&planning, &plan.parameters()).await.map_err(Error::from)
                    }
                    Step::Group(columns, first) => columns
                        .execute(transaction, &statements[first.event_type.as_str()])
                        .await
                        .map_err(|error| of_statement(first, error)),
                }
            })
            .collect();
        while let Some(sent) = pending.next().await {
            sent?;
        }
        Ok(())
    }

    /// What is sent: the groups, and before them how they are to be planned where that changes.
    fn steps<'g>(&self, groups: &[Group<'g>]) -> Vec<Step<'g>> {
        let mut steps = Vec::with_capacity(groups.len() + 2);
        let mut plan = Plan::Kept;
        for group in groups {
            let wanted = if group.events.len() < OWN_PLAN_EVENTS_MIN { Plan::Kept } else { Plan::Own };
            if plan != wanted {
                plan = wanted;
                steps.push(Step::Plan(plan));
            }
            let version = self.deps.registry.schema_version(group.event_type).unwrap_or_default();
            steps.push(Step::Group(Box::new(Columns::new(&group.events, version)), group.events[0]));
        }
        steps
    }
}

/// Something to be sent, in its turn.
enum Step<'a> {
    Plan(Plan),
    Group(Box<Columns<'a>>, &'a Event),
}

/// Events of one type as the parameters of a statement over `events`.
pub(super) struct Columns<'a> {
    stream_type: &'a str,
    event_type: &'a str,
    schema_version: i32,
    positions: Vec<i64>,
    stream_ids: Vec<Uuid>,
    versions: Vec<i64>,
    event_ids: Vec<Uuid>,
    data: Vec<&'a RawJson>,
    metadata: Vec<&'a str>,
    recorded_at: Vec<DateTime<Utc>>,
}

impl<'a> Columns<'a> {
    /// `events` are of one type and not empty.
    pub(super) fn new(events: &[&'a Event], schema_version: i32) -> Self {
        Self {
            stream_type: &events[0].stream_type,
            event_type: &events[0].event_type,
            schema_version,
            positions: events.iter().map(|event| event.position.0).collect(),
            stream_ids: events.iter().map(|event| event.stream_id).collect(),
            versions: events.iter().map(|event| event.version.0).collect(),
            event_ids: events.iter().map(|event| event.event_id).collect(),
            data: events.iter().map(|event| &event.data).collect(),
            metadata: events.iter().map(|event| event.metadata.as_str()).collect(),
            recorded_at: events.iter().map(|event| event.recorded_at).collect(),
        }
    }

    /// Runs a statement over these events.
    pub(super) async fn execute(
        &self,
        transaction: &Transaction<'_>,
        statement: &Statement,
    ) -> Result<u64, tokio_postgres::Error> {
        transaction
            .execute(
                statement,
                &[
                    &self.stream_type,
                    &self.event_type,
                    &self.schema_version,
                    &self.positions,
                    &self.stream_ids,
                    &self.versions,
                    &self.event_ids,
                    &self.data,
                    &self.metadata,
                    &self.recorded_at,
                ],
            )
            .await
    }
}
