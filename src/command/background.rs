//! Carries out accepted commands, in whichever process takes them first, and deletes old answers.
//!
//! A command that was taken and not finished, because its process died or the log was away, is due again after its lease, a
//! bounded number of times. Doing it twice is harmless: its id is appended once.

use std::{collections::HashSet, panic::resume_unwind, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::{Answer, Commands, Deps, Error, Failure, Outcome, Prepared, Request, answer, uninterrupted};
use crate::{
    aggregate::DecodeError,
    json::RawJson,
    log::{self, Acceptance, Accepted, StreamId, Version},
    postgres,
    trouble::Trouble,
};

/// What is kept of a request until it is done.
#[derive(Serialize, Deserialize)]
struct Kept {
    body: Value,
    target: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    if_match: Option<Vec<Version>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    causation_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}

impl Deps {
    /// Stores a prepared command to be done later.
    pub(super) async fn accept(&self, prepared: Prepared) -> Result<Answer, Error> {
        let Prepared { command_id, stream_id, fingerprint, request } = prepared;
        let (aggregate, _) = self.command(&request.command)?;
        let stream = StreamId { stream_type: aggregate.stream_type().to_owned(), id: stream_id };
        let kept = Kept {
            body: request.body,
            target: request.target,
            if_match: request.if_match,
            causation_id: request.causation_id,
            traceparent: request.traceparent,
        };
        let accepted = Accepted {
            command_id,
            command_type: request.command,
            principal: request.principal,
            idempotency_key: request.idempotency_key,
            fingerprint,
            correlation_id: request.correlation_id.clone(),
            stream_id,
            request: RawJson::of(&kept),
            attempts: 0,
        };
        match self.in_time(self.rows.accept(&accepted, &stream)).await? {
            Acceptance::Duplicate(record) => answer(*record),
            Acceptance::FingerprintMismatch => Err(Error::KeyReused),
            Acceptance::Accepted => {
                self.accepted.notify_one();
                Ok(Answer {
                    command_id,
                    stream,
                    correlation_id: request.correlation_id,
                    version: Version(0),
                    position: None,
                    outcome: Outcome::Pending,
                    replayed: false,
                })
            }
        }
    }

    /// Returns the command's id.
    async fn work_off(self: Arc<Self>, accepted: Accepted) -> Uuid {
        let (command_id, attempts) = (accepted.command_id, accepted.attempts);
        if attempts > self.config.background_attempts_max {
            error!(%command_id, attempts, "whoever took this accepted command did not come back: it is given up");
            self.give_up(command_id, &Failure::Broken).await;
            return command_id;
        }
        let carried_out = match prepare(accepted) {
            Ok(prepared) => {
                let deps = self.clone();
                uninterrupted(async move { deps.carry_out(&prepared).await }).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = carried_out {
            self.note_failure(command_id, attempts, error).await;
        }
        command_id
    }

    /// Whether it was taken so often without an end that it may be what ends the processes that take it. Those that were only
    /// taken together with such a one are then worked off alone, too, and come through.
    fn is_suspect(&self, accepted: &Accepted) -> bool {
        let most = self.config.background_attempts_max;
        ((most + 1) / 2 + 1..=most).contains(&accepted.attempts)
    }

    async fn note_failure(&self, command_id: Uuid, attempts: i32, error: Error) {
        if is_no_try(&error) {
            warn!(%command_id, attempts, %error, "an accepted command has to wait; it will be tried again");
            return self.give_back(command_id).await;
        }
        let is_final = matches!(error, Error::VersionMismatch { .. } | Error::KeyReused);
        if !is_final && attempts < self.config.background_attempts_max {
            warn!(%command_id, attempts, %error, "an accepted command failed; it will be tried again");
            return;
        }
        error!(%command_id, attempts, %error, "an accepted command is given up");
        let failure = match error {
            Error::VersionMismatch { actual } => Failure::VersionMismatch { actual },
            Error::Conflict { attempts } => Failure::Conflict { attempts },
            _ => Failure::Broken,
        };
        self.give_up(command_id, &failure).await;
    }

    async fn give_up(&self, command_id: Uuid, failure: &Failure) {
        if let Err(error) = self.in_time(self.rows.fail(command_id, &RawJson::of(failure))).await {
            warn!(%command_id, %error, "it could not be marked as failed; it will be tried again");
        }
    }

    /// Has a taking not count as an attempt.
    async fn give_back(&self, command_id: Uuid) {
        if let Err(error) = self.in_time(self.rows.give_back(command_id)).await {
            warn!(%command_id, %error, "the taking counts as an attempt");
        }
    }
}

/// Whether this failure does not count as an attempt: the log is away or busy, or only a newer program knows the command or
/// can read the stream.
fn is_no_try(error: &Error) -> bool {
    match error {
        Error::Database(error) => error.failure() == postgres::Failure::Transient,
        Error::Log(error) => {
            matches!(error, log::Error::Overloaded | log::Error::Away(_) | log::Error::Unknown(_))
        }
        Error::UnknownCommand(_) => true,
        Error::Unreadable(error) => matches!(error, DecodeError::Newer { .. } | DecodeError::Unknown { .. }),
        _ => false,
    }
}

fn prepare(accepted: Accepted) -> Result<Prepared, Error> {
    let kept: Kept = accepted.request.parse().map_err(|error| Error::Record(error.to_string()))?;
    let request = Request {
        command_id: Some(accepted.command_id),
        command: accepted.command_type,
        stream_id: Some(accepted.stream_id),
        body: kept.body,
        sent: None,
        principal: accepted.principal,
        idempotency_key: accepted.idempotency_key,
        correlation_id: accepted.correlation_id,
        causation_id: kept.causation_id,
        traceparent: kept.traceparent,
        if_match: kept.if_match,
        target: kept.target,
    };
    let Accepted { command_id, stream_id, fingerprint, .. } = accepted;
    Ok(Prepared { command_id, stream_id, fingerprint, request })
}

/// Carries accepted commands out until shutdown; those in hand are finished. A slow one keeps its own place alone. One that was
/// taken too often waits until no other is in hand, for it may take its process with it.
pub async fn run(commands: Commands, shutdown: CancellationToken) {
    let deps = commands.0;
    let (mut working, mut in_hand) = (JoinSet::new(), HashSet::new());
    let mut suspect: Option<Accepted> = None;
    // Whether as many were due as there was room for, so that more may be.
    let mut may_be_more = true;
    let mut trouble = Trouble::new("accepted commands cannot be taken; trying again");
    while !shutdown.is_cancelled() {
        while let Some(done) = working.try_join_next() {
            in_hand.remove(&finished(done));
        }
        if working.is_empty()
            && let Some(accepted) = suspect.take()
        {
            deps.clone().work_off(accepted).await;
        }
        let room = deps.config.background_concurrency - working.len();
        if may_be_more && room > 0 && suspect.is_none() {
            let taking = deps.rows.take(room as i32, deps.config.background_lease);
            let taken = trouble.note(deps.in_time(taking).await).unwrap_or_default();
            may_be_more = taken.len() == room;
            for accepted in taken {
                let is_suspect = deps.is_suspect(&accepted);
                if in_hand.contains(&accepted.command_id) || is_suspect && suspect.is_some() {
                    // A slow one, due again, or one more suspect; to have taken it keeps others away from it.
                    deps.give_back(accepted.command_id).await;
                } else if is_suspect {
                    suspect = Some(accepted);
                } else {
                    in_hand.insert(accepted.command_id);
                    working.spawn(deps.clone().work_off(accepted));
                }
            }
            if working.is_empty() && suspect.is_some() {
                continue;
            }
        }
        tokio::select! {
            Some(done) = working.join_next() => drop(in_hand.remove(&finished(done))),
            () = deps.accepted.notified() => may_be_more = true,
            () = tokio::time::sleep(deps.config.background_poll_interval) => may_be_more = true,
            () = shutdown.cancelled() => {}
        }
    }
    if let Some(accepted) = suspect {
        deps.give_back(accepted.command_id).await;
    }
    while let Some(done) = working.join_next().await {
        finished(done);
    }
}

/// The command that was worked on. What panics here is no command, but this part itself, which ends.
fn finished(done: Result<Uuid, JoinError>) -> Uuid {
    done.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}

/// Deletes answers that were kept long enough, in small steps, until shutdown.
pub async fn clean(commands: Commands, shutdown: CancellationToken) {
    let deps: Arc<Deps> = commands.0;
    let (keep, most) = (deps.config.keep, deps.config.clean_rows_max);
    let mut interval = tokio::time::interval(deps.config.clean_interval);
    while shutdown.run_until_cancelled(interval.tick()).await.is_some() {
        let mut deleted = 0;
        loop {
            match deps.in_time(deps.rows.clean(keep, most)).await {
                Ok(step) => {
                    deleted += step;
                    if step < most || shutdown.is_cancelled() {
                        break;
                    }
                }
                Err(error) => {
                    warn!(%error, "old answers cannot be cleaned away; trying again later");
                    break;
                }
            }
        }
        if deleted > 0 {
            info!(deleted, "old answers of commands were cleaned away");
        }
    }
}
