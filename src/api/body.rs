//! Reads a body: its type, its size, its JSON. Whether its content is right is checked by `schema` and the domain.

use std::time::Duration;

use poem::{Body, Request, http::header};
use serde_json::Value;
use tokio::{io::AsyncReadExt, time::timeout};

use super::problem::{Problem, kind};

/// Bounds of every body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) bytes_max: usize,
    /// For all of it to arrive.
    pub(crate) time_max: Duration,
}

/// Reads the body as JSON. `empty_is_object`: nothing is required, so an empty body is `{}`.
pub(crate) async fn read(
    request: &Request,
    body: Body,
    limits: Limits,
    empty_is_object: bool,
) -> Result<Value, Problem> {
    let unsupported = |detail: &str| Problem::new(kind::UNSUPPORTED_MEDIA_TYPE, detail);
    match request.headers().get(header::CONTENT_TYPE) {
        Some(value) if !value.to_str().is_ok_and(is_json) => {
            return Err(unsupported("The body must be application/json."));
        }
        Some(_) => {}
        None => {
            let empty = limited(request, body, limits).await.is_ok_and(|bytes| bytes.is_empty());
            return if empty && empty_is_object {
                Ok(Value::Object(Default::default()))
            } else {
                Err(unsupported("The header Content-Type is missing; it must be application/json."))
            };
        }
    }
    let bytes = limited(request, body, limits).await?;
    if bytes.is_empty() && empty_is_object {
        return Ok(Value::Object(Default::default()));
    }
    // The parser's own text names line and column, and shows nothing of the body.
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::new(kind::MALFORMED, format!("The body is no JSON: {error}.")))
}

fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}

/// Counts while it reads, so that a body without Content-Length has the same limit.
async fn limited(request: &Request, body: Body, limits: Limits) -> Result<Vec<u8>, Problem> {
    let Limits { bytes_max, time_max } = limits;
    let too_large = || Problem::new(kind::TOO_LARGE, format!("The body may have {bytes_max} bytes at most."));
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > bytes_max as u64) {
        // A client that asks before it sends (`Expect: 100-continue`) need not send at all.
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let mut reader = body.into_async_read().take(bytes_max as u64 + 1);
    timeout(time_max, reader.read_to_end(&mut bytes))
        .await
        .map_err(|_| Problem::new(kind::REQUEST_TIMEOUT, "The body took too long to arrive."))?
        .map_err(|_| Problem::new(kind::MALFORMED, "The body broke off."))?;
    if bytes.len() > bytes_max {
        return Err(too_large());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sent(content_type: Option<&str>, body: &str, empty_is_object: bool) -> Result<Value, u16> {
        let mut request = Request::builder();
        if let Some(content_type) = content_type {
            request = request.content_type(content_type);
        }
        let limits = Limits { bytes_max: 16, time_max: Duration::from_secs(10) };
        let body = Body::from_string(body.to_owned());
        let read = read(&request.finish(), body, limits, empty_is_object).await;
        read.map_err(|problem| problem.kind.status)
    }

    #[tokio::test]
    async fn type_then_size_then_json() {
        let json = Some("application/json; charset=utf-8");
        assert_eq!(sent(json, "{}", false).await, Ok(Value::Object(Default::default())));
        assert_eq!(sent(Some("text/plain"), &"x".repeat(99), false).await, Err(415));
        assert_eq!(sent(json, &"x".repeat(17), false).await, Err(413));
        assert_eq!(sent(json, "{", false).await, Err(400));
        assert_eq!(sent(json, r#"{"a":"\ud83d"}"#, false).await, Err(400));
        assert_eq!(sent(json, "NaN", false).await, Err(400));
        assert_eq!(sent(None, "{}", false).await, Err(415));
    }

    #[tokio::test]
    async fn an_empty_body_is_an_object_where_nothing_is_required() {
        assert_eq!(sent(None, "", true).await, Ok(Value::Object(Default::default())));
        assert_eq!(sent(None, "", false).await, Err(415));
        assert_eq!(sent(Some("application/json"), "", false).await, Err(400));
    }
}
