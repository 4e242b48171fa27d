//! Two connections on which batches are appended: one whose commits wait for the disk, and one whose commits do not.
//!
//! The invariant: what was appended without waiting is reported to nobody before [`Session::flush`] has found it again, in a
//! transaction that waited. Postgres writes commits to the disk in their order, and loses them from the end, so what is found
//! is on the disk with all that was appended before it. It has to be found, because there may have been a crash in between, and
//! a connection pooler may have hidden it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use secrecy::SecretString;
use tokio_postgres::{Client, Config, Statement};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::{Error, Outcome, batch::Waiting, statement};
use crate::postgres;

const WAIT_FOR_THE_DISK: &str = include_str!("wait_for_the_disk.sql");
/// A server process that waits for a lock ends when its session was given up.
const CHECK_CLIENT: &str = "-c client_connection_check_interval=5s";
const FLUSH_COMMANDS: &str = include_str!("flush_commands.sql");

/// When a batch's transaction counts as committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commit {
    /// Once the disk has it.
    Durable,
    /// At once; the next batch goes on meanwhile, and [`Session::flush`] waits for the disk.
    Lazy,
}

/// The connections with their prepared statements.
pub(super) struct Session {
    /// Nothing came on it in time: the server may be frozen, which closes no connection.
    is_silent: AtomicBool,
    durable: Connected,
    lazy: Connected,
    flush: Statement,
}

struct Connected {
    client: Client,
    append: Statement,
    /// A session that is given up takes its connections with it, whatever they wait for.
    _connection: AbortOnDropHandle<()>,
}

impl Session {
    pub(super) async fn connect(
        url: &SecretString,
        tcp_user_timeout: Duration,
    ) -> Result<Self, postgres::Error> {
        let (mut config, tls) = postgres::session(url, tcp_user_timeout)?;
        config.options(format!("{} {CHECK_CLIENT}", config.get_options().unwrap_or_default()));
        let mut lazy = config.clone();
        lazy.options(format!("{} -c synchronous_commit=off", config.get_options().unwrap_or_default()));
        let connected = async |config: Config| {
            let (client, connection) = config.connect(tls.clone()).await?;
            let _connection = AbortOnDropHandle::new(tokio::spawn(async {
                // Its end is seen by whoever asks on it.
                let _ = connection.await;
            }));
            let append = statement::prepare(&client).await?;
            Ok::<_, tokio_postgres::Error>(Connected { client, append, _connection })
        };
        let (durable, lazy) = tokio::try_join!(connected(config), connected(lazy))?;
        let client = &durable.client;
        let ((), flush) =
            tokio::try_join!(client.batch_execute(WAIT_FOR_THE_DISK), client.prepare(FLUSH_COMMANDS))?;
        Ok(Self { is_silent: AtomicBool::new(false), durable, lazy, flush })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_silent.load(Ordering::Relaxed)
            || self.durable.client.is_closed()
            || self.lazy.client.is_closed()
    }

    /// What is asked on it, if that does not take too long; else nothing more is.
    pub(super) async fn within<T>(
        &self,
        patience: Duration,
        asking: impl Future<Output = Result<T, postgres::Error>>,
    ) -> Result<T, postgres::Error> {
        postgres::in_time(patience, asking, || self.is_silent.store(true, Ordering::Relaxed)).await
    }

    /// Sends a batch behind those that are on their way in the same manner, and reads its outcomes.
    pub(super) async fn append(
        &self,
        batch: &[Waiting],
        new_partitions: i32,
        commit: Commit,
    ) -> Result<Vec<Result<Outcome, Error>>, postgres::Error> {
        let Connected { client, append, .. } = match commit {
            Commit::Durable => &self.durable,
            Commit::Lazy => &self.lazy,
        };
        let appends = batch.iter().map(|waiting| &waiting.append);
        Ok(statement::execute(client, append, appends, new_partitions).await?)
    }

    /// Waits until all that was committed is on the disk; whether these commands, no one twice, are there.
    pub(super) async fn flush(&self, commands: &[Uuid]) -> Result<bool, postgres::Error> {
        let found: i64 = self.durable.client.query_one(&self.flush, &[&commands]).await?.get(0);
        Ok(usize::try_from(found) == Ok(commands.len()))
    }
}
