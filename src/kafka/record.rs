//! An event as a Kafka record: CloudEvents 1.0 in Kafka's binary mode (CloudEvents Kafka Protocol Binding 1.0.2, §3.2).
//!
//! The value is the event's data, everything else is in headers. Positions and versions are strings, because integers of
//! CloudEvents have 32 bits. A record holds all of the event that a projection can see, so that a fold of the topic and
//! a fold of the log are the same.

use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use uuid::Uuid;

use crate::{
    json::RawJson,
    log::{Event, Metadata, Position, Version},
};

const SPEC_VERSION: &str = "1.0";

/// A record read from a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub event: Event,
    /// Position of the record before it in its partition; 0 for the first. What lies between was not sent, or is lost.
    pub previous: Position,
    /// Which log wrote it: `ce_source`.
    pub source: String,
}

/// A record that is not one of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an event of Annals: {0}")]
pub struct Malformed(String);

/// The source of a log's events.
pub fn source(log_id: Uuid) -> String {
    log_id.urn().to_string()
}

/// The headers of an event's record.
pub fn headers(event: &Event, metadata: &Metadata, source: &str, previous: Position) -> OwnedHeaders {
    let Event { stream_type, stream_id, event_type, schema_version, .. } = event;
    let headers = OwnedHeaders::new_with_capacity(17)
        .insert(header("ce_specversion", SPEC_VERSION))
        .insert(header("ce_id", event.event_id.hyphenated().encode_lower(&mut Uuid::encode_buffer())))
        .insert(header("ce_source", source))
        .insert(header("ce_type", event_type))
        .insert(header("ce_subject", &format!("{stream_type}/{stream_id}")))
        .insert(header("ce_time", &event.recorded_at.to_rfc3339_opts(SecondsFormat::Micros, true)))
        .insert(header("content-type", "application/json"))
        .insert(header("ce_dataschema", &format!("urn:annals:schema:{event_type}:{schema_version}")))
        .insert(header("ce_position", &event.position.to_string()))
        .insert(header("ce_prevposition", &previous.to_string()))
        .insert(header("ce_streamversion", &event.version.to_string()))
        .insert(header("ce_schemaversion", &schema_version.to_string()))
        .insert(header("ce_actor", &metadata.actor))
        .insert(header(
            "ce_commandid",
            metadata.command_id.hyphenated().encode_lower(&mut Uuid::encode_buffer()),
        ))
        .insert(header("ce_correlationid", &metadata.correlation_id));
    let headers = match metadata.causation_id {
        Some(id) => headers.insert(header("ce_causationid", &id.to_string())),
        None => headers,
    };
    match &metadata.traceparent {
        Some(traceparent) => headers.insert(header("ce_traceparent", traceparent)),
        None => headers,
    }
}

fn header<'a>(key: &'a str, value: &'a str) -> Header<'a, &'a str> {
    Header { key, value: Some(value) }
}

/// Reads a record back.
pub fn decode(message: &BorrowedMessage<'_>) -> Result<Record, Malformed> {
    // Once: each is found by counting from the first.
    let headers: Vec<_> =
        message.headers().ok_or_else(|| Malformed("it has no headers".into()))?.iter().collect();
    let find = |name: &str| {
        headers
            .iter()
            .find(|header| header.key == name)
            .and_then(|header| header.value)
            .and_then(|value| std::str::from_utf8(value).ok())
    };
    let text = |name: &str| find(name).ok_or_else(|| Malformed(format!("header `{name}` is missing")));
    let subject = text("ce_subject")?;
    let (stream_type, stream_id) = subject
        .split_once('/')
        .ok_or_else(|| Malformed("header `ce_subject` is not `<type>/<id>`".into()))?;
    let metadata = Metadata {
        actor: text("ce_actor")?.to_owned(),
        command_id: parse("ce_commandid", text("ce_commandid")?)?,
        correlation_id: text("ce_correlationid")?.to_owned(),
        causation_id: find("ce_causationid").map(|id| parse("ce_causationid", id)).transpose()?,
        traceparent: find("ce_traceparent").map(str::to_owned),
    };
    let data = message.payload().ok_or_else(|| Malformed("it has no value".into()))?;
    let data = std::str::from_utf8(data).map_err(|_| Malformed("its value is not UTF-8".into()))?;
    let event = Event {
        position: Position(parse("ce_position", text("ce_position")?)?),
        stream_type: stream_type.to_owned(),
        stream_id: parse("ce_subject", stream_id)?,
        version: Version(parse("ce_streamversion", text("ce_streamversion")?)?),
        event_id: parse("ce_id", text("ce_id")?)?,
        event_type: text("ce_type")?.to_owned(),
        schema_version: parse("ce_schemaversion", text("ce_schemaversion")?)?,
        data: RawJson::trusted(data),
        metadata: RawJson::of(&metadata),
        recorded_at: parse::<DateTime<Utc>>("ce_time", text("ce_time")?)?,
    };
    Ok(Record {
        event,
        previous: Position(parse("ce_prevposition", text("ce_prevposition")?)?),
        source: text("ce_source")?.to_owned(),
    })
}

fn parse<T: FromStr>(name: &str, text: &str) -> Result<T, Malformed> {
    text.parse().map_err(|_| Malformed(format!("header `{name}` reads `{text}`")))
}
