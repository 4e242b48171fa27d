//! The keys that tokens are signed with, as their issuer publishes them (RFC 7517), from a file or a URL.
//!
//! Read again when a token names a key that is not among them, and from time to time, so that keys which the issuer
//! took back stop working; never more often than `refresh_min`. While the issuer is away the last known ones hold.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, OctetKeyPairParameters, PublicKeyUse},
};
use poem::http::{StatusCode, Uri};
use serde_json::Value;
use tokio::{
    io::AsyncReadExt,
    sync::{Mutex, OwnedMutexGuard},
    time::timeout,
};
use tracing::{info, warn};

use crate::{config::JwksSource, tls};

/// Far beyond what any issuer publishes.
const BYTES_MAX: usize = 1 << 20;
const ED25519_BYTES: usize = 32;
/// How long a fetch may take; those whose token names an unknown key wait for it.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// A key, and the one algorithm it is good for: what a token says of its algorithm chooses nothing.
pub(super) type VerifyingKey = Arc<(Algorithm, DecodingKey)>;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the key set cannot be fetched: {0}")]
    Fetch(String),
    #[error("the key set cannot be read: {0}")]
    File(#[from] io::Error),
    #[error("the key set is no JSON Web Key Set: {0}")]
    Form(#[from] serde_json::Error),
    #[error("the key set has more than {BYTES_MAX} bytes")]
    Size,
    #[error("the last try to read the key set failed")]
    Away,
    #[error(transparent)]
    Tls(#[from] tls::Error),
}

/// The issuer's keys. Cheap to clone.
#[derive(Clone)]
pub(super) struct Jwks(Arc<Keys>);

struct Keys {
    source: JwksSource,
    refresh_min: Duration,
    refresh_max: Duration,
    known: RwLock<HashMap<String, VerifyingKey>>,
    /// When the last try ended that succeeded, and any; held during a try, so there is one at a time.
    tried: Arc<Mutex<Tries>>,
}

#[derive(Default)]
struct Tries {
    succeeded: Option<Instant>,
    last: Option<Instant>,
}

impl Jwks {
    pub(super) fn new(source: JwksSource, refresh_min: Duration, refresh_max: Duration) -> Self {
        let (known, tried) = (RwLock::default(), Arc::default());
        Self(Arc::new(Keys { source, refresh_min, refresh_max, known, tried }))
    }

    /// The key of this name. `None`: the issuer has none of this name. An error: it is not known which it has.
    pub(super) async fn key(&self, id: &str) -> Result<Option<VerifyingKey>, Error> {
        let keys = &self.0;
        match keys.known(id) {
            Some(key) => {
                // Nobody waits for a routine look at the issuer but the one who takes it on.
                if let Ok(tries) = keys.tried.clone().try_lock_owned()
                    && is_older(tries.succeeded, keys.refresh_max)
                    && is_older(tries.last, keys.refresh_min)
                {
                    return match self.refresh(tries).await {
                        Ok(()) => Ok(keys.known(id)),
                        Err(error) => {
                            warn!(%error, "the issuer's keys could not be read again; the known ones hold");
                            Ok(Some(key))
                        }
                    };
                }
                Ok(Some(key))
            }
            None => {
                let tries = keys.tried.clone().lock_owned().await;
                // Another may have fetched it while this one waited.
                if keys.known(id).is_none() {
                    if is_older(tries.last, keys.refresh_min) {
                        self.refresh(tries).await?;
                    } else if tries.succeeded < tries.last {
                        // The last try failed: what the issuer has by now is not known.
                        return Err(Error::Away);
                    }
                }
                Ok(keys.known(id))
            }
        }
    }

    /// Reads the keys again, to the end even if the caller stops waiting: a try that counts must not be called off by
    /// whoever caused it.
    async fn refresh(&self, mut tries: OwnedMutexGuard<Tries>) -> Result<(), Error> {
        let keys = self.0.clone();
        let refreshing = tokio::spawn(async move {
            tries.last = Some(Instant::now());
            let read = keys.read_anew().await;
            if read.is_ok() {
                tries.succeeded = Some(Instant::now());
            }
            read
        });
        refreshing.await.expect("reading keys does not panic")
    }
}

impl Keys {
    fn known(&self, id: &str) -> Option<VerifyingKey> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    async fn read_anew(&self) -> Result<(), Error> {
        let keys = parse(&self.read().await?)?;
        info!(keys = keys.len(), "the issuer's keys were read");
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    async fn read(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        match &self.source {
            JwksSource::File(path) => {
                let file = tokio::fs::File::open(path).await?;
                file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes).await?;
            }
            JwksSource::Url(url) => {
                let fetch = fetch(url.clone());
                bytes = timeout(FETCH_TIMEOUT, fetch)
                    .await
                    .map_err(|_| Error::Fetch("it takes too long".into()))??;
            }
        }
        if bytes.len() > BYTES_MAX { Err(Error::Size) } else { Ok(bytes) }
    }
}

async fn fetch(url: Uri) -> Result<Vec<u8>, Error> {
    let broken = |error: &dyn std::fmt::Display| Error::Fetch(error.to_string());
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls::client(None)?).https_or_http().enable_http1();
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector.build());
    let response = client.get(url).await.map_err(|error| broken(&error))?;
    if response.status() != StatusCode::OK {
        return Err(broken(&response.status()));
    }
    let body = Limited::new(response.into_body(), BYTES_MAX).collect().await;
    Ok(body.map_err(|error| broken(&error))?.to_bytes().into())
}

fn is_older(time: Option<Instant>, age: Duration) -> bool {
    time.is_none_or(|time| time.elapsed() >= age)
}

#[derive(serde::Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// The keys of a set that can verify a token; others are for other readers.
fn parse(bytes: &[u8]) -> Result<HashMap<String, VerifyingKey>, Error> {
    let set: Set = serde_json::from_slice(bytes)?;
    Ok(set.keys.into_iter().filter_map(verifying_key).collect())
}

fn verifying_key(key: Value) -> Option<(String, VerifyingKey)> {
    let key: Jwk = serde_json::from_value(key).ok()?;
    let (algorithm, named) = match &key.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(pair) if is_ed25519(pair) => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let is_for_signatures = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let is_for_this = key.common.key_algorithm.is_none_or(|algorithm| algorithm == named);
    let verifying = DecodingKey::from_jwk(&key).ok().filter(|_| is_for_signatures && is_for_this)?;
    Some((key.common.key_id?, Arc::new((algorithm, verifying))))
}

/// The verifier takes the length for granted.
fn is_ed25519(pair: &OctetKeyPairParameters) -> bool {
    pair.curve == EllipticCurve::Ed25519
        && URL_SAFE_NO_PAD.decode(&pair.x).is_ok_and(|key| key.len() == ED25519_BYTES)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_public_keys_of_the_three_algorithms_count() {
        let ec = json!({"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"});
        let with = |mut key: Value, more: &[(&str, &str)]| {
            more.iter().for_each(|(name, value)| key[name] = (*value).into());
            key
        };
        let keys = json!({"keys": [
            with(ec.clone(), &[("kid", "ec")]),
            with(ec.clone(), &[("kid", "own"), ("alg", "ES256"), ("use", "sig")]),
            with(ec.clone(), &[("kid", "other"), ("alg", "ES384")]),
            with(ec.clone(), &[("kid", "encryption"), ("use", "enc")]),
            with(ec.clone(), &[("kid", "p384"), ("crv", "P-384")]),
            ec,
            {"kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43), "kid": "ed"},
            {"kty": "OKP", "crv": "Ed25519", "x": "AQ", "kid": "short"},
            {"kty": "RSA", "n": "AQ", "e": "AQAB", "kid": "rsa"},
            {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"},
            {"kty": "new", "kid": "new"},
            7,
        ]});
        let keys = parse(keys.to_string().as_bytes()).unwrap();
        let mut names: Vec<_> = keys.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["ec", "ed", "own", "rsa"]);
        assert_eq!(keys["ed"].0, Algorithm::EdDSA);
        assert!(parse(b"[]").is_err());
    }
}
