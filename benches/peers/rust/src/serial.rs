//! A table with a bigserial, and the reader that most hand-written projections are: everything after the last number.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::{
    insert,
    store::{Options, pool},
};

const POLL: &str = include_str!("../sql/bare_poll.sql");

/// What such a reader never sees while others write. It polls without pause, as a busy one does.
pub async fn lost(options: &Options) -> anyhow::Result<Value> {
    let writers = options.pool("")?;
    writers.get().await?.batch_execute(insert::TABLE).await?;
    let done = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn(read(options.url.clone(), done.clone()));
    let (data, left) = (options.data()?, Arc::new(AtomicI64::new(options.events as i64)));
    let writing = (0..options.clients).map(|_| {
        let (writers, data, left) = (writers.clone(), data.clone(), left.clone());
        tokio::spawn(async move {
            while left.fetch_sub(1, Ordering::Relaxed) > 0 {
                insert::one(&writers, &data).await?;
            }
            anyhow::Ok(())
        })
    });
    try_join_all(writing).await?.into_iter().collect::<anyhow::Result<()>>()?;
    done.store(true, Ordering::Release);
    let seen = reader.await??;
    let stored = insert::count(&writers).await?;
    Ok(json!({ "stored": stored, "seen": seen, "lost": stored - seen }))
}

/// How many events it saw. It ends when it finds nothing after everything was committed.
async fn read(url: String, done: Arc<AtomicBool>) -> anyhow::Result<i64> {
    let client = pool(&url, "", 1)?.get().await?;
    let poll = client.prepare(POLL).await?;
    let (mut last, mut seen) = (0i64, 0);
    loop {
        let is_last = done.load(Ordering::Acquire);
        let rows = client.query(&poll, &[&last]).await?;
        seen += rows.len() as i64;
        match rows.last() {
            Some(row) => last = row.get(0),
            None if is_last => return Ok(seen),
            None => {}
        }
    }
}
