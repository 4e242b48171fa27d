//! `annals keys`: straight on the database, so that the first key can be made; each an event as over HTTP.

use annals::{
    api::auth::{
        Role,
        keys::{self, Key, Made, Wanted},
    },
    config::Config,
    postgres,
};
use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use super::admin::{admin, asker};

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Makes a key and prints it, this once.
    #[command(after_help = "Example:\n  annals keys create shop --role consumer")]
    Create {
        /// Whose key it is.
        name: String,
        /// What it may do: consumer, admin or auditor; may be given several times.
        #[arg(long = "role", required = true)]
        roles: Vec<Role>,
        /// When it ends, such as 2027-01-31T00:00:00Z; never by default.
        #[arg(long)]
        expires_at: Option<DateTime<Utc>>,
        /// As JSON, for machines.
        #[arg(long)]
        json: bool,
    },
    /// Lists all keys, revoked ones too; never the keys themselves.
    #[command(after_help = "Example:\n  annals keys list")]
    List {
        /// As JSON, for machines.
        #[arg(long)]
        json: bool,
    },
    /// Revokes a key for good.
    #[command(after_help = "Example:\n  annals keys revoke 01990a3c-…")]
    Revoke {
        id: Uuid,
        /// As JSON, for machines.
        #[arg(long)]
        json: bool,
    },
}

const KEYS_PER_PAGE: usize = 500;

pub(crate) async fn run(config: Config, command: Keys) -> anyhow::Result<()> {
    let pool = || postgres::pool(&config.databases.writer, &config.databases);
    let listed = async || {
        let pool = pool()?;
        let mut all: Vec<Key> = Vec::new();
        loop {
            let last = all.last().map(|key| key.id);
            let page = keys::list(&pool, last, KEYS_PER_PAGE).await?;
            if page.is_empty() {
                return anyhow::Ok(all);
            }
            all.extend(page);
        }
    };
    match command {
        Keys::Create { name, roles, expires_at, json } => {
            let admin = admin(&config, vec![]).await?;
            let wanted = Wanted { name, roles, expires_at };
            let Made { key, secret } = keys::create(&admin, &asker("keys create"), None, wanted).await?;
            let secret = secret.context("a key made just now was made before")?;
            if json {
                let mut made = as_json(&key);
                made["key"] = secret.expose_secret().into();
                println!("{made}");
            } else {
                println!("{}", secret.expose_secret());
                eprintln!("key {} of `{}`, shown this once: Authorization: Bearer <key>", key.id, key.name);
            }
        }
        Keys::List { json: true } => {
            let keys: Vec<_> = listed().await?.iter().map(as_json).collect();
            println!("{}", Value::from(keys));
        }
        Keys::List { json: false } => {
            for key in listed().await? {
                println!("{}  {:<8} {:<28} {}", key.id, state(&key), roles(&key).join(","), key.name);
            }
        }
        Keys::Revoke { id, json } => {
            let admin = admin(&config, vec![]).await?;
            ensure!(
                keys::revoke(&admin, &asker("keys revoke"), id).await?,
                "there is no key {id} that still works; `annals keys list` shows all"
            );
            if json {
                let revoked = keys::get(&pool()?, id).await?;
                println!("{}", as_json(&revoked.context("a key revoked just now is not there")?));
            }
        }
    }
    Ok(())
}

fn as_json(key: &Key) -> Value {
    json!({
        "id": key.id, "name": key.name, "roles": roles(key), "state": state(key), "created_at": key.created_at,
        "expires_at": key.expires_at, "last_used_at": key.last_used_at, "revoked_at": key.revoked_at,
    })
}

fn roles(key: &Key) -> Vec<&'static str> {
    key.roles.iter().map(|role| role.as_str()).collect()
}

fn state(key: &Key) -> &'static str {
    match key {
        Key { revoked_at: Some(_), .. } => "revoked",
        Key { expires_at: Some(end), .. } if *end <= Utc::now() => "expired",
        _ => "active",
    }
}
