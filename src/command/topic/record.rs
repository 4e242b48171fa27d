//! A record of the command topic as a request, and the headers of its reply.
//!
//! CloudEvents in Kafka's binary mode, as the events we send: `ce_type` is the command, `ce_subject` the aggregate
//! (`order/<uuid>` or the uuid alone; nothing where the command begins one), the value its body.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    command::{
        Request,
        contract::{NotDone, Reply},
        is_correlation_id,
    },
    trace::is_traceparent,
};

/// The command's id: the record's own where it is a uuid. Else it is made of what tells the record from all others: its
/// source and id, or its place and time, since a topic that was made anew counts its offsets from 0 again.
pub(super) fn command_id(record: &OwnedMessage) -> Uuid {
    let topic = record.topic();
    let name = match header(record, "ce_id") {
        Some(id) => match id.parse() {
            Ok(id) => return id,
            Err(_) => format!("{topic} {:?} {id:?}", header(record, "ce_source")),
        },
        None => {
            format!("{topic} {} {} {:?}", record.partition(), record.offset(), record.timestamp().to_millis())
        }
    };
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes())
}

/// Reads the command. `keep`: how long ids are kept; what is older may have been done and forgotten.
pub(super) fn read(
    record: &OwnedMessage,
    command_id: Uuid,
    principal: &str,
    keep: Duration,
    body_bytes_max: usize,
) -> Result<Request, NotDone> {
    let malformed = |reason: &str| NotDone::Malformed(reason.to_owned());
    let command = header(record, "ce_type").ok_or_else(|| malformed("The header ce_type is missing."))?;
    if age(record).is_some_and(|age| age > keep) {
        return Err(malformed("The command is older than the time for which ids are kept; send it anew."));
    }
    let subject = header(record, "ce_subject").filter(|subject| !subject.is_empty());
    let stream_id = subject.map(|subject| stream_id(subject, command)).transpose()?;
    let body = match record.payload().unwrap_or_default() {
        [] => Value::Object(Default::default()),
        long if long.len() > body_bytes_max => {
            return Err(NotDone::Malformed(format!("The value may have {body_bytes_max} bytes at most.")));
        }
        bytes => serde_json::from_slice(bytes)
            .map_err(|error| NotDone::Malformed(format!("The value is no JSON: {error}.")))?,
    };
    Ok(Request {
        command_id: Some(command_id),
        command: command.to_owned(),
        stream_id,
        body,
        sent: None,
        principal: principal.to_owned(),
        idempotency_key: None,
        correlation_id: correlation_id(record).map_or_else(|| command_id.to_string(), str::to_owned),
        causation_id: header(record, "ce_causationid").and_then(|id| id.parse().ok()),
        traceparent: header(record, "ce_traceparent").filter(|text| is_traceparent(text)).map(str::to_owned),
        if_match: None,
        target: format!("kafka {command} {}", subject.unwrap_or_default()),
    })
}

fn stream_id(subject: &str, command: &str) -> Result<Uuid, NotDone> {
    let (stream_type, id) =
        subject.rsplit_once('/').map_or((None, subject), |(stream_type, id)| (Some(stream_type), id));
    let fits = stream_type.is_none_or(|stream_type| command.split('.').next() == Some(stream_type));
    id.parse().ok().filter(|_| fits).ok_or_else(|| {
        NotDone::Malformed(format!(
            "The header ce_subject must be `<type>/<uuid>` or a uuid, not `{subject}`."
        ))
    })
}

/// How long ago it was written, as far as the record says.
fn age(record: &OwnedMessage) -> Option<Duration> {
    let written = Duration::from_millis(record.timestamp().to_millis()?.try_into().ok()?);
    SystemTime::now().duration_since(UNIX_EPOCH + written).ok()
}

fn correlation_id(record: &OwnedMessage) -> Option<&str> {
    header(record, "ce_correlationid").filter(|id| is_correlation_id(id))
}

fn header<'a>(record: &'a OwnedMessage, name: &str) -> Option<&'a str> {
    let value = record.headers()?.iter().find(|header| header.key == name)?.value?;
    std::str::from_utf8(value).ok()
}

/// The headers of a reply. Its id follows from the command's, so that a reply sent twice is recognised.
pub(super) fn reply_headers(
    record: &OwnedMessage,
    reply: &Reply,
    source: &str,
    now: DateTime<Utc>,
) -> OwnedHeaders {
    let id = Uuid::new_v5(&reply.command_id, b"reply").to_string();
    let command_id = reply.command_id.to_string();
    let mut headers = OwnedHeaders::new_with_capacity(9);
    let mut put = |key: &str, value: &str| {
        let taken = std::mem::replace(&mut headers, OwnedHeaders::new_with_capacity(0));
        headers = taken.insert(Header { key, value: Some(value) });
    };
    put("ce_specversion", "1.0");
    put("ce_id", &id);
    put("ce_source", source);
    put("ce_type", &format!("command.{}", reply.status.as_str()));
    put("ce_time", &now.to_rfc3339_opts(SecondsFormat::Micros, true));
    put("content-type", "application/json");
    put("ce_causationid", &command_id);
    put("ce_correlationid", correlation_id(record).unwrap_or(&command_id));
    if let Some(subject) = &reply.subject {
        put("ce_subject", subject);
    }
    headers
}
