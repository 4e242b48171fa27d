//! `annals migrate`.

use annals::{
    config::Config,
    log::Identity,
    serve::{begin_incarnation, migrate},
};
use anyhow::ensure;
use serde_json::json;

use super::{
    WrongUse,
    admin::{admin, asker},
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// After a restore from a backup: gives the log a new identity, deletes its topics (where Kafka is configured) and drops
    /// its read models, all of which are made again from the log. Stop every server first.
    #[arg(long)]
    new_incarnation: bool,
    /// As JSON, for machines.
    #[arg(long)]
    json: bool,
}

/// Migrates; prints the log's new identity, if it gets one, and as JSON what was applied.
pub(crate) async fn run(config: &Config, options: Options) -> anyhow::Result<()> {
    let migrator = config.databases.migrator.as_ref();
    ensure!(migrator.is_some(), WrongUse("no URL of the migrator is configured: set migrator_url".into()));
    let mut done = serde_json::to_value(migrate(config).await?)?;
    if options.new_incarnation {
        let admin = admin(config, vec![]).await?;
        let former = Identity::read(admin.writer()).await?.log_id;
        let asks = json!({ "log_id": former });
        admin
            .request(&asker("migrate --new-incarnation"), "admin.begin-incarnation", Some(former), asks)
            .await?;
        let log_id = begin_incarnation(config).await?;
        done["log_id"] = json!(log_id);
        if !options.json {
            println!("{log_id}");
        }
    }
    if options.json {
        println!("{done}");
    }
    Ok(())
}
