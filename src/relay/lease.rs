//! The lease: who relays. A row with an expiry by the database's clock, renewed by a task of its own.
//!
//! The invariant: the lease counts as lost no later than the database lets it expire. This process measures from before
//! it asked, so it never believes longer than the database does; and a process that was stopped finds its time over.

use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};
use tokio_postgres::{Row, types::ToSql};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{debug, warn};
use uuid::Uuid;

use crate::{postgres, trouble::Trouble};

const TAKE: &str = include_str!("lease_take.sql");
const RENEW: &str = include_str!("lease_renew.sql");

/// Renewals per lifetime of the lease: one may fail without losing it.
const RENEWALS_PER_TTL: u32 = 3;
/// How long giving the lease back may take.
const RELEASE_TIME_MAX: Duration = Duration::from_secs(1);
/// Further tries after a failed renewal, per lifetime.
const RETRIES_PER_TTL: u32 = 20;

/// Who holds a lease, in the words of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) name: String,
    pub(super) epoch: i64,
}

/// The lease while it is held. Dropped, it is no longer renewed, and expires.
pub(super) struct Lease {
    pub(super) holder: Holder,
    pool: Pool,
    ends: watch::Receiver<Instant>,
    lost: CancellationToken,
    _renewal: AbortOnDropHandle<()>,
}

impl Lease {
    /// Takes the lease; `None` while another process holds it.
    pub(super) async fn take(pool: &Pool, ttl: Duration) -> Result<Option<Self>, postgres::Error> {
        let name = Uuid::now_v7().to_string();
        let ends = Instant::now() + ttl;
        let epoch = ask(pool, ends, TAKE, &[&name, &millis(ttl)]).await?.get::<_, Option<i64>>(0);
        Ok(epoch.map(|epoch| Self::hold(pool.clone(), Holder { name, epoch }, ttl, ends)))
    }

    fn hold(pool: Pool, holder: Holder, ttl: Duration, ends: Instant) -> Self {
        let (told, ends) = watch::channel(ends);
        let lost = CancellationToken::new();
        let renewal = {
            let (pool, holder, lost) = (pool.clone(), holder.clone(), lost.clone());
            tokio::spawn(async move {
                renew(&pool, &holder, ttl, &told).await;
                lost.cancel();
            })
        };
        Self { holder, pool, ends, lost, _renewal: AbortOnDropHandle::new(renewal) }
    }

    /// Cancelled when the lease is lost.
    pub(super) fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// Waits until the lease has at least `time` left; returns when it ends, unless it is renewed again.
    pub(super) async fn lasting(&self, time: Duration) -> Option<Instant> {
        let mut ends = self.ends.clone();
        let ends = ends.wait_for(|ends| *ends >= Instant::now() + time).await;
        ends.map(|ends| *ends).ok()
    }

    /// Gives the lease back, so that a standby need not wait for its end.
    pub(super) async fn release(self) {
        let until = Instant::now() + RELEASE_TIME_MAX;
        if let Err(error) = renew_once(&self.pool, &self.holder, Duration::ZERO, until).await {
            debug!(%error, "the lease was not given back; it will expire");
        }
    }
}

/// Renews until the lease is lost.
async fn renew(pool: &Pool, holder: &Holder, ttl: Duration, told: &watch::Sender<Instant>) {
    let mut wait = ttl / RENEWALS_PER_TTL;
    let mut trouble = Trouble::new("the lease could not be renewed; trying again");
    loop {
        sleep(wait).await;
        let asked = Instant::now();
        let ends = *told.borrow();
        match renew_once(pool, holder, ttl, ends).await {
            Ok(true) => {
                trouble.end();
                told.send_replace(asked + ttl);
                wait = ttl / RENEWALS_PER_TTL;
            }
            Ok(false) => return warn!("the lease went to another process"),
            Err(error) if Instant::now() < ends => {
                trouble.say(error);
                wait = ttl / RETRIES_PER_TTL;
            }
            Err(_) => return warn!("the lease ended: it could not be renewed in time"),
        }
    }
}

async fn renew_once(
    pool: &Pool,
    holder: &Holder,
    ttl: Duration,
    until: Instant,
) -> Result<bool, postgres::Error> {
    Ok(ask(pool, until, RENEW, &[&holder.name, &holder.epoch, &millis(ttl)]).await?.get(0))
}

/// Asks for one row. A connection that does not answer in time is thrown away: whoever took it next would wait for the same.
async fn ask(
    pool: &Pool,
    until: Instant,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Row, postgres::Error> {
    let client = timeout_at(until, pool.get()).await.map_err(|_| postgres::Error::Silent)??;
    let asking = async {
        let statement = client.prepare_cached(sql).await?;
        client.query_one(&statement, parameters).await
    };
    match timeout_at(until, asking).await {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            drop(Object::take(client));
            Err(postgres::Error::Silent)
        }
    }
}

fn millis(time: Duration) -> i64 {
    time.as_millis() as i64
}
