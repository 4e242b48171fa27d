//! A database whose parts are used by logins of their own, each with the rights of one role and nothing more.

use std::collections::BTreeMap;

use tokio_postgres::Client;
use uuid::Uuid;

use super::{Database, connect, required};

/// The parts of the program that have a login.
pub const PARTS: [&str; 4] = ["migrator", "writer", "projector", "reader"];

/// The logins, and the database that the migrator owns; all gone when dropped.
pub struct Logins {
    pub database: Option<Database>,
    /// Where the read models live, if that is another one.
    read_models: Option<Database>,
    /// By part, the URL of its login.
    pub urls: BTreeMap<&'static str, String>,
    names: Vec<String>,
}

impl Logins {
    /// An empty database. No login is a superuser, may create roles or is the owner of anything but the database.
    pub async fn new() -> Self {
        // Whoever migrates first makes the roles, which belong to the whole server.
        drop(Database::new().await);
        let database = Database::empty().await;
        let server = connect(&required("ANNALS_DATABASE_URL")).await;
        let id = Uuid::now_v7().simple().to_string();
        let (mut urls, mut names) = (BTreeMap::new(), Vec::new());
        for part in PARTS {
            let name = format!("test_{id}_{part}");
            let create = format!("create role {name} login password '{id}' in role annals_{part}");
            server.batch_execute(&create).await.expect("a login is made");
            let (_, place) = database.url.rsplit_once('@').expect("the URL has credentials");
            urls.insert(part, format!("postgres://{name}:{id}@{place}"));
            names.push(name);
        }
        let (_, database_name) = database.url.rsplit_once('/').expect("the URL names a database");
        let give = format!("alter database {database_name} owner to {}", names[0]);
        server.batch_execute(&give).await.expect("the migrator owns the database");
        Self { database: Some(database), read_models: None, urls, names }
    }

    /// Gives the read models a database of their own, which the migrator owns, and a login that is a member of projector and
    /// reader alone; the settings for it.
    pub async fn part_read_models(&mut self) -> [(String, String); 2] {
        let database = Database::empty().await;
        let (server, id) = (database.client().await, Uuid::now_v7().simple().to_string());
        let name = format!("test_{id}_read_models");
        let (place, database_name) = database.url.rsplit_once('/').expect("the URL names a database");
        let statements = format!(
            "create role {name} login password '{id}' in role annals_projector, annals_reader;
             alter database {database_name} owner to {}",
            self.names[0]
        );
        server.batch_execute(&statements).await.expect("a login is made");
        let (_, place) = place.rsplit_once('@').expect("the URL has credentials");
        let (migrator, _) = self.urls["migrator"].rsplit_once('@').expect("the URL has credentials");
        let urls = [
            ("read_models_migrator_url", format!("{migrator}@{place}/{database_name}")),
            ("read_models_url", format!("postgres://{name}:{id}@{place}/{database_name}")),
        ];
        self.names.push(name);
        self.read_models = Some(database);
        urls.map(|(name, url)| (name.to_owned(), url))
    }

    pub fn database(&self) -> &Database {
        self.database.as_ref().expect("it is there until the end")
    }

    pub async fn connect(&self, part: &str) -> Client {
        connect(&self.urls[part]).await
    }

    /// Settings with one URL per part, and none for all.
    pub fn settings(&self, parts: &[&str]) -> Vec<(String, String)> {
        let urls = parts.iter().map(|part| (format!("{part}_url"), self.urls[part].clone()));
        urls.chain([("database_url".to_owned(), String::new())]).collect()
    }
}

impl Drop for Logins {
    fn drop(&mut self) {
        // What a login owns has to go before it.
        drop((self.database.take(), self.read_models.take()));
        let names = self.names.join(", ");
        let dropping = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let client = connect(&required("ANNALS_DATABASE_URL")).await;
                let _ = client.batch_execute(&format!("drop role if exists {names}")).await;
            });
        });
        let _ = dropping.join();
    }
}
