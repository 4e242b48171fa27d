//! Data for measurements: events as the domains write them, appended straight to the log.

use futures_util::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use crate::{
    json::RawJson,
    log::{Append, Appender, Expected, Metadata, NewEvent, Outcome, Status, StreamId},
};

/// The stream type of [`order`].
pub(super) const ORDERS: &str = "order";
/// An `order.created` of 250 bytes; peers are measured with the same.
const ORDER: &str = include_str!("order.json");
/// Appends on their way at once while a load is made.
const CONCURRENT: usize = 64;
/// Events per append while a history is made.
const EVENTS_PER_APPEND: usize = 1_000;

/// A new order of this many events, all of them of the same size.
pub(super) fn order(events: usize) -> Append {
    append(ORDERS, Uuid::now_v7(), Expected::NoStream, events, || ("order.created", ORDER))
}

/// Appends orders until the log has grown by this many events.
pub(super) async fn orders(appender: &Appender, events: usize) -> anyhow::Result<()> {
    const PER_ORDER: usize = 10;
    let appends = (0..events / PER_ORDER).map(|_| order(PER_ORDER));
    stream::iter(appends.map(Ok)).try_for_each_concurrent(CONCURRENT, |order| appended(appender, order)).await
}

/// Makes counters with a history of this many events each; returns their ids.
pub(super) async fn counters(
    appender: &Appender,
    streams: usize,
    history: usize,
) -> anyhow::Result<Vec<Uuid>> {
    let ids: Vec<Uuid> = (0..streams).map(|_| Uuid::now_v7()).collect();
    let made = stream::iter(&ids).map(|id| counter(appender, *id, history));
    made.buffer_unordered(CONCURRENT).try_collect::<()>().await?;
    Ok(ids)
}

async fn counter(appender: &Appender, id: Uuid, history: usize) -> anyhow::Result<()> {
    let mut types = std::iter::once(("counter.created", r#"{"code_hash":"none"}"#))
        .chain(std::iter::repeat(("counter.incremented", r#"{"by":1}"#)));
    for first in (0..history).step_by(EVENTS_PER_APPEND) {
        let events = EVENTS_PER_APPEND.min(history - first);
        let next = || types.next().expect("endless");
        appended(appender, append("counter", id, Expected::Any, events, next)).await?;
    }
    Ok(())
}

/// Appends, and fails where the log says anything but yes.
pub(super) async fn appended(appender: &Appender, append: Append) -> anyhow::Result<()> {
    let outcome = appender.append(append).await?;
    anyhow::ensure!(matches!(outcome, Outcome::Appended { .. }), "{outcome:?}");
    Ok(())
}

fn append(
    stream_type: &str,
    id: Uuid,
    expected: Expected,
    events: usize,
    mut next: impl FnMut() -> (&'static str, &'static str),
) -> Append {
    let command_id = Uuid::now_v7();
    let metadata = RawJson::of(&Metadata {
        actor: "bench".into(),
        command_id,
        correlation_id: command_id.to_string(),
        causation_id: None,
        traceparent: None,
    });
    let event = || {
        let (event_type, data) = next();
        NewEvent {
            event_id: Uuid::now_v7(),
            event_type: event_type.into(),
            schema_version: 1,
            data: RawJson::trusted(data),
            metadata: metadata.clone(),
        }
    };
    Append {
        command_id,
        command_type: "bench.append".into(),
        principal: "bench".into(),
        idempotency_key: None,
        fingerprint: vec![0; 32],
        correlation_id: command_id.to_string(),
        stream: StreamId { stream_type: stream_type.into(), id },
        expected,
        events: std::iter::repeat_with(event).take(events).collect(),
        claims: vec![],
        status: Status::Done,
        answer: RawJson::trusted("{}"),
    }
}
