//! A connection on which batches are appended.

use std::time::Duration;

use secrecy::SecretString;
use tokio_postgres::{Client, Statement};

use super::{Error, Outcome, batch::Waiting, statement};
use crate::postgres;

/// A connection with its prepared statement.
pub(super) struct Session {
    client: Client,
    append: Statement,
}

impl Session {
    pub(super) async fn connect(
        url: &SecretString,
        tcp_user_timeout: Duration,
    ) -> Result<Self, postgres::Error> {
        let (client, connection) = postgres::connect(url, tcp_user_timeout).await?;
        tokio::spawn(connection);
        let append = statement::prepare(&client).await?;
        Ok(Self { client, append })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Sends a batch behind those that are on their way, and reads its outcomes.
    pub(super) async fn append(
        &self,
        batch: &[Waiting],
        new_partitions: i32,
    ) -> Result<Vec<Result<Outcome, Error>>, postgres::Error> {
        let appends = batch.iter().map(|waiting| &waiting.append);
        Ok(statement::execute(&self.client, &self.append, appends, new_partitions).await?)
    }
}
