//! Callers with a JSON Web Token of a configured issuer (RFC 7519, and RFC 8725 for what to insist on).
//!
//! The invariants: the algorithm is the key's, never the token's; `exp`, `nbf`, `iss`, `aud` and `sub` have to be there
//! and to be right. A token is good until it ends: what cannot wait so long is revoked at the issuer, by its key.

use jsonwebtoken::{Validation, decode, decode_header, errors::ErrorKind};
use serde_json::Value;

use super::{
    Caller, Role,
    jwks::{Error, Jwks},
    keys,
};
use crate::config;

/// Longest `sub`; it stands in every event as the actor.
const SUBJECT_CHARS_MAX: usize = 200;
const REQUIRED: [&str; 5] = ["exp", "nbf", "iss", "aud", "sub"];

/// Recognises tokens.
pub(crate) struct TokenVerifier {
    keys: Jwks,
    required: Validation,
    roles_claim: String,
}

/// Why a token is not believed, as its bearer is told.
pub(super) enum Refusal {
    Token(String),
    /// It is not known whether it is good.
    Keys(Error),
}

impl TokenVerifier {
    pub(crate) fn new(jwt: config::Jwt) -> Self {
        let mut required = Validation::default();
        required.set_required_spec_claims(&REQUIRED);
        required.set_issuer(&[jwt.issuer]);
        required.set_audience(&[jwt.audience]);
        required.validate_nbf = true;
        required.leeway = jwt.leeway.as_secs();
        Self {
            keys: Jwks::new(jwt.keys, jwt.refresh_min, jwt.refresh_max),
            required,
            roles_claim: jwt.roles_claim,
        }
    }

    /// Whose token it is.
    pub(super) async fn verify(&self, token: &str) -> Result<Caller, Refusal> {
        let refuse = |detail: &str| Refusal::Token(detail.to_owned());
        let header = decode_header(token).map_err(|_| {
            refuse("The token is no JSON Web Token, or its algorithm is none of RS256, ES256 and EdDSA.")
        })?;
        let id = header.kid.ok_or_else(|| refuse("The token does not name its key (`kid`)."))?;
        let key = self.keys.key(&id).await.map_err(Refusal::Keys)?;
        let key = key.ok_or_else(|| refuse("The token's key (`kid`) is not one of its issuer's."))?;
        let (algorithm, key) = &*key;
        let mut required = self.required.clone();
        required.algorithms = vec![*algorithm];
        let claims =
            decode::<Value>(token, key, &required).map_err(|error| refuse(&explain(error.kind())))?.claims;
        let subject = claims["sub"].as_str().filter(|subject| is_subject(subject));
        let subject =
            subject.ok_or_else(|| refuse("The token's `sub` is empty, too long or has odd characters."))?;
        Ok(Caller { principal: format!("jwt:{subject}"), roles: roles(&claims, &self.roles_claim) })
    }
}

fn explain(fault: &ErrorKind) -> String {
    match fault {
        ErrorKind::ExpiredSignature => "The token has expired (`exp`).".into(),
        ErrorKind::ImmatureSignature => "The token is not valid yet (`nbf`).".into(),
        ErrorKind::InvalidIssuer => "The token is of another issuer (`iss`).".into(),
        ErrorKind::InvalidAudience => "The token is meant for others (`aud`).".into(),
        ErrorKind::MissingRequiredClaim(claim) => format!("The token lacks the claim `{claim}`."),
        ErrorKind::InvalidAlgorithm => "The token's algorithm is not the one of its key.".into(),
        ErrorKind::InvalidSignature => "The token's signature is wrong.".into(),
        _ => "The token cannot be read.".into(),
    }
}

/// What fits a header of a Kafka record and a line of a log.
fn is_subject(subject: &str) -> bool {
    (1..=SUBJECT_CHARS_MAX).contains(&subject.len()) && subject.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The roles in a claim, which is named, or pointed at where it begins with `/`: a list, or a text separated by blanks.
fn roles(claims: &Value, claim: &str) -> Vec<Role> {
    let found = if claim.starts_with('/') { claims.pointer(claim) } else { claims.get(claim) };
    let names = match found {
        Some(Value::Array(names)) => {
            names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
        }
        Some(Value::String(names)) => names.split_whitespace().map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    keys::roles(names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn roles_are_a_list_or_a_text_at_any_depth() {
        let claims = json!({
            "roles": ["consumer", "owner", 7],
            "scope": "admin auditor",
            "https://x/roles": ["admin"],
            "realm": {"roles": ["auditor"]},
        });
        assert_eq!(roles(&claims, "roles"), [Role::Consumer]);
        assert_eq!(roles(&claims, "scope"), [Role::Admin, Role::Auditor]);
        assert_eq!(roles(&claims, "https://x/roles"), [Role::Admin]);
        assert_eq!(roles(&claims, "/realm/roles"), [Role::Auditor]);
        assert_eq!(roles(&claims, "realm"), []);
        assert_eq!(roles(&claims, "none"), []);
    }
}
