//! The steady flow: log → batch → Kafka → state, the three steps at the same time.
//!
//! While a batch is on its way the next one grows: whatever the log has by the time Kafka answers goes at once, be it one
//! event or thousands. Where cores are short of time it is let grow a while longer. Bounded by one batch in flight and one
//! that grows.

use std::{future::pending, sync::atomic::Ordering, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Error,
    head::Head,
    in_time, outbox,
    partitions::{Batch, Partitions, Progress},
    producer::Producer,
    resume,
    session::{Session, message_timeout},
};
use crate::{
    config::RelayMode,
    log::{Event, Position, Relayed},
};

/// Waited for more before a few events are read while a batch is on its way.
const GATHER: Duration = Duration::from_millis(2);
/// From this many on they are read without waiting.
const MANY: i64 = 100;
/// So many events are worth a transaction, however short of time the cores are.
const ENOUGH: usize = 1_000;

/// What keeps a batch from being sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing does.
    Free,
    Sending,
    Resting,
}

/// Relays what follows `from`, until shutdown or an error; at shutdown what is on its way is finished first.
pub(super) async fn run(
    session: &Session<'_>,
    producer: &Producer,
    mut partitions: Partitions,
    from: Position,
    head: Position,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let head = Head::new(session.deps.head.clone(), head);
    let mut read = from;
    // What the log had when Kafka answered goes with the next batch.
    let mut due = from;
    let (turn, told) = watch::channel(Turn::Free);
    let mut growing = Batch::default();
    let mut unrecorded: Option<Relayed> = None;
    let mut reading = Some(read_on(session, &head, read, &growing, told.clone()));
    let mut sending: Option<BoxFuture<'_, Result<Progress, Error>>> = None;
    let mut resting: Option<BoxFuture<'_, Result<(), Error>>> = None;
    let mut recording: Option<BoxFuture<'_, Result<(), Error>>> = None;
    loop {
        tokio::select! {
            events = done(&mut reading) => {
                let events = events?;
                read = events.last().map_or(read, |event| event.position);
                if events.is_empty() {
                    head.disbelieve(read);
                    session.ends_at(read);
                    due = read;
                }
                let placing = place(session, events, &mut partitions, &mut growing);
                let Some(placed) = shutdown.run_until_cancelled(placing).await else { break };
                placed?;
            }
            progress = done(&mut sending) => {
                let relayed = partitions.relayed(&progress?);
                turn.send_replace(Turn::Resting);
                resting = Some(Box::pin(rest(session, &head, relayed.cursor)));
                session.acknowledged(relayed.cursor, head.known());
                session.deps.sent.advance(&relayed);
                unrecorded.get_or_insert_default().merge(&relayed);
            }
            rested = done(&mut resting) => {
                rested?;
                turn.send_replace(Turn::Free);
                due = head.look();
            }
            recorded = done(&mut recording) => recorded?,
            () = shutdown.cancelled() => break,
        }
        let is_full = !has_room(session, &growing);
        let may_send = sending.is_none() && (is_full || resting.is_none() && read >= due);
        if may_send && growing.progress.cursor > from {
            resting = None;
            turn.send_replace(Turn::Sending);
            sending = Some(Box::pin(send(session, producer, std::mem::take(&mut growing))));
        }
        if reading.is_none() && has_room(session, &growing) {
            reading = Some(read_on(session, &head, read, &growing, told.clone()));
        }
        if recording.is_none()
            && let Some(relayed) = unrecorded.take()
        {
            recording = Some(Box::pin(record(session, relayed)));
        }
    }
    end(session, &partitions, sending, recording, unrecorded).await
}

/// Finishes what is on its way at a shutdown, and records it.
async fn end(
    session: &Session<'_>,
    partitions: &Partitions,
    sending: Option<BoxFuture<'_, Result<Progress, Error>>>,
    recording: Option<BoxFuture<'_, Result<(), Error>>>,
    mut unrecorded: Option<Relayed>,
) -> Result<(), Error> {
    if let Some(sending) = sending {
        let relayed = partitions.relayed(&finish(session, sending).await?);
        session.deps.sent.advance(&relayed);
        unrecorded.get_or_insert_default().merge(&relayed);
    }
    if let Some(recording) = recording {
        recording.await?;
    }
    match unrecorded {
        Some(relayed) => record(session, relayed).await,
        None => Ok(()),
    }
}

/// What is on its way at a shutdown, if it does not take too long.
async fn finish(
    session: &Session<'_>,
    sending: BoxFuture<'_, Result<Progress, Error>>,
) -> Result<Progress, Error> {
    let patience = session.kafka.request_timeout;
    timeout(patience, sending).await.map_err(|_| Error::Stalled(patience))?
}

/// The result of what goes on in `slot`, which is empty from then on; never, while it is empty.
async fn done<T>(slot: &mut Option<BoxFuture<'_, T>>) -> T {
    let Some(going_on) = slot else {
        return pending().await;
    };
    let result = going_on.await;
    *slot = None;
    result
}

fn has_room(session: &Session<'_>, growing: &Batch) -> bool {
    growing.records.len() < session.config.batch_events_max && growing.bytes < session.config.batch_bytes_max
}

/// Lets events gather behind what was sent, where cores are short of time.
async fn rest(session: &Session<'_>, head: &Head, sent: Position) -> Result<(), Error> {
    let rest = session.strain.rest();
    if rest.is_zero() {
        return Ok(());
    }
    let began = Instant::now();
    let enough = ENOUGH.min(session.config.batch_events_max) as i64;
    // Out of time is what is expected here.
    if let Ok(there) = timeout(rest, head.beyond(session, Position(sent.0 + enough - 1))).await {
        there?;
    }
    metrics::histogram!("annals_relay_rest_seconds").record(began.elapsed());
    Ok(())
}

/// Waits until the log has events after `after` and nobody lets them gather, a little longer for more of them while a batch
/// is on its way, and reads as many as the growing batch has room for.
fn read_on<'a>(
    session: &'a Session<'_>,
    head: &'a Head,
    after: Position,
    growing: &Batch,
    mut turn: watch::Receiver<Turn>,
) -> BoxFuture<'a, Result<Vec<Event>, Error>> {
    let events_room = session.config.batch_events_max - growing.records.len();
    let bytes_room = session.config.batch_bytes_max - growing.bytes;
    Box::pin(async move {
        head.beyond(session, after).await?;
        // The sender outlives this future.
        let _ = turn.wait_for(|turn| *turn != Turn::Resting).await;
        if head.look().0 - after.0 < MANY {
            // At once where nothing is on its way.
            let _ = timeout(GATHER, turn.wait_for(|turn| *turn == Turn::Free)).await;
        }
        let there = head.look().0 - after.0;
        let events_max = events_room.min(usize::try_from(there).unwrap_or(usize::MAX));
        let reading = session.deps.reader.after(after, None, events_max, bytes_room);
        in_time(session.config.transaction_timeout, reading).await
    })
}

/// Adds events to the batch, and opens the topics of stream types that begin with them.
async fn place(
    session: &Session<'_>,
    events: Vec<Event>,
    partitions: &mut Partitions,
    growing: &mut Batch,
) -> Result<(), Error> {
    for event in events {
        if !partitions.knows(&event.stream_type) {
            let mut new = in_time(session.config.lease_ttl, session.deps.reader.stream_types()).await?;
            new.retain(|stream_type, _| !partitions.knows(stream_type));
            session.patiently(resume::open(session, &new, partitions, event.position)).await?;
        }
        partitions.place(event, growing);
    }
    Ok(())
}

async fn send(session: &Session<'_>, producer: &Producer, batch: Batch) -> Result<Progress, Error> {
    if batch.records.is_empty() {
        return Ok(batch.progress);
    }
    let until = match session.config.mode {
        RelayMode::ExactlyOnce => None,
        RelayMode::LowLatency => {
            let message_timeout = message_timeout(session.config);
            let ends = session.lease.lasting(message_timeout).await.ok_or(Error::LeaseLost)?;
            Some(ends - message_timeout)
        }
    };
    let (started, events) = (Instant::now(), batch.records.len());
    let records = batch.records.iter();
    let spans = session.deps.spans.sending(records.map(|record| (&record.event, &*record.topic)));
    session.patiently(producer.send(batch.records, until)).await?;
    spans.end();
    metrics::histogram!("annals_relay_batch_events").record(events as f64);
    metrics::histogram!("annals_relay_batch_seconds").record(started.elapsed());
    Ok(batch.progress)
}

async fn record(session: &Session<'_>, relayed: Relayed) -> Result<(), Error> {
    let (holder, recorded) = (&session.lease.holder, session.recorded.load(Ordering::Relaxed));
    let advancing = outbox::advance(&session.deps.writer, holder, Position(recorded), &relayed);
    if !in_time(session.config.lease_ttl, advancing).await? {
        return Err(Error::StateLost);
    }
    session.recorded.store(relayed.cursor.0, Ordering::Relaxed);
    Ok(())
}
