//! Every kind of problem there is, and what `/problems/<slug>` tells of it.

use poem::http::StatusCode;

/// One kind of problem. Its slug never changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) slug: &'static str,
    pub(crate) status: u16,
    pub(crate) title: &'static str,
    /// What it means.
    pub(crate) meaning: &'static str,
    /// What the caller can do about it.
    pub(crate) remedy: &'static str,
}

impl Kind {
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).expect("the statuses below are valid")
    }
}

pub(crate) const MALFORMED: &Kind = &Kind {
    slug: "malformed",
    status: 400,
    title: "The request cannot be read",
    meaning: "The body is no JSON (RFC 8259), or a consistency token or a cursor is not one that this server gave out. \
              A cursor also ends when its read model was rebuilt and swapped.",
    remedy: "Correct the request; the same one fails again. With a cursor, begin again at the first page. Take tokens \
             from the header Consistency-Token of an answer of this very log.",
};
pub(crate) const UNAUTHENTICATED: &Kind = &Kind {
    slug: "unauthenticated",
    status: 401,
    title: "Who is calling is not known",
    meaning: "The header Authorization is missing or is not `Bearer <key>`, or the key or token is unknown, expired or \
              revoked. `detail` says what is wrong with a token.",
    remedy: "Send `Authorization: Bearer <key>`. An operator makes keys with `annals keys create`.",
};
pub(crate) const FORBIDDEN: &Kind = &Kind {
    slug: "forbidden",
    status: 403,
    title: "The key lacks the role",
    meaning: "The key is good, but has not the role that this path asks for: admin for /api/admin, auditor for \
              /api/audit, consumer for the rest of /api. No role implies another.",
    remedy: "Use a key with that role.",
};
pub(crate) const NOT_FOUND: &Kind = &Kind {
    slug: "not-found",
    status: 404,
    title: "There is no such thing",
    meaning: "Nothing is at this path, or the id names nothing (any more), or is no UUID.",
    remedy: "Check the path and the id. What was written a moment ago may not be in the read model yet: send the \
             Consistency-Token of the write with the read.",
};
pub(crate) const METHOD_NOT_ALLOWED: &Kind = &Kind {
    slug: "method-not-allowed",
    status: 405,
    title: "The method does not fit the path",
    meaning: "The path exists, but not for this method.",
    remedy: "Use one of the methods in the header Allow.",
};
pub(crate) const REQUEST_TIMEOUT: &Kind = &Kind {
    slug: "request-timeout",
    status: 408,
    title: "The request took too long to arrive",
    meaning: "The body did not arrive within the time that this server waits for it. Nothing was done.",
    remedy: "Send it again, over a faster connection or in smaller pieces.",
};
pub(crate) const REJECTED: &Kind = &Kind {
    slug: "rejected",
    status: 409,
    title: "A rule of the business forbids it",
    meaning: "The command was understood and decided: no. The problem says why, and where a state is the reason, the \
              state and what it allows. The decision is kept: the same Idempotency-Key gets the same answer.",
    remedy: "Read the present state and decide anew, with a new Idempotency-Key.",
};
pub(crate) const CONFLICT: &Kind = &Kind {
    slug: "conflict",
    status: 409,
    title: "Others were faster, too often",
    meaning: "Others kept changing the same thing while this command was being decided. Nothing was done.",
    remedy: "Send the same request again after the time in Retry-After.",
};
pub(crate) const VERSION_MISMATCH: &Kind = &Kind {
    slug: "version-mismatch",
    status: 412,
    title: "It has another version by now",
    meaning: "If-Match names a version that is not the present one, which is in `actual_version`. Nothing was done.",
    remedy: "Read it again, decide whether the change still fits, and send the new version in If-Match.",
};
pub(crate) const TOO_LARGE: &Kind = &Kind {
    slug: "too-large",
    status: 413,
    title: "The request is too large",
    meaning: "The body, or the event it would become, is larger than this server takes.",
    remedy: "Send less at once. An operator sets the limit with ANNALS_BODY_LIMIT.",
};
pub(crate) const URI_TOO_LONG: &Kind = &Kind {
    slug: "uri-too-long",
    status: 414,
    title: "The URL is too long",
    meaning: "Path and query together are longer than this server takes.",
    remedy: "Send fewer or shorter parameters. An operator sets the limit with ANNALS_API_URL_BYTES_MAX; under /api/audit it is 3,900 bytes at most.",
};
pub(crate) const UNSUPPORTED_MEDIA_TYPE: &Kind = &Kind {
    slug: "unsupported-media-type",
    status: 415,
    title: "The body is not of a type taken here",
    meaning: "Bodies are JSON: the header Content-Type must be application/json. A route whose body requires nothing \
              also takes an empty body without Content-Type.",
    remedy: "Send the body as JSON, with `Content-Type: application/json`.",
};
pub(crate) const VALIDATION_FAILED: &Kind = &Kind {
    slug: "validation-failed",
    status: 422,
    title: "The request has faults",
    meaning: "Body, query or headers break the published schema or a rule beyond it. `errors` lists every fault, each \
              with its JSON Pointer into the body (RFC 6901), or with the name and place of the parameter.",
    remedy: "Correct every fault listed and send it again.",
};
pub(crate) const IDEMPOTENCY_KEY_REUSED: &Kind = &Kind {
    slug: "idempotency-key-reused",
    status: 422,
    title: "The Idempotency-Key belongs to another request",
    meaning: "You sent this key before with another method, path or body. Nothing was done.",
    remedy: "Make a new key for each new request; repeat a key only with the very same request.",
};
pub(crate) const TOO_MANY_REQUESTS: &Kind = &Kind {
    slug: "too-many-requests",
    status: 429,
    title: "Too many requests",
    meaning: "The caller sent more requests than it may, or too many from this address had no good key. Nothing was \
              done.",
    remedy: "Wait for the time in Retry-After.",
};
pub(crate) const HEADERS_TOO_LARGE: &Kind = &Kind {
    slug: "headers-too-large",
    status: 431,
    title: "The headers are too large",
    meaning: "All headers together are larger than this server takes.",
    remedy: "Send fewer or shorter headers. An operator sets the limit with ANNALS_API_HEADER_BYTES_MAX.",
};
pub(crate) const INTERNAL: &Kind = &Kind {
    slug: "internal",
    status: 500,
    title: "Something broke on our side",
    meaning: "A fault of the server. `id` leads an operator to its cause in the server's log.",
    remedy: "Repeat a command with the same Idempotency-Key: it takes effect at most once. If it stays, tell the \
             operator the id.",
};
pub(crate) const OVERLOADED: &Kind = &Kind {
    slug: "overloaded",
    status: 503,
    title: "Too much to do at present",
    meaning: "A queue is full, the database is away, the server is ending, or the request took too long. Unless the problem says otherwise, \
              nothing was done.",
    remedy: "Send the same request again after the time in Retry-After, a command with the same Idempotency-Key.",
};
pub(crate) const PROJECTION_BEHIND: &Kind = &Kind {
    slug: "projection-behind",
    status: 503,
    title: "The read model has not come that far",
    meaning: "The read asked for a state at or after its Consistency-Token, and the read model did not reach it in the \
              time to wait.",
    remedy: "Try again after the time in Retry-After, allow a longer wait with `Prefer: wait=<seconds>`, or read \
             without the token.",
};

/// All of them, by status.
pub(crate) const ALL: [&Kind; 19] = [
    MALFORMED,
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    REQUEST_TIMEOUT,
    REJECTED,
    CONFLICT,
    VERSION_MISMATCH,
    TOO_LARGE,
    URI_TOO_LONG,
    UNSUPPORTED_MEDIA_TYPE,
    VALIDATION_FAILED,
    IDEMPOTENCY_KEY_REUSED,
    TOO_MANY_REQUESTS,
    HEADERS_TOO_LARGE,
    INTERNAL,
    OVERLOADED,
    PROJECTION_BEHIND,
];
