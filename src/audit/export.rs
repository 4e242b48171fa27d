//! Exports events as lines. The last line holds a digest of them, by which a later export of the same range can be compared.

use std::{fmt::Write, str::FromStr};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{Stream, stream};
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Audit, Error, Filter};
use crate::{
    json::RawJson,
    log::{Event, Identity, Metadata, Position},
};

const SETTLED: &str = include_str!("settled.sql");
const CSV_HEAD: &str = "position,stream_type,stream_id,version,event_id,event_type,schema_version,recorded_at,actor,\
                        command_id,correlation_id,causation_id,data\n";

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A JSON object per line; the last one is `{"sha256", "events", "log_id", "filter"}`.
    Ndjson,
    /// RFC 4180 with a head line; the last line begins with `sha256`, its digest, the number of events, the log's id and the
    /// filter as JSON.
    Csv,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ndjson" => Ok(Self::Ndjson),
            "csv" => Ok(Self::Csv),
            other => Err(format!("`{other}` is none of ndjson and csv")),
        }
    }
}

/// An export under way.
struct Export {
    audit: Audit,
    log_id: Uuid,
    filter: Filter,
    format: Format,
    after: Position,
    until: Position,
    digest: Sha256,
    events: u64,
}

/// The last line, as JSON.
#[derive(Serialize)]
struct Seal {
    sha256: String,
    events: u64,
    log_id: Uuid,
    filter: RawJson,
}

impl Audit {
    /// All that is asked for, up to the end of the log as it is now, in its order, in bounded pieces of whole lines. The
    /// digest, in hexadecimal, is the SHA-256 of all bytes before the last line. A range has to be over, so that it never
    /// gets more.
    pub async fn export(
        &self,
        filter: Filter,
        format: Format,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + use<>, Error> {
        if let Some(to) = filter.to {
            self.be_over(to).await?;
        }
        let until = self.log.head().await?;
        self.reach_all(until).await?;
        let begun = Export {
            audit: self.clone(),
            log_id: Identity::read(&self.writer).await?.log_id,
            filter,
            format,
            after: Position(0),
            until,
            digest: Sha256::new(),
            events: 0,
        };
        Ok(stream::try_unfold(Some(begun), async |export| match export {
            Some(export) => export.step().await.map(Some),
            None => Ok(None),
        }))
    }

    /// Nothing will be recorded before `to` any more.
    async fn be_over(&self, to: DateTime<Utc>) -> Result<(), Error> {
        let client = self.reader.get().await?;
        let statement = client.prepare_cached(SETTLED).await?;
        let now = client.query_one(&statement, &[]).await?.get(0);
        if to > now { Err(Error::NotOver { now }) } else { Ok(()) }
    }
}

impl Export {
    /// The next lines, and what is left to do.
    async fn step(mut self) -> Result<(Bytes, Option<Self>), Error> {
        let most = self.audit.config.batch_events_max;
        let (events, cut) = self.audit.find(&self.filter, self.after.0, self.until.0, false, most).await?;
        let mut lines = String::new();
        if self.events == 0 && self.after == Position(0) && self.format == Format::Csv {
            lines.push_str(CSV_HEAD);
        }
        for event in &events {
            match self.format {
                Format::Ndjson => lines.push_str(RawJson::of(event).as_str()),
                Format::Csv => lines.push_str(&csv(event)),
            }
            lines.push('\n');
        }
        self.digest.update(&lines);
        self.events += events.len() as u64;
        if let Some(last) = events.last().filter(|_| cut || events.len() == most) {
            self.after = last.position;
            return Ok((lines.into(), Some(self)));
        }
        lines.push_str(&self.seal());
        Ok((lines.into(), None))
    }

    /// The last line: the digest of all before it, and what they are.
    fn seal(self) -> String {
        let Self { log_id, filter, format, digest, events, .. } = self;
        let sha256 = digest.finalize().iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a String takes everything");
            hex
        });
        let filter = RawJson::of(&filter);
        match format {
            Format::Ndjson => {
                let last = Seal { sha256, events, log_id, filter };
                format!("{}\n", RawJson::of(&last).as_str())
            }
            Format::Csv => {
                let filter = quoted(filter.as_str().to_owned());
                format!("sha256,{sha256},{events},{log_id},{filter}{}\n", ",".repeat(8))
            }
        }
    }
}

fn csv(event: &Event) -> String {
    let metadata: Option<Metadata> = event.metadata.parse().ok();
    let of = |part: fn(&Metadata) -> String| metadata.as_ref().map(part).unwrap_or_default();
    let cause = of(|metadata| metadata.causation_id.map(|id| id.to_string()).unwrap_or_default());
    [
        event.position.to_string(),
        event.stream_type.clone(),
        event.stream_id.to_string(),
        event.version.to_string(),
        event.event_id.to_string(),
        event.event_type.clone(),
        event.schema_version.to_string(),
        event.recorded_at.to_rfc3339(),
        of(|metadata| metadata.actor.clone()),
        of(|metadata| metadata.command_id.to_string()),
        of(|metadata| metadata.correlation_id.clone()),
        cause,
        event.data.as_str().to_owned(),
    ]
    .map(quoted)
    .join(",")
}

/// A field, in quotes where it needs them. Spreadsheets take a text that begins like a formula for one (OWASP, CSV
/// Injection), and callers choose their correlation ids: so `'` stands before it.
fn quoted(mut field: String) -> String {
    if field.starts_with(['=', '+', '-', '@']) {
        field.insert(0, '\'');
    }
    match field.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field,
    }
}
