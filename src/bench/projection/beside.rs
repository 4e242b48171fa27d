//! How long after its append an order can be read, by a reader who asks for it with a position, at a steady rate of orders: with
//! nothing beside it, and while a rebuild runs.

use std::time::Duration;

use anyhow::{bail, ensure};
use hdrhistogram::Histogram;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::Running;
use crate::{
    bench::{
        load,
        table::{self, Line, Table},
    },
    log::{Appender, Outcome},
    read_model::{Freshness, ReadModels},
};

/// What does not count: connections are made, statements are planned.
const WARMUP: Duration = Duration::from_secs(1);
/// How long is measured with nothing beside it, the warm-up included.
const ALONE: Duration = Duration::from_secs(6);
const VISIBLE_MAX: Duration = Duration::from_secs(60);

/// Measures and prints a line for each.
pub(super) async fn measure(
    running: &Running,
    appender: &Appender,
    rate: u32,
    table: Table,
) -> anyhow::Result<()> {
    let line = |what: &str, seen: &Histogram<u64>| {
        table.line(&Line { what: format!("{what}, {rate}/s"), ..Line::default() }.latencies(seen))
    };
    let mut alone = table::histogram();
    // It ends by its time; what is not visible then does not count.
    let _ = timeout(ALONE, watch(appender, &running.models, rate, &mut alone)).await;
    ensure!(!alone.is_empty(), "no order was seen");
    line("an order is visible after its append", &alone);
    let mut beside = table::histogram();
    tokio::select! {
        rebuilt = running.rebuild(2) => { rebuilt?; }
        watched = watch(appender, &running.models, rate, &mut beside) => watched?,
    }
    line("the same while a rebuild runs", &beside);
    Ok(())
}

/// Appends orders at this rate, and reads each as soon as it may be read; until it is dropped.
async fn watch(
    appender: &Appender,
    models: &ReadModels,
    rate: u32,
    seen: &mut Histogram<u64>,
) -> anyhow::Result<()> {
    let mut turns = interval(Duration::from_secs(1) / rate);
    turns.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut orders, began) = (JoinSet::new(), Instant::now());
    loop {
        tokio::select! {
            _ = turns.tick() => {
                orders.spawn(visible(appender.clone(), models.clone()));
            }
            Some(order) = orders.join_next() => {
                let (appended, visible) = order??;
                if appended - began >= WARMUP {
                    seen.saturating_record(visible.as_micros() as u64);
                }
            }
        }
    }
}

/// When an order is appended, and how long after that it is read.
async fn visible(appender: Appender, models: ReadModels) -> anyhow::Result<(Instant, Duration)> {
    let order = load::order(1);
    let id = order.stream.id.to_string();
    let outcome = appender.append(order).await?;
    let appended = Instant::now();
    let Outcome::Appended { positions: Some((_, last)), .. } = outcome else {
        bail!("{outcome:?}");
    };
    let freshness = Freshness { after: Some(last), wait: VISIBLE_MAX };
    let row = models.get("orders", &[&id], freshness).await?;
    ensure!(row.value.is_some(), "order {id} is not in the read model at {}", row.position);
    Ok((appended, appended.elapsed()))
}
