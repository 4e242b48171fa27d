//! Watches rebuilds until they end or wait for a person. They run in the servers; to stop watching does not stop them.

use std::{io::IsTerminal, time::Duration};

use annals::rebuild::{self, Comparison, Rebuild, State};
use anyhow::ensure;
use deadpool_postgres::Pool;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::{
    signal,
    time::{Instant, sleep},
};

/// How often a rebuild is looked at.
const POLL: Duration = Duration::from_millis(200);
/// When somebody should have taken it.
const UNTAKEN: Duration = Duration::from_secs(5);
const BAR: &str = "{prefix:<24} {bar:30} {percent:>3}%  {msg}";

/// Shows rebuilds until each has ended or waits; an error where one failed or differs.
pub(super) async fn all(read: &Pool, begun: Vec<Rebuild>, json: bool) -> anyhow::Result<()> {
    let bars = MultiProgress::new();
    let watching = begun.iter().map(|rebuild| watch(read, rebuild, bars.add(bar(rebuild))));
    let ended = tokio::select! {
        ended = futures_util::future::try_join_all(watching) => ended?,
        _ = signal::ctrl_c() => {
            bars.clear()?;
            eprintln!("not watched any more; it goes on in the servers. `annals projections show <name>` tells how far \
                       it is, `annals projections cancel <name>` ends it");
            return Ok(());
        }
    };
    if json {
        super::print_json(&ended)?;
    } else {
        ended.iter().for_each(tell);
    }
    let wrong = ended
        .iter()
        .filter(|rebuild| {
            matches!(rebuild.state, State::Failed | State::Cancelled) || rebuild.difference().is_some()
        })
        .count();
    ensure!(
        wrong == 0,
        "{wrong} of {} rebuilds failed, were cancelled or differ from what is served",
        ended.len()
    );
    Ok(())
}

fn bar(rebuild: &Rebuild) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(BAR).expect("the template is valid");
    ProgressBar::new(0).with_style(style).with_prefix(rebuild.projection.clone())
}

async fn watch(read: &Pool, rebuild: &Rebuild, bar: ProgressBar) -> Result<Rebuild, rebuild::Error> {
    let began = Instant::now();
    let mut untaken = false;
    loop {
        let now = rebuild::get(read, rebuild.id).await?;
        bar.set_length(now.events_total.unsigned_abs());
        bar.set_position(now.events_done.unsigned_abs());
        bar.set_message(message(&now));
        if now.state.is_final() || now.state == State::Waiting {
            bar.finish();
            return Ok(now);
        }
        if !untaken && now.generation.is_none() && !now.is_carried() && began.elapsed() > UNTAKEN {
            untaken = true;
            bar.suspend(|| {
                eprintln!("nobody has taken it yet: `annals serve` or `annals worker` has to run")
            });
        }
        sleep(POLL).await;
    }
}

fn message(now: &Rebuild) -> String {
    let rate = now.events_per_second.map(|rate| format!(" {rate:.0}/s")).unwrap_or_default();
    let eta = now.eta_seconds().map(|eta| format!(", {eta:.0} s left")).unwrap_or_default();
    format!("{}{rate}{eta}", now.state)
}

fn tell(rebuild: &Rebuild) {
    println!("{}: {}", rebuild.projection, rebuild.state);
    if let Some(error) = &rebuild.error {
        println!("  {error}");
    }
    if let Some(found) = rebuild.comparison.as_ref().filter(|found| found.parked_count > 0) {
        println!("  {} streams are parked, and their rows not compared:", found.parked_count);
        for stream in &found.parked {
            let by = match (stream.in_live, stream.in_new) {
                (true, true) => "both",
                (true, false) => "what is served",
                _ => "what was built alone: as it is now it would no longer be served",
            };
            println!("    {}/{} by {by}", stream.stream_type, stream.stream_id);
        }
    }
    let tables = rebuild.comparison.iter().flat_map(|found: &Comparison| &found.tables);
    for found in tables {
        let rows = |rows: Option<i64>| rows.map_or("-".into(), |rows| rows.to_string());
        let (live, new) = (rows(found.live_rows), rows(found.new_rows));
        let equal = if found.is_equal { "equal" } else { "different" };
        println!("  {}: {live} rows served, {new} built: {equal}", found.table);
        for row in &found.only_live {
            println!("    served only: {row}");
        }
        for row in &found.only_new {
            println!("    built only:  {row}");
        }
    }
}
