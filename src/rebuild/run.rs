//! Runs rebuilds: claims idle ones, sends heartbeats, drops leftovers.
//!
//! Any number of processes may run this. A lease says who carries a rebuild on; who lost it can do no harm, since
//! checkpoints move by compare-and-set and states change only for their holder.

use std::{collections::BTreeSet, time::Duration};

use deadpool_postgres::{Pool, Transaction};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::{Error, Rebuild, State, steps};
use crate::{
    config,
    json::RawJson,
    postgres,
    projector::{
        Deps, Folder,
        candidate::Shared,
        generation,
        sql::{Identifier, fill},
    },
    trouble::Trouble,
};

const CLAIM: &str = include_str!("claim.sql");
const RELEASE: &str = include_str!("release.sql");
const BEAT: &str = include_str!("beat.sql");
const RATE: &str = include_str!("rate.sql");
const START_NEWER: &str = include_str!("start_newer.sql");
const SUPERFLUOUS: &str = include_str!("superfluous.sql");
const FORGET_GENERATIONS: &str = include_str!("forget_generations.sql");
const DROP_SCHEMA: &str = include_str!("drop_schema.sql");

/// Before old generations are dropped once more that could not be: while a backup reads them, say. Each try holds up the workers
/// for a moment.
const CLEAN_PAUSE: Duration = Duration::from_secs(60);

/// What carries rebuilds on.
#[derive(Clone)]
pub(super) struct Carrier {
    pub(super) deps: Deps,
    pub(super) limits: config::Projector,
    /// Who it is, to the lease.
    pub(super) holder: Uuid,
    pub(super) shared: Shared,
}

/// Carries rebuilds on until the shutdown; begins those of folders that have a new version.
pub async fn run(deps: Deps, folders: Vec<Folder>, limits: config::Projector, shutdown: CancellationToken) {
    let shared = Shared::new(&limits, deps.read.status().max_size);
    let carrier = Carrier { deps, limits, holder: Uuid::now_v7(), shared };
    shutdown.run_until_cancelled(carrier.work(&folders)).await;
    if let Err(error) = carrier.release().await {
        warn!(%error, "rebuilds wait until this process' lease ends");
    }
}

impl Carrier {
    async fn work(&self, folders: &[Folder]) {
        let mut carried = JoinSet::new();
        let mut clean_at = Instant::now();
        let mut trouble = Trouble::new("rebuilds could not be polled; running ones continue");
        loop {
            trouble.note(self.round(folders, &mut carried).await);
            if clean_at <= Instant::now() && !self.clean().await {
                clean_at = Instant::now() + CLEAN_PAUSE;
            }
            while let Some(ended) = carried.try_join_next() {
                if let Err(error) = ended {
                    error!(%error, "a rebuild's task panicked; it is carried on when its lease ends");
                }
            }
            sleep(self.limits.poll_interval).await;
        }
    }

    async fn round(&self, folders: &[Folder], carried: &mut JoinSet<()>) -> Result<(), Error> {
        if self.limits.rebuild_on_new_version {
            self.start_newer(folders).await?;
        }
        while carried.len() < self.limits.rebuilds_max
            && let Some(rebuild) = self.claim().await?
        {
            let carrier = self.clone();
            carried.spawn(async move { carrier.carry(rebuild).await });
        }
        Ok(())
    }

    /// Carries a rebuild on until it ends, waits, or is not this carrier's any more.
    async fn carry(&self, rebuild: Rebuild) {
        let (projection, id) = (rebuild.projection.clone(), rebuild.id);
        info!(projection, %id, state = %rebuild.state, "rebuilding");
        let begun = rebuild.events_done;
        tokio::select! {
            () = steps::run(self, rebuild) => {}
            () = self.beat(id, begun) => {}
        }
        match super::get(&self.deps.read, id).await {
            Ok(rebuild) if rebuild.state == State::Failed => {
                error!(projection, %id, error = rebuild.error, "the rebuild failed");
            }
            Ok(rebuild) => {
                info!(projection, %id, state = %rebuild.state, error = rebuild.error, "the rebuild")
            }
            Err(error) => warn!(projection, %id, %error, "the rebuild is not known"),
        }
    }

    /// Keeps the lease and tells the progress; returns when the rebuild is not this carrier's any more.
    async fn beat(&self, id: Uuid, begun: i64) {
        let began = Instant::now();
        // Twice in the lease's time, and often enough for people who watch or pause it.
        let pause = self.limits.poll_interval.min(self.lease() / 2);
        while !matches!(self.try_beat(id, begun, began).await, Ok(false)) {
            sleep(pause).await;
        }
    }

    /// False when the rebuild is not this carrier's any more.
    pub(super) async fn try_beat(&self, id: Uuid, begun: i64, began: Instant) -> Result<bool, Error> {
        let head = self.deps.reader.head().await?.0;
        let client = self.client().await?;
        let lease = self.lease().as_secs_f64();
        let Some(row) = client.query_opt(BEAT, &[&id, &self.holder, &lease, &head]).await? else {
            return Ok(false);
        };
        let done = row.get::<_, i64>(0) - begun;
        let elapsed = began.elapsed().as_secs_f64();
        if done > 0 && elapsed > 0.0 && row.get::<_, i64>(0) < head {
            client.execute(RATE, &[&id, &(done as f64 / elapsed)]).await?;
        }
        Ok(true)
    }

    fn lease(&self) -> Duration {
        self.limits.session_timeout
    }

    async fn client(&self) -> Result<deadpool_postgres::Object, Error> {
        Ok(self.deps.read.get().await.map_err(postgres::Error::from)?)
    }

    async fn claim(&self) -> Result<Option<Rebuild>, Error> {
        let lease = self.lease().as_secs_f64();
        let known = RawJson::of(&self.deps.registry.schema_versions());
        let row = self.client().await?.query_opt(CLAIM, &[&self.holder, &lease, &known]).await?;
        Ok(row.as_ref().map(Rebuild::of))
    }

    async fn release(&self) -> Result<(), Error> {
        self.client().await?.execute(RELEASE, &[&self.holder]).await?;
        Ok(())
    }

    async fn start_newer(&self, folders: &[Folder]) -> Result<(), Error> {
        let client = self.client().await?;
        let workers = i32::from(super::Options::default().workers);
        for folder in folders {
            let (id, files) = (Uuid::now_v7(), RawJson::of(folder.files()));
            let made_for = RawJson::of(&folder.made_for(&self.deps.registry));
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
                [&id, &folder.name, &folder.version, &files, &workers, &made_for];
            let statement = client.prepare_cached(START_NEWER).await?;
            if client.execute(&statement, &parameters).await? > 0 {
                info!(projection = folder.name, version = folder.version, "a new version: a rebuild begins");
            }
        }
        Ok(())
    }

    /// Drops generations that nobody needs any more; whether none of them is left.
    async fn clean(&self) -> bool {
        let keep = self.limits.keep_old.as_secs_f64();
        let superfluous =
            async { Ok::<_, Error>(self.client().await?.query(SUPERFLUOUS, &[&None::<&str>, &keep]).await?) };
        let rows = match superfluous.await {
            Ok(rows) => rows,
            Err(error) => {
                warn!(%error, "it is not known which generations are not needed any more");
                return false;
            }
        };
        let projections: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
        let mut is_clean = true;
        for projection in projections {
            if let Err(error) = drop_generations(&self.deps.read, &projection, keep).await {
                warn!(projection, %error, "old generations are dropped later");
                is_clean = false;
            }
        }
        is_clean
    }
}

async fn drop_generations(pool: &Pool, projection: &str, keep: f64) -> Result<(), Error> {
    let mut client = pool.get().await.map_err(postgres::Error::from)?;
    let transaction = client.transaction().await?;
    generation::hold(&transaction, projection).await?;
    // Looked at again: who changes what serves holds the projection too.
    let superfluous = transaction.query(SUPERFLUOUS, &[&projection, &keep]).await?;
    let numbers: Vec<i32> = superfluous.iter().map(|row| row.get(1)).collect();
    transaction.execute(FORGET_GENERATIONS, &[&projection, &numbers]).await?;
    for row in superfluous {
        drop_schema(&transaction, projection, row.get(2)).await?;
    }
    Ok(transaction.commit().await?)
}

/// Drops the tables of a generation that is forgotten.
pub(super) async fn drop_schema(
    transaction: &Transaction<'_>,
    projection: &str,
    schema: &str,
) -> Result<(), Error> {
    let sql = fill(DROP_SCHEMA, &[("schema", Identifier::new(schema).as_str())]);
    transaction.batch_execute(&sql).await?;
    info!(projection, schema, "dropped");
    Ok(())
}
