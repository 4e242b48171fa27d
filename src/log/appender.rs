//! Group commit: what arrives while a batch is in flight goes as the next one, in one call and one flush of the WAL.
//!
//! Nothing waits for company: an append that finds the appender idle goes out at once. The invariant: an append is
//! answered only with what the database said of it. Where a connection is lost, the same requests are sent again with
//! the same ids, and their command rows tell whether the first time took effect.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use secrecy::SecretString;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use tokio_postgres::{Client, Statement};
use tracing::{error, warn};

use super::{
    Append, Error, Outcome, Position, Subscription, batch, batch::Waiting, check, head::grow,
    published::Publisher, statement,
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
            publisher: publisher.clone(),
        };
        (Self { queue, limits, publisher }, task)
    }

    /// Appends. Once queued it is carried out even if the caller stops waiting.
    pub async fn append(&self, append: Append) -> Result<Outcome, Error> {
        self.enqueue(append)?.await.unwrap_or(Err(Error::Closed))
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
}

/// Sends batches, one at a time.
pub struct AppenderTask {
    url: SecretString,
    tcp_user_timeout: Duration,
    limits: Arc<config::Append>,
    receiver: mpsc::Receiver<Waiting>,
    session: Option<Session>,
    appended: watch::Sender<Position>,
    publisher: Publisher,
}

/// A connection with its prepared statement.
struct Session {
    client: Client,
    append: Statement,
}

impl AppenderTask {
    /// Runs until every [`Appender`] is gone and all that was queued is answered.
    pub async fn run(mut self) {
        let mut queue = VecDeque::new();
        loop {
            if queue.is_empty() {
                match self.receiver.recv().await {
                    Some(waiting) => queue.push_back(waiting),
                    None => return,
                }
            }
            while queue.len() < self.limits.batch_requests_max
                && let Ok(waiting) = self.receiver.try_recv()
            {
                queue.push_back(waiting);
            }
            let batch = batch::take(&mut queue, &self.limits);
            self.send(batch).await;
        }
    }

    /// Sends a batch and answers everyone in it.
    async fn send(&mut self, mut batch: Vec<Waiting>) {
        metrics::histogram!("annals_append_batch_requests").record(batch.len() as f64);
        let started = Instant::now();
        let result = self.execute(&batch).await;
        metrics::histogram!("annals_append_batch_seconds").record(started.elapsed());
        match result {
            Ok(outcomes) => {
                for (waiting, outcome) in batch.into_iter().zip(outcomes) {
                    self.publisher.publish(&waiting.append, &outcome);
                    // A caller that is gone does not need its answer; its command's row keeps it.
                    let _ = waiting.reply.send(outcome);
                }
            }
            Err(Error::Refused(reason)) if batch.len() > 1 => {
                warn!(reason, requests = batch.len(), "a batch was refused; its requests go one by one");
                for waiting in batch {
                    Box::pin(self.send(vec![waiting])).await;
                }
            }
            Err(error) => {
                error!(%error, requests = batch.len(), "a batch has no outcome");
                for waiting in batch.drain(..) {
                    let _ = waiting.reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// Sends until the database has answered, or the time for that is over.
    async fn execute(&mut self, batch: &[Waiting]) -> Result<Vec<Result<Outcome, Error>>, Error> {
        let deadline = Instant::now() + self.limits.resend_time_max;
        let mut waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(10))
            .with_max_delay(Duration::from_secs(1))
            .with_jitter()
            .without_max_times()
            .build();
        loop {
            let error = match self.attempt(batch).await {
                Ok(outcomes) => {
                    self.tell_appended(&outcomes);
                    return Ok(outcomes);
                }
                Err(error) => error,
            };
            match error.failure() {
                Failure::Data => return Err(Error::Refused(describe(&error))),
                Failure::Fatal => return Err(Error::Database(describe(&error))),
                Failure::Transient => {}
            }
            self.session = None;
            let wait = waits.next().unwrap_or(Duration::from_secs(1));
            if Instant::now() + wait >= deadline {
                return Err(Error::Unknown(describe(&error)));
            }
            warn!(error = describe(&error), "the outcome of a batch is unknown; it is sent again");
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&mut self, batch: &[Waiting]) -> Result<Vec<Result<Outcome, Error>>, postgres::Error> {
        if self.session.as_ref().is_none_or(|session| session.client.is_closed()) {
            self.session = Some(self.connect().await?);
        }
        let session = self.session.as_ref().expect("made above");
        let appends = batch.iter().map(|waiting| &waiting.append);
        Ok(statement::execute(&session.client, &session.append, appends, self.limits.partitions).await?)
    }

    async fn connect(&self) -> Result<Session, postgres::Error> {
        let (client, connection) = postgres::connect(&self.url, self.tcp_user_timeout).await?;
        tokio::spawn(connection);
        let append = statement::prepare(&client).await?;
        Ok(Session { client, append })
    }

    fn tell_appended(&self, outcomes: &[Result<Outcome, Error>]) {
        let last = outcomes.iter().filter_map(|outcome| match outcome {
            Ok(Outcome::Appended { positions: Some((_, last)), .. }) => Some(*last),
            _ => None,
        });
        if let Some(last) = last.max() {
            grow(&self.appended, last);
        }
    }
}

/// An error with its cause: the client's own texts leave the server's message out.
fn describe(error: &postgres::Error) -> String {
    match error {
        postgres::Error::Statement(error) => match error.as_db_error() {
            Some(db) => format!("{}: {}", db.code().code(), db.message()),
            None => error.to_string(),
        },
        other => other.to_string(),
    }
}
