//! Waiting until a read model has come as far as a caller wants to see.
//!
//! A read model has reached a position when everything up to it was sent to Kafka and each partition has folded what was sent
//! to it; a partition with nothing newer holds nobody up. Without a relay the workers say how far they have read the log; so do
//! those that read the log for waiting readers, ahead of the relay. Workers of this process see who waits, and wake them; one of
//! those who wait tells workers of other processes, and polls, for all.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, PoisonError},
    time::Duration,
};

use deadpool_postgres::Object;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tracing::debug;

use super::{Catalog, Error, Freshness, ReadModels};
use crate::{
    log::{Partition, Position, Relayed},
    postgres,
    projector::{Seen, Status, wanted},
    uninterrupted::uninterrupted,
};

const CHECKPOINTS: &str = include_str!("checkpoints.sql");

/// How often the database is asked while somebody waits.
const POLL: Duration = Duration::from_millis(5);
/// Who does not want to wait gets as long as a look takes.
const WAIT_MIN: Duration = POLL.saturating_mul(4);

/// Where each partition has to come.
type Targets = BTreeMap<Partition, Position>;

/// When one of those who wait for a read model looked where it is, and told workers of other processes that it is waited for.
#[derive(Default)]
pub(super) struct Look {
    looked: Option<Instant>,
    told: Option<Instant>,
}

/// A generation that has come as far as wanted, as it was seen; the snapshot that is read has to have come there too.
pub(super) struct Reached {
    pub(super) catalog: Arc<Catalog>,
    pub(super) targets: Targets,
}

impl ReadModels {
    /// The live generation, once the read model is as fresh as wanted.
    pub(super) async fn reach(&self, name: &str, freshness: Freshness) -> Result<Reached, Error> {
        let Some(after) = freshness.after.filter(|after| after.0 > 0) else {
            return Ok(Reached { catalog: self.catalog(name).await?, targets: Targets::new() });
        };
        let _waiter = self.0.waiters.try_acquire().map_err(|_| Error::Overloaded)?;
        let wait = freshness.wait.min(self.0.limits.wait_max);
        let reaching = async {
            loop {
                match self.try_reach(name, after).await {
                    // No generation yet.
                    Err(Error::Behind) => sleep(POLL).await,
                    outcome => return outcome,
                }
            }
        };
        match timeout(wait.max(WAIT_MIN), reaching).await {
            Ok(reached) => reached,
            Err(_) => {
                // Perhaps for what another generation read, or for a read model that is dropped.
                self.forget(name);
                self.catalog(name).await?;
                Err(Error::Behind)
            }
        }
    }

    async fn try_reach(&self, name: &str, after: Position) -> Result<Reached, Error> {
        let catalog = self.catalog(name).await?;
        // Workers of this process make haste for as long as this is held.
        let seen = self.0.progress.watch(name);
        let wanted = catalog.folder.stream_types();
        let targets = match &self.0.relay {
            None => self.come(name, self.partitions(&wanted, after).await?, seen).await?,
            Some(relay) => {
                let sent = async {
                    let relayed = relay.beyond(after, POLL).await?;
                    self.come(name, targets(&relayed, &wanted, after), seen.clone()).await
                };
                // Workers may read the log for those who wait, and need not wait for the relay.
                let ahead = async {
                    let targets = self.partitions(&wanted, after).await?;
                    if targets.is_empty() || seen.is_none() {
                        // Without checkpoints only the relay's cursor says how far the read model is complete.
                        return pending().await;
                    }
                    self.come(name, targets, seen.clone()).await
                };
                tokio::select! {
                    targets = sent => targets?,
                    targets = ahead => targets?,
                }
            }
        };
        Ok(Reached { catalog, targets })
    }

    /// Waits until all partitions have come where they have to; returns where that is.
    async fn come(
        &self,
        name: &str,
        targets: Targets,
        mut seen: Option<watch::Receiver<Seen>>,
    ) -> Result<Targets, Error> {
        let runs_here = seen.as_ref().is_some_and(|seen| seen.borrow().status == Status::Running);
        // A worker of this process tells by itself.
        let looks_from = Instant::now() + if runs_here { POLL } else { Duration::ZERO };
        loop {
            if let Some(seen) = &mut seen
                && are_reached(&seen.borrow_and_update().checkpoints, &targets)
            {
                return Ok(targets);
            }
            if Instant::now() >= looks_from
                && let (own, name) = (self.clone(), name.to_owned())
                && let Some(checkpoints) = uninterrupted(async move { own.look(&name).await }).await?
                && are_reached(&checkpoints, &targets)
            {
                return Ok(targets);
            }
            match &mut seen {
                Some(seen) => {
                    // Out of time is as good: then it is looked again.
                    let _ = timeout(POLL, seen.changed()).await;
                }
                None => sleep(POLL).await,
            }
        }
    }

    /// Looks where a read model is, and tells workers of other processes that it is waited for; `None` where somebody does, or
    /// just did.
    async fn look(&self, name: &str) -> Result<Option<BTreeMap<Partition, Position>>, Error> {
        let Ok(mut looks) = self.0.looks.try_lock() else {
            return Ok(None);
        };
        let Look { looked, told } = looks.entry(name.to_owned()).or_default();
        if looked.is_some_and(|looked| looked.elapsed() < POLL) {
            return Ok(None);
        }
        *looked = Some(Instant::now());
        let client = self.0.client().await?;
        if told.is_none_or(|told| told.elapsed() >= wanted::INTERVAL) {
            *told = Some(Instant::now());
            if let Err(error) = wanted::tell(&client, name).await {
                debug!(%error, "workers of other processes do not hear that they are waited for");
            }
        }
        let checkpoints = checkpoints(&client, name).await?;
        self.0.progress.advance(name, checkpoints.clone());
        Ok(Some(checkpoints))
    }

    /// Every partition of stream types that have events. Their number never changes, so only a type without any is
    /// looked for again.
    async fn partitions(&self, wanted: &[String], after: Position) -> Result<Targets, Error> {
        let mut stream_types = self.0.stream_types.read().unwrap_or_else(PoisonError::into_inner).clone();
        if !wanted.iter().all(|wanted| stream_types.contains_key(wanted)) {
            let log = self.0.log.clone();
            stream_types = Arc::new(uninterrupted(async move { log.stream_types().await }).await?);
            *self.0.stream_types.write().unwrap_or_else(PoisonError::into_inner) = stream_types.clone();
        }
        let of = |stream_type: &String| {
            let partitions = stream_types.get(stream_type).map_or(0, |known| known.partitions);
            let stream_type = stream_type.clone();
            let partition = move |number| Partition { stream_type: stream_type.clone(), number };
            (0..partitions).map(move |number| (partition(number), after))
        };
        Ok(wanted.iter().flat_map(of).collect())
    }
}

async fn checkpoints(client: &Object, name: &str) -> Result<BTreeMap<Partition, Position>, Error> {
    let statement = client.prepare_cached(CHECKPOINTS).await.map_err(postgres::Error::from)?;
    let rows = client.query(&statement, &[&name]).await?;
    let checkpoint = |row: &tokio_postgres::Row| {
        (Partition { stream_type: row.get(0), number: row.get(1) }, Position(row.get(2)))
    };
    Ok(rows.iter().map(checkpoint).collect())
}

/// Where each partition has to come, when everything up to `after` is sent.
fn targets(relayed: &Relayed, wanted: &[String], after: Position) -> Targets {
    let sent = relayed.last_sent.iter().filter(|(partition, _)| wanted.contains(&partition.stream_type));
    let target = |(partition, sent): (&Partition, &Position)| (partition.clone(), after.min(*sent));
    sent.map(target).collect()
}

/// Whether all partitions have come where they have to.
pub(super) fn are_reached(checkpoints: &BTreeMap<Partition, Position>, targets: &Targets) -> bool {
    targets.iter().all(|(partition, target)| {
        let checkpoint = checkpoints.get(partition).copied().unwrap_or_default();
        checkpoint >= *target
    })
}
