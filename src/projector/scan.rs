//! Reading the log for generations in the making: for one alone, or once for all that begin together.
//!
//! Leaves the folding to the lanes that each of them brings. The invariant: a reading hands out every event of its stretch
//! in order, and waits for its lanes, so that memory stays bounded; those that share a scan go at the pace of the slowest.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until},
};

use super::{
    batch::{Checkpoints, Chunk, Feed, Filled, FilledHole, Hole},
    candidate::Error,
    fold::fill::fill,
};
use crate::{
    config,
    log::{LogReader, Partition, StreamTypes},
};

/// What a lane folds: a chunk and what was read of the log for it.
pub(super) type Read = (Chunk, Filled);

/// The events that are to be loaded now.
pub(super) struct Stretch {
    pub(super) stream_types: StreamTypes,
    /// Where the generation stands.
    pub(super) at: Checkpoints,
    /// How far it may come.
    pub(super) to: Checkpoints,
}

/// A stretch that is read, and those who fold it.
pub(super) struct Reading {
    pub(super) stretch: Stretch,
    pub(super) lanes: Vec<mpsc::Sender<Read>>,
}

/// Scans that several share. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Scans(Arc<Mutex<Vec<Member>>>);

/// Who shares a scan.
struct Member {
    reading: Reading,
    events: usize,
    /// Told at its end how many events it held.
    told: oneshot::Sender<Result<usize, Error>>,
}

/// Reads a stretch for itself; returns how many events it held.
pub(super) async fn alone(
    log: &LogReader,
    limits: &config::Projector,
    mut reading: Reading,
    max_events_per_second: Option<u32>,
) -> Result<usize, Error> {
    let mut limits = limits.clone();
    if let Some(most) = max_events_per_second {
        limits.batch_events_max = limits.batch_events_max.min(most.max(1) as usize);
    }
    let (began, mut events) = (Instant::now(), 0);
    loop {
        let holes = reading.stretch.holes();
        if holes.is_empty() {
            return Ok(events);
        }
        let filled = read(log, &limits, &holes, &reading.stretch.stream_types).await?;
        let Some(taken) = reading.take(&filled).await else {
            return Ok(events);
        };
        events += taken;
        if let Some(most) = max_events_per_second {
            sleep_until(began + Duration::from_secs_f64(events as f64 / f64::from(most.max(1)))).await;
        }
    }
}

impl Scans {
    /// Reads a stretch together with the others that come within a short time; returns how many events it held.
    pub(super) async fn together(
        &self,
        log: &LogReader,
        limits: &config::Projector,
        reading: Reading,
    ) -> Result<usize, Error> {
        let (told, outcome) = oneshot::channel();
        let is_first = {
            let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            gathered.push(Member { reading, events: 0, told });
            gathered.len() == 1
        };
        if is_first {
            let (scans, log, limits) = (self.clone(), log.clone(), limits.clone());
            tokio::spawn(async move {
                // Whoever looks for rebuilds does so once in this time, and may see half of those begun together.
                sleep(2 * limits.poll_interval).await;
                let members = mem::take(&mut *scans.0.lock().unwrap_or_else(PoisonError::into_inner));
                scan(&log, &limits, members).await;
            });
        }
        outcome.await.unwrap_or_else(|_| Err(Error::Passing("the scan of the log ended".into())))
    }
}

/// Reads the log once, from where the first of these stands to where the last ends.
async fn scan(log: &LogReader, limits: &config::Projector, mut members: Vec<Member>) {
    loop {
        let mut holes: BTreeMap<Partition, Hole> = BTreeMap::new();
        let mut stream_types = StreamTypes::new();
        for member in mem::take(&mut members) {
            let own = member.reading.stretch.holes();
            if own.is_empty() {
                member.end(None);
                continue;
            }
            for hole in own {
                let all = holes.entry(hole.partition.clone()).or_insert_with(|| hole.clone());
                (all.from, all.to) = (all.from.min(hole.from), all.to.max(hole.to));
            }
            stream_types.extend(member.reading.stretch.stream_types.clone());
            members.push(member);
        }
        if members.is_empty() {
            return;
        }
        let holes: Vec<Hole> = holes.into_values().collect();
        let filled = match read(log, limits, &holes, &stream_types).await {
            Ok(filled) => filled,
            Err(error) => {
                let reason = error.to_string();
                return members.into_iter().for_each(|member| member.end(Some(reason.clone())));
            }
        };
        for mut member in mem::take(&mut members) {
            match member.reading.take(&filled).await {
                Some(events) => {
                    member.events += events;
                    members.push(member);
                }
                // A lane of it failed, and says so itself.
                None => member.end(None),
            }
        }
    }
}

/// Reads what lies in the holes, as much as a batch may hold.
async fn read(
    log: &LogReader,
    limits: &config::Projector,
    holes: &[Hole],
    stream_types: &StreamTypes,
) -> Result<Filled, Error> {
    let filled = fill(log, holes, stream_types, limits).await?;
    let events: usize = filled.holes.values().map(|hole| hole.events.len()).sum();
    metrics::counter!("annals_rebuild_read_events_total").increment(events as u64);
    Ok(filled)
}

impl Member {
    fn end(self, failed: Option<String>) {
        // Who does not wait any more was cancelled.
        let _ = self.told.send(failed.map_or(Ok(self.events), |reason| Err(Error::Passing(reason))));
    }
}

impl Reading {
    /// Shares what was read out to the lanes, as far as it is of this stretch, and goes past it; how many events that
    /// was. `None` where a lane has ended.
    async fn take(&mut self, filled: &Filled) -> Option<usize> {
        let mut events = 0;
        for (lane, part) in self.lanes.iter().zip(self.stretch.share(filled, self.lanes.len())) {
            events += part.1.holes.values().map(|hole| hole.events.len()).sum::<usize>();
            if !part.0.feeds.is_empty() {
                lane.send(part).await.ok()?;
            }
        }
        Some(events)
    }
}

impl Stretch {
    /// Positions between where it begins and where it ends.
    pub(super) fn length(&self) -> i64 {
        let holes = self.holes();
        let from = holes.iter().map(|hole| hole.from.0).min().unwrap_or_default();
        holes.iter().map(|hole| hole.to.0).max().unwrap_or_default() - from
    }

    fn holes(&self) -> Vec<Hole> {
        let behind = self.at.iter().filter(|(partition, at)| **at < self.to[*partition]);
        behind
            .map(|(partition, at)| Hole { partition: partition.clone(), from: *at, to: self.to[partition] })
            .collect()
    }

    /// Cuts what was read into a part per lane, and goes past it.
    fn share(&mut self, filled: &Filled, lanes: usize) -> Vec<Read> {
        let part = || (Chunk::default(), Filled { holes: BTreeMap::new(), scanned_to: filled.scanned_to });
        let mut parts: Vec<Read> = (0..lanes).map(|_| part()).collect();
        for Hole { partition, from, to } in self.holes() {
            let (Some(hole), end) = (filled.holes.get(&partition), to.min(filled.scanned_to)) else {
                continue;
            };
            if end <= from {
                continue;
            }
            // Copied: another generation may read the same, and folding takes far longer.
            let events = hole.events.iter().filter(|event| from < event.position && event.position <= end);
            let events = events.cloned().collect();
            let (chunk, filled) = &mut parts[partition.number as usize % lanes];
            chunk.feeds.insert(partition.clone(), Feed { logged: end, ..Feed::default() });
            filled.holes.insert(partition.clone(), FilledHole { from, events });
            self.at.insert(partition, end);
        }
        parts
    }
}
