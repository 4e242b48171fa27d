//! A model that is right only in the order of the whole log.

use std::collections::BTreeMap;

use annals::projector::Folder;

use crate::stage::Stage;

/// Numbers events as they are folded.
pub(crate) fn sequence(version: i32, events: &[&str], order: &str) -> Folder {
    let names = events.iter().map(|event| format!("{event:?}")).collect::<Vec<_>>().join(", ");
    let definition = format!(
        "name = \"sequence\"\nversion = {version}\nevents = [{names}]\nkey = [\"position\"]\norder = \"{order}\"\n\
         rows = \"shared\"\n"
    );
    let table = "create table sequence (position bigint primary key, number bigint not null)";
    let statement = "insert into sequence select e.position, (select count(*) from sequence) + row_number() over (order by \
                     e.position) from events e";
    let files = [("projection.toml".to_owned(), definition), ("table.sql".to_owned(), table.to_owned())];
    let statements = events.iter().map(|event| (format!("on/{event}.sql"), statement.to_owned()));
    Folder::parse(BTreeMap::from_iter(files.into_iter().chain(statements))).expect("it loads")
}

impl Stage {
    /// How many events are numbered, and how many of them not as the log has them.
    pub(crate) async fn numbered(&self) -> (i64, i64) {
        let sql = include_str!("sequence.sql").replace("{{schema}}", &self.schema("sequence").await);
        let row = self.database.client().await.query_one(&sql, &[]).await.expect("a table");
        (row.get(0), row.get(1))
    }
}
