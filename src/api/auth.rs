//! Who calls, and whether they may: from the path's prefix and the header Authorization alone, before anything else is
//! looked at.
//!
//! No role implies another. The invariant: under `/api` nothing runs without a [`Caller`].

mod jwks;
mod jwt;
pub mod keys;
mod verify;

use std::{fmt, str::FromStr, time::Duration};

use jwt::Refusal;
pub(crate) use jwt::TokenVerifier;
use poem::http::{HeaderMap, header};
use subtle::ConstantTimeEq;
use tokio::time::sleep;
use uuid::Uuid;
pub(crate) use verify::KeyVerifier;

use super::problem::{Problem, kind};
use crate::{admin, aggregate::Violation, postgres};

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sends commands, reads read models.
    Consumer,
    /// Watches and rebuilds projections.
    Admin,
    /// Reads the log and who did what.
    Auditor,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Consumer, Self::Admin, Self::Auditor];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
        }
    }

    /// The role that a path asks for; `None`: open to all.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/api")?;
        let under = |rest: &str, folder: &str| {
            rest.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if under(rest, "/admin") {
            Some(Self::Admin)
        } else if under(rest, "/audit") {
            Some(Self::Auditor)
        } else {
            under(rest, "").then_some(Self::Consumer)
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of consumer, admin and auditor")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// Someone whose key is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Stands in the log as the actor of what they do.
    pub(crate) principal: String,
    roles: Vec<Role>,
}

impl Caller {
    /// Whether a path of this role may be used by them.
    pub(crate) fn must_be(&self, role: Role) -> Result<(), Problem> {
        if self.roles.contains(&role) {
            Ok(())
        } else {
            Err(Problem::new(kind::FORBIDDEN, format!("This path asks for the role {role}.")))
        }
    }
}

/// How keys are recognised.
pub(crate) enum Authenticator {
    /// The fixed keys `dev-consumer`, `dev-admin` and `dev-auditor`, each with the one role it names.
    Dev,
    Keys(KeyVerifier),
    Jwt(Box<TokenVerifier>),
}

impl Authenticator {
    /// Who calls, if that is known.
    pub(crate) async fn identify(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let key =
            bearer(headers).ok_or_else(|| refuse("The header Authorization: Bearer <key> is missing."))?;
        let caller = match self {
            Self::Dev => dev_caller(key),
            Self::Keys(verifier) => verifier.verify(key).await?,
            Self::Jwt(verifier) => return verifier.verify(key).await.map_err(Problem::from),
        };
        caller.ok_or_else(|| refuse("The key is unknown, expired or revoked."))
    }

    /// Returns when the caller with these headers is refused paths of this role: it looks every `interval`. Where it cannot
    /// look, the answer stays what it was.
    pub(crate) async fn outlived(&self, headers: &HeaderMap, role: Role, interval: Duration) {
        loop {
            sleep(interval).await;
            let admitted = self.identify(headers).await.and_then(|caller| caller.must_be(role));
            if admitted.is_err_and(|problem| problem.kind.status < 500) {
                return;
            }
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Token(detail) => refuse(&detail),
            Refusal::Keys(error) => {
                tracing::warn!(%error, "no token can be verified");
                Self::overloaded("The keys of the tokens' issuer cannot be had; try again.")
            }
        }
    }
}

fn refuse(detail: &str) -> Problem {
    Problem::new(kind::UNAUTHENTICATED, detail)
}

/// The credentials of the scheme Bearer, whose name is in any case (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}

fn dev_caller(key: &str) -> Option<Caller> {
    let role = Role::ALL
        .into_iter()
        .find(|role| bool::from(format!("dev-{role}").as_bytes().ct_eq(key.as_bytes())))?;
    Some(Caller { principal: key.to_owned(), roles: vec![role] })
}

/// Why a key could not be made, listed, revoked or looked up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked for is no key; all that is wrong with it.
    #[error("{}", .0.iter().map(|fault| format!("`{}` {}", fault.pointer, fault.detail)).collect::<Vec<_>>().join("; "))]
    Unfit(Vec<Violation>),
    #[error("key {0}, which was made, is not there")]
    Lost(Uuid),
    #[error(transparent)]
    Admin(#[from] admin::Error),
    #[error(transparent)]
    Database(#[from] postgres::Error),
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    #[test]
    fn the_path_tells_the_role() {
        for (path, role) in [
            ("/api/orders", Some(Role::Consumer)),
            ("/api", Some(Role::Consumer)),
            ("/api/administer", Some(Role::Consumer)),
            ("/api/admin", Some(Role::Admin)),
            ("/api/admin/keys", Some(Role::Admin)),
            ("/api/audit/events", Some(Role::Auditor)),
            ("/apis", None),
            ("/health/live", None),
            ("/", None),
        ] {
            assert_eq!(Role::of_path(path), role, "{path}");
        }
    }

    #[tokio::test]
    async fn dev_keys_have_one_role_each() {
        let admit = async |authorization: &str, role| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
            let identified = Authenticator::Dev.identify(&headers).await;
            let admitted = identified.and_then(|caller| caller.must_be(role).map(|()| caller.principal));
            admitted.map_err(|problem| problem.kind.status)
        };
        assert_eq!(admit("Bearer dev-admin", Role::Admin).await, Ok("dev-admin".into()));
        assert_eq!(admit("bearer  dev-admin", Role::Admin).await, Ok("dev-admin".into()));
        assert_eq!(admit("Bearer dev-admin", Role::Consumer).await, Err(403));
        for wrong in ["Bearer dev-", "Bearer dev-owner", "Basic dev-admin", "dev-admin", "Bearer "] {
            assert_eq!(admit(wrong, Role::Admin).await, Err(401), "{wrong}");
        }
    }
}
