//! Gives up sessions of a pool that stand although nothing comes over them any more: their server is frozen, or a proxy or an
//! old primary holds them after a failover. No error tells of those; whoever waits on one would wait for ever.
//!
//! A statement may rightly take long. So where none has an end by itself, the server is asked over a new connection whether it is
//! at work for a silent session. One that it does not know, or of which it waits for us, is ended there and closed here; while
//! nothing answers, the wait goes on.
//!
//! To those who wait it is a connection that broke, after which they try again. That does nothing twice, as after any that
//! broke: rows move with their checkpoint and a rebuild with its state, in one transaction and only from where they are known to
//! be. So the next try finds what was committed done, and what was not is rolled back with its session; until then its locks
//! keep the next try waiting.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use deadpool_postgres::{Connect, Pool};
use futures_util::future::{BoxFuture, poll_fn};
use secrecy::SecretString;
use tokio::{
    task::{AbortHandle, JoinHandle},
    time::{MissedTickBehavior, interval},
};
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::{Error, connect, in_time};
use crate::trouble::Trouble;

const WHOSE: &str = include_str!("silence/whose.sql");
const AT_WORK: &str = include_str!("silence/at_work.sql");
const END: &str = include_str!("silence/end.sql");

/// After so many looks, one after the other, silence counts. Looks are counted and not time: a process that was stopped itself has
/// heard nothing for long, and has it all to read.
const LOOKS: u32 = 20;

/// The sessions that a pool has made: those that somebody has, and those in it.
#[derive(Clone, Default)]
pub(super) struct Made(Arc<Mutex<Vec<Session>>>);

#[derive(Clone)]
struct Session {
    /// What the server knows it by; `None` where the server is not asked.
    process: Option<(i32, DateTime<Utc>)>,
    /// Moves whenever there is something to send or something came.
    woken: Arc<AtomicU64>,
    /// As last seen, and at how many looks since.
    seen: (u64, u32),
    driving: AbortHandle,
}

impl Session {
    fn is_silent(&self) -> bool {
        self.woken.load(Ordering::Relaxed) == self.seen.0 && !self.driving.is_finished()
    }
}

/// Makes sessions that are known.
pub(super) struct Connecting {
    pub(super) tls: MakeRustlsConnect,
    pub(super) made: Made,
    /// Whether the server is asked about them.
    pub(super) are_asked_about: bool,
}

impl Connect for Connecting {
    fn connect(
        &self,
        config: &Config,
    ) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        let config = config.clone();
        Box::pin(async move {
            let (client, connection) = config.connect(self.tls.clone()).await?;
            let woken = Arc::<AtomicU64>::default();
            let wakes = woken.clone();
            // A task is polled only when it is woken.
            let driving = AbortOnDropHandle::new(tokio::spawn(async move {
                let mut connection = pin!(connection);
                let driven = poll_fn(|cx| {
                    wakes.fetch_add(1, Ordering::Relaxed);
                    connection.as_mut().poll(cx)
                });
                if let Err(error) = driven.await {
                    warn!(%error, "a connection to Postgres broke");
                }
            }));
            let process = match self.are_asked_about {
                true => client.query_typed(WHOSE, &[]).await?.first().map(|row| (row.get(0), row.get(1))),
                false => None,
            };
            if process.is_some() == self.are_asked_about {
                self.made.add(Session { process, woken, seen: (0, 0), driving: driving.abort_handle() });
            }
            Ok((client, driving.detach()))
        })
    }
}

impl Made {
    fn add(&self, session: Session) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    /// Those that have been silent for long, by this look and earlier ones.
    fn silent(&self) -> Vec<Session> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|session| !session.driving.is_finished());
        for session in sessions.iter_mut() {
            session.seen = match session.is_silent() {
                true => (session.seen.0, session.seen.1 + 1),
                false => (session.woken.load(Ordering::Relaxed), 0),
            };
        }
        sessions.iter().filter(|session| session.seen.1 >= LOOKS).cloned().collect()
    }
}

/// Where the server is asked about silent sessions.
pub(super) struct Server {
    pub(super) url: SecretString,
    pub(super) tcp_user_timeout: Duration,
}

impl Server {
    /// Which of these it is not at work for; it ends what it has of them.
    async fn end_idle(&self, silent: &[Session]) -> Result<Vec<Session>, Error> {
        let (client, connection) = connect(&self.url, self.tcp_user_timeout).await?;
        let _driving = AbortOnDropHandle::new(tokio::spawn(connection));
        let (pids, began) = processes(silent);
        let at_work = client.query(AT_WORK, &[&pids, &began]).await?;
        let at_work: Vec<i32> = at_work.iter().map(|row| row.get(0)).collect();
        // What it sent before it was asked has come by now: what came to rest a moment ago counts as at work.
        let is_idle = |session: &Session| {
            session.is_silent() && session.process.is_some_and(|(pid, _)| !at_work.contains(&pid))
        };
        let idle: Vec<Session> = silent.iter().filter(|session| is_idle(session)).cloned().collect();
        let (pids, began) = processes(&idle);
        client.execute(END, &[&pids, &began]).await?;
        Ok(idle)
    }
}

fn processes(sessions: &[Session]) -> (Vec<i32>, Vec<DateTime<Utc>>) {
    sessions.iter().filter_map(|session| session.process).unzip()
}

/// Gives up what is silent for `patience`, for as long as there is the pool of these sessions. `server`: asked first; `None`
/// where it ends every statement sooner by itself.
pub(super) fn watch(pool: &Pool, made: Made, patience: Duration, server: Option<Server>) {
    let pool = pool.weak();
    tokio::spawn(async move {
        let mut unasked =
            Trouble::new("no answer whether Postgres is at work for silent sessions; waiting on");
        // At how many looks, one after the other, somebody used the pool.
        let mut used = 0;
        let mut looks = interval(patience / LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let Some(pool) = pool.upgrade() else { return };
            let silent = made.silent();
            let status = pool.status();
            used = if status.available == status.size { 0 } else { used + 1 };
            // In a pool that somebody uses all the time, sessions that nobody uses go, so that those left have somebody who waits.
            if used >= LOOKS / 2 {
                pool.retain(|_, metrics| metrics.last_used() < patience / 2);
            }
            if used < LOOKS || silent.is_empty() {
                continue;
            }
            let lost = match &server {
                None => silent,
                Some(server) => {
                    let ended = in_time(patience, server.end_idle(&silent), || {}).await;
                    unasked.note(ended).unwrap_or_default()
                }
            };
            if !lost.is_empty() {
                warn!(sessions = lost.len(), "given up: nothing came over them any more");
                // Those who ask next shall not meet the same.
                pool.retain(|_, _| false);
                lost.iter().for_each(|session| session.driving.abort());
            }
        }
    });
}
