//! Keys in the log's database: made, listed and revoked. A key is shown once; only its hash is kept.
//!
//! A key has 256 random bits, so a plain SHA-256 recognises it and cannot be turned round; a slow hash is for what
//! people think up.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use rand::RngCore;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Error, Role};
use crate::postgres;

const INSERT: &str = include_str!("key_insert.sql");
const LIST: &str = include_str!("key_list.sql");
const REVOKE: &str = include_str!("key_revoke.sql");

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

/// Makes a key; the secret is what the caller sends, and is not to be had again.
pub async fn create(
    pool: &Pool,
    name: &str,
    roles: &[Role],
    expires_at: Option<DateTime<Utc>>,
) -> Result<(Key, SecretString), Error> {
    let name = name.trim();
    if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return Err(Error::Name);
    }
    if roles.is_empty() {
        return Err(Error::NoRole);
    }
    if expires_at.is_some_and(|expiry| expiry <= Utc::now()) {
        return Err(Error::Expiry);
    }
    let secret = generate();
    let mut roles: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    roles.sort_unstable();
    roles.dedup();
    let client = pool.get().await.map_err(postgres::Error::from)?;
    let row = client
        .query_one(INSERT, &[&Uuid::now_v7(), &hash(&secret).as_slice(), &name, &roles, &expires_at])
        .await
        .map_err(postgres::Error::from)?;
    Ok((key(&row), secret.into()))
}

/// A new key, known to nobody yet.
pub(in crate::api) fn generate() -> String {
    let mut bytes = [0; KEY_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// All keys, revoked ones too, oldest first.
pub async fn list(pool: &Pool) -> Result<Vec<Key>, Error> {
    let client = pool.get().await.map_err(postgres::Error::from)?;
    let rows = client.query(LIST, &[]).await.map_err(postgres::Error::from)?;
    Ok(rows.iter().map(key).collect())
}

/// Revokes a key for good. `false`: there is no such key that still worked.
pub async fn revoke(pool: &Pool, id: Uuid) -> Result<bool, Error> {
    let client = pool.get().await.map_err(postgres::Error::from)?;
    let revoked = client.execute(REVOKE, &[&id]).await.map_err(postgres::Error::from)?;
    Ok(revoked == 1)
}

/// What is kept of a key.
pub(in crate::api) fn hash(secret: &str) -> [u8; 32] {
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
