//! An issuer of tokens.

use std::path::PathBuf;

use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rsa::{RsaPrivateKey, pkcs1::EncodeRsaPrivateKey, rand_core::OsRng};
use serde_json::{Value, json};

/// A key of the issuer.
pub struct Key {
    pub id: &'static str,
    pub algorithm: Algorithm,
    pub signing: EncodingKey,
}

impl Key {
    pub fn ec(id: &'static str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        Self { id, algorithm: Algorithm::ES256, signing: EncodingKey::from_ec_der(&pair.serialize_der()) }
    }

    pub fn ed(id: &'static str) -> Self {
        // PKCS #8 (RFC 8410, 7), whose last part is the seed.
        let seed: [u8; 32] = rand::random();
        let head = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
        let der = [head.as_slice(), seed.as_slice()].concat();
        Self { id, algorithm: Algorithm::EdDSA, signing: EncodingKey::from_ed_der(&der) }
    }

    pub fn rsa(id: &'static str) -> Self {
        let key = RsaPrivateKey::new(&mut OsRng, 2_048).expect("a key");
        let der = key.to_pkcs1_der().expect("it can be written");
        Self { id, algorithm: Algorithm::RS256, signing: EncodingKey::from_rsa_der(der.as_bytes()) }
    }

    pub fn public(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.signing, self.algorithm).expect("a public key");
        jwk.common.key_id = Some(self.id.to_owned());
        serde_json::to_value(jwk).expect("JSON")
    }

    pub fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(self.algorithm) };
        encode(&header, claims, &self.signing).expect("signed")
    }
}

/// An issuer that publishes its keys in a file.
pub struct Issuer {
    dir: tempfile::TempDir,
}

impl Issuer {
    pub fn new(keys: &[&Key]) -> Self {
        let issuer = Self { dir: tempfile::tempdir().expect("a folder") };
        issuer.publish(keys);
        issuer
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("jwks.json")
    }

    /// At once, as an issuer does.
    pub fn publish(&self, keys: &[&Key]) {
        let set = json!({"keys": keys.iter().map(|key| key.public()).collect::<Vec<_>>()});
        let new = self.dir.path().join("new.json");
        std::fs::write(&new, set.to_string()).expect("written");
        std::fs::rename(new, self.path()).expect("renamed");
    }
}

/// Claims that hold of a consumer.
pub fn claims() -> Value {
    let now = Utc::now().timestamp();
    json!({
        "iss": "https://issuer.example", "aud": ["others", "annals"], "sub": "shop-7",
        "nbf": now - 5, "exp": now + 600, "roles": ["consumer"],
    })
}
