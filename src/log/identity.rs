//! The log's identity, by which tokens, topics and checkpoints are recognised as this log's or another's.

use std::fmt;

use deadpool_postgres::Pool;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::postgres;

const READ: &str = include_str!("identity.sql");
const BEGIN_INCARNATION: &str = include_str!("begin_incarnation.sql");

/// The log's name and its key.
#[derive(Clone)]
pub struct Identity {
    /// In event sources, tokens, checkpoints and Kafka ids.
    pub log_id: Uuid,
    hash_key: Vec<u8>,
}

impl Identity {
    pub async fn read(pool: &Pool) -> Result<Self, postgres::Error> {
        let row = pool.get().await?.query_one(READ, &[]).await?;
        Ok(Self { log_id: row.get(0), hash_key: row.get(1) })
    }

    /// Makes the log another one, under a new `log_id`, which is returned. `client` acts as the owner.
    pub async fn begin_incarnation(client: &Client) -> Result<Uuid, postgres::Error> {
        Ok(client.query_one(BEGIN_INCARNATION, &[]).await?.get(0))
    }

    /// HMAC-SHA-256 (RFC 2104) of the parts, each preceded by its length so that no two lists of parts look alike.
    pub fn keyed_hash(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.hash_key).expect("HMAC takes a key of any length");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().to_vec()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("log_id", &self.log_id).finish_non_exhaustive()
    }
}
