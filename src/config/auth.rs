//! How API callers prove who they are.

use std::{path::PathBuf, time::Duration};

use poem::http::Uri;

use super::Sources;

/// The mode of authentication.
#[derive(Debug, Clone)]
pub enum Auth {
    /// Keys kept in the log's database.
    Keys,
    /// Tokens of an issuer elsewhere.
    Jwt(Box<Jwt>),
    /// Three fixed keys, on a loopback address only.
    Dev,
}

/// Which tokens count.
#[derive(Debug, Clone)]
pub struct Jwt {
    pub keys: JwksSource,
    /// What `iss` has to be.
    pub issuer: String,
    /// What `aud` has to be, or to hold.
    pub audience: String,
    /// The claim that holds the roles: its name, or a JSON Pointer to it.
    pub roles_claim: String,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// The issuer is asked for its keys this often at most, whatever tokens name.
    pub refresh_min: Duration,
    /// Its keys are read again after this time, so that those it took back stop working.
    pub refresh_max: Duration,
}

/// Where the issuer's keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksSource {
    File(PathBuf),
    Url(Uri),
}

impl Auth {
    pub(super) fn read(from: &mut Sources) -> Self {
        #[derive(Clone, Copy)]
        enum Mode {
            Keys,
            Jwt,
            Dev,
        }
        let mode = from.choice("auth", &[("keys", Mode::Keys), ("jwt", Mode::Jwt), ("dev", Mode::Dev)]);
        let jwt = Jwt::read(from, matches!(mode, Mode::Jwt));
        match mode {
            Mode::Keys => Self::Keys,
            Mode::Jwt => Self::Jwt(Box::new(jwt)),
            Mode::Dev => Self::Dev,
        }
    }
}

impl Jwt {
    fn read(from: &mut Sources, is_needed: bool) -> Self {
        let mut needed = |name: &'static str, what: &str| {
            let text: Option<String> = from.optional(name);
            if is_needed && text.is_none() {
                from.fault(name, format!("not set: `auth` is `jwt`, which needs {what}"));
            }
            text.unwrap_or_default()
        };
        let keys = needed("jwt_jwks", "the file or the URL of the issuer's key set");
        let issuer = needed("jwt_issuer", "what `iss` has to be");
        let audience = needed("jwt_audience", "what `aud` has to hold");
        let keys = source(&keys).unwrap_or_else(|detail| {
            from.fault("jwt_jwks", detail);
            JwksSource::File(PathBuf::new())
        });
        Self {
            keys,
            issuer,
            audience,
            roles_claim: from.value("jwt_roles_claim", "roles".to_owned()),
            leeway: from.seconds("jwt_leeway_seconds", 30, 0..=300),
            refresh_min: from.millis("jwt_jwks_refresh_min_ms", 10_000, 10..=3_600_000),
            refresh_max: from.millis("jwt_jwks_refresh_max_ms", 300_000, 10..=86_400_000),
        }
    }
}

/// Who can change the keys on their way can make any token: so by TLS, or from this very machine.
fn source(text: &str) -> Result<JwksSource, String> {
    if !text.contains("://") {
        return Ok(JwksSource::File(text.into()));
    }
    let url: Uri = text.parse().map_err(|error| format!("`{text}`: {error}"))?;
    match (url.scheme_str(), url.host()) {
        (Some("https"), Some(_)) | (Some("http"), Some("127.0.0.1" | "localhost")) => {
            Ok(JwksSource::Url(url))
        }
        _ => Err("a URL has to begin with https://, or with http:// and a loopback host".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_from_a_file_or_by_tls() {
        assert_eq!(source("/etc/jwks.json"), Ok(JwksSource::File("/etc/jwks.json".into())));
        for good in ["https://issuer/jwks", "http://127.0.0.1:80/jwks", "http://localhost/jwks"] {
            assert_eq!(source(good), Ok(JwksSource::Url(good.parse().unwrap())));
        }
        for bad in
            ["http://issuer/jwks", "ftp://issuer", "http://localhost.evil/", "http://localhost:1@evil/"]
        {
            assert!(source(bad).is_err(), "{bad}");
        }
    }
}
