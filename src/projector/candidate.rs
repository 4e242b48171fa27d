//! A generation in the making: loaded from the log, indexed, handed over to the projection's workers.
//!
//! Folds with the workers' own code, in big batches, from one scan of the log (see [`super::scan`]) that several lanes share,
//! each a task. The invariant: it is never ahead of the live generation, and from the hand-over on always at the same position.
//! When each step is done is decided by [`crate::rebuild`].

use std::{slice, sync::Arc};

use deadpool_postgres::Transaction;
use futures_util::future::try_join;
use tokio::{
    sync::{Semaphore, SemaphorePermit, mpsc},
    task::JoinSet,
};

use super::{
    Deps, Folder,
    batch::{Checkpoints, Chunk, Feed, Filled, Scope},
    checkpoint::{self, Whose},
    fold::{self, Fold, Manner},
    folder::Order,
    generation::{self, Generation},
    scan::{self, Read, Reading, Scans, Stretch},
};
use crate::{
    config,
    log::{Partition, Position, StreamTypes},
    postgres::{self, Failure},
};

const LEVEL: &str = include_str!("candidate/level.sql");

/// Chunks between the scan and a lane: one is folded while the next one is read.
const CHUNKS_MAX: usize = 1;

/// From how many batches on a scan is shared.
const SHARED_BATCHES_MIN: i64 = 10;

/// Why a candidate makes no progress.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Somebody has to mend the folder or an event.
    #[error("{0}")]
    Refused(String),
    /// It may pass; what was done is kept.
    #[error("{0}")]
    Passing(String),
}

impl From<postgres::Error> for Error {
    fn from(error: postgres::Error) -> Self {
        match error.failure() {
            Failure::Transient => Self::Passing(error.to_string()),
            Failure::Data | Failure::Fatal => Self::Refused(error.to_string()),
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        postgres::Error::from(error).into()
    }
}

impl From<generation::Error> for Error {
    fn from(error: generation::Error) -> Self {
        match error {
            generation::Error::Refused(reason) => Self::Refused(reason),
            generation::Error::Database(error) => error.into(),
        }
    }
}

impl From<fold::Error> for Error {
    fn from(error: fold::Error) -> Self {
        match error {
            fold::Error::Poison(poison) => Self::Refused(poison.to_string()),
            fold::Error::Database(error) => error.into(),
            passing => Self::Passing(passing.to_string()),
        }
    }
}

/// What all generations in the making of a process share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shared {
    scans: Scans,
    /// Transactions at once, of all lanes.
    folds: Arc<Semaphore>,
    /// The other steps at once that hold a connection for long.
    builds: Arc<Semaphore>,
}

impl Shared {
    /// `connections`: how many there are for all; one is left for those who renew leases.
    pub(crate) fn new(limits: &config::Projector, connections: usize) -> Self {
        let folds = limits.rebuild_folds_max.min(connections.saturating_sub(2)).max(1);
        let builds = connections.saturating_sub(folds + 1).max(1);
        Self {
            scans: Scans::default(),
            folds: Arc::new(Semaphore::new(folds)),
            builds: Arc::new(Semaphore::new(builds)),
        }
    }

    /// A turn at indexing or comparing.
    pub(crate) async fn turn(&self) -> SemaphorePermit<'_> {
        self.builds.acquire().await.expect("nobody closes it")
    }
}

/// A generation in the making, or made.
pub(crate) struct Candidate {
    deps: Deps,
    limits: config::Projector,
    generation: Generation,
    /// Whether it is handed over.
    pub(crate) follows: bool,
}

/// How a generation is loaded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Transactions at once.
    pub(crate) lanes: usize,
    pub(crate) max_events_per_second: Option<u32>,
}

/// Makes the next generation of a projection, of `folder`, or of the live one's; returns its number. Its indexes come
/// after its load.
pub(crate) async fn make(
    deps: &Deps,
    transaction: &Transaction<'_>,
    projection: &str,
    folder: Option<Folder>,
) -> Result<i32, Error> {
    let live = generation::following(transaction, projection).await?.into_iter().next();
    let live = live.map(|live| live.folder);
    let before = live.as_ref().map(|live| live.order);
    let folder = folder.or(live);
    let folder = folder.ok_or_else(|| Error::Refused("there is no generation to begin with".into()))?;
    if before == Some(Order::Stream) && folder.order == Order::Global {
        // What serves has not come equally far in all partitions, and the new one could not be handed over in order.
        return Err(Error::Refused(
            "`order` cannot become \"global\" while a generation with \"stream\" serves: make it another projection, under \
             another name"
                .into(),
        ));
    }
    generation::refuse(&folder.check(&deps.registry))?;
    Ok(generation::create_next(transaction, &folder, &deps.registry).await?)
}

impl Candidate {
    /// The generation with this number.
    pub(crate) async fn find(
        deps: &Deps,
        limits: &config::Projector,
        projection: &str,
        number: i32,
    ) -> Result<Arc<Self>, Error> {
        let found = generation::find(&deps.read, projection, number).await?;
        let (generation, follows) =
            found.ok_or_else(|| Error::Refused(format!("generation {number} is gone")))?;
        let (deps, limits) = (deps.clone(), limits.clone());
        Ok(Arc::new(Self { deps, limits, generation, follows }))
    }

    /// Folds what the live generation has folded so far; true when that was not much.
    pub(crate) async fn load(self: &Arc<Self>, pace: Pace, shared: &Shared) -> Result<bool, Error> {
        let stretch = self.stretch().await?;
        let count = match self.folder().order {
            Order::Stream => pace.lanes.max(1),
            Order::Global => 1,
        };
        let stream_types = Arc::new(stretch.stream_types.clone());
        // Aborted when this is dropped.
        let (mut folding, mut lanes) = (JoinSet::new(), Vec::new());
        for _ in 0..count {
            let (lane, chunks) = mpsc::channel(CHUNKS_MAX);
            lanes.push(lane);
            folding.spawn(self.clone().fold_lane(chunks, stream_types.clone(), shared.folds.clone()));
        }
        // What fits a few batches is not worth waiting for others: live traffic would add as much meanwhile, without end. And
        // whoever is throttled would hold them up.
        let is_long = stretch.length() > SHARED_BATCHES_MIN * self.limits.batch_events_max as i64;
        let reading = Reading { stretch, lanes };
        let reading = async {
            match pace.max_events_per_second {
                None if is_long => shared.scans.together(&self.deps.reader, &self.limits, reading).await,
                most => scan::alone(&self.deps.reader, &self.limits, reading, most).await,
            }
        };
        let folding = async {
            while let Some(ended) = folding.join_next().await {
                ended.map_err(|error| Error::Passing(error.to_string()))??;
            }
            Ok(())
        };
        let (read, ()) = try_join(reading, folding).await?;
        Ok(read < self.limits.batch_events_max)
    }

    /// Makes the indexes.
    pub(crate) async fn index(&self, transaction: &Transaction<'_>) -> Result<(), Error> {
        Ok(generation::index(transaction, &self.generation).await?)
    }

    /// Brings the generation to exactly where the live one stands and lets the workers feed both from there; false when
    /// the rest was too much for one transaction, or has to be looked at anew.
    pub(crate) async fn hand_over(&self) -> Result<bool, Error> {
        match self.try_hand_over(Manner::Together).await? {
            Some(done) => Ok(done),
            None => Ok(self.try_hand_over(Manner::Singly).await?.unwrap_or(false)),
        }
    }

    /// `None`: the database refuses a batch together.
    async fn try_hand_over(&self, manner: Manner) -> Result<Option<bool>, Error> {
        let Stretch { stream_types, at, .. } = self.stretch().await?;
        let (name, number) = (&self.folder().name, self.generation.number);
        let mut client = self.deps.read.get().await.map_err(postgres::Error::from)?;
        let mut transaction = client.transaction().await?;
        // Nobody folds meanwhile: a worker would begin with a stream type that has its first event now.
        generation::hold(&transaction, name).await?;
        fold::begin(&transaction, name, &self.limits).await?;
        let partitions: Vec<Partition> = at.into_keys().collect();
        let whose = Whose::FollowersAnd(number);
        checkpoint::lock_settled(&transaction, name, &partitions, whose).await?;
        let mut live = live_checkpoints(&transaction, name).await?;
        // Workers have left what a generation read that is gone, or are about to.
        let own = self.folder().stream_types();
        let following = generation::stream_types(&generation::following(&transaction, name).await?);
        live.retain(|Partition { stream_type, .. }, _| {
            own.contains(stream_type) || following.contains(stream_type)
        });
        if !live.keys().all(|partition| partitions.contains(partition)) {
            return Ok(Some(false));
        }
        let ends: Checkpoints = match (self.folder().order, live.values().min().copied()) {
            // In the order of the log: to one position for all, also those that only this generation reads. Those that
            // the live one reads too and has not begun with yet stay where both begin.
            (Order::Global, Some(end)) => {
                if live.values().any(|position| *position != end) {
                    return Ok(Some(false));
                }
                let begun = |partition: &Partition| {
                    live.contains_key(partition) || !following.contains(&partition.stream_type)
                };
                partitions.into_iter().filter(begun).map(|partition| (partition, end)).collect()
            }
            _ => live,
        };
        let feeds =
            ends.into_iter().map(|(partition, logged)| (partition, Feed { logged, ..Feed::default() }));
        let chunk = Chunk { feeds: feeds.collect(), scope: Scope::Named };
        let mut done = true;
        if !chunk.feeds.is_empty() {
            let fold = self.fold(&stream_types, None);
            match fold.within(&mut transaction, &chunk, manner).await {
                Ok((_, Some(poison))) => return Err(fold::Error::Poison(Box::new(poison)).into()),
                Ok((folded, None)) => done = !folded.more,
                Err(fold::Error::Data(_)) if manner == Manner::Together => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        if done {
            transaction.execute(LEVEL, &[name, &number]).await?;
        }
        transaction.commit().await?;
        Ok(Some(done))
    }

    fn folder(&self) -> &Folder {
        &self.generation.folder
    }

    fn fold<'a>(&'a self, stream_types: &'a StreamTypes, filled: Option<&'a Filled>) -> Fold<'a> {
        Fold {
            deps: &self.deps,
            generations: slice::from_ref(&self.generation),
            stream_types,
            limits: &self.limits,
            loading: true,
            filled,
        }
    }

    /// What there is to load. It also advances through stream types only the followers read, so that all have the same
    /// checkpoints; what it alone reads, it reads to the end, or, in the order of the log, as far as the others.
    async fn stretch(&self) -> Result<Stretch, Error> {
        let name = &self.folder().name;
        let number = self.generation.number;
        let mut client = self.deps.read.get().await.map_err(postgres::Error::from)?;
        let transaction = client.transaction().await?;
        let following = generation::stream_types(&generation::following(&transaction, name).await?);
        let mut live = live_checkpoints(&transaction, name).await?;
        transaction.commit().await?;
        // Others wait for it.
        drop(client);
        let mut stream_types = self.deps.reader.stream_types().await?;
        let own = self.folder().stream_types();
        stream_types.retain(|stream_type, _| own.contains(stream_type) || following.contains(stream_type));
        live.retain(|partition, _| stream_types.contains_key(&partition.stream_type));
        let head = self.deps.reader.head().await?;
        checkpoint::ensure(&self.deps.read, name, number, self.deps.log_id, &stream_types).await?;
        let at = checkpoint::read(&self.deps.read, name, Some(number)).await?;
        // Without those of stream types that nobody reads any more: a generation that did has gone since.
        let at = at.into_iter().filter(|stored| stream_types.contains_key(&stored.partition.stream_type));
        let at: Checkpoints = at.map(|stored| (stored.partition, stored.position)).collect();
        let least = live.values().min().copied().filter(|_| self.folder().order == Order::Global);
        let end = |partition: &Partition| match live.get(partition) {
            // Its workers are about to begin with it, before they go on with others.
            None if following.contains(&partition.stream_type) => Position(0),
            Some(position) => least.unwrap_or(*position),
            None => least.unwrap_or(head),
        };
        let to = at.keys().map(|partition| (partition.clone(), end(partition))).collect();
        Ok(Stretch { stream_types, at, to })
    }

    async fn fold_lane(
        self: Arc<Self>,
        mut chunks: mpsc::Receiver<Read>,
        stream_types: Arc<StreamTypes>,
        folds: Arc<Semaphore>,
    ) -> Result<(), Error> {
        while let Some((chunk, filled)) = chunks.recv().await {
            let _turn = folds.acquire().await.expect("nobody closes it");
            if self.fold(&stream_types, Some(&filled)).run(&chunk).await?.more {
                return Err(Error::Passing(
                    "a checkpoint is not where it was, or a newer program's event came".into(),
                ));
            }
        }
        Ok(())
    }
}

/// How far the live generation has come.
async fn live_checkpoints(transaction: &Transaction<'_>, projection: &str) -> Result<Checkpoints, Error> {
    let stored = checkpoint::read_by(transaction, projection, None).await?;
    Ok(stored.into_iter().map(|stored| (stored.partition, stored.position)).collect())
}
