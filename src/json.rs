//! JSON as text that is known to be valid, so that it can pass through without being parsed again.
//!
//! Values go from the log to Kafka and to read models digit for digit; nothing here turns a number into a float.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use postgres_types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use serde::{Serialize, Serializer, de::DeserializeOwned};
use serde_json::value::RawValue;

/// The version byte that begins a jsonb value on the wire.
const JSONB_VERSION: u8 = 1;

/// The text of one valid JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawJson(Box<str>);

impl RawJson {
    /// Writes `value` as JSON.
    ///
    /// # Panics
    /// Never for the types of this crate: their keys are strings and they hold no failing serializer.
    pub fn of<T: Serialize>(value: &T) -> Self {
        Self(serde_json::to_string(value).expect("our types always serialize").into())
    }

    /// Takes text that is known to be valid JSON, such as what Postgres gave for a jsonb.
    pub fn trusted(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// Reads it as a `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(&self.0)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// As part of a larger value; its digits stay as they are.
impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl ToSql for RawJson {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        if *ty == Type::JSONB {
            out.put_u8(JSONB_VERSION);
        }
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSONB || *ty == Type::JSON
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for RawJson {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let text = match raw {
            [JSONB_VERSION, text @ ..] if *ty == Type::JSONB => text,
            [version, ..] if *ty == Type::JSONB => {
                return Err(format!("unknown jsonb version {version}").into());
            }
            text => text,
        };
        Ok(Self(std::str::from_utf8(text)?.into()))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSONB || *ty == Type::JSON
    }
}
