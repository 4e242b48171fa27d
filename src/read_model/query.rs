//! Named queries: a folder's own SQL, run as the reader, reading only, for a bounded time and number of rows.

use tokio_postgres::types::Type;

use super::{
    Answer, BadParameter, Error,
    parameter::{Given, Text},
    snapshot::Snapshot,
};
use crate::{json::RawJson, projector::sql::fill};

const QUERY: &str = include_str!("query.sql");
const SEARCH_PATH: &str = include_str!("search_path.sql");

impl Snapshot<'_> {
    pub(super) async fn query(
        self,
        name: &str,
        parameters: &[(String, String)],
        (rows_max, bytes_max): (usize, usize),
    ) -> Result<Answer<Vec<RawJson>>, Error> {
        let query = self.catalog.folder.queries.get(name);
        let query = query.ok_or_else(|| Error::UnknownQuery(name.to_owned()))?;
        let mut faults = Vec::new();
        for (index, (name, _)) in parameters.iter().enumerate() {
            if !query.parameters.iter().any(|declared| declared.name == *name) {
                faults.push(BadParameter::new(name, "is not a parameter of this query"));
            } else if parameters[..index].iter().any(|(before, _)| before == name) {
                faults.push(BadParameter::new(name, "is given twice"));
            }
        }
        let mut given = Vec::with_capacity(query.parameters.len());
        for declared in &query.parameters {
            let value = parameters.iter().find(|(name, _)| *name == declared.name).map(|(_, value)| &**value);
            if value.is_none() && declared.required {
                faults.push(BadParameter::new(&declared.name, "is missing"));
            }
            given.push(Given {
                name: &declared.name,
                value: Text(value),
                wire: declared.parameter_type.wire(),
            });
        }
        if !faults.is_empty() {
            faults.extend(self.unreadable(&given).await?);
            return Err(Error::BadParameters(faults));
        }
        let path = format!("{}, pg_temp", self.catalog.schema);
        self.transaction.query_typed(SEARCH_PATH, &[(&path, Type::TEXT)]).await?;
        let sql = fill(
            QUERY,
            &[
                ("limit", &(rows_max + 1).to_string()),
                ("bytes", &bytes_max.to_string()),
                ("query", &query.sql),
            ],
        );
        let rows = self.rows(&sql, &given).await?;
        let found = rows.first().map_or(0, |row| row.get::<_, i64>("$rows"));
        if found > rows_max as i64 {
            return Err(Error::TooManyRows(rows_max));
        }
        if found > rows.len() as i64 {
            return Err(Error::TooManyBytes(bytes_max));
        }
        Ok(self.answer(rows.iter().map(|row| row.get(0)).collect()))
    }
}
