//! Checks anew what must always hold of the log, and reports what does not.
//!
//! Reads in one snapshot, so that what is appended meanwhile disturbs nothing. The rules: what keeps the log append-only is in
//! force; positions are 1, 2, 3 …; recorded_at never decreases along them; the auditors' index says of each event what the log
//! says; nothing that follows the log is ahead of its end; a stream's versions are 1, 2, 3 … in the order of positions; every
//! event can be read; the claims held are those that the events lead to; a command's row agrees with its events.

mod streams;

use chrono::{DateTime, Utc};
use serde::Serialize;
use streams::Streams;
use tokio_postgres::{IsolationLevel, Transaction};
use uuid::Uuid;

use super::{Audit, Error, end};
use crate::{aggregate::Registry, log::Position};

const POSITIONS: &str = include_str!("verify/positions.sql");
const GUARDS: &str = include_str!("verify/guards.sql");
const BEYOND: &str = include_str!("verify/beyond.sql");
const STREAMS: &str = include_str!("verify/streams.sql");
const CLAIMS: &str = include_str!("verify/claims.sql");
const CLAIMS_HELD: &str = include_str!("verify/claims_held.sql");
const COMMANDS: &str = include_str!("verify/commands.sql");
const TOTAL: &str = include_str!("verify/total.sql");

/// Faults told; more are only counted.
const FAULTS_MAX: usize = 100;
/// Claims compared per statement.
const CLAIMS_PER_STEP: usize = 1_000;

/// What a verification found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Up to where it looked: the end of the log as it began.
    pub head: Position,
    pub events: i64,
    pub streams: i64,
    pub claims: i64,
    pub commands: i64,
    /// How many faults there are.
    pub faults_total: usize,
    /// The first of them.
    pub faults: Vec<Fault>,
}

/// One thing that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// `guards`, `positions`, `recorded_at`, `index`, `end`, `versions`, `events`, `claims` or `commands`.
    pub rule: &'static str,
    pub detail: String,
}

/// How far a verification is: events are read twice, by position and by stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub done: i64,
    pub total: i64,
}

impl Report {
    fn fault(&mut self, rule: &'static str, detail: String) {
        self.faults_total += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { rule, detail });
        }
    }
}

/// One verification under way.
struct Verification<'a> {
    snapshot: &'a Transaction<'a>,
    registry: &'a Registry,
    /// Rows per step.
    step: i64,
    total: i64,
    report: Report,
}

impl Audit {
    /// Verifies the whole log, once the index has come to its end; `progress` is told after each step.
    pub async fn verify(&self, mut progress: impl FnMut(Progress) + Send) -> Result<Report, Error> {
        self.reach_all(self.log.head().await?).await?;
        let mut client = self.reader.get().await?;
        let snapshot = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await?;
        let total = snapshot.query_one(TOTAL, &[]).await?.get::<_, i64>(0);
        let step = self.config.batch_events_max as i64;
        let report = Report { head: Position(total), ..Report::default() };
        let mut verification =
            Verification { snapshot: &snapshot, registry: &self.registry, step, total, report };
        verification.guards().await?;
        verification.positions(&mut progress).await?;
        verification.end().await?;
        verification.streams(&mut progress).await?;
        verification.commands().await?;
        let report = verification.report;
        end(snapshot).await?;
        Ok(report)
    }
}

impl Verification<'_> {
    async fn guards(&mut self) -> Result<(), Error> {
        for row in self.snapshot.query(GUARDS, &[]).await? {
            self.report.fault("guards", row.get(0));
        }
        Ok(())
    }

    async fn positions(&mut self, progress: &mut (impl FnMut(Progress) + Send)) -> Result<(), Error> {
        let statement = self.snapshot.prepare(POSITIONS).await?;
        let mut last = (0, DateTime::<Utc>::MIN_UTC);
        loop {
            let rows = self.snapshot.query(&statement, &[&last.0, &self.step]).await?;
            for row in &rows {
                let (position, recorded_at): (i64, DateTime<Utc>) = (row.get(0), row.get(1));
                if position != last.0 + 1 {
                    self.report.fault("positions", format!("{position} comes after {}", last.0));
                }
                if recorded_at < last.1 {
                    self.report
                        .fault("recorded_at", format!("{position} was recorded before its predecessor"));
                }
                if !row.get::<_, bool>(2) {
                    self.report
                        .fault("index", format!("log.event_index does not tell of {position} as it is"));
                }
                last = (position, recorded_at);
            }
            self.report.events += rows.len() as i64;
            progress(Progress { done: self.report.events, total: self.total * 2 });
            if (rows.len() as i64) < self.step {
                return Ok(());
            }
        }
    }

    /// What follows the log never comes before it: where it is further, the log's end was cut off.
    async fn end(&mut self) -> Result<(), Error> {
        let head = self.report.head;
        for row in self.snapshot.query(BEYOND, &[&head.0]).await? {
            let (follower, position): (String, i64) = (row.get(0), row.get(1));
            self.report.fault("end", format!("{follower} has come to {position}, the log ends at {head}"));
        }
        Ok(())
    }

    /// Walks stream by stream, so that one stream's state is in memory at a time.
    async fn streams(&mut self, progress: &mut (impl FnMut(Progress) + Send)) -> Result<(), Error> {
        let statement = self.snapshot.prepare(STREAMS).await?;
        let mut streams = Streams::new(self.registry);
        let mut last = (Uuid::nil(), 0_i64, String::new());
        let mut done = self.total;
        loop {
            let (id, version, stream_type) = &last;
            let rows = self.snapshot.query(&statement, &[id, version, stream_type, &self.step]).await?;
            for row in &rows {
                streams.take(row, &mut self.report);
            }
            let is_end = (rows.len() as i64) < self.step;
            if is_end {
                streams.end(&mut self.report);
            }
            while streams.held.len() >= CLAIMS_PER_STEP || (is_end && !streams.held.is_empty()) {
                let most = streams.held.len().min(CLAIMS_PER_STEP);
                self.claims(streams.held.drain(..most).collect()).await?;
            }
            done += rows.len() as i64;
            progress(Progress { done, total: self.total * 2 });
            match rows.last().filter(|_| !is_end) {
                Some(row) => last = (row.get(0), row.get(1), row.get(2)),
                None => break,
            }
        }
        let stored: i64 = self.snapshot.query_one(CLAIMS_HELD, &[]).await?.get(0);
        if stored != self.report.claims {
            let detail = format!("{stored} are stored, the events lead to {}", self.report.claims);
            self.report.fault("claims", detail);
        }
        Ok(())
    }

    /// Every claim that the events lead to is stored for its stream; that no other one is, their number tells.
    async fn claims(&mut self, held: Vec<streams::Held>) -> Result<(), Error> {
        let scopes: Vec<_> = held.iter().map(|held| held.scope).collect();
        let values: Vec<_> = held.iter().map(|held| held.value.as_str()).collect();
        let types: Vec<_> = held.iter().map(|held| held.stream_type.as_str()).collect();
        let ids: Vec<_> = held.iter().map(|held| held.stream_id).collect();
        for row in self.snapshot.query(CLAIMS, &[&scopes, &values, &types, &ids]).await? {
            let (scope, id): (String, Uuid) = (row.get(0), row.get(1));
            self.report.fault("claims", format!("a value of {scope} is not stored for its stream {id}"));
        }
        self.report.claims += held.len() as i64;
        Ok(())
    }

    async fn commands(&mut self) -> Result<(), Error> {
        let statement = self.snapshot.prepare(COMMANDS).await?;
        let mut last = Uuid::nil();
        loop {
            let rows = self.snapshot.query(&statement, &[&last, &self.step]).await?;
            for row in rows.iter().filter(|row| !row.get::<_, bool>(1)) {
                let id: Uuid = row.get(0);
                self.report.fault("commands", format!("the row of {id} does not tell of its events"));
            }
            self.report.commands += rows.len() as i64;
            match rows.last() {
                Some(row) if rows.len() as i64 == self.step => last = row.get(0),
                _ => return Ok(()),
            }
        }
    }
}
