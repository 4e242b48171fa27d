//! The relay: every event of the log goes to Kafka, in order. Log → batch → topic, under a lease.
//!
//! The log is the outbox, so nothing can be in one and not in the other. One process relays, the others stand by. Reads the
//! log and knows no domain and no projection; what a record looks like is settled in `kafka`. The invariants: a topic
//! holds nothing that the log does not; within a partition positions only grow; and in exactly-once mode those who read
//! committed records see each event once, whatever is killed.

mod ends;
mod head;
mod lease;
mod outbox;
mod partitions;
mod producer;
mod pump;
pub mod reconcile;
mod resume;
mod sent;
mod session;
mod strain;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use deadpool_postgres::Pool;
pub use ends::Loss;
use lease::Lease;
pub use outbox::{HeldLease, Outbox, SentPartition};
use rdkafka::error::KafkaError;
pub use sent::Sent;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{debug, error, info, warn};

use crate::{
    config::{self, RelayMode},
    kafka::{Refused, TailError, TopicError},
    log::{Identity, LogReader, Position},
    postgres,
    trace::Spans,
};

/// A standby asks for the lease so many times per its lifetime: takeover takes little longer than the lease itself.
const TRIES_PER_TTL: u32 = 6;
/// A leader that has not reached Kafka for so many lifetimes of its lease leaves it to others.
const UNREACHED_TTLS_MAX: u32 = 10;
/// Shortest wait before another try after an error.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// Between two looks at the status for the metrics.
const OBSERVE_INTERVAL: Duration = Duration::from_millis(500);

/// What the relay works with.
pub struct Deps {
    /// Of the primary: a replica may not know yet what was sent.
    pub reader: LogReader,
    /// Of the role `writer`, which may take the lease and record progress. Not shared with others: a pool that is used up
    /// would cost the lease.
    pub writer: Pool,
    pub identity: Identity,
    /// Moves when events are appended; it may lag.
    pub head: watch::Receiver<Position>,
    pub status: watch::Sender<Status>,
    /// Told of every acknowledged batch.
    pub sent: Sent,
    pub spans: Spans,
}

impl Deps {
    /// Leaves those that nobody uses at the moment: what comes next gets new ones.
    fn give_up_connections(&self) {
        self.reader.give_up_connections();
        self.writer.retain(|_, _| false);
    }
}

/// How the relay of this process is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    pub role: Role,
    /// Of the lease, while this process holds it.
    pub epoch: Option<i64>,
    /// Everything up to here is in Kafka, as far as this process has seen.
    pub cursor: Position,
    /// The log's last position, as far as this process has seen.
    pub head: Position,
    /// Why nothing is relayed at the moment, for people; it is tried again by itself.
    pub stopped: Option<String>,
}

/// Whether this process relays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    Standby,
    Leader,
}

/// Why the relay does not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the log's database: {0}")]
    Database(#[from] postgres::Error),
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Topic(#[from] TopicError),
    #[error(transparent)]
    Tail(#[from] TailError),
    #[error("Kafka has not answered for {0:?}")]
    Stalled(Duration),
    #[error("topic `{topic}` was replaced by another one while it was written to")]
    Replaced { topic: String },
    #[error("topic `{topic}` {loss}; what it lost is sent again from the log")]
    Lost { topic: String, loss: Loss },
    #[error(
        "topic `{topic}` lost what was sent to it after position {after}: it is sent again from the log, before \
         anything newer"
    )]
    Behind { topic: String, after: Position },
    #[error("another process has the lease, or it could not be renewed in time")]
    LeaseLost,
    #[error(
        "another process has the lease, or the database has lost what this one recorded in it: beginning anew"
    )]
    StateLost,
    #[error("the metadata of event {0} cannot be read: a newer program may have written it")]
    Unreadable(Position),
    #[error("the database holds another log than at the start: start this process again")]
    OtherLog,
    #[error(
        "topic `{topic}` holds events of another log ({source_found}): use another topic prefix; or, if this log \
         takes its place, run `annals migrate --new-incarnation`"
    )]
    ForeignTopic { topic: String, source_found: String },
    #[error(
        "topic `{topic}` holds an event at position {position} that the log does not: the log was restored from an \
         older backup. Run `annals migrate --new-incarnation`"
    )]
    LogDiffers { topic: String, position: Position },
    #[error(
        "events up to position {sent} were sent, the log ends at {head}: it was restored from an older backup. Run \
         `annals migrate --new-incarnation`"
    )]
    LogBehind { sent: Position, head: Position },
    #[error("the sending thread is gone")]
    Closed,
}

impl Error {
    /// Whether it is Kafka that does not answer, or not let us in: it may be otherwise for another process.
    fn is_of_kafka(&self) -> bool {
        match self {
            Self::Kafka(_) | Self::Refused(_) | Self::Stalled(_) => true,
            Self::Topic(error) => matches!(error, TopicError::Kafka(_) | TopicError::Refused(_)),
            Self::Tail(error) => matches!(error, TailError::Kafka(_) | TailError::Timeout(_)),
            _ => false,
        }
    }
}

/// Relays, or stands by, until shutdown. Whatever goes wrong is told in the status and tried again: a relay that gave up
/// would have to be started by somebody who first has to notice.
pub async fn run(deps: Deps, kafka: config::Kafka, config: config::Relay, shutdown: CancellationToken) {
    describe_metrics();
    let (head, status) = (deps.head.clone(), deps.status.subscribe());
    let _observing = AbortOnDropHandle::new(tokio::spawn(observe(head, status)));
    while let Some(lease) = stand_by(&deps, &config, &shutdown).await {
        become_role(&deps, Role::Leader, Some(lease.holder.epoch));
        let end = lead(&deps, &kafka, &config, &lease, &shutdown).await;
        become_role(&deps, Role::Standby, None);
        if shutdown.is_cancelled() {
            lease.release().await;
            return;
        }
        if end == End::Unreached {
            // It expires, and those who stand by are first to ask. Given back, it would let the next leader begin before what
            // is on its way without transactions has timed out.
            drop(lease);
            shutdown.run_until_cancelled(sleep(config.lease_ttl + config.lease_ttl / 2)).await;
        }
    }
}

/// Waits for the lease; `None` at shutdown.
async fn stand_by(deps: &Deps, config: &config::Relay, shutdown: &CancellationToken) -> Option<Lease> {
    while !shutdown.is_cancelled() {
        match shutdown.run_until_cancelled(Lease::take(&deps.writer, config.lease_ttl)).await? {
            Ok(Some(lease)) => return Some(lease),
            // The database answers, and another process relays.
            Ok(None) => {
                deps.status.send_if_modified(|status| status.stopped.take().is_some());
            }
            Err(error) => stopped(&deps.status, error.into()),
        }
        shutdown.run_until_cancelled(sleep(config.lease_ttl / TRIES_PER_TTL)).await;
    }
    None
}

/// Why a leader leads no more.
#[derive(PartialEq, Eq)]
enum End {
    /// The lease is lost, or the program shuts down.
    Over,
    /// Kafka answers this process no more; it may answer another one.
    Unreached,
}

/// Relays until the lease is lost or the program shuts down, or Kafka was not reached for long, beginning again after each
/// error.
async fn lead(
    deps: &Deps,
    kafka: &config::Kafka,
    config: &config::Relay,
    lease: &Lease,
    shutdown: &CancellationToken,
) -> End {
    let lost = lease.lost();
    let backoff = || {
        ExponentialBuilder::default()
            .with_min_delay(BACKOFF_MIN)
            .with_max_delay(config.backoff_max)
            .with_jitter()
            .without_max_times()
            .build()
    };
    let mut waits = backoff();
    let reached = AtomicBool::new(false);
    let mut reached_at = Instant::now();
    while !lost.is_cancelled() && !shutdown.is_cancelled() {
        let session = session::run(deps, kafka, config, lease, &reached, shutdown);
        let Some(result) = lost.run_until_cancelled(session).await else {
            deps.give_up_connections();
            return End::Over;
        };
        let has_begun = reached.swap(false, Ordering::Relaxed);
        if has_begun {
            reached_at = Instant::now();
        }
        match result {
            Ok(()) | Err(Error::LeaseLost) => return End::Over,
            Err(error @ Error::StateLost) => {
                warn!("{error}");
                return End::Over;
            }
            Err(error) => {
                if matches!(error, Error::Database(postgres::Error::Silent)) {
                    deps.give_up_connections();
                }
                if deps.status.borrow().stopped.is_none() {
                    waits = backoff();
                }
                if !error.is_of_kafka() {
                    // Another process would meet the same.
                    reached_at = Instant::now();
                }
                stopped(&deps.status, error);
            }
        }
        if reached_at.elapsed() > config.lease_ttl * UNREACHED_TTLS_MAX {
            warn!("Kafka was not reached for long: the lease is left to another process, if there is one");
            return End::Unreached;
        }
        if has_begun && config.mode == RelayMode::LowLatency {
            // Nothing fences off what is on its way. It must not overtake what comes next, of whatever process.
            sleep(session::message_timeout(config)).await;
        }
        tokio::select! {
            () = sleep(waits.next().unwrap_or(config.backoff_max)) => {}
            () = lost.cancelled() => {}
            () = shutdown.cancelled() => {}
        }
    }
    End::Over
}

/// What the log's database answers within `time`: on a connection on which nothing comes any more, though it stands, a
/// leader would wait for ever and renew its lease on another one.
async fn in_time<T>(
    time: Duration,
    asking: impl Future<Output = Result<T, postgres::Error>>,
) -> Result<T, Error> {
    Ok(postgres::in_time(time, asking, || {}).await?)
}

fn become_role(deps: &Deps, role: Role, epoch: Option<i64>) {
    info!(?role, epoch, "the relay of this process");
    deps.status.send_modify(|status| {
        status.role = role;
        status.epoch = epoch;
    });
}

/// Tells why nothing is relayed; loudly when that is news.
fn stopped(status: &watch::Sender<Status>, reason: Error) {
    let text = reason.to_string();
    // Anyone may read it: what a database said stays in the log.
    let told = match reason {
        Error::Database(_) => "the log's database does not do what it asks for".to_owned(),
        _ => text.clone(),
    };
    status.send_if_modified(|status| {
        let is_news = status.stopped.as_ref() != Some(&told);
        if is_news {
            error!("the relay has stopped: {text}");
        } else {
            debug!("the relay is still stopped: {text}");
        }
        status.stopped = Some(told);
        is_news
    });
}

/// Publishes the status, also while nothing is acknowledged: that is when the lag matters.
async fn observe(head: watch::Receiver<Position>, status: watch::Receiver<Status>) {
    loop {
        let Status { role, cursor, head: seen, .. } = status.borrow().clone();
        let is_leader = role == Role::Leader;
        metrics::gauge!("annals_relay_is_leader").set(f64::from(u8::from(is_leader)));
        if is_leader {
            let head = seen.max(*head.borrow());
            metrics::gauge!("annals_relay_cursor").set(cursor.0 as f64);
            metrics::gauge!("annals_relay_lag_events").set((head.0 - cursor.0).max(0) as f64);
        } else {
            // The lag is the leader's to tell.
            metrics::gauge!("annals_relay_lag_events").set(0.0);
        }
        sleep(OBSERVE_INTERVAL).await;
    }
}

fn describe_metrics() {
    metrics::describe_gauge!("annals_relay_is_leader", "1 where this process relays, 0 where it stands by");
    metrics::describe_gauge!("annals_relay_cursor", "Position up to which every event is in Kafka");
    metrics::describe_gauge!("annals_relay_lag_events", "Events of the log that are not in Kafka yet");
    metrics::describe_histogram!("annals_relay_batch_events", "Events sent together");
    metrics::describe_histogram!(
        "annals_relay_batch_seconds",
        metrics::Unit::Seconds,
        "From sending a batch to Kafka's acknowledgement of all of it"
    );
    metrics::describe_histogram!(
        "annals_relay_rest_seconds",
        metrics::Unit::Seconds,
        "How long events gathered because cores were short of time"
    );
}
