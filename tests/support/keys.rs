//! Keys, made and revoked as from the command line.

use annals::{
    admin::{Admin, Asker},
    api::auth::{
        Error, Role,
        keys::{self, Key, Made, Wanted},
    },
};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use uuid::Uuid;

use super::Database;

/// Makes and revokes keys of one database.
pub struct Keys {
    admin: Admin,
    asker: Asker,
}

impl Keys {
    pub async fn of(database: &Database) -> Self {
        let (commands, pool) = (database.commands(&[]).await, database.pool());
        let admin = Admin::new(commands, pool.clone(), pool, vec![], &database.config(&[]));
        Self { admin, asker: Asker::at_command_line("test", "keys") }
    }

    /// A new key, and what its holder sends.
    pub async fn make(
        &self,
        name: &str,
        roles: &[Role],
        expires_at: Option<DateTime<Utc>>,
    ) -> Result<(Key, SecretString), Error> {
        let wanted = Wanted { name: name.to_owned(), roles: roles.to_vec(), expires_at };
        let Made { key, secret } = keys::create(&self.admin, &self.asker, None, wanted).await?;
        Ok((key, secret.expect("it is new")))
    }

    /// Whether the key works until now.
    pub async fn revoke(&self, id: Uuid) -> bool {
        keys::revoke(&self.admin, &self.asker, id).await.expect("answered")
    }
}
