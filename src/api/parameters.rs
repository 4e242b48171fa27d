//! Query parameters, taken one by one; every fault in them, and every unknown name, is told at once.

use std::{ops::RangeInclusive, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use poem::{Request, http::HeaderName};
use uuid::Uuid;

use super::{
    core,
    problem::{Fault, Problem, kind},
};
use crate::{
    audit::Filter,
    log::{Position, Status},
};

const TEXT_CHARS_MAX: usize = 512;
const LIMIT_DEFAULT: i64 = 50;
const LIMIT_MAX: i64 = 500;
const OUTCOMES: [(&str, Status); 4] = [
    ("pending", Status::Pending),
    ("done", Status::Done),
    ("rejected", Status::Rejected),
    ("failed", Status::Failed),
];

/// What a query string gives.
pub(super) struct Parameters {
    given: Vec<(String, String)>,
    faults: Vec<Fault>,
    /// What the answer must not be older than. The log itself always is that far; the index over it may not be.
    pub(super) after: Option<Position>,
}

impl Parameters {
    pub(super) async fn of(request: &Request) -> Result<Self, Problem> {
        let mut given = request
            .params()
            .map_err(|_| Problem::new(kind::MALFORMED, "The query string cannot be read."))?;
        let after = core(request).tokens.of_read(request.headers(), &mut given).await?;
        Ok(Self { given, faults: Vec::new(), after })
    }

    /// Where the page before ended.
    pub(super) fn cursor<T: FromStr>(&mut self) -> Result<Option<T>, Problem> {
        let odd = || Problem::new(kind::MALFORMED, "The cursor is none that this list gave out.");
        let text = self.raw("cursor");
        text.map(|text| CursorText::read(&text).and_then(|text| text.parse().ok()).ok_or_else(odd))
            .transpose()
    }

    pub(super) fn limit(&mut self) -> usize {
        self.number("limit", 1..=LIMIT_MAX).unwrap_or(LIMIT_DEFAULT) as usize
    }

    /// What events are asked for.
    pub(super) fn filter(&mut self) -> Filter {
        Filter {
            stream_type: self.text("stream_type"),
            event_type: self.text("event_type"),
            actor: self.text("actor"),
            correlation_id: self.text("correlation_id"),
            causation_id: self.uuid("causation_id"),
            command_id: self.uuid("command_id"),
            from: self.time("from"),
            to: self.time("to"),
        }
    }

    pub(super) fn outcome(&mut self) -> Option<Status> {
        self.choice("outcome", &OUTCOMES)
    }

    pub(super) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let names = choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        self.take(name, |text| {
            let chosen = choices.iter().find(|(name, _)| *name == text);
            chosen.map(|(_, value)| *value).ok_or_else(|| format!("must be one of {names}"))
        })
    }

    pub(super) fn number(&mut self, name: &str, range: RangeInclusive<i64>) -> Option<i64> {
        self.take(name, |text| {
            let number = text.parse().ok().filter(|number| range.contains(number));
            number.ok_or_else(|| match *range.end() {
                i64::MAX => format!("must be a whole number from {} on", range.start()),
                end => format!("must be a whole number from {} to {end}", range.start()),
            })
        })
    }

    /// The same of a header.
    pub(super) fn header_number(
        &mut self,
        request: &Request,
        name: &HeaderName,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        let value = request.headers().get(name)?;
        let number = value.to_str().ok().and_then(|text| text.parse().ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            self.faults.push(Fault::header(name.as_str(), "must be the id of an event: its position"));
        }
        number
    }

    pub(super) fn uuid(&mut self, name: &str) -> Option<Uuid> {
        self.take(name, |text| text.parse().map_err(|_| "must be a UUID".to_owned()))
    }

    pub(super) fn time(&mut self, name: &str) -> Option<DateTime<Utc>> {
        self.take(name, |text| {
            let time = DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
            let sane = time.filter(|time| (0..10_000).contains(&chrono::Datelike::year(time)));
            sane.ok_or_else(|| "must be a time such as 2026-01-31T12:00:00Z (RFC 3339)".to_owned())
        })
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.take(name, |text| match text.chars().count() {
            _ if text.contains('\0') => Err("must not hold the character NUL".to_owned()),
            1..=TEXT_CHARS_MAX => Ok(text.to_owned()),
            _ => Err(format!("must have 1 to {TEXT_CHARS_MAX} characters")),
        })
    }

    pub(super) fn fault(&mut self, name: &str, detail: &str) {
        self.faults.push(Fault::query(name, detail));
    }

    /// Nothing else may have been given.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in std::mem::take(&mut self.given) {
            self.fault(&name, "is not known, or is given twice");
        }
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::invalid(self.faults)) }
    }

    fn take<T>(&mut self, name: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.raw(name)?;
        read(&text).map_err(|detail| self.fault(name, &detail)).ok()
    }

    fn raw(&mut self, name: &str) -> Option<String> {
        let index = self.given.iter().position(|(given, _)| given == name)?;
        Some(self.given.remove(index).1)
    }
}

/// A place in a list, opaque to callers.
pub(super) struct CursorText;

impl CursorText {
    pub(super) fn of(place: &str) -> String {
        URL_SAFE_NO_PAD.encode(place)
    }

    fn read(text: &str) -> Option<String> {
        String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}
