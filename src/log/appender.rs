//! Group commit: what arrives while a batch is in flight goes as the next one, in one call.
//!
//! Nothing waits for company: an append that finds the appender idle goes out at once, and its commit waits for the disk.
//! While others are on their way, commits do not: the next batch is carried out while one flush has the disk hold all
//! that were carried out before. As soon as as many wait as are in flight they follow on the same connection without
//! waiting for its answer, so that the database need not wait for us between two batches. The invariant: an append is
//! answered only with what the database said of it, and only once the disk holds it. Where that is not certain, the same
//! requests are sent again with the same ids, and their command rows tell whether the first time took effect.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::{StreamExt, stream::FuturesOrdered};
use secrecy::SecretString;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use tokio_postgres::error::SqlState;
use tracing::{error, warn};
use uuid::Uuid;

use super::{
    Append, Error, Outcome, Position, Status, Subscription, batch,
    batch::Waiting,
    check,
    head::grow,
    published::{InOrder, Publisher, effect},
    session::{Commit, Session},
};
use crate::{
    config,
    postgres::{self, Failure},
};

/// Hands appends to the task that sends them. Cheap to clone.
#[derive(Clone)]
pub struct Appender {
    queue: mpsc::Sender<Waiting>,
    limits: Arc<config::Append>,
    publisher: Publisher,
}

impl Appender {
    /// An appender and the task that has to run for it. `appended` is told the last position of each batch.
    pub fn new(
        url: SecretString,
        tcp_user_timeout: Duration,
        limits: config::Append,
        appended: watch::Sender<Position>,
    ) -> (Self, AppenderTask) {
        let limits = Arc::new(limits);
        let (queue, receiver) = mpsc::channel(limits.queue_requests_max);
        let publisher = Publisher::new(limits.subscriber_events_max);
        let task = AppenderTask {
            url,
            tcp_user_timeout,
            limits: limits.clone(),
            receiver,
            session: None,
            appended,
            published: InOrder::new(publisher.clone()),
            unsettled: 0,
        };
        (Self { queue, limits, publisher }, task)
    }

    /// Appends. Once queued it is carried out even if the caller stops waiting.
    pub async fn append(&self, append: Append) -> Result<Outcome, Error> {
        self.enqueue(append)?.await?
    }

    /// Queues without waiting, so that a caller can fix the order of several; the receiver gets the outcome.
    pub fn enqueue(&self, append: Append) -> Result<oneshot::Receiver<Result<Outcome, Error>>, Error> {
        check(&append, self.limits.event_bytes_max)?;
        let (reply, outcome) = oneshot::channel();
        self.queue.try_send(Waiting { append, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Error::Closed,
        })?;
        Ok(outcome)
    }

    /// The events of this process from now on.
    pub fn subscribe(&self) -> Subscription {
        self.publisher.subscribe()
    }

    /// Appends that wait for a batch.
    pub fn queued(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// As many may wait; more are refused.
    pub fn queued_max(&self) -> usize {
        self.queue.max_capacity()
    }
}

/// Batches that are on their way at once: one that is carried out and one that waits for it at the database.
const IN_FLIGHT_MAX: usize = 2;
/// A batch that was long on its way is sent again for so long at least.
const RESEND_TIME_MIN: Duration = Duration::from_secs(2);
/// Requests that go together on the connection whose commits wait for the disk, while nothing is on its way otherwise: so
/// few have nothing to gain from a second round trip.
const DURABLE_REQUESTS_MAX: usize = 2;
/// Batches that are carried out while the disk is waited for; then no more are sent until it has written.
const UNFLUSHED_MAX: usize = 16;

/// Sends batches.
pub struct AppenderTask {
    url: SecretString,
    tcp_user_timeout: Duration,
    limits: Arc<config::Append>,
    receiver: mpsc::Receiver<Waiting>,
    session: Option<Arc<Session>>,
    appended: watch::Sender<Position>,
    published: InOrder,
    /// Batches that were sent.
    unsettled: usize,
}

type Outcomes = Vec<Result<Outcome, Error>>;

/// A batch and what became of sending it.
struct Sent {
    batch: Vec<Waiting>,
    started: Instant,
    commit: Commit,
    result: Result<Outcomes, Unsettled>,
}

/// Why a batch that was sent has no outcomes.
enum Unsettled {
    Failed(postgres::Error),
    /// Outcomes came, but it is not certain that the disk holds what they tell of.
    Unflushed(String),
}

impl AppenderTask {
    /// Runs until every [`Appender`] is gone and all that was queued is answered.
    pub async fn run(mut self) {
        let mut queue = VecDeque::new();
        let mut in_flight = FuturesOrdered::new();
        let (mut last_sent, mut last_commit) = (0, Commit::Durable);
        let mut carried_out = Vec::new();
        // Requests that are carried out and wait for the disk.
        let mut unflushed = 0;
        // One at a time.
        let mut flushing = FuturesOrdered::new();
        let batch_max = self.limits.batch_requests_max;
        loop {
            if flushing.is_empty() && !carried_out.is_empty() {
                flushing.push_back(self.flush(std::mem::take(&mut carried_out)).await);
            }
            while queue.len() < batch_max
                && let Ok(waiting) = self.receiver.try_recv()
            {
                queue.push_back(waiting);
            }
            let enough = match in_flight.len() {
                _ if carried_out.len() >= UNFLUSHED_MAX => usize::MAX,
                // What goes during a flush waits for the next one: few may as well gather until then.
                0 => unflushed.clamp(1, batch_max),
                n if n < IN_FLIGHT_MAX => unflushed.max(last_sent).min(batch_max),
                _ => usize::MAX,
            };
            let is_quiet = flushing.is_empty() && (in_flight.is_empty() || last_commit == Commit::Durable);
            let commit =
                if is_quiet && queue.len() <= DURABLE_REQUESTS_MAX { Commit::Durable } else { Commit::Lazy };
            // Another connection might overtake.
            let is_in_order = in_flight.is_empty() || commit == last_commit && self.is_connected();
            if queue.len() >= enough && is_in_order {
                let batch = batch::take(&mut queue, &self.limits);
                (last_sent, last_commit) = (batch.len(), commit);
                self.unsettled += 1;
                in_flight.push_back(self.send(batch, commit).await);
            }
            tokio::select! {
                Some(sent) = in_flight.next() => match sent.commit {
                    Commit::Durable => self.settle(sent).await,
                    Commit::Lazy => {
                        unflushed += sent.batch.len();
                        carried_out.push(sent);
                    }
                },
                Some(flushed) = flushing.next() => {
                    for sent in flushed {
                        unflushed -= sent.batch.len();
                        self.settle(sent).await;
                    }
                }
                Some(waiting) = self.receiver.recv(), if queue.len() < batch_max => {
                    queue.push_back(waiting);
                }
                // Nobody is left who could ask, nothing is on its way, and so nothing is queued.
                else => return,
            }
        }
    }

    /// Sends a batch; what is returned waits for the database's answer.
    async fn send(&mut self, batch: Vec<Waiting>, commit: Commit) -> impl Future<Output = Sent> + use<> {
        metrics::histogram!("annals_append_batch_requests").record(batch.len() as f64);
        let started = Instant::now();
        let session = self.session().await;
        let (partitions, patience) = (self.limits.partitions, self.limits.resend_time_max);
        async move {
            let result = match session {
                Ok(session) => session.within(patience, session.append(&batch, partitions, commit)).await,
                Err(error) => Err(error),
            };
            Sent { batch, started, commit, result: result.map_err(Unsettled::Failed) }
        }
    }

    /// Has the disk hold what was carried out; what is returned waits for it.
    async fn flush(&mut self, mut sent: Vec<Sent>) -> impl Future<Output = Vec<Sent>> + use<> {
        let (session, patience) = (self.session().await, self.limits.resend_time_max);
        async move {
            let mut commands: Vec<_> = sent.iter().flat_map(told_of).collect();
            commands.sort_unstable();
            commands.dedup();
            let flushed = match session {
                Ok(session) => session.within(patience, session.flush(&commands)).await,
                Err(error) => Err(error),
            };
            let doubt = match flushed {
                Ok(true) => return sent,
                Ok(false) => "it was lost in a crash of the database".to_owned(),
                Err(error) => error.to_string(),
            };
            for sent in sent.iter_mut().filter(|sent| sent.result.is_ok()) {
                sent.result = Err(Unsettled::Unflushed(doubt.clone()));
            }
            sent
        }
    }

    /// Answers everyone in a batch that was on its way.
    async fn settle(&mut self, sent: Sent) {
        self.unsettled -= 1;
        self.published.proceed();
        self.answer(sent).await;
        self.published.tell();
    }

    async fn answer(&mut self, Sent { batch, started, result, .. }: Sent) {
        let result = match result {
            Ok(outcomes) => Ok(outcomes),
            Err(error) => {
                self.published.hold(self.unsettled);
                self.send_again(&batch, started, error).await
            }
        };
        metrics::histogram!("annals_append_batch_seconds").record(started.elapsed());
        match result {
            Ok(outcomes) => {
                self.tell_appended(&batch, &outcomes);
                for (waiting, outcome) in batch.iter().zip(&outcomes) {
                    self.published.publish(&waiting.append, outcome);
                }
                self.published.tell();
                for (waiting, outcome) in batch.into_iter().zip(outcomes) {
                    // A caller that is gone does not need its answer; its command's row keeps it.
                    let _ = waiting.reply.send(outcome);
                }
            }
            Err(Error::Refused(reason)) if batch.len() > 1 => {
                warn!(reason, requests = batch.len(), "a batch was refused; its requests go one by one");
                for waiting in batch {
                    let sent = self.send(vec![waiting], Commit::Durable).await.await;
                    Box::pin(self.answer(sent)).await;
                }
            }
            Err(error) => {
                error!(%error, requests = batch.len(), "a batch has no outcome");
                for waiting in batch {
                    let _ = waiting.reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// Sends a batch again until the database has answered and the disk holds it, or the time for that is over.
    async fn send_again(
        &mut self,
        batch: &[Waiting],
        started: Instant,
        met: Unsettled,
    ) -> Result<Outcomes, Error> {
        let deadline = (started + self.limits.resend_time_max).max(Instant::now() + RESEND_TIME_MIN);
        let mut waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(10))
            .with_max_delay(Duration::from_secs(1))
            .with_jitter()
            .without_max_times()
            .build();
        let mut reason = unknown(met).inspect_err(|error| {
            // It may be the session's own state.
            if matches!(error, Error::Database(_)) {
                self.session = None;
            }
        })?;
        loop {
            let wait = waits.next().unwrap_or(Duration::from_secs(1));
            if Instant::now() + wait >= deadline {
                return Err(Error::Unknown(reason));
            }
            warn!(error = reason, "the outcome of a batch is unknown; it is sent again");
            tokio::time::sleep(wait).await;
            let result = match self.session().await {
                Ok(session) => {
                    let append = session.append(batch, self.limits.partitions, Commit::Durable);
                    session.within(deadline - Instant::now(), append).await
                }
                Err(error) => Err(error),
            };
            reason = match result {
                Ok(outcomes) => return Ok(outcomes),
                Err(error) if error.failure() == Failure::Data && !is_met_by_a_twin(&error) => {
                    return Err(Error::Refused(error.to_string()));
                }
                // Whatever keeps this try from its end, an earlier one may have come to its own.
                Err(error) => error.to_string(),
            };
            self.session = None;
        }
    }

    fn is_connected(&self) -> bool {
        self.session.as_ref().is_some_and(|session| !session.is_closed())
    }

    /// The session at hand, or a new one.
    async fn session(&mut self) -> Result<Arc<Session>, postgres::Error> {
        if let Some(session) = self.session.as_ref().filter(|session| !session.is_closed()) {
            return Ok(session.clone());
        }
        let connecting = Session::connect(&self.url, self.tcp_user_timeout);
        let session = Arc::new(postgres::in_time(self.limits.resend_time_max, connecting, || {}).await?);
        self.session = Some(session.clone());
        Ok(session)
    }

    fn tell_appended(&self, batch: &[Waiting], outcomes: &[Result<Outcome, Error>]) {
        let asked = batch.iter().zip(outcomes);
        let last = asked.filter_map(|(waiting, outcome)| Some(effect(&waiting.append, outcome)?.last));
        if let Some(last) = last.max() {
            grow(&self.appended, last);
        }
    }
}

/// The commands whose rows show that the disk holds a batch: the last one it appended, behind all that it saw. Where it
/// appended none, those it tells of.
fn told_of(sent: &Sent) -> Vec<Uuid> {
    let Ok(outcomes) = &sent.result else {
        return Vec::new();
    };
    let asked = || sent.batch.iter().zip(outcomes);
    let appended = asked().rfind(|(_, outcome)| matches!(outcome, Ok(Outcome::Appended { .. })));
    if let Some((last, _)) = appended {
        return vec![last.append.command_id];
    }
    let earlier = asked().filter_map(|(_, outcome)| match outcome {
        // A pending one was accepted by a commit that waited for the disk.
        Ok(Outcome::Duplicate(record)) if record.status != Status::Pending => Some(record.command_id),
        _ => None,
    });
    earlier.collect()
}

/// Why the outcome of the first try is unknown; an error, where it is known that the batch was not appended and never will be.
fn unknown(met: Unsettled) -> Result<String, Error> {
    match met {
        Unsettled::Unflushed(reason) => Ok(reason),
        Unsettled::Failed(error) if is_met_by_a_twin(&error) => Ok(error.to_string()),
        Unsettled::Failed(error) => match error.failure() {
            Failure::Data => Err(Error::Refused(error.to_string())),
            Failure::Fatal => Err(Error::Database(error.to_string())),
            Failure::Transient => Ok(error.to_string()),
        },
    }
}

/// Whether the insert met the row of a twin that was accepted meanwhile, which takes no lock. Sent again, the batch finds it as a
/// duplicate.
fn is_met_by_a_twin(error: &postgres::Error) -> bool {
    let postgres::Error::Statement(error) = error else {
        return false;
    };
    error
        .as_db_error()
        .is_some_and(|said| *said.code() == SqlState::UNIQUE_VIOLATION && said.table() == Some("commands"))
}
