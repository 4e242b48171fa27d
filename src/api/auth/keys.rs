//! Keys in the log's database: made, listed and revoked, the same way over HTTP and from the command line. A key is shown once;
//! only its hash is kept. The rows are written by `crate::admin`, when it applies the events.
//!
//! A key has 256 random bits, so a plain SHA-256 is safe: nobody can guess what it was made of. Slow hashes are for what people
//! think up.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use rand::RngCore;
use secrecy::SecretString;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Error, Role};
use crate::{
    admin::{self, Admin, Asker},
    aggregate::Violation,
    postgres,
};

const LIST: &str = include_str!("key_list.sql");
const GET: &str = include_str!("key_get.sql");
const ANY: &str = include_str!("key_any.sql");

/// What every key begins with, so that leaked ones are found by their look.
const PREFIX: &str = "annals_";
const KEY_BYTES: usize = 32;
const NAME_CHARS_MAX: usize = 100;

/// A key, without what makes it one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub id: Uuid,
    pub name: String,
    pub roles: Vec<Role>,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    /// To the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A key that is to be made.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Whose it is.
    pub name: String,
    pub roles: Vec<Role>,
    pub expires_at: Option<DateTime<Utc>>,
}

impl Wanted {
    /// What is wrong with it, all at once.
    pub(crate) fn faults(&self) -> Vec<Violation> {
        let (mut faults, name) = (Vec::new(), self.name.trim());
        if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            let detail =
                format!("must have 1 to {NAME_CHARS_MAX} characters, none of them a control character");
            faults.push(Violation::at("/name", detail));
        }
        if self.roles.is_empty() {
            faults.push(Violation::at("/roles", "must hold at least one role"));
        }
        if self.expires_at.is_some_and(|expiry| expiry <= Utc::now()) {
            faults.push(Violation::at("/expires_at", "must be in the future"));
        }
        faults
    }
}

/// A key that was made.
#[derive(Debug)]
pub struct Made {
    pub key: Key,
    /// What its holder sends. `None`: it was made before, by the same request with the same Idempotency-Key, and shown
    /// then.
    pub secret: Option<SecretString>,
}

/// Makes a key, an event of its own with who asked.
pub async fn create(
    admin: &Admin,
    asker: &Asker,
    idempotency_key: Option<String>,
    wanted: Wanted,
) -> Result<Made, Error> {
    let faults = wanted.faults();
    if !faults.is_empty() {
        return Err(Error::Unfit(faults));
    }
    let name = wanted.name.trim();
    let mut roles: Vec<&str> = wanted.roles.iter().map(|role| role.as_str()).collect();
    roles.sort_unstable();
    roles.dedup();
    let wanted = json!({"name": name, "roles": roles, "expires_at": wanted.expires_at});
    let secret = generate();
    let (id, replayed) = admin.create_key(asker, idempotency_key, wanted, &hex(&hash(&secret))).await?;
    let key = get(admin.writer(), id).await?.ok_or(Error::Lost(id))?;
    Ok(Made { key, secret: (!replayed).then(|| secret.into()) })
}

/// Keys, revoked ones too, oldest first, at most `limit`: those after another one, if one is named.
pub async fn list(pool: &Pool, after: Option<Uuid>, limit: usize) -> Result<Vec<Key>, Error> {
    let client = pool.get().await.map_err(postgres::Error::from)?;
    let rows = client.query(LIST, &[&after, &(limit as i64)]).await.map_err(postgres::Error::from)?;
    Ok(rows.iter().map(key).collect())
}

/// A key, revoked or not.
pub async fn get(pool: &Pool, id: Uuid) -> Result<Option<Key>, Error> {
    let client = pool.get().await.map_err(postgres::Error::from)?;
    let row = client.query_opt(GET, &[&id]).await.map_err(postgres::Error::from)?;
    Ok(row.as_ref().map(key))
}

/// Whether there is a key that works.
pub async fn any(pool: &Pool) -> Result<bool, Error> {
    let client = pool.get().await.map_err(postgres::Error::from)?;
    Ok(client.query_one(ANY, &[]).await.map_err(postgres::Error::from)?.get(0))
}

/// Revokes a key for good, an event of its own with who asked. `false`: there is no such key that still worked.
pub async fn revoke(admin: &Admin, asker: &Asker, id: Uuid) -> Result<bool, Error> {
    if get(admin.writer(), id).await?.is_none_or(|key| key.revoked_at.is_some()) {
        return Ok(false);
    }
    match admin.request(asker, "admin.revoke-key", Some(id), json!({})).await {
        Ok(_) => Ok(true),
        // Somebody else was faster.
        Err(admin::Error::Rejected(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A new key, known to nobody yet.
fn generate() -> String {
    let mut bytes = [0; KEY_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// What is kept of a key.
pub(super) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Whether a text looks like a key at all; what does not needs no look at the database.
pub(super) fn looks_like_one(secret: &str) -> bool {
    secret
        .strip_prefix(PREFIX)
        .and_then(|rest| URL_SAFE_NO_PAD.decode(rest).ok())
        .is_some_and(|bytes| bytes.len() == KEY_BYTES)
}

fn key(row: &Row) -> Key {
    Key {
        id: row.get(0),
        name: row.get(1),
        roles: roles(row.get(2)),
        created_at: row.get(3),
        expires_at: row.get(4),
        last_used_at: row.get(5),
        revoked_at: row.get(6),
    }
}

/// A role that only a newer program knows gives nothing here.
pub(super) fn roles(names: Vec<String>) -> Vec<Role> {
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
