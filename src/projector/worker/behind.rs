//! How far each partition of a worker is behind, told whatever the worker is doing: also while it stands still, and while
//! it folds what gathered.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tracing::debug;

use crate::{
    log::{Partition, Position},
    postgres,
    projector::{
        Deps, checkpoint,
        kafka_source::{Assigned, locked},
    },
};

/// What a worker follows.
#[derive(Clone, Default)]
pub(super) enum Followed {
    /// Nothing now.
    #[default]
    Nothing,
    /// All of the log.
    Log,
    /// What was sent to the partitions that its group gave to it.
    Kafka(Assigned),
}

/// Tells again and again, for ever.
pub(super) async fn tell(
    deps: Deps,
    projection: String,
    pause: Duration,
    followed: watch::Receiver<Followed>,
) -> Infallible {
    let mut told = BTreeSet::new();
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let followed = followed.borrow().clone();
        let lags = match lags(&deps, &projection, &followed).await {
            Ok(lags) => lags,
            Err(error) => {
                debug!(projection, %error, "it is not known how far its partitions are behind");
                continue;
            }
        };
        for lost in told.iter().filter(|partition| !lags.contains_key(partition)) {
            // Not a number, not exported: another worker's now.
            export(&projection, lost, f64::NAN);
        }
        for (partition, lag) in &lags {
            export(&projection, partition, *lag as f64);
        }
        told = lags.into_keys().collect();
    }
}

/// How many positions each partition is behind: an upper bound of its events.
async fn lags(
    deps: &Deps,
    projection: &str,
    followed: &Followed,
) -> Result<BTreeMap<Partition, i64>, postgres::Error> {
    let (head, sent) = match followed {
        Followed::Nothing => return Ok(BTreeMap::new()),
        // Whether the disk holds it does not matter here.
        Followed::Log => (deps.reader.lag().await?.head, None),
        Followed::Kafka(assigned) => {
            let last_sent = deps.reader.relayed().await?.last_sent;
            (Position::default(), Some((locked(assigned).clone(), last_sent)))
        }
    };
    let end = |partition: &Partition| match &sent {
        None => Some(head),
        Some((assigned, last_sent)) => {
            assigned.contains(partition).then(|| last_sent.get(partition).copied().unwrap_or_default())
        }
    };
    let stored = checkpoint::read(&deps.read, projection, None).await?;
    let lag = |stored: checkpoint::Stored| {
        let end = end(&stored.partition)?;
        Some((stored.partition, (end.0 - stored.position.0).max(0)))
    };
    Ok(stored.into_iter().filter_map(lag).collect())
}

fn export(projection: &str, partition: &Partition, lag: f64) {
    let partition = format!("{}-{}", partition.stream_type, partition.number);
    metrics::gauge!(
        "annals_projection_partition_lag_events", "projection" => projection.to_owned(), "partition" => partition
    )
    .set(lag);
}
