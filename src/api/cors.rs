//! Which web pages of other origins may call (the Fetch standard's CORS). None, unless the configuration names them.

use poem::{
    Request, Response,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
};

const METHODS: &str = "GET, HEAD, POST, PUT, DELETE";
const REQUEST_HEADERS: &str = "Authorization, Content-Type, Idempotency-Key, If-Match, Prefer, Consistency-Token, \
                               X-Correlation-Id, traceparent, Last-Event-ID";
const ANSWER_HEADERS: &str = "ETag, Location, Link, Retry-After, Consistency-Token, X-Correlation-Id, \
                              Idempotency-Replayed, Preference-Applied, Annals-Position, Annals-Generation, \
                              Annals-Parked";
const PREFLIGHT_SECONDS_MAX: &str = "600";

/// The origins that may call.
pub(crate) struct Cors {
    origins: Vec<String>,
}

impl Cors {
    /// `*` is any origin. Credentials are headers here, never cookies, so that is safe.
    pub(crate) fn new(origins: Vec<String>) -> Self {
        Self { origins }
    }

    /// The answer to a browser that asks before it calls. It carries no credentials, so it comes before the check of
    /// who calls.
    pub(crate) fn preflight(&self, request: &Request) -> Option<Response> {
        let asks = request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let origin = self.allowed(request.headers()).filter(|_| asks)?;
        let mut response = Response::builder()
            .status(StatusCode::NO_CONTENT)
            .header(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS)
            .header(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS)
            .header(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS_MAX)
            .finish();
        self.open(Some(origin), &mut response);
        Some(response)
    }

    /// The origin of a request, if it may call.
    pub(crate) fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let named = self.origins.iter().any(|known| known == "*" || known.as_bytes() == origin.as_bytes());
        named.then(|| origin.clone())
    }

    /// Lets the page of that origin read the answer.
    pub(crate) fn open(&self, origin: Option<HeaderValue>, response: &mut Response) {
        if self.origins.is_empty() {
            return;
        }
        let headers = response.headers_mut();
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            let exposed = HeaderValue::from_static(ANSWER_HEADERS);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}
