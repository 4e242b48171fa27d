//! Recognises keys, with a small memory in front of the database.
//!
//! What is remembered is good until the next tick of a clock that ticks every `api_key_memory_ms`, so a revocation or an expiry
//! takes effect on every process within that time, one second by default. Unknown keys are remembered too, and keys that were
//! not good lately are looked up one after the other: guesses cost the database little, and those whose keys are good no time.

use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{Caller, keys};
use crate::postgres;

const VERIFY: &str = include_str!("key_verify.sql");
/// Keys remembered. Far more than there are; guesses push each other out.
const KEYS_MAX: usize = 10_000;
/// Keys looked up at once of those that were not good lately; fewer than there are connections.
const STRANGERS_MAX: usize = 1;
/// How long the database may take to tell of a key.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a caller waits for that, with the turn at it.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Looks keys up.
pub(crate) struct KeyVerifier {
    pool: Pool,
    started: Instant,
    tick: Duration,
    /// By hash and tick: the key itself is kept nowhere, and an entry of an earlier tick is never found again.
    seen: Cache<([u8; 32], u64), Option<Caller>>,
    /// Hashes of keys that were good when they were looked up last.
    good: Cache<[u8; 32], ()>,
    /// Who may look up one of the others.
    strangers: Semaphore,
}

impl KeyVerifier {
    pub(crate) fn new(pool: Pool, tick: Duration) -> Self {
        let (seen, good) = (Cache::new(KEYS_MAX), Cache::new(KEYS_MAX));
        Self { pool, started: Instant::now(), tick, seen, good, strangers: Semaphore::new(STRANGERS_MAX) }
    }

    /// Whose key it is, if it works. Those who ask for the same key at once share one look at the database.
    pub(super) async fn verify(&self, key: &str) -> Result<Option<Caller>, postgres::Error> {
        if !keys::looks_like_one(key) {
            return Ok(None);
        }
        let hash = keys::hash(key);
        let tick = self.started.elapsed().as_nanos() / self.tick.as_nanos().max(1);
        let key = (hash, tick as u64);
        postgres::in_time(WAIT_MAX, self.seen.get_or_insert_async(&key, self.look_up(hash)), || {}).await
    }

    async fn look_up(&self, hash: [u8; 32]) -> Result<Option<Caller>, postgres::Error> {
        let _turn = match self.good.get(&hash) {
            Some(()) => None,
            None => Some(self.strangers.acquire().await.expect("nobody closes it")),
        };
        postgres::in_time(ANSWER_TIME_MAX, self.ask(hash), || drop(self.pool.retain(|_, _| false))).await
    }

    async fn ask(&self, hash: [u8; 32]) -> Result<Option<Caller>, postgres::Error> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(VERIFY).await?;
        let row = client.query_opt(&statement, &[&hash.as_slice()]).await?;
        match row {
            Some(_) => self.good.insert(hash, ()),
            None => drop(self.good.remove(&hash)),
        }
        Ok(row.map(|row| Caller {
            principal: format!("key:{}", row.get::<_, Uuid>(0)),
            roles: keys::roles(row.get(1)),
        }))
    }
}
