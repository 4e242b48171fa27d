//! The steps of one rebuild: make, load, index, catch up, hand over, compare, swap.
//!
//! Which step is next is read from the database each time, so going on after a crash needs nothing special.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::sleep;

use super::{Change, Rebuild, SWAP, State, Swap, compare, run::Carrier};
use crate::{
    json::RawJson,
    postgres,
    projector::{
        Folder,
        candidate::{self, Candidate, Error, Pace},
        generation,
    },
    trouble::Trouble,
};

/// Before the hand-over is tried again, so that workers get to what it waits for.
const HAND_OVER_WAIT: Duration = Duration::from_millis(10);

const FOLDER: &str = include_str!("folder.sql");
const MADE: &str = include_str!("made.sql");
const INDEXED: &str = include_str!("indexed.sql");
const SILENCE: &str = include_str!("silence.sql");

/// Carries a rebuild through to its end, to where it waits for a person, or to where it fails.
pub(super) async fn run(carrier: &Carrier, mut rebuild: Rebuild) {
    let mut trouble = Trouble::new(format!("the rebuild of {} waits", rebuild.projection));
    loop {
        let error = match advance(carrier, &rebuild).await {
            Ok(Some(next)) => {
                trouble.end();
                rebuild = next;
                if State::WORKING.contains(&rebuild.state) {
                    continue;
                }
                return;
            }
            // Not ours any more.
            Ok(None) => return,
            Err(error) => error,
        };
        match error {
            Error::Refused(reason) => {
                // Paused and resumed while it made the indexes, another task of this process may have made them.
                if let Ok(Some(now)) = look(carrier, &rebuild).await
                    && now.indexed != rebuild.indexed
                {
                    rebuild = now;
                    continue;
                }
                match change(carrier, &rebuild, State::Failed, None, Some(&reason)).await {
                    Ok(_) => return,
                    Err(error) => trouble.say(format_args!("it failed, which could not be noted: {error}")),
                }
            }
            Error::Passing(reason) => trouble.say(reason),
        }
        sleep(carrier.limits.poll_interval).await;
    }
}

/// Takes the next step; returns the rebuild after it, `None` when it is somebody else's.
async fn advance(carrier: &Carrier, rebuild: &Rebuild) -> Result<Option<Rebuild>, Error> {
    let Some(number) = rebuild.generation else {
        make(carrier, rebuild).await?;
        return look(carrier, rebuild).await;
    };
    let candidate = Candidate::find(&carrier.deps, &carrier.limits, &rebuild.projection, number).await?;
    if candidate.follows {
        return conclude(carrier, rebuild).await;
    }
    let pace = Pace { lanes: rebuild.workers.into(), max_events_per_second: rebuild.max_events_per_second };
    while !candidate.load(pace, &carrier.shared).await? {}
    if !rebuild.indexed {
        index(carrier, rebuild, &candidate).await?;
        return change(carrier, rebuild, State::CatchingUp, None, None).await;
    }
    if !candidate.hand_over().await? {
        sleep(HAND_OVER_WAIT).await;
    }
    look(carrier, rebuild).await
}

/// Makes the generation.
async fn make(carrier: &Carrier, rebuild: &Rebuild) -> Result<(), Error> {
    let mut client = carrier.deps.read.get().await.map_err(postgres::Error::from)?;
    let transaction = client.transaction().await?;
    generation::lock(&transaction, &rebuild.projection).await?;
    let Some(row) = transaction.query_opt(FOLDER, &[&rebuild.id, &carrier.holder]).await? else {
        return Ok(());
    };
    let files: Option<RawJson> = row.get(0);
    let files: Option<BTreeMap<String, String>> = files
        .map(|files| files.parse())
        .transpose()
        .map_err(|error| Error::Refused(format!("the folder: {error}")))?;
    let folder = files.map(Folder::parse).transpose().map_err(|faults| {
        Error::Refused(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })?;
    let number = candidate::make(&carrier.deps, &transaction, &rebuild.projection, folder).await?;
    transaction.execute(MADE, &[&rebuild.id, &number]).await?;
    Ok(transaction.commit().await?)
}

/// Makes the indexes. The rebuild's row is locked last: indexing is slow, and heartbeats, pause and cancel need the row.
async fn index(carrier: &Carrier, rebuild: &Rebuild, candidate: &Candidate) -> Result<(), Error> {
    let _turn = carrier.shared.turn().await;
    let mut client = carrier.deps.read.get().await.map_err(postgres::Error::from)?;
    let transaction = client.transaction().await?;
    transaction.query_one(SILENCE, &[]).await?;
    candidate.index(&transaction).await?;
    if transaction.execute(INDEXED, &[&rebuild.id, &carrier.holder]).await? > 0 {
        transaction.commit().await?;
    }
    Ok(())
}

/// Compares, and does what the rebuild was asked to do then.
async fn conclude(carrier: &Carrier, rebuild: &Rebuild) -> Result<Option<Rebuild>, Error> {
    if rebuild.state != State::Comparing {
        return change(carrier, rebuild, State::Comparing, None, None).await;
    }
    let turn = carrier.shared.turn().await;
    let found = compare::compare(&carrier.deps.read, rebuild).await?;
    drop(turn);
    let json = Some(RawJson::of(&found));
    match rebuild.swap {
        Swap::Never => change(carrier, rebuild, State::Done, json, None).await,
        Swap::Auto if !found.is_wrong() => swap(carrier, rebuild, json).await,
        Swap::Auto | Swap::Manual => change(carrier, rebuild, State::Waiting, json, None).await,
    }
}

/// Notes what was found and lets the generation serve, in one transaction.
async fn swap(
    carrier: &Carrier,
    rebuild: &Rebuild,
    comparison: Option<RawJson>,
) -> Result<Option<Rebuild>, Error> {
    let mut client = carrier.deps.read.get().await.map_err(postgres::Error::from)?;
    let transaction = client.transaction().await?;
    generation::hold(&transaction, &rebuild.projection).await?;
    let ours = Change { comparison, ..carrier.change(State::Waiting) };
    if let Some(now) = ours.apply(&transaction, rebuild.id).await? {
        // Unless somebody went back to an earlier generation meanwhile.
        if now.swap == Swap::Auto {
            transaction.query_opt(SWAP, &[&rebuild.id]).await?;
        }
        transaction.commit().await?;
    }
    look(carrier, rebuild).await
}

/// The rebuild as it stands, `None` when this carrier does not hold it any more.
async fn look(carrier: &Carrier, rebuild: &Rebuild) -> Result<Option<Rebuild>, Error> {
    match super::get(&carrier.deps.read, rebuild.id).await {
        Ok(now) => Ok(Some(now).filter(|now| now.holder == Some(carrier.holder))),
        Err(super::Error::Database(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

impl Carrier {
    /// A step of what it carries on.
    fn change(&self, to: State) -> Change<'_> {
        Change { from: &State::WORKING, to, holder: Some(self.holder), comparison: None, error: None }
    }
}

async fn change(
    carrier: &Carrier,
    rebuild: &Rebuild,
    to: State,
    comparison: Option<RawJson>,
    error: Option<&str>,
) -> Result<Option<Rebuild>, Error> {
    let client = carrier.deps.read.get().await.map_err(postgres::Error::from)?;
    let change = Change { comparison, error, ..carrier.change(to) };
    Ok(change.apply(&client, rebuild.id).await?)
}
