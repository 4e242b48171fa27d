//! One try at relaying under a lease: fence, learn what Kafka has, go on from there.
//!
//! Any error ends it, and the next one begins from nothing: what a producer in an unknown state did is read from the
//! topics, never guessed.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{
    Deps, Error,
    ends::{self, Ends},
    in_time,
    lease::Lease,
    partitions::Partitions,
    producer::Producer,
    pump, resume,
    strain::Strain,
};
use crate::{
    config::{self, RelayMode},
    kafka,
    log::{Identity, Position, Relayed},
};

/// Parts of a lease's lifetime for which an unacknowledged record is tried without transactions.
const MESSAGE_TIMEOUTS_PER_TTL: u32 = 3;

/// What all steps share.
pub(super) struct Session<'a> {
    pub(super) deps: &'a Deps,
    pub(super) kafka: &'a config::Kafka,
    pub(super) config: &'a config::Relay,
    pub(super) lease: &'a Lease,
    /// `ce_source` of our records.
    pub(super) source: String,
    /// What transactional ids begin with: one relay per log and prefix.
    pub(super) relay_id: String,
    /// As it was at the start.
    pub(super) relayed: Relayed,
    /// The last cursor that was recorded.
    pub(super) recorded: AtomicI64,
    pub(super) ends: Arc<Ends>,
    pub(super) strain: Strain,
}

/// Relays until shutdown or an error. `reached` is set once Kafka has answered all that is asked of it at the start.
pub(super) async fn run(
    deps: &Deps,
    kafka: &config::Kafka,
    config: &config::Relay,
    lease: &Lease,
    reached: &AtomicBool,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let log_id = deps.identity.log_id;
    let asking = async {
        let identity = Identity::read(&deps.writer).await?;
        Ok((identity, deps.reader.relayed().await?, deps.reader.head().await?))
    };
    let (identity, relayed, head) = in_time(config.lease_ttl, asking).await?;
    if identity.log_id != log_id {
        return Err(Error::OtherLog);
    }
    let cursor = relayed.cursor;
    let sent = relayed.last_sent.values().copied().max().unwrap_or_default().max(cursor);
    if sent > head {
        return Err(Error::LogBehind { sent, head });
    }
    let session = Session {
        deps,
        kafka,
        config,
        lease,
        source: kafka::source(log_id),
        relay_id: format!("{}.relay.{log_id}", kafka.topic_prefix),
        relayed,
        recorded: AtomicI64::new(cursor.0),
        ends: Arc::default(),
        strain: Strain::new(config.rest_max),
    };
    let rests = config.mode == RelayMode::ExactlyOnce && !config.rest_max.is_zero();
    let _watching = rests.then(|| session.strain.watch());
    session.deps.status.send_modify(|status| {
        status.cursor = cursor;
        status.head = head;
    });
    session.deps.sent.advance(&session.relayed);
    let Some(start) = shutdown.run_until_cancelled(session.patiently(start(&session))).await else {
        return Ok(());
    };
    let (producer, partitions, from) = start?;
    reached.store(true, Ordering::Relaxed);
    info!(epoch = lease.holder.epoch, cursor = cursor.0, from = from.0, "relaying");
    if from == head {
        session.acknowledged(cursor, head);
    }
    tokio::select! {
        ended = pump::run(&session, &producer, partitions, from, head, shutdown) => ended,
        lost = ends::watch(&session) => Err(lost),
    }
}

/// Fences, and learns where to go on.
async fn start(session: &Session<'_>) -> Result<(Producer, Partitions, Position), Error> {
    let producer = Producer::start(session).await?;
    let mut partitions = Partitions::default();
    let stream_types = in_time(session.config.lease_ttl, session.deps.reader.stream_types()).await?;
    let from = resume::open(session, &stream_types, &mut partitions, session.relayed.cursor).await?;
    Ok((producer, partitions, from))
}

/// How long a record may be tried when nothing fences a late one off.
pub(super) fn message_timeout(config: &config::Relay) -> Duration {
    config.lease_ttl / MESSAGE_TIMEOUTS_PER_TTL
}

impl Session<'_> {
    /// Waits for Kafka, and tells when that takes long.
    pub(super) async fn patiently<T>(&self, answer: impl Future<Output = T>) -> T {
        let mut answer = pin!(answer);
        match timeout(self.config.stall_timeout, &mut answer).await {
            Ok(answer) => answer,
            Err(_) => {
                if self.deps.status.borrow().stopped.is_none() {
                    super::stopped(&self.deps.status, Error::Stalled(self.config.stall_timeout));
                }
                answer.await
            }
        }
    }

    /// Tells that everything up to `cursor` is in Kafka, of a log that ends at `head` or later. While topics get again what
    /// they lost, nothing new is relayed.
    pub(super) fn acknowledged(&self, cursor: Position, head: Position) {
        self.deps.status.send_modify(|status| {
            if cursor >= self.relayed.cursor
                && let Some(reason) = status.stopped.take()
            {
                info!(reason, "relaying again");
            }
            status.cursor = status.cursor.max(cursor);
            status.head = status.cursor.max(head);
        });
    }

    /// Tells that the log ends at `head`, whatever was heard of it.
    pub(super) fn ends_at(&self, head: Position) {
        self.deps.status.send_modify(|status| status.head = status.cursor.max(head));
    }
}
