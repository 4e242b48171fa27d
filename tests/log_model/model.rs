//! The log as a page of plain Rust: what `log.append` promises, with nothing of how it does it.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

/// One request of a batch, with nothing left to be chosen.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) command_id: Uuid,
    pub(crate) principal: String,
    pub(crate) key: Option<String>,
    pub(crate) fingerprint: u8,
    pub(crate) stream_type: &'static str,
    pub(crate) stream_id: Uuid,
    /// `None`: any.
    pub(crate) expected: Option<i64>,
    /// 0 for a rejection.
    pub(crate) events: i64,
    /// Values, and whether they are taken or released.
    pub(crate) claims: Vec<(String, bool)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Version after it, and first and last position.
    Appended(i64, Option<(i64, i64)>),
    /// The first answer: its command's id, status, version and positions.
    Duplicate(Uuid, &'static str, i64, Option<(i64, i64)>),
    Fingerprint,
    Conflict(i64),
    /// Which of the request's claims, from 0.
    Claimed(usize),
}

type Stream = (&'static str, Uuid);

/// What was appended so far.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) head: i64,
    pub(crate) versions: BTreeMap<Stream, i64>,
    pub(crate) claims: BTreeMap<String, Stream>,
    done: Vec<Done>,
}

#[derive(Debug)]
struct Done {
    request: Request,
    version: i64,
    positions: Option<(i64, i64)>,
}

impl Log {
    pub(crate) fn version(&self, stream_type: &'static str, stream_id: Uuid) -> i64 {
        self.versions.get(&(stream_type, stream_id)).copied().unwrap_or(0)
    }

    /// The outcomes of a batch: one request after the other; after the first of a stream that does not go through, the
    /// stream's later ones conflict, unless it only asked, by a version that no stream has.
    pub(crate) fn append(&mut self, batch: &[Request]) -> Vec<Outcome> {
        let mut broken = BTreeSet::new();
        let mut outcomes = Vec::new();
        for request in batch {
            let stream = (request.stream_type, request.stream_id);
            let outcome = self.decide(request, broken.contains(&stream));
            match outcome {
                Outcome::Appended(version, positions) => self.keep(request, version, positions),
                _ if request.expected.is_some_and(|expected| expected < 0) => {}
                _ => drop(broken.insert(stream)),
            }
            outcomes.push(outcome);
        }
        outcomes
    }

    fn decide(&self, request: &Request, broken: bool) -> Outcome {
        let stream = (request.stream_type, request.stream_id);
        if let Some(earlier) = self.earlier(request) {
            if earlier.request.fingerprint != request.fingerprint {
                return Outcome::Fingerprint;
            }
            let status = if earlier.request.events > 0 { "done" } else { "rejected" };
            return Outcome::Duplicate(
                earlier.request.command_id,
                status,
                earlier.version,
                earlier.positions,
            );
        }
        let version = self.version(stream.0, stream.1);
        if broken || request.expected.is_some_and(|expected| expected != version) {
            return Outcome::Conflict(version);
        }
        let lost = request.claims.iter().position(|(value, taken)| {
            *taken && self.claims.get(value).is_some_and(|holder| *holder != stream)
        });
        if let Some(lost) = lost {
            return Outcome::Claimed(lost);
        }
        let positions = (request.events > 0).then_some((self.head + 1, self.head + request.events));
        Outcome::Appended(version + request.events, positions)
    }

    fn earlier(&self, request: &Request) -> Option<&Done> {
        let same_id = |done: &&Done| done.request.command_id == request.command_id;
        let same_key = |done: &&Done| {
            request.key.is_some()
                && done.request.key == request.key
                && done.request.principal == request.principal
        };
        self.done.iter().find(same_id).or_else(|| self.done.iter().find(same_key))
    }

    fn keep(&mut self, request: &Request, version: i64, positions: Option<(i64, i64)>) {
        let stream = (request.stream_type, request.stream_id);
        self.head += request.events;
        if request.events > 0 {
            self.versions.insert(stream, version);
        }
        for (value, taken) in &request.claims {
            if *taken {
                self.claims.insert(value.clone(), stream);
            } else if self.claims.get(value) == Some(&stream) {
                self.claims.remove(value);
            }
        }
        self.done.push(Done { request: request.clone(), version, positions });
    }
}
