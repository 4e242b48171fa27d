//! Folds a chunk into a projection's tables: rows and checkpoints in one transaction.
//!
//! The one place where projections are written, wherever the events come from. The invariant: after each commit a partition's
//! rows are the fold of exactly its events up to its checkpoint.

mod error;
pub(super) mod fill;
mod park;
mod session;
mod singly;
mod together;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use deadpool_postgres::{GenericClient, Transaction};
pub(super) use error::{Error, Poison};
use futures_util::future::try_join;
pub(super) use session::{begin, enter};
use session::{commit_lazily, prepare};
pub(super) use singly::run_one;
use tracing::{debug, error};

use super::{
    Deps,
    batch::{Batch, Checkpoints, Chunk, Filled, Scope},
    checkpoint::{self, Passed, Whose},
    generation::{self, Generation},
};
use crate::{
    aggregate::{DecodeError, Registry},
    config,
    json::RawJson,
    log::{Event, Partition, Position, StreamTypes},
    postgres::{self, Failure},
    trace::Begun,
};

const DETACH: &str = include_str!("fold/detach.sql");
const STATE: &str = include_str!("fold/state.sql");
const STOP: &str = include_str!("fold/stop.sql");

/// What a fold needs beside the chunk.
pub(super) struct Fold<'a> {
    pub(super) deps: &'a Deps,
    /// Every generation that follows; the first is the live one.
    pub(super) generations: &'a [Generation],
    pub(super) stream_types: &'a StreamTypes,
    pub(super) limits: &'a config::Projector,
    /// Whether this loads the one generation, which does not follow yet.
    pub(super) loading: bool,
    /// What was read of the log for the chunk, where it was made of that; else holes are read as they are found.
    pub(super) filled: Option<&'a Filled>,
}

/// What a fold came to.
#[derive(Default)]
pub(super) struct Folded {
    /// Whether the chunk has to be folded again, because not all of it was.
    pub(super) more: bool,
    /// Whether others hold every partition it is about.
    pub(super) taken: bool,
    /// Where its partitions stand now.
    pub(super) checkpoints: Vec<(Partition, Position)>,
    pub(super) applied: u64,
    pub(super) ignored: u64,
    pub(super) parked: u64,
    /// Of the events that were applied; they end when it is committed.
    spans: Begun,
}

impl Folded {
    /// Events that are behind the checkpoints now.
    pub(super) fn passed(&self) -> u64 {
        self.applied + self.ignored + self.parked
    }
}

/// How a batch is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Wave by wave, a statement per group.
    Together,
    /// Event by event, to find the one that the database refuses.
    Singly,
}

/// A batch's events as they are folded: of today's schema version, without those that the folder ignores.
type Readable<'a> = Vec<(&'a Partition, Cow<'a, Event>)>;

impl Fold<'_> {
    /// Folds a chunk, or as much of it as fits one transaction.
    pub(super) async fn run(&self, chunk: &Chunk) -> Result<Folded, Error> {
        match self.attempt(chunk, Manner::Together).await {
            // Of a statement over many events it is not known which one it failed at.
            Err(error @ (Error::Data(_) | Error::Poison(_))) => {
                let projection = &self.generations[0].folder.name;
                debug!(projection, %error, "a batch is folded event by event");
                self.attempt(chunk, Manner::Singly).await
            }
            outcome => outcome,
        }
    }

    async fn attempt(&self, chunk: &Chunk, manner: Manner) -> Result<Folded, Error> {
        let mut client = self.deps.read.get().await.map_err(postgres::Error::from)?;
        let mut transaction = client.transaction().await?;
        let (mut folded, poison) = self.within(&mut transaction, chunk, manner).await?;
        transaction.commit().await?;
        std::mem::take(&mut folded.spans).end();
        match poison {
            Some(poison) => Err(Error::Poison(Box::new(poison))),
            None => Ok(folded),
        }
    }

    /// Folds a chunk as a part of a transaction.
    pub(super) async fn within(
        &self,
        transaction: &mut Transaction<'_>,
        chunk: &Chunk,
        manner: Manner,
    ) -> Result<(Folded, Option<Poison>), Error> {
        let first = &self.generations[0];
        let Some(checkpoints) = self.open(transaction, chunk).await? else {
            return Ok((Folded { taken: true, ..Folded::default() }, None));
        };
        let filled = self.fill(chunk, &checkpoints).await?;
        let began = SystemTime::now();
        let mut batch = Batch::stage(chunk, &checkpoints, &filled);
        let unreadable = self.cut_unreadable(&mut batch)?;
        let (passed, poison) = match manner {
            Manner::Together => (self.together(transaction, first, &batch).await?, None),
            Manner::Singly => self.singly(transaction, first, &mut batch).await?,
        };
        if let Some(poison) = &poison
            && !self.loading
        {
            self.stop(transaction, poison).await?;
        }
        let spans = self.spans(transaction, &batch, began).await?;
        for generation in &self.generations[1..] {
            self.follow(transaction, generation, &batch).await?;
        }
        let sum = |of: fn(&Passed) -> i64| passed.values().map(of).sum::<i64>().unsigned_abs();
        let folded = Folded {
            more: unreadable || !batch.holes.is_empty(),
            taken: false,
            applied: sum(|passed| passed.applied),
            ignored: sum(|passed| passed.ignored),
            parked: sum(|passed| passed.parked),
            spans,
            checkpoints: batch
                .moved
                .iter()
                .map(|(partition, moved)| ((*partition).clone(), moved.to))
                .collect(),
        };
        Ok((folded, poison))
    }

    /// The spans of what the live generation applied. What is loaded anew was applied before, by another one.
    async fn spans(
        &self,
        transaction: &Transaction<'_>,
        batch: &Batch<'_>,
        began: SystemTime,
    ) -> Result<Begun, Error> {
        let spans = &self.deps.spans;
        if self.loading || !spans.are_taken() {
            return Ok(Begun::default());
        }
        let live = &self.generations[0];
        let parked = self.parked(transaction, live).await?;
        let events = batch.events.iter().map(|(_, event)| *event);
        let applied =
            events.filter(|event| live.statements.contains_key(&event.event_type) && !parked.hold(event));
        Ok(spans.applying(&live.folder.name, began, applied))
    }

    /// Runs a batch in a generation beside the live one. Where it cannot, it is detached, and the live one goes on.
    async fn follow(
        &self,
        transaction: &mut Transaction<'_>,
        generation: &Generation,
        batch: &Batch<'_>,
    ) -> Result<(), Error> {
        let mut savepoint = transaction.transaction().await?;
        let mut outcome = self.together(&savepoint, generation, batch).await.map(|_| ());
        // Somebody's cancellation comes once, a limit of the statement's time again.
        if matches!(&outcome, Err(Error::Database(error)) if postgres::exceeds_a_limit(error)) {
            savepoint.rollback().await?;
            savepoint = transaction.transaction().await?;
            outcome = self.together(&savepoint, generation, batch).await.map(|_| ());
        }
        if matches!(outcome, Err(Error::Data(_) | Error::Poison(_))) {
            savepoint.rollback().await?;
            savepoint = transaction.transaction().await?;
            outcome = match self.singly(&mut savepoint, generation, &mut batch.clone()).await {
                Ok((_, None)) => Ok(()),
                Ok((_, Some(poison))) => Err(Error::Poison(Box::new(poison))),
                Err(error) => Err(error),
            };
        }
        let failed = match outcome {
            Ok(()) => return Ok(savepoint.commit().await?),
            Err(Error::Database(error))
                if error.failure() == Failure::Transient && !postgres::exceeds_a_limit(&error) =>
            {
                return Err(error.into());
            }
            Err(error) => error,
        };
        savepoint.rollback().await?;
        let (name, reason) = (&generation.folder.name, failed.to_string());
        error!(projection = name, generation = generation.number, reason, "a generation is detached");
        transaction.execute(DETACH, &[name, &generation.number, &reason]).await?;
        Ok(())
    }

    /// Stops the projection.
    pub(super) async fn stop(
        &self,
        client: &impl GenericClient,
        poison: &Poison,
    ) -> Result<(), postgres::Error> {
        let live = &self.generations[0];
        client.execute(STOP, &[&live.folder.name, &RawJson::of(poison), &live.number]).await?;
        Ok(())
    }

    /// Detaches a generation because of something that is not one batch's fault.
    pub(super) async fn detach(&self, generation: i32, reason: &str) -> Result<(), postgres::Error> {
        let name = &self.generations[0].folder.name;
        error!(projection = name, generation, reason, "a generation is detached");
        let mut client = self.deps.read.get().await?;
        let transaction = client.transaction().await?;
        generation::hold(&transaction, name).await?;
        transaction.execute(DETACH, &[name, &generation, &reason]).await?;
        Ok(transaction.commit().await?)
    }

    /// Makes the transaction fit to fold and locks the partitions that it takes; `None` where others hold all of them, or
    /// they are of a generation that is gone. Nothing waits for an answer that it does not need.
    async fn open(&self, transaction: &Transaction<'_>, chunk: &Chunk) -> Result<Option<Checkpoints>, Error> {
        let first = &self.generations[0];
        let name = &first.folder.name;
        prepare(transaction).await?;
        let begun = try_join(begin(transaction, name, self.limits), commit_lazily(transaction));
        if let Scope::Named = chunk.scope {
            let partitions: Vec<Partition> = chunk.feeds.keys().cloned().collect();
            let (_, checkpoints) = try_join(begun, self.lock(transaction, &partitions)).await?;
            return Ok(Some(checkpoints));
        }
        let wanted = chunk.feeds.keys();
        let choosing = checkpoint::choose(transaction, name, first.number, chunk.scope, wanted);
        let (_, partitions) = try_join(begun, choosing).await?;
        if partitions.is_empty() {
            self.check_state(transaction).await?;
            return Ok(None);
        }
        Ok(Some(self.lock(transaction, &partitions).await?))
    }

    /// Locks the partitions; every generation that follows stands where the live one does.
    async fn lock(
        &self,
        transaction: &Transaction<'_>,
        partitions: &[Partition],
    ) -> Result<Checkpoints, Error> {
        let Generation { number: first, folder, .. } = &self.generations[0];
        // What is read of the log for a stream type that is not known here would be thrown away.
        if partitions.iter().any(|partition| !self.stream_types.contains_key(&partition.stream_type)) {
            return Err(Error::NoCheckpoint);
        }
        let whose = match self.loading {
            true => Whose::Candidate(*first),
            false => Whose::Followers,
        };
        let locking = checkpoint::lock(transaction, &folder.name, partitions, whose);
        let (mut standing, ()) = try_join(locking, self.check_state(transaction)).await?;
        let missing = |number: &i32| standing.get(number).is_none_or(|known| known.len() < partitions.len());
        if self.generations.iter().any(|generation| missing(&generation.number)) {
            return Err(Error::NoCheckpoint);
        }
        let live = standing.remove(first).ok_or(Error::NoCheckpoint)?;
        match standing.iter().find(|(_, checkpoints)| **checkpoints != live) {
            Some((apart, _)) => Err(Error::Apart(*apart)),
            None => Ok(live),
        }
    }

    /// Whether the projection may go on, and with the generations that this worker knows. Its generations
    /// stay what they are until the transaction ends. A load goes on in any case.
    async fn check_state(&self, transaction: &Transaction<'_>) -> Result<(), Error> {
        if self.loading {
            return Ok(());
        }
        let statement = transaction.prepare_cached(STATE).await?;
        let state = transaction.query_opt(&statement, &[&self.generations[0].folder.name]).await?;
        let state = state.ok_or(Error::Changed)?;
        let followers: BTreeSet<i32> = state.get::<_, Vec<_>>(3).into_iter().collect();
        let known: BTreeSet<i32> = self.generations.iter().map(|generation| generation.number).collect();
        if state.get::<_, i32>(2) != self.generations[0].number || followers != known {
            return Err(Error::Changed);
        }
        if state.get(0) {
            return Err(Error::Paused);
        }
        match state.get::<_, Option<String>>(1) {
            Some(reason) => Err(Error::Stopped(reason)),
            None => Ok(()),
        }
    }

    async fn fill(&self, chunk: &Chunk, checkpoints: &Checkpoints) -> Result<Cow<'_, Filled>, Error> {
        if let Some(filled) = self.filled {
            return Ok(Cow::Borrowed(filled));
        }
        let holes = Batch::stage(chunk, checkpoints, &Filled::default()).holes;
        if holes.is_empty() {
            return Ok(Cow::Owned(Filled::default()));
        }
        Ok(Cow::Owned(fill::fill(&self.deps.reader, &holes, self.stream_types, self.limits).await?))
    }

    /// Leaves out what comes after an event that this program is too old to read; true if there was one. An error where
    /// nothing comes before it.
    fn cut_unreadable(&self, batch: &mut Batch<'_>) -> Result<bool, Error> {
        let registry = &self.deps.registry;
        let folded = |event: &Event| {
            self.generations.iter().any(|known| known.statements.contains_key(&event.event_type))
        };
        let readable = |event: &Event| match folded(event) {
            true => upcast(registry, event).map(|_| ()),
            false => Ok(()),
        };
        let first = batch.events.iter().find_map(|(_, event)| Some((event.position, readable(event).err()?)));
        let Some((position, error)) = first else {
            return Ok(false);
        };
        batch.cut(position);
        if batch.moved.is_empty() {
            return Err(Error::Unreadable { position, error });
        }
        Ok(true)
    }

    /// The events that a generation folds, and how many of each partition it folds and ignores.
    fn readable<'b>(
        &self,
        generation: &Generation,
        batch: &Batch<'b>,
    ) -> Result<(Readable<'b>, BTreeMap<&'b Partition, Passed>), Error> {
        let mut events = Vec::with_capacity(batch.events.len());
        let mut passed: BTreeMap<&Partition, Passed> = BTreeMap::new();
        for (partition, event) in &batch.events {
            let passed = passed.entry(partition).or_default();
            if !generation.statements.contains_key(&event.event_type) {
                passed.ignored += 1;
                continue;
            }
            passed.applied += 1;
            let event = upcast(&self.deps.registry, event)
                .map_err(|error| Error::Unreadable { position: event.position, error })?;
            events.push((*partition, event));
        }
        Ok((events, passed))
    }
}

/// The event in today's schema version.
pub(super) fn upcast<'a>(registry: &Registry, event: &'a Event) -> Result<Cow<'a, Event>, DecodeError> {
    if registry.schema_version(&event.event_type) == Some(event.schema_version) {
        return Ok(Cow::Borrowed(event));
    }
    let data = registry.upcast(&event.event_type, event.schema_version, &event.data)?;
    let schema_version = registry.schema_version(&event.event_type).unwrap_or(event.schema_version);
    Ok(Cow::Owned(Event { data, schema_version, ..event.clone() }))
}
