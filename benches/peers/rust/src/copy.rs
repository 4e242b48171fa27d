//! Binary COPY into the bare table over one connection: as fast as this Postgres takes rows.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio_postgres::{
    binary_copy::BinaryCopyInWriter,
    types::{Json, Type},
};
use uuid::Uuid;

use crate::{
    clients::Seen,
    insert,
    store::{Options, pool},
};

const COPY: &str = include_str!("../sql/bare_copy.sql");
/// Rows per transaction.
const ROWS: u64 = 10_000;

/// A latency is that of a whole COPY.
pub async fn append(options: &Options) -> anyhow::Result<Value> {
    let pool = pool(&options.url, "", 1)?;
    let client = pool.get().await?;
    client.batch_execute(insert::TABLE).await?;
    let (data, (warmup, time)) = (options.data()?, options.time());
    let (started, mut latencies) = (Instant::now(), crate::clients::histogram());
    let (mut all, mut counted, mut counted_from) = (0, 0, None);
    while started.elapsed() < warmup + time {
        let began = Instant::now();
        let sink = client.copy_in(COPY).await?;
        let columns = [Type::UUID, Type::INT8, Type::TEXT, Type::JSONB, Type::JSONB];
        let mut rows = pin!(BinaryCopyInWriter::new(sink, &columns));
        for _ in 0..ROWS {
            let (id, data, metadata) = (Uuid::now_v7(), Json(&*data), Json(insert::metadata()));
            rows.as_mut().write(&[&id, &1i64, &"order.created", &data, &metadata]).await?;
        }
        rows.finish().await?;
        all += ROWS;
        if began.duration_since(started) >= warmup {
            counted_from.get_or_insert(began);
            counted += ROWS;
            latencies.saturating_record(began.elapsed().as_micros() as u64);
        }
    }
    let elapsed = counted_from.map_or(Duration::MAX, |from| from.elapsed());
    drop(client);
    let seen = Seen { answered: all, elapsed, latencies };
    let mut line = seen.checked(insert::count(&pool).await?, 0)?;
    line["rate"] = (counted as f64 / elapsed.as_secs_f64()).into();
    Ok(line)
}
