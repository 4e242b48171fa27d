//! What read models have parked, and mending it.

use annals::{
    config::Config,
    log::{Position, StreamId},
    projector::parked,
};
use deadpool_postgres::Pool;
use uuid::Uuid;

use crate::cli::admin::{admin, asker};

/// Events asked for at once. How many there may be is bounded by `projector_parked_max`.
const EVENTS_PER_PAGE: i64 = 1_000;

/// A stream that a read model has parked.
#[derive(clap::Args)]
pub(crate) struct ParkedStream {
    name: String,
    /// The stream, such as order/01990a3c-….
    #[arg(value_name = "TYPE/ID", value_parser = stream)]
    stream: StreamId,
    /// As JSON, for machines.
    #[arg(long)]
    json: bool,
}

fn stream(text: &str) -> Result<StreamId, String> {
    let (stream_type, id) = text.split_once('/').ok_or("is not like order/01990a3c-…")?;
    let id = id.parse::<Uuid>().map_err(|error| error.to_string())?;
    Ok(StreamId { stream_type: stream_type.to_owned(), id })
}

/// Lists what is parked.
pub(super) async fn list(read: &Pool, name: &str, json: bool) -> anyhow::Result<()> {
    super::one(read, name).await?;
    let mut found = Vec::new();
    loop {
        let after = found.last().map_or(0, |event: &parked::Parked| event.position);
        let page = parked::list(read, name, Position(after), EVENTS_PER_PAGE).await?;
        let is_last = page.len() < EVENTS_PER_PAGE as usize;
        found.extend(page);
        if is_last {
            break;
        }
    }
    if json {
        return super::print_json(&found);
    }
    for event in found {
        let stream = format!("{}/{}", event.stream_type, event.stream_id);
        let why = event.error.unwrap_or_else(|| "waits behind an earlier one".into());
        println!("{:>12}  {stream}  {}  {why}", event.position, event.event_type);
    }
    Ok(())
}

/// Folds a stream's parked events, without the first if that is to be skipped.
pub(super) async fn mend(config: &Config, asked: ParkedStream, skip: bool) -> anyhow::Result<()> {
    let asker = asker(if skip { "projections skip" } else { "projections retry" });
    let mended = admin(config, vec![]).await?.mend(&asker, &asked.name, &asked.stream, skip).await?;
    if asked.json {
        return super::print_json(&mended);
    }
    println!("{} applied, {} skipped, {} still parked", mended.applied, mended.skipped, mended.left);
    Ok(())
}
