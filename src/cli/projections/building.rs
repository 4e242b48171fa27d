//! Beginning rebuilds and verifications, which the servers then carry on.

use annals::{
    config::Config,
    domain::admin::Action,
    log::LogReader,
    postgres,
    projector::{self, Folder},
    rebuild::{self, Options, Rebuild},
};
use anyhow::bail;
use deadpool_postgres::Pool;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{folders, print_json, watch};
use crate::cli::{
    WrongUse,
    admin::{admin, asker},
};

#[derive(clap::Args)]
pub(crate) struct Rebuilding {
    #[arg(required_unless_present = "all")]
    name: Option<String>,
    /// Every read model.
    #[arg(long, conflicts_with = "name")]
    all: bool,
    /// Says what it would take, and makes nothing.
    #[arg(long)]
    dry_run: bool,
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_events_per_second: Option<u32>,
    /// Transactions at once.
    #[arg(long, default_value_t = Options::default().workers, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Waits for `swap` when it is whole.
    #[arg(long)]
    manual: bool,
    /// As JSON, for machines.
    #[arg(long)]
    json: bool,
}

/// Builds a read model beside the one that serves, to compare the two.
pub(super) async fn verify(config: &Config, read: &Pool, name: &str, json: bool) -> anyhow::Result<()> {
    let begun = begin(config, read, &[name.to_owned()], vec![], &json!({"swap": "never"})).await?;
    watch::all(read, begun, json).await
}

/// Builds read models anew, or tells what that would take.
pub(super) async fn anew(config: &Config, read: &Pool, asked: Rebuilding) -> anyhow::Result<()> {
    let names = match &asked.name {
        Some(name) => vec![name.clone()],
        None => projector::overview(read, None).await?.into_iter().map(|known| known.projection).collect(),
    };
    if asked.dry_run {
        let log = LogReader::new(postgres::pool(&config.databases.projector, &config.databases)?);
        let mut estimates = Vec::new();
        for name in &names {
            estimates.push(rebuild::estimate(read, &log, name, asked.max_events_per_second).await?);
        }
        return print_json(&estimates);
    }
    let mut newer = Vec::new();
    for name in &names {
        let path = config.projections_dir.join(name);
        match path.is_dir().then(|| Folder::load(&path)) {
            Some(Err(faults)) => bail!(WrongUse(folders::told(name, &faults))),
            Some(Ok(folder)) => newer.push(folder),
            None => {}
        }
    }
    let options = json!({
        "workers": asked.workers,
        "max_events_per_second": asked.max_events_per_second,
        "swap": if asked.manual { "manual" } else { "auto" },
    });
    let begun = begin(config, read, &names, newer, &options).await?;
    watch::all(read, begun, asked.json).await
}

async fn begin(
    config: &Config,
    read: &Pool,
    names: &[String],
    folders: Vec<Folder>,
    options: &Value,
) -> anyhow::Result<Vec<Rebuild>> {
    let admin = admin(config, folders).await?;
    // All is told before any is noted.
    for name in names {
        super::one(read, name).await?;
        if let Ok(running) = super::unfinished(read, name).await {
            bail!("`{name}` is being rebuilt already ({}): `annals projections show {name}`", running.state);
        }
    }
    let mut begun = Vec::new();
    for name in names {
        let (id, asker) = (Uuid::now_v7(), asker("projections rebuild"));
        admin.act(&asker, Action::Rebuild, name, Some(id), options.clone()).await?;
        begun.push(rebuild::get(read, id).await?);
    }
    Ok(begun)
}
