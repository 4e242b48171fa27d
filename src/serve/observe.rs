//! Metrics: how they are recorded, and gauges that are sampled periodically.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context;
use deadpool_postgres::Pool;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::pools::Pools;
use crate::{
    log::{Appender, LogReader},
    postgres, projector,
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
    describe_counter!("annals_projection_parked_total", "Events that a projection set apart");
    describe_counter!(
        "annals_projection_refused_total",
        "Records that are not of this log, or cannot be read"
    );
    describe_counter!("annals_rebuild_read_events_total", "Events read from the log to rebuild projections");
    describe_gauge!("annals_postgres_up", "1 where the log's database answers, else 0");
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
    /// The log and the read models, as the role that may only read.
    pub(super) projections: (LogReader, Pool),
}

/// Looks from time to time, until shutdown.
pub(super) async fn run(watched: Watched, shutdown: CancellationToken) {
    let mut interval = tokio::time::interval(INTERVAL);
    let mut projections = BTreeSet::new();
    while shutdown.run_until_cancelled(interval.tick()).await.is_some() {
        // Samples pile up until they are counted, here or by a scrape.
        watched.metrics.run_upkeep();
        look(&watched).await;
        look_at_projections(&watched, &mut projections).await;
    }
}

async fn look(watched: &Watched) {
    for (part, pool) in watched.pools.all() {
        let status = pool.status();
        let idle = status.available as f64;
        metrics::gauge!("annals_pool_connections", "pool" => part, "state" => "idle").set(idle);
        metrics::gauge!("annals_pool_connections", "pool" => part, "state" => "busy")
            .set(status.size as f64 - idle);
        metrics::gauge!("annals_pool_waiting", "pool" => part).set(status.waiting as f64);
    }
    if let Some(appender) = &watched.appender {
        metrics::gauge!("annals_append_queue_requests").set(appender.queued() as f64);
    }
    let (log, _) = &watched.projections;
    let lag = postgres::in_time(INTERVAL, log.lag(), || log.give_up_connections()).await;
    metrics::gauge!("annals_postgres_up").set(if lag.is_ok() { 1.0 } else { 0.0 });
    match lag {
        Ok(lag) => {
            metrics::gauge!("annals_log_head").set(lag.head.0 as f64);
            if watched.has_relay {
                metrics::gauge!("annals_relay_lag_seconds").set(lag.relay.as_secs_f64());
            }
        }
        Err(error) => debug!(%error, "the log does not tell how far the relay is behind"),
    }
}

/// Tells how far projections are behind; `told` are those that were told of before.
async fn look_at_projections(watched: &Watched, told: &mut BTreeSet<String>) {
    let (log, read) = &watched.projections;
    let lags = postgres::in_time(INTERVAL, projector::lags(log, read), || drop(read.retain(|_, _| false)));
    let lags = match lags.await {
        Ok(lags) => lags,
        Err(error) => return debug!(%error, "it is not known how far the projections are behind"),
    };
    for dropped in told.iter().filter(|projection| !lags.contains_key(*projection)) {
        // Not a number, not exported.
        export(dropped, f64::NAN, f64::NAN);
    }
    for (projection, lag) in &lags {
        export(projection, lag.events as f64, lag.seconds);
    }
    *told = lags.into_keys().collect();
}

fn export(projection: &str, events: f64, seconds: f64) {
    metrics::gauge!("annals_projection_lag_events", "projection" => projection.to_owned()).set(events);
    metrics::gauge!("annals_projection_lag_seconds", "projection" => projection.to_owned()).set(seconds);
}
