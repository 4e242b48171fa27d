//! The bare one-row INSERT, prepared, one per transaction: what a hand-written service does.

use anyhow::Context;
use deadpool_postgres::Pool;
use serde_json::{Value, json, value::RawValue};
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::{clients, store::Options};

pub const TABLE: &str = include_str!("../sql/bare_table.sql");
pub const COUNT: &str = include_str!("../sql/bare_count.sql");
const INSERT: &str = include_str!("../sql/bare_insert.sql");

pub async fn append(options: &Options) -> anyhow::Result<Value> {
    let pool = options.pool("")?;
    pool.get().await?.batch_execute(TABLE).await?;
    let data = options.data()?;
    let once = {
        let pool = pool.clone();
        move || {
            let (pool, data) = (pool.clone(), data.clone());
            async move { one(&pool, &data).await }
        }
    };
    let seen = clients::ask(options.clients, options.time(), once).await?;
    seen.checked(count(&pool).await?, 0)
}

/// Inserts an event of a new stream.
pub async fn one(pool: &Pool, data: &RawValue) -> anyhow::Result<()> {
    let client = pool.get().await.context("a connection")?;
    let statement = client.prepare_cached(INSERT).await?;
    client.execute(&statement, &[&Uuid::now_v7(), &Json(data), &Json(metadata())]).await?;
    Ok(())
}

pub async fn count(pool: &Pool) -> anyhow::Result<i64> {
    Ok(pool.get().await?.query_one(COUNT, &[]).await?.get(0))
}

/// What every event has beside its data, in all stores: less than annals writes, to nobody's disadvantage.
pub fn metadata() -> Value {
    json!({ "correlation_id": Uuid::now_v7() })
}
