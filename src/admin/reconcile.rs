//! Reconciles topics on an admin's request: compares them with the log and, unless it is a dry run, has those that
//! have a hole or a foreign record sent again.
//!
//! The request and its result are two events of one stream, so that any process can tell how it stands. One runs at a time,
//! over all processes: it holds an advisory lock in a session of its own, and both end with the process. A request without a
//! result, while nobody holds the lock, was cut off and has to be made again.

use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;
use uuid::Uuid;

use super::{Admin, Asker, Error, STREAM_TYPE, decode};
use crate::{
    config,
    domain::admin::AdminEvent,
    log::{Position, StreamId, Version},
    postgres,
    relay::reconcile::{self, Comparison},
};

const LOCK: &str = include_str!("reconcile_lock.sql");
const IS_LOCKED: &str = include_str!("reconcile_is_locked.sql");
/// Of a reconcile's stream.
const EVENTS_MAX: usize = 2;

/// A comparison that was noted and is not done yet.
pub struct Reconciling {
    pub id: Uuid,
    admin: Admin,
    asker: Asker,
    kafka: config::Kafka,
    dry_run: bool,
    /// Holds the lock, and is silent meanwhile.
    _session: (Client, AbortOnDropHandle<Result<(), tokio_postgres::Error>>),
}

/// What was found, and what was done about it.
#[derive(Debug, Default, serde::Serialize)]
pub struct Reconciled {
    pub topics: Vec<Comparison>,
    /// Topics that were made again, empty, for the relay to send all of them.
    pub sent_again: Vec<String>,
}

impl Admin {
    /// Notes that topics are to be compared with the log; whoever asked then calls [`Reconciling::run`].
    pub async fn reconcile(&self, asker: Asker, dry_run: bool) -> Result<Reconciling, Error> {
        let kafka = self.kafka.clone().ok_or(Error::NoKafka)?;
        let (session, connection) =
            postgres::connect(&self.databases.writer, self.databases.tcp_user_timeout).await?;
        let driving = AbortOnDropHandle::new(tokio::spawn(connection));
        if !session.query_one(LOCK, &[]).await?.get::<_, bool>(0) {
            return Err(Error::Reconciling);
        }
        let (id, _) = self.request(&asker, "admin.reconcile", None, json!({ "dry_run": dry_run })).await?;
        Ok(Reconciling { id, admin: self.clone(), asker, kafka, dry_run, _session: (session, driving) })
    }

    /// What is known of a reconcile; `None` where there is none of this id.
    pub async fn reconciled(&self, id: Uuid) -> Result<Option<Value>, Error> {
        // Asked first: it may end in between, but then the log tells.
        let is_locked: bool = self.writer.get().await?.query_one(IS_LOCKED, &[]).await?.get(0);
        let stream = StreamId { stream_type: STREAM_TYPE.into(), id };
        let events = self.log.stream(&stream, Version(0), EVENTS_MAX).await?.events;
        let mut events = events.iter().map(decode);
        let Some(AdminEvent::ReconcileRequested { dry_run }) = events.next().transpose()? else {
            return Ok(None);
        };
        let told = |state: &str, topics, sent_again, error| {
            json!({
                "id": id, "state": state, "dry_run": dry_run, "topics": topics, "sent_again": sent_again,
                "error": error,
            })
        };
        Ok(Some(match events.next().transpose()? {
            Some(AdminEvent::ReconcileEnded { topics, sent_again, error }) => {
                let state = if error.is_some() { "failed" } else { "done" };
                told(state, topics, sent_again, error)
            }
            _ if is_locked => told("running", Value::Null, vec![], None),
            _ => told("failed", Value::Null, vec![], Some("the process that compared ended".into())),
        }))
    }
}

impl Reconciling {
    /// Compares, sends again what differs unless only a report is wanted, and notes what came of it. `progress` is told
    /// how far of which position it is.
    pub async fn run(
        self,
        progress: impl FnMut(Position, Position) + Send + 'static,
    ) -> Result<Reconciled, Error> {
        let outcome = self.compare(progress).await;
        let error = outcome.as_ref().err().map(ToString::to_string);
        let none = Reconciled::default();
        let Reconciled { topics, sent_again } = outcome.as_ref().unwrap_or(&none);
        let end = json!({ "topics": topics, "sent_again": sent_again, "error": error });
        let noted = self.admin.request(&self.asker, "admin.end-reconcile", Some(self.id), end).await;
        if let Err(error) = &noted {
            warn!(id = %self.id, %error, "what came of a reconcile could not be noted");
        }
        let reconciled = outcome?;
        noted.map(|_| reconciled)
    }

    async fn compare(
        &self,
        progress: impl FnMut(Position, Position) + Send + 'static,
    ) -> Result<Reconciled, Error> {
        let topics = reconcile::compare(&self.admin.log, &self.kafka, &self.admin.relay, progress).await?;
        let beyond = topics.iter().filter(|topic| !self.dry_run && topic.is_beyond_repair());
        let sent_again: Vec<String> = beyond.map(|comparison| comparison.topic.clone()).collect();
        // What topics lack at their ends the relay sends by itself, when it begins.
        if !self.dry_run && topics.iter().any(Comparison::is_wrong) {
            reconcile::send_again(&self.kafka, &self.admin.relay, &self.admin.writer, sent_again.clone())
                .await?;
        }
        Ok(Reconciled { topics, sent_again })
    }
}
