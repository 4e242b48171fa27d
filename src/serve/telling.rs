//! What tells how a process is: its health and its metrics, beside the API or on a listener of their own.

use deadpool_postgres::Pool;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{
    Process, Role, bind, health,
    observe::{self, Watched},
};
use crate::{
    api,
    log::{Appender, LogReader},
};

impl Process {
    /// What tells how this process is.
    pub(super) fn open(&self, roles: &[Role], draining: CancellationToken) -> anyhow::Result<api::Open> {
        let kafka = self.config.kafka.as_ref();
        let relay = kafka.filter(|_| roles.contains(&Role::Relay));
        let topic = kafka.and(self.config.command_topic.principal.as_ref());
        let topic = topic.filter(|_| roles.contains(&Role::Api));
        let parts = health::Parts {
            logins: self.logins.clone(),
            relay: relay.map(|_| self.relay_status.subscribe()),
            topic: topic.map(|_| self.topic_status.subscribe()),
            projections: roles.contains(&Role::Projector).then(|| self.progress.clone()),
        };
        Ok(api::Open { health: health::check(parts), metrics: self.metrics.clone(), draining })
    }

    /// Serves health and metrics on a listener of their own, where one is wanted.
    pub(super) async fn listen_for_scrapes(&self, open: api::Open) -> anyhow::Result<()> {
        let Some(address) = self.config.metrics_listen else {
            return Ok(());
        };
        let listener = bind(address, "ANNALS_METRICS_LISTEN").await?;
        info!(address = %listener.local_addr()?, "health and metrics");
        let (config, shutdown) = (self.config.clone(), self.shutdown.clone());
        let serving = async move { api::serve_open(open, &config, listener, shutdown).await };
        self.spawn("health and metrics", serving);
        Ok(())
    }

    /// Measures from time to time.
    pub(super) fn observe(&self, appender: Option<Appender>) -> anyhow::Result<()> {
        let has_relay = self.config.kafka.is_some();
        let watched = Watched {
            metrics: self.metrics.clone(),
            pools: self.pools.clone(),
            appender,
            has_relay,
            logins: self.logins.clone(),
            projections: self.reading()?,
        };
        self.spawn("metrics", observe::run(watched, self.shutdown.clone()));
        Ok(())
    }

    /// The log and the read models, as the role that may only read.
    fn reading(&self) -> anyhow::Result<(LogReader, Pool)> {
        let databases = &self.config.databases;
        let log = self.pools.open("metrics", &databases.reader)?;
        let read = match &databases.read_models {
            Some(url) => self.pools.open("metrics_of_read_models", url)?,
            None => log.clone(),
        };
        Ok((self.log(log), read))
    }
}
