//! Values from outside as parameters of statements: as text, which Postgres reads as the type it needs.

use std::error::Error as StdError;

use bytes::{BufMut, BytesMut};
use postgres_types::{Format, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::GenericClient;

use super::{BadParameter, Catalog, Error};
use crate::postgres::{self, Failure};

const READ: &str = include_str!("parameter.sql");

/// A value in Postgres' text form; `None` is null.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a>(pub(super) Option<&'a str>);

impl ToSql for Text<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        let Some(text) = self.0 else {
            return Ok(IsNull::Yes);
        };
        out.put_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// A parameter as a request gave it.
#[derive(Debug, Clone)]
pub(super) struct Given<'a> {
    pub(super) name: &'a str,
    pub(super) value: Text<'a>,
    /// `UNKNOWN`: Postgres infers it.
    pub(super) wire: Type,
}

impl<'a> Given<'a> {
    /// A text that is no column's.
    pub(super) fn text(name: &'a str, value: &'a str) -> Self {
        Self { name, value: Text(Some(value)), wire: Type::TEXT }
    }

    /// A value for a column.
    pub(super) fn of(catalog: &Catalog, name: &'a str, column: &str, value: &'a str) -> Self {
        let wire = catalog.column(column).map(|column| column.wire.clone());
        Self { name, value: Text(Some(value)), wire: wire.unwrap_or(Type::UNKNOWN) }
    }
}

/// The types of parameters, and their values.
pub(super) fn split<'g>(given: &'g [Given<'_>]) -> (Vec<Type>, Vec<&'g (dyn ToSql + Sync)>) {
    given.iter().map(|given| (given.wire.clone(), &given.value as &(dyn ToSql + Sync))).unzip()
}

/// The values that Postgres cannot read as what they are declared as. `afresh` has the client fit again where one failed.
pub(super) async fn unreadable<C: GenericClient>(
    client: &C,
    given: &[Given<'_>],
    afresh: Option<&str>,
) -> Result<Vec<BadParameter>, tokio_postgres::Error> {
    let mut faults = Vec::new();
    for parameter in given {
        let read = client.query_typed(READ, &[(&parameter.value, parameter.wire.clone())]).await;
        if read.is_err_and(|error| postgres::classify(&error) == Failure::Data) {
            let detail = format!("is not a valid {}", parameter.wire.name());
            faults.push(BadParameter::new(parameter.name, detail));
            if let Some(afresh) = afresh {
                client.batch_execute(afresh).await?;
            }
        }
    }
    Ok(faults)
}

/// Tells which values Postgres cannot read, after a statement failed; where it can read them all, that they are nothing to
/// compute with. Asks on the connection on which it failed: where all fail at once there is no other.
pub(super) async fn blame(
    client: &impl GenericClient,
    given: &[Given<'_>],
    afresh: Option<&str>,
    failed: tokio_postgres::Error,
) -> Error {
    if postgres::classify(&failed) != Failure::Data {
        return failed.into();
    }
    match unreadable(client, given, afresh).await {
        Ok(faults) if !faults.is_empty() => return Error::BadParameters(faults),
        Ok(_) => {}
        Err(error) => return error.into(),
    }
    match failed.as_db_error() {
        Some(said) if given.iter().any(|parameter| parameter.value.0.is_some()) => {
            Error::NoAnswer(said.message().to_owned())
        }
        _ => failed.into(),
    }
}
