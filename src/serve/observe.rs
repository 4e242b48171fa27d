//! Metrics: how they are recorded, and gauges that are sampled periodically.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context;
use deadpool_postgres::Pool;
use futures_util::future::join_all;
use metrics::gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use super::{logins::Login, pools::Pools};
use crate::{
    log::{Appender, LogReader},
    postgres,
    projector::{self, Standing},
    trouble::Trouble,
};

/// Upper bounds of times, in seconds: from a tenth of a millisecond to ten seconds.
const SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds of batch sizes.
const SIZES: [f64; 9] = [1.0, 4.0, 16.0, 64.0, 256.0, 512.0, 1_024.0, 4_096.0, 10_000.0];
/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(5);

/// Records the metrics of this process; the handle renders them.
pub(super) fn recorder() -> anyhow::Result<PrometheusHandle> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
        .and_then(|builder| builder.set_buckets(&SIZES))
        .and_then(PrometheusBuilder::install_recorder)
        .context("metrics cannot be recorded")?;
    describe();
    Ok(recorder)
}

fn describe() {
    use metrics::{Unit::Seconds, describe_counter, describe_gauge, describe_histogram};
    describe_counter!("annals_commands_total", "Commands, by what they came to");
    describe_counter!("annals_command_conflicts_total", "Commands that had to be decided again");
    describe_histogram!("annals_command_seconds", Seconds, "From a checked command to its answer");
    describe_histogram!("annals_http_request_seconds", Seconds, "How long requests took");
    describe_histogram!("annals_step_seconds", Seconds, "How long the steps of a command took");
    describe_counter!("annals_snapshots_total", "Snapshots of aggregates that were kept");
    describe_counter!(
        "annals_subscriber_failures_total",
        "Events that a subscriber of the process failed at"
    );
    describe_counter!(
        "annals_subscriber_missed_total",
        "Events that a subscriber of the process was too slow for"
    );
    describe_counter!("annals_topic_commands_total", "Commands from Kafka, by what they came to");
    describe_counter!("annals_topic_replies_too_large_total", "Replies that no record takes");
    describe_histogram!("annals_append_batch_requests", "Appends sent together");
    describe_histogram!("annals_append_batch_seconds", Seconds, "From sending a batch to its outcomes");
    describe_gauge!("annals_append_queue_requests", "Appends that wait for a batch");
    describe_gauge!("annals_append_queue_requests_max", "Appends that may wait; more are refused");
    describe_gauge!("annals_log_head", "The log's last position");
    describe_gauge!("annals_relay_lag_seconds", Seconds, "Age of the oldest event that is not in Kafka yet");
    describe_gauge!("annals_projection_lag_events", "Events that a projection has not folded yet");
    describe_gauge!(
        "annals_projection_lag_seconds",
        Seconds,
        "Age of the oldest event that it has not folded"
    );
    describe_gauge!(
        "annals_projection_partition_lag_events",
        "Positions that a partition of this process is behind what was sent to it"
    );
    describe_counter!("annals_projection_applied_total", "Events that a projection applied");
    describe_counter!("annals_projection_ignored_total", "Events for which a projection has no statement");
    describe_counter!("annals_projection_parked_total", "Events that a projection parked");
    describe_counter!(
        "annals_projection_refused_total",
        "Records that are not of this log, or cannot be read"
    );
    describe_counter!("annals_rebuild_read_events_total", "Events read from the log to rebuild projections");
    describe_gauge!("annals_projection_parked", "Events that the serving generation has parked");
    describe_gauge!("annals_projection_state", "1 for the state that a projection is in, else 0");
    describe_gauge!("annals_rebuilds", "1 where the newest rebuild of a projection waits or failed, else 0");
    describe_gauge!("annals_postgres_up", "1 where a database answers a login of this process, else 0");
    describe_gauge!("annals_pool_connections", "Connections of a pool, by state");
    describe_gauge!("annals_pool_waiting", "Those who wait for a connection of a pool");
}

/// What is looked at.
pub(super) struct Watched {
    pub(super) metrics: PrometheusHandle,
    pub(super) pools: Pools,
    /// In a process that takes commands.
    pub(super) appender: Option<Appender>,
    pub(super) has_relay: bool,
    pub(super) logins: Vec<Login>,
    /// The log and the read models, as the role that may only read.
    pub(super) projections: (LogReader, Pool),
}

/// Looks from time to time, until shutdown.
pub(super) async fn run(watched: Watched, shutdown: CancellationToken) {
    let unanswered = |login: &Login| {
        let database = login.database.as_str();
        Trouble::new(format!("database {database} does not answer login {}; trying again", login.name))
    };
    let mut looking = Looking {
        unanswered: watched.logins.iter().map(unanswered).collect(),
        unknown_relay: Trouble::new("it is not known how far the relay is behind; trying again"),
        unknown_projections: Trouble::new("it is not known how projections stand; trying again"),
        told: BTreeSet::new(),
        watched,
    };
    let mut interval = tokio::time::interval(INTERVAL);
    while shutdown.run_until_cancelled(interval.tick()).await.is_some() {
        // Samples pile up until they are counted, here or by a scrape.
        looking.watched.metrics.run_upkeep();
        looking.look().await;
    }
}

struct Looking {
    watched: Watched,
    /// As the logins.
    unanswered: Vec<Trouble>,
    unknown_relay: Trouble,
    unknown_projections: Trouble,
    /// The projections there were.
    told: BTreeSet<String>,
}

impl Looking {
    async fn look(&mut self) {
        self.look_at_process();
        self.look_at_logins().await;
        self.look_at_log().await;
        self.look_at_projections().await;
    }

    fn look_at_process(&self) {
        for (part, pool) in self.watched.pools.all() {
            let status = pool.status();
            let idle = status.available as f64;
            gauge!("annals_pool_connections", "pool" => part, "state" => "idle").set(idle);
            gauge!("annals_pool_connections", "pool" => part, "state" => "busy")
                .set(status.size as f64 - idle);
            gauge!("annals_pool_waiting", "pool" => part).set(status.waiting as f64);
        }
        if let Some(appender) = &self.watched.appender {
            gauge!("annals_append_queue_requests").set(appender.queued() as f64);
            gauge!("annals_append_queue_requests_max").set(appender.queued_max() as f64);
        }
    }

    async fn look_at_logins(&mut self) {
        let answers = join_all(self.watched.logins.iter().map(Login::answer)).await;
        for ((login, answer), trouble) in self.watched.logins.iter().zip(answers).zip(&mut self.unanswered) {
            let is_up = trouble.note(answer).is_some();
            gauge!("annals_postgres_up", "database" => login.database.as_str(), "login" => login.name)
                .set(f64::from(is_up));
        }
    }

    async fn look_at_log(&mut self) {
        let (log, _) = &self.watched.projections;
        let lag = postgres::in_time(INTERVAL, log.lag(), || log.give_up_connections()).await;
        let Some(lag) = self.unknown_relay.note(lag) else {
            return;
        };
        gauge!("annals_log_head").set(lag.head.0 as f64);
        if self.watched.has_relay {
            gauge!("annals_relay_lag_seconds").set(lag.relay.as_secs_f64());
        }
    }

    async fn look_at_projections(&mut self) {
        let (log, read) = &self.watched.projections;
        let asking = projector::standings(log, read);
        let standings = postgres::in_time(INTERVAL, asking, || drop(read.retain(|_, _| false))).await;
        let Some(standings) = self.unknown_projections.note(standings) else {
            return;
        };
        for gone in self.told.iter().filter(|projection| !standings.contains_key(*projection)) {
            export(gone, None);
        }
        for (projection, standing) in &standings {
            export(projection, Some(standing));
        }
        self.told = standings.into_keys().collect();
    }
}

/// How a projection stands; `None` where there is none any more.
fn export(projection: &str, standing: Option<&Standing>) {
    let name = || projection.to_owned();
    // Not a number, not exported.
    let value = |of: &dyn Fn(&Standing) -> f64| standing.map_or(f64::NAN, of);
    gauge!("annals_projection_lag_events", "projection" => name()).set(value(&|now| now.lag.events as f64));
    gauge!("annals_projection_lag_seconds", "projection" => name()).set(value(&|now| now.lag.seconds));
    gauge!("annals_projection_parked", "projection" => name()).set(value(&|now| now.parked as f64));
    for state in Standing::STATES {
        gauge!("annals_projection_state", "projection" => name(), "state" => state)
            .set(value(&|now| f64::from(now.state == state)));
    }
    for state in ["waiting", "failed"] {
        gauge!("annals_rebuilds", "projection" => name(), "state" => state)
            .set(value(&|now| f64::from(now.rebuild.as_deref() == Some(state))));
    }
}
