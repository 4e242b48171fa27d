//! Replacing secret fields by slow, salted hashes before anything is stored or logged.
//!
//! The salt is a keyed hash of the stream's id: every stream has its own, the same code gives the same hash within its
//! stream, and so a decision stays a pure comparison.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use serde_json::Value;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::{
    aggregate::Registry,
    log::{Error, Identity},
};

/// Memory of one hash, in KiB, and its passes: some milliseconds, which guessing has to pay for each guess.
const MEMORY_KIB: u32 = 8 * 1024;
const PASSES: u32 = 2;
const HASH_BYTES: usize = 32;
/// Hashes made at once; more would take cores and memory from everything else.
const CONCURRENT_MAX: usize = 2;
/// Hashes that are made or wait for it, some seconds' worth; more are refused, for they wait also where nobody waits for them.
const WANTED_MAX: usize = 256;

/// Seals secrets with the key of one log.
pub(super) struct Sealer {
    identity: Identity,
    permits: Semaphore,
    places: Semaphore,
}

impl Sealer {
    pub(super) fn new(identity: Identity) -> Self {
        Self { identity, permits: Semaphore::new(CONCURRENT_MAX), places: Semaphore::new(WANTED_MAX) }
    }

    /// The body with its secrets sealed for this stream.
    pub(super) async fn seal(
        &self,
        registry: &Arc<Registry>,
        command: &'static str,
        stream_id: Uuid,
        body: Value,
    ) -> Result<Value, Error> {
        let salt = self.identity.keyed_hash(&[b"secret field", stream_id.as_bytes()]);
        self.seal_with(registry, command, salt, body).await
    }

    /// The body with its secrets sealed for a fingerprint: repeats of a request share the salt, and whoever guesses at a
    /// fingerprint pays as much as for the field itself.
    pub(super) async fn seal_for_fingerprint(
        &self,
        registry: &Arc<Registry>,
        command: &'static str,
        (principal, target): (&str, &str),
        body: Value,
    ) -> Result<Value, Error> {
        let salt = self.identity.keyed_hash(&[b"fingerprint", principal.as_bytes(), target.as_bytes()]);
        self.seal_with(registry, command, salt, body).await
    }

    async fn seal_with(
        &self,
        registry: &Arc<Registry>,
        command: &'static str,
        salt: Vec<u8>,
        mut body: Value,
    ) -> Result<Value, Error> {
        let _place = self.places.try_acquire().map_err(|_| Error::Overloaded)?;
        let _permit = self.permits.acquire().await;
        let registry = registry.clone();
        let sealing = tokio::task::spawn_blocking(move || {
            if let Some((aggregate, _)) = registry.command(command) {
                aggregate.seal(command, &mut body, &|secret| salted_hash(secret, &salt));
            }
            body
        });
        Ok(sealing.await.expect("hashing does not panic and is not aborted"))
    }
}

/// Argon2id (RFC 9106).
fn salted_hash(secret: &str, salt: &[u8]) -> String {
    let params =
        Params::new(MEMORY_KIB, PASSES, 1, Some(HASH_BYTES)).expect("constants within Argon2's limits");
    let mut hash = [0; HASH_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(secret.as_bytes(), salt, &mut hash)
        .expect("a salt of 32 bytes and a bounded secret are within Argon2's limits");
    BASE64_STANDARD_NO_PAD.encode(hash)
}
