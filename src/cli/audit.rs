//! `annals audit`.

use std::{io::Write, path::PathBuf, pin::pin, sync::Arc};

use annals::{
    audit::{Access, Audit as Auditing, Filter, Format, Report, index},
    config::Config,
    domain,
    log::Position,
    postgres,
};
use anyhow::{Context, ensure};
use clap::Subcommand;
use futures_util::TryStreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::admin::user;

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Computes again what must always hold of the log; exit code 1 where something does not.
    #[command(after_help = "Example:\n  annals audit verify --json")]
    Verify {
        /// As JSON, for machines.
        #[arg(long)]
        json: bool,
    },
    /// Writes events as lines, with the SHA-256 of all of them in the last one.
    #[command(
        after_help = "Example:\n  annals audit export --from 2026-01-01T00:00:00Z --output events.ndjson"
    )]
    Export {
        /// ndjson or csv.
        #[arg(long, default_value = "ndjson")]
        format: Format,
        /// As JSON, for machines: the format ndjson, an object a line.
        #[arg(long, conflicts_with = "format")]
        json: bool,
        #[command(flatten)]
        filter: Filter,
        /// The file; stdout where none is named.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

pub(crate) async fn run(config: Config, command: Audit) -> anyhow::Result<()> {
    let audit = auditing(&config)?;
    match command {
        Audit::Verify { json } => {
            note(&audit, "audit verify".into()).await?;
            verify(audit, json).await
        }
        Audit::Export { format, json: _, filter, output } => {
            note(&audit, format!("audit export {}", serde_json::to_string(&filter)?)).await?;
            // First, so that a refusal leaves the file as it is.
            let mut lines = pin!(audit.export(filter, format).await?);
            let mut file: Box<dyn Write> = match &output {
                Some(path) => {
                    let file = std::fs::File::create(path);
                    Box::new(file.with_context(|| format!("{} cannot be written", path.display()))?)
                }
                None => Box::new(std::io::stdout()),
            };
            let bar =
                ProgressBar::no_length().with_style(ProgressStyle::with_template("{bytes} {bytes_per_sec}")?);
            while let Some(piece) = lines.try_next().await? {
                bar.inc(piece.len() as u64);
                file.write_all(&piece)?;
            }
            bar.finish_and_clear();
            Ok(file.flush()?)
        }
    }
}

/// Notes a look as the API does, of who sits there.
async fn note(audit: &Auditing, target: String) -> anyhow::Result<()> {
    let (principal, method) = (format!("cli:{}", user()), "CLI".into());
    Ok(audit.note(&Access { principal, method, target, correlation_id: Uuid::now_v7().to_string() }).await?)
}

/// The index may lag where no server runs, so this process fills it too.
fn auditing(config: &Config) -> anyhow::Result<Auditing> {
    let writer = postgres::pool(&config.databases.writer, &config.databases)?;
    let reader = postgres::pool(&config.databases.reader, &config.databases)?;
    let (_, head) = watch::channel(Position::default());
    let (told, indexed) = watch::channel(Position::default());
    let deps = index::Deps { pool: writer.clone(), head: head.clone(), indexed: told };
    tokio::spawn(index::run(deps, config.audit.clone(), CancellationToken::new()));
    let registry = Arc::new(domain::registry());
    Ok(Auditing::new(reader, writer, registry, head, indexed, config.audit.clone()))
}

async fn verify(audit: Auditing, json: bool) -> anyhow::Result<()> {
    let style = "{bar:40} {percent}% of {len} reads, {per_sec}, {eta} left";
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(style)?);
    let report = audit
        .verify(|progress| {
            bar.set_length(progress.total as u64);
            bar.set_position(progress.done as u64);
        })
        .await?;
    bar.finish_and_clear();
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        for fault in &report.faults {
            println!("{}: {}", fault.rule, fault.detail);
        }
        let Report { events, streams, claims, commands, .. } = report;
        println!("{events} events, {streams} streams, {claims} claims, {commands} commands");
    }
    ensure!(report.faults_total == 0, "{} faults: the log is not what it must be", report.faults_total);
    Ok(())
}
