//! How long after its append an order can be read, with nothing beside it and while a rebuild runs.

use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_postgres::Client;

use super::Running;
use crate::{
    bench::{load, table},
    log::Appender,
};

const IS_VISIBLE: &str = include_str!("is_visible.sql");

/// Between two looks for a row: the figures' precision.
const LOOK: Duration = Duration::from_millis(1);
/// Between two appends.
const PAUSE: Duration = Duration::from_millis(10);
/// How long is measured with nothing beside it.
const ALONE: Duration = Duration::from_secs(3);
const VISIBLE_MAX: Duration = Duration::from_secs(60);

/// Measures and prints a line for each.
pub(super) async fn measure(running: &Running, appender: &Appender, client: &Client) -> anyhow::Result<()> {
    println!("live orders                                   p50 ms    p99 ms    max ms    orders");
    let mut alone = table::histogram();
    // It ends by its time, between two orders or during one, which then does not count.
    let _ = timeout(ALONE, watch(appender, client, &mut alone)).await;
    line("visible after the append", &alone);
    let mut beside = table::histogram();
    tokio::select! {
        rebuilt = running.rebuild(2) => { rebuilt?; }
        watched = watch(appender, client, &mut beside) => watched?,
    }
    line("the same while a rebuild runs", &beside);
    Ok(())
}

/// Appends an order after the other, each when the one before can be read; until it is dropped.
async fn watch(appender: &Appender, client: &Client, seen: &mut Histogram<u64>) -> anyhow::Result<()> {
    let is_visible = client.prepare(IS_VISIBLE).await?;
    let mut turns = interval(PAUSE);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let order = load::order(1);
        let id = order.stream.id;
        load::appended(appender, order).await?;
        let appended = Instant::now();
        let looking = async {
            while !client.query_one(&is_visible, &[&id]).await?.get::<_, bool>(0) {
                sleep(LOOK).await;
            }
            anyhow::Ok(())
        };
        timeout(VISIBLE_MAX, looking).await??;
        seen.saturating_record(appended.elapsed().as_micros() as u64);
    }
}

fn line(what: &str, seen: &Histogram<u64>) {
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|quantile| table::millis(seen, quantile));
    println!("{what:<44} {p50:>8}  {p99:>8}  {max:>8}  {:>8}", seen.len());
}
