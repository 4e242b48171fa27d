//! What callers say in headers, read once and purely.
//!
//! A header that asks for something wrong is a [`Fault`]; one that only hints (`Prefer`, `traceparent`,
//! `X-Correlation-Id`) is passed over where it makes no sense.

use std::time::Duration;

use poem::http::{HeaderMap, HeaderValue, header};
use uuid::Uuid;

use super::problem::Fault;
use crate::{
    command::is_correlation_id,
    log::Version,
    trace::{TRACEPARENT, is_traceparent},
};

pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";
pub(crate) const CORRELATION_ID: &str = "x-correlation-id";
pub(crate) const LAST_EVENT_ID: &str = "last-event-id";
const IDEMPOTENCY_KEY_CHARS_MAX: usize = 200;

/// The key that makes a command take effect once; bare or quoted is the same key.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let fault = |detail: &str| Fault::header("Idempotency-Key", detail);
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(fault("may be sent once only"));
    }
    let text = value.to_str().map_err(|_| fault("must be visible ASCII"))?.trim();
    let key = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    match key.chars().count() {
        1..=IDEMPOTENCY_KEY_CHARS_MAX => Ok(Some(key.to_owned())),
        _ => Err(fault("must have 1 to 200 characters")),
    }
}

/// The versions the caller insists on. `None`: any will do. An empty list: none can match, as with weak tags only
/// (RFC 9110, 13.1.1).
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<Vec<Version>>, Fault> {
    let fault = || Fault::header("If-Match", "must be `*` or a list of entity tags such as \"3\"");
    let mut versions = None::<Vec<Version>>;
    for value in headers.get_all(header::IF_MATCH) {
        let text = value.to_str().map_err(|_| fault())?.trim();
        if text == "*" {
            return Ok(None);
        }
        let versions = versions.get_or_insert_default();
        for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            let strong = !tag.starts_with("W/");
            let opaque = tag
                .strip_prefix("W/")
                .unwrap_or(tag)
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'))
                .filter(|opaque| !opaque.contains('"'))
                .ok_or_else(fault)?;
            // Our tags are plain numbers; any other strong tag is not one of ours and matches nothing.
            if let Some(version) = opaque.parse().ok().filter(|v: &i64| strong && v.to_string() == opaque) {
                versions.push(Version(version));
            }
        }
    }
    Ok(versions)
}

/// The caller's id of the conversation, or a new one of ours.
pub(crate) fn correlation_id(headers: &HeaderMap) -> String {
    headers
        .get(CORRELATION_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| is_correlation_id(id))
        .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// W3C Trace Context; anything else is passed over, as it demands.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    is_traceparent(text).then(|| text.to_owned())
}

/// What the caller would like (RFC 7240).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Preferences {
    /// An answer at once, and the result later.
    pub(crate) respond_async: bool,
    /// How long a read may wait for its token.
    pub(crate) wait: Option<Duration>,
}

/// Reads `Prefer`; what is odd or unknown is passed over, and of a preference given twice the first counts.
pub(crate) fn preferences(headers: &HeaderMap) -> Preferences {
    let mut preferences = Preferences::default();
    let all = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    for preference in all.flat_map(|value| value.split(',')) {
        let preference = preference.split(';').next().unwrap_or_default().trim();
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "respond-async" => preferences.respond_async = true,
            "wait" if preferences.wait.is_none() => {
                let seconds = value.trim().trim_matches('"').parse::<u32>().ok();
                preferences.wait = seconds.map(|seconds| Duration::from_secs(seconds.into()));
            }
            _ => {}
        }
    }
    preferences
}

/// A header value of our own making.
pub(crate) fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("ids, versions, tokens and paths of ours are visible ASCII")
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_quoted_key_is_the_same_key() {
        for sent in ["abc", "\"abc\"", " abc "] {
            assert_eq!(idempotency_key(&headers(&[(IDEMPOTENCY_KEY, sent)])), Ok(Some("abc".into())));
        }
        assert_eq!(idempotency_key(&HeaderMap::new()), Ok(None));
        for sent in ["", "\"\"", "  "] {
            assert!(idempotency_key(&headers(&[(IDEMPOTENCY_KEY, sent)])).is_err(), "{sent:?}");
        }
        let mut long = HeaderMap::new();
        long.insert(IDEMPOTENCY_KEY, HeaderValue::from_str(&"k".repeat(201)).unwrap());
        assert!(idempotency_key(&long).is_err());
        let twice = [(IDEMPOTENCY_KEY, "a"), (IDEMPOTENCY_KEY, "b")];
        assert!(idempotency_key(&headers(&twice)).is_err());
    }

    #[test]
    fn if_match_lists_strong_versions_only() {
        let read = |text| if_match(&headers(&[("if-match", text)]));
        assert_eq!(read("\"3\""), Ok(Some(vec![Version(3)])));
        assert_eq!(read("\"3\", \"4\""), Ok(Some(vec![Version(3), Version(4)])));
        assert_eq!(read("W/\"3\""), Ok(Some(vec![])));
        assert_eq!(read("\"03\", \"abc\""), Ok(Some(vec![])));
        assert_eq!(read("*"), Ok(None));
        assert_eq!(if_match(&HeaderMap::new()), Ok(None));
        for odd in ["3", "\"3", "\"3\" \"4\""] {
            assert!(read(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_correlation_id_is_kept_or_replaced() {
        assert_eq!(correlation_id(&headers(&[(CORRELATION_ID, "a-1")])), "a-1");
        for odd in ["", "a b", "ä"] {
            let mut sent = HeaderMap::new();
            sent.insert(CORRELATION_ID, HeaderValue::from_str(odd).unwrap());
            assert!(correlation_id(&sent).parse::<Uuid>().is_ok(), "{odd:?}");
        }
    }

    #[test]
    fn odd_preferences_are_passed_over() {
        let read = |text| preferences(&headers(&[("prefer", text)]));
        assert_eq!(read("wait=5").wait, Some(Duration::from_secs(5)));
        assert_eq!(read("wait=soon, wait = 7").wait, Some(Duration::from_secs(7)));
        assert_eq!(read("wait=-1").wait, None);
        assert!(read("Respond-Async;x=1, wait=2").respond_async);
        assert!(!read("respond").respond_async);
    }

    #[test]
    fn only_a_valid_traceparent_is_taken() {
        let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(traceparent(&headers(&[("traceparent", valid)])).as_deref(), Some(valid));
        for odd in ["00-0-0-0", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
            assert_eq!(traceparent(&headers(&[("traceparent", odd)])), None);
        }
    }
}
