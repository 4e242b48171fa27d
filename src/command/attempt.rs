//! One command on one stream: load, decide, append; and again, when another append to the stream came first.

use serde_json::Value;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    Answer, Deps, Error, Outcome as Told, Prepared, Request, answer,
    hot::{self, Known},
    step::Step,
};
use crate::{
    aggregate::{AnyAggregate, AnyState, Claim, CommandType, Decided, Decision, Rejection, RejectionKind},
    json::RawJson,
    log::{self, Append, Events, Expected, Metadata, NewEvent, Outcome, Status, StreamId, Version},
};

/// A version no stream has, for an append that must not go through: it only finds an earlier answer or the version.
const NEVER: Expected = Expected::Exactly(Version(-1));

/// Events of the first reading of an aggregate.
const FIRST_EVENTS_MAX: usize = 64;

/// A command with all that its attempts share.
pub(super) struct Attempt<'a> {
    deps: &'a Deps,
    aggregate: &'a dyn AnyAggregate,
    command: CommandType,
    prepared: &'a Prepared,
    request: &'a Request,
    stream: StreamId,
}

/// A link of the stream's chain that was queued.
struct Queued {
    outcome: oneshot::Receiver<Result<Outcome, log::Error>>,
    /// What the caller is told if it is appended.
    told: Told,
    claims: Vec<Claim>,
    reading: u64,
    /// The version it was decided on.
    before: Version,
    /// The state it leads to.
    state: AnyState,
    /// Whether it leads to another state.
    changes: bool,
    /// Whether the caller's `If-Match` was not met: the append cannot succeed, and only asks for an earlier answer or the present
    /// version.
    mismatch: bool,
}

/// A decision that leaves the state as it is.
fn nothing_done(decision: Decision, state: &AnyState) -> Decided {
    Decided { decision, state: state.clone(), answer: Value::Null }
}

fn is_not_found(decision: &Decision) -> bool {
    matches!(decision, Decision::Rejected(Rejection { kind: RejectionKind::NotFound, .. }))
}

impl Queued {
    /// Whether the state kept in memory, which counts this link as done, is wrong.
    fn is_disproved_by(&self, outcome: &Result<Outcome, log::Error>) -> bool {
        match outcome {
            Ok(Outcome::Appended { .. }) => false,
            // The version probe confirmed the cached version.
            Ok(Outcome::Conflict { actual }) if self.mismatch => *actual != self.before,
            Ok(Outcome::Conflict { .. }) | Err(_) => true,
            Ok(_) => self.changes,
        }
    }
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        deps: &'a Deps,
        aggregate: &'a dyn AnyAggregate,
        command: CommandType,
        prepared: &'a Prepared,
    ) -> Self {
        let stream = StreamId { stream_type: aggregate.stream_type().to_owned(), id: prepared.stream_id };
        Self { deps, aggregate, command, prepared, request: &prepared.request, stream }
    }

    pub(super) async fn run(self) -> Result<Answer, Error> {
        let hot = self.deps.hot.of(&self.stream);
        let (mut refused, mut conflicts) = (None, 0);
        loop {
            let mut queued = self.queue(&hot, refused.take()).await?;
            let step = self.step("append");
            let outcome = (&mut queued.outcome).await.unwrap_or_else(|gone| Err(gone.into()));
            drop(step);
            if queued.is_disproved_by(&outcome) {
                hot::forget(&hot, queued.reading).await;
            }
            match outcome? {
                Outcome::Appended { version, positions } => {
                    if self.deps.snapshots.is_due(queued.before, version) {
                        self.deps.keep_snapshot(self.aggregate, &self.stream, version, &queued.state);
                    }
                    return Ok(Answer {
                        command_id: self.prepared.command_id,
                        stream: self.stream,
                        correlation_id: self.request.correlation_id.clone(),
                        version,
                        position: positions.map(|(_, last)| last),
                        outcome: queued.told,
                        replayed: false,
                    });
                }
                Outcome::Duplicate(record) => {
                    // The command's own row where its append had to be sent twice.
                    let replayed = record.command_id != self.prepared.command_id;
                    return Ok(Answer { replayed, ..answer(*record)? });
                }
                Outcome::FingerprintMismatch => return Err(Error::KeyReused),
                Outcome::Conflict { actual } if queued.mismatch && !self.is_wanted(actual) => {
                    return Err(Error::VersionMismatch { actual });
                }
                Outcome::Conflict { .. } => {
                    metrics::counter!("annals_command_conflicts_total").increment(1);
                    conflicts += 1;
                    if conflicts > self.deps.config.retries_max {
                        return Err(Error::Conflict { attempts: conflicts });
                    }
                }
                Outcome::Claimed { claim } => {
                    let (Claim::Take(value) | Claim::Release(value)) = &queued.claims[claim];
                    refused = Some(Rejection::invalid(value.taken.clone()));
                }
            }
        }
    }

    /// Decides on the newest state there is and queues the result. `refused`: the log said that a unique value is taken,
    /// which becomes the answer.
    async fn queue(&self, hot: &hot::Hot, refused: Option<Rejection>) -> Result<Queued, Error> {
        let mut slot = hot.lock().await;
        let Known { state, version, last, reading } = match &*slot {
            Some(known) => known.clone(),
            None => slot.insert(self.load().await?).clone(),
        };
        let is_wanted = self.is_wanted(version);
        let decided = match refused.filter(|_| is_wanted) {
            Some(rejection) => nothing_done(Decision::Rejected(rejection), &state),
            None => self.decide(&state, version)?,
        };
        // A precondition says nothing of what is not there (RFC 9110, section 13.2.1).
        let mismatch = !is_wanted && !is_not_found(&decided.decision);
        let Decided { decision, state: after, answer } = match mismatch {
            true => nothing_done(Decision::Accepted { events: vec![], claims: vec![] }, &state),
            false => decided,
        };
        let expected = match last {
            _ if mismatch => NEVER,
            Some(last) => Expected::Last(version, last),
            None => Expected::Exactly(version),
        };
        let (append, told) = self.append(expected, decision, answer);
        let claims = append.claims.clone();
        let changes = !append.events.is_empty();
        let before = version;
        let version = Version(before.0 + append.events.len() as i64);
        let last = append.events.last().map_or(last, |event| Some(event.event_id));
        let outcome = self.deps.appender.enqueue(append)?;
        *slot = Some(Known { state: after.clone(), version, last, reading });
        Ok(Queued { outcome, told, claims, reading, before, state: after, changes, mismatch })
    }

    fn decide(&self, state: &AnyState, version: Version) -> Result<Decided, Error> {
        let _step = self.step("decide");
        let decided =
            self.aggregate.decide(state, self.command.name, &self.request.body, self.stream.id, version.0);
        decided.map_err(Error::Invalid)
    }

    fn step(&self, name: &'static str) -> Step<'a> {
        Step::start(name, &self.request.correlation_id)
    }

    /// Whether the caller's `If-Match`, if any, names this version.
    fn is_wanted(&self, version: Version) -> bool {
        self.request.if_match.as_ref().is_none_or(|wanted| wanted.contains(&version))
    }

    /// The state as the log has it.
    async fn load(&self) -> Result<Known, Error> {
        let reading = self.deps.hot.next_reading();
        if self.command.creates {
            return Ok(Known { state: self.aggregate.initial(), version: Version(0), last: None, reading });
        }
        let _step = self.step("load");
        let mut known = self.deps.in_time(self.deps.nearest(self.aggregate, &self.stream, reading)).await?;
        let snapshot = known.version;
        // Most aggregates have few; then it is one round trip.
        let mut events_max = FIRST_EVENTS_MAX.min(self.deps.config.load_events_max);
        loop {
            let reading = self.deps.reader.stream(&self.stream, known.version, events_max);
            let page = self.deps.in_time(reading).await?;
            let Events { events, more } = page;
            events_max = self.deps.config.load_events_max;
            let mut data = events.iter().map(|event| (&*event.event_type, event.schema_version, &event.data));
            let state: AnyState = self.aggregate.fold(&known.state, &mut data)?;
            if let Some(last) = events.last() {
                known = Known { state, version: last.version, last: Some(last.event_id), ..known };
            }
            if !more {
                if self.deps.snapshots.is_due(snapshot, known.version) {
                    self.deps.keep_snapshot(self.aggregate, &self.stream, known.version, &known.state);
                }
                return Ok(known);
            }
        }
    }

    fn append(&self, expected: Expected, decision: Decision, answer: Value) -> (Append, Told) {
        let (events, claims, status, stored, told) = match decision {
            Decision::Accepted { events, claims } => {
                let answer = RawJson::of(&answer);
                (events, claims, Status::Done, answer.clone(), Told::Done(answer))
            }
            Decision::Rejected(rejection) => {
                (vec![], vec![], Status::Rejected, RawJson::of(&rejection), Told::Rejected(rejection))
            }
        };
        let command_id = self.prepared.command_id;
        let metadata = RawJson::of(&Metadata {
            actor: self.request.principal.clone(),
            command_id,
            correlation_id: self.request.correlation_id.clone(),
            causation_id: self.request.causation_id,
            traceparent: self.request.traceparent.clone(),
        });
        let append = Append {
            command_id,
            command_type: self.command.name.to_owned(),
            principal: self.request.principal.clone(),
            idempotency_key: self.request.idempotency_key.clone(),
            fingerprint: self.prepared.fingerprint.clone(),
            correlation_id: self.request.correlation_id.clone(),
            stream: self.stream.clone(),
            expected,
            events: events
                .into_iter()
                .map(|event| NewEvent {
                    event_id: Uuid::now_v7(),
                    event_type: event.event_type.to_owned(),
                    schema_version: event.schema_version,
                    data: event.data,
                    metadata: metadata.clone(),
                })
                .collect(),
            claims,
            status,
            answer: stored,
        };
        (append, told)
    }
}
