//! `annals relay`.

use std::io::IsTerminal;

use annals::{
    admin,
    config::Config,
    postgres,
    relay::{
        Outbox,
        reconcile::{Comparison, Positions},
    },
};
use anyhow::bail;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressDrawTarget};

use super::{
    WrongUse,
    admin::{admin, asker},
};

/// Positions shown of each kind of difference; `--json` has more.
const SHOWN_MAX: usize = 20;

#[derive(Subcommand)]
pub(crate) enum Relay {
    /// Shows how far the relay has come and who relays, from the log's database alone.
    #[command(after_help = "Example:\n  annals relay status")]
    Status {
        /// As JSON, for machines.
        #[arg(long)]
        json: bool,
    },
    /// Compares every topic with the log, by position, and mends what the relay cannot mend by itself.
    ///
    /// A topic with a hole or a foreign record is deleted, made again and sent whole, in order; one that only lacks its newest
    /// records is left to the relay. Appends go on meanwhile.
    #[command(after_help = "Example:\n  annals relay reconcile --dry-run")]
    Reconcile {
        /// Only report.
        #[arg(long)]
        dry_run: bool,
        /// As JSON, for machines.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) async fn run(config: Config, command: Relay) -> anyhow::Result<()> {
    match command {
        Relay::Status { json } => status(&config, json).await,
        Relay::Reconcile { dry_run, json } => reconcile(&config, dry_run, json).await,
    }
}

async fn status(config: &Config, json: bool) -> anyhow::Result<()> {
    let outbox = Outbox::read(&postgres::pool(&config.databases.reader, &config.databases)?).await?;
    if json {
        let mut shown = serde_json::to_value(&outbox)?;
        shown["lag"] = outbox.lag().into();
        println!("{shown}");
        return Ok(());
    }
    println!("cursor  {}\nhead    {}\nlag     {}", outbox.cursor, outbox.head, outbox.lag());
    match outbox.lease {
        Some(lease) => {
            println!("lease   {}, epoch {}, until {}", lease.holder, lease.epoch, lease.expires_at);
        }
        None => println!("lease   nobody has it: no relay runs"),
    }
    for sent in outbox.partitions {
        println!("{}/{}  last sent {}", sent.stream_type, sent.partition, sent.last_sent);
    }
    Ok(())
}

async fn reconcile(config: &Config, dry_run: bool, json: bool) -> anyhow::Result<()> {
    let admin = admin(config, vec![]).await?;
    let begun = admin.reconcile(asker("relay reconcile"), dry_run).await;
    let begun = match begun {
        Err(admin::Error::NoKafka) => {
            bail!(WrongUse("no Kafka is configured: set ANNALS_KAFKA_BROKERS".into()))
        }
        begun => begun?,
    };
    let reconciled = begun.run(bar()).await?;
    if json {
        println!("{}", serde_json::to_string(&reconciled)?);
        return Ok(());
    }
    reconciled.topics.iter().for_each(show);
    if !reconciled.sent_again.is_empty() {
        println!("made again, and sent by the relay: {}", reconciled.sent_again.join(", "));
    }
    Ok(())
}

/// Shows progress where somebody looks.
fn bar() -> impl FnMut(annals::log::Position, annals::log::Position) + Send + 'static {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    move |position, cursor| {
        bar.set_length(cursor.0.unsigned_abs());
        bar.set_position(position.0.unsigned_abs());
    }
}

fn show(comparison: &Comparison) {
    let Comparison { topic, events, missing, behind, forgotten, foreign, repeated, .. } = comparison;
    println!(
        "{topic}: {events} events, {} missing ({behind} at the end, which the relay sends), {forgotten} forgotten, {} foreign, \
         {} repeated",
        missing.count, foreign.count, repeated.count
    );
    for (kind, positions) in [("missing", missing), ("foreign", foreign), ("repeated", repeated)] {
        if positions.count > 0 {
            println!("  {kind} at positions {}", list(positions));
        }
    }
}

fn list(positions: &Positions) -> String {
    let shown: Vec<String> = positions.first.iter().take(SHOWN_MAX).map(ToString::to_string).collect();
    let more = if positions.count as usize > shown.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}
