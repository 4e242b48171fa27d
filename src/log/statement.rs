//! A batch as the parameters of `log.append`, and its rows as outcomes.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use tokio_postgres::{Client, Row, Statement};
use uuid::Uuid;

use super::{Append, CommandRecord, Error, Expected, Outcome, Position, Status, StreamId, Version};
use crate::{aggregate::Claim, json::RawJson};

const APPEND: &str = include_str!("append.sql");

/// Prepares `log.append` for a session.
pub(super) async fn prepare(client: &Client) -> Result<Statement, tokio_postgres::Error> {
    client.prepare(APPEND).await
}

/// The columns of a batch, in the order of `log.append`'s parameters.
#[derive(Default)]
struct Columns<'a> {
    command_ids: Vec<Uuid>,
    principals: Vec<&'a str>,
    idempotency_keys: Vec<Option<&'a str>>,
    fingerprints: Vec<&'a [u8]>,
    command_types: Vec<&'a str>,
    correlation_ids: Vec<&'a str>,
    stream_types: Vec<&'a str>,
    stream_ids: Vec<Uuid>,
    expected_versions: Vec<Option<i64>>,
    expected_events: Vec<Option<Uuid>>,
    event_counts: Vec<i32>,
    statuses: Vec<&'static str>,
    answers: Vec<&'a RawJson>,
    event_requests: Vec<i32>,
    event_numbers: Vec<i32>,
    event_ids: Vec<Uuid>,
    event_types: Vec<&'a str>,
    schema_versions: Vec<i32>,
    data: Vec<&'a RawJson>,
    metadata: Vec<&'a RawJson>,
    claim_requests: Vec<i32>,
    claim_scopes: Vec<&'a str>,
    claim_values: Vec<&'a str>,
    claim_taken: Vec<bool>,
}

impl<'a> Columns<'a> {
    fn of(batch: impl Iterator<Item = &'a Append>) -> Self {
        let mut columns = Self::default();
        let mut written = HashSet::new();
        for (request, append) in (1..).zip(batch) {
            // `batch::take` has already checked the expected event of later links.
            columns.push_request(append, written.contains(&append.stream));
            if !append.events.is_empty() {
                written.insert(&append.stream);
            }
            for (number, event) in (1..).zip(&append.events) {
                columns.event_requests.push(request);
                columns.event_numbers.push(number);
                columns.event_ids.push(event.event_id);
                columns.event_types.push(&event.event_type);
                columns.schema_versions.push(event.schema_version);
                columns.data.push(&event.data);
                columns.metadata.push(&event.metadata);
            }
            for claim in &append.claims {
                let (Claim::Take(value) | Claim::Release(value)) = claim;
                columns.claim_requests.push(request);
                columns.claim_scopes.push(value.scope);
                columns.claim_values.push(&value.value);
                columns.claim_taken.push(matches!(claim, Claim::Take(_)));
            }
        }
        columns
    }

    fn push_request(&mut self, append: &'a Append, is_link: bool) {
        self.command_ids.push(append.command_id);
        self.principals.push(&append.principal);
        self.idempotency_keys.push(append.idempotency_key.as_deref());
        self.fingerprints.push(&append.fingerprint);
        self.command_types.push(&append.command_type);
        self.correlation_ids.push(&append.correlation_id);
        self.stream_types.push(&append.stream.stream_type);
        self.stream_ids.push(append.stream.id);
        let (version, event) = match append.expected {
            Expected::Exactly(version) => (Some(version.0), None),
            Expected::Last(version, event) => (Some(version.0), Some(event)),
            Expected::NoStream => (Some(0), None),
            Expected::Any => (None, None),
        };
        self.expected_versions.push(version);
        self.expected_events.push(event.filter(|_| !is_link));
        self.event_counts.push(append.events.len() as i32);
        self.statuses.push(append.status.as_str());
        self.answers.push(&append.answer);
    }
}

/// Sends a batch and reads the outcome of each request, in order.
pub(super) async fn execute<'a>(
    client: &Client,
    statement: &Statement,
    batch: impl Iterator<Item = &'a Append>,
    new_partitions: i32,
) -> Result<Vec<Result<Outcome, Error>>, tokio_postgres::Error> {
    let c = Columns::of(batch);
    let rows = client
        .query(
            statement,
            &[
                &c.command_ids,
                &c.principals,
                &c.idempotency_keys,
                &c.fingerprints,
                &c.command_types,
                &c.correlation_ids,
                &c.stream_types,
                &c.stream_ids,
                &c.expected_versions,
                &c.expected_events,
                &c.event_counts,
                &c.statuses,
                &c.answers,
                &c.event_requests,
                &c.event_numbers,
                &c.event_ids,
                &c.event_types,
                &c.schema_versions,
                &c.data,
                &c.metadata,
                &c.claim_requests,
                &c.claim_scopes,
                &c.claim_values,
                &c.claim_taken,
                &new_partitions,
            ],
        )
        .await?;
    let mut first_claims = HashMap::new();
    for (index, request) in c.claim_requests.iter().enumerate() {
        first_claims.entry(*request).or_insert(index);
    }
    Ok((1..)
        .zip(&rows)
        .map(|(request, row)| outcome(row, first_claims.get(&request).copied().unwrap_or(0)))
        .collect())
}

fn outcome(row: &Row, first_claim: usize) -> Result<Outcome, Error> {
    let version = Version(row.get(1));
    Ok(match row.get(0) {
        "appended" => Outcome::Appended { version, positions: positions(row.get(2), row.get(3)) },
        "duplicate" => {
            let first: Option<RawJson> = row.get(5);
            let first =
                first.ok_or_else(|| Error::Database("log.append tells of no earlier command".into()))?;
            Outcome::Duplicate(Box::new(CommandRecord::read(&first)?))
        }
        "fingerprint" => Outcome::FingerprintMismatch,
        "conflict" => Outcome::Conflict { actual: version },
        "claimed" => Outcome::Claimed { claim: row.get::<_, i32>(4) as usize - 1 - first_claim },
        other => {
            return Err(Error::Database(format!("log.append answered `{other}`: the schema is newer")));
        }
    })
}

fn positions(first: Option<i64>, last: Option<i64>) -> Option<(Position, Position)> {
    Some((Position(first?), Position(last?)))
}

/// A row of `log.commands` as JSON.
#[derive(Deserialize)]
struct CommandRow {
    command_id: Uuid,
    command_type: String,
    principal: String,
    correlation_id: String,
    stream_type: String,
    stream_id: Uuid,
    status: Status,
    version: Option<i64>,
    first_position: Option<i64>,
    last_position: Option<i64>,
    answer: Option<Box<serde_json::value::RawValue>>,
    recorded_at: chrono::DateTime<chrono::Utc>,
}

impl CommandRecord {
    /// Reads a row of `log.commands` that came as JSON.
    pub fn read(json: &RawJson) -> Result<Self, Error> {
        let row: CommandRow =
            json.parse().map_err(|error| Error::Database(format!("a command's row: {error}")))?;
        Ok(Self {
            command_id: row.command_id,
            command_type: row.command_type,
            principal: row.principal,
            correlation_id: row.correlation_id,
            stream: StreamId { stream_type: row.stream_type, id: row.stream_id },
            status: row.status,
            version: row.version.map(Version),
            positions: positions(row.first_position, row.last_position),
            answer: row.answer.map(|answer| RawJson::trusted(answer.get())),
            recorded_at: row.recorded_at,
        })
    }
}

impl Status {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }
}
