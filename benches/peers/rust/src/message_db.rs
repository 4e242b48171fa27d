//! message-db: its own SQL functions, called by a driver that prepares and pools.
//!
//! Its schema was installed by its own script before the run.

use serde_json::Value;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::{clients, insert, store::Options};

const WRITE: &str = include_str!("../sql/message_db_write.sql");
const COUNT: &str = include_str!("../sql/message_db_count.sql");

pub async fn append(options: &Options) -> anyhow::Result<Value> {
    // As its documentation tells clients to.
    let pool = options.pool("-c search_path=message_store,public")?;
    let data = options.data()?;
    let once = {
        let pool = pool.clone();
        move || {
            let (pool, data) = (pool.clone(), data.clone());
            async move {
                let client = pool.get().await?;
                let statement = client.prepare_cached(WRITE).await?;
                let (id, stream) = (Uuid::now_v7().to_string(), format!("order-{}", Uuid::now_v7()));
                client.execute(&statement, &[&id, &stream, &Json(&*data), &Json(insert::metadata())]).await?;
                Ok(())
            }
        }
    };
    let seen = clients::ask(options.clients, options.time(), once).await?;
    seen.checked(pool.get().await?.query_one(COUNT, &[]).await?.get(0), 0)
}
