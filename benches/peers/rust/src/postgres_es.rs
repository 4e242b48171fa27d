//! postgres-es: appends through its repository, commands through its framework, without snapshots.

use std::{
    fmt, fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use cqrs_es::{
    Aggregate, AggregateError, DomainEvent,
    event_sink::EventSink,
    persist::{PersistedEventRepository, SerializedEvent},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use postgres_es::{PostgresEventRepository, postgres_cqrs};
use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use uuid::Uuid;

use crate::{clients, insert, store::Options};

const TABLE: &str = include_str!("../sql/postgres_es_table.sql");

pub async fn append(options: &Options) -> anyhow::Result<Value> {
    let pool = connect(options).await?;
    let repository = Arc::new(PostgresEventRepository::new(pool.clone()));
    let data: Value = serde_json::from_str(&fs::read_to_string(&options.payload)?)?;
    let once = move || {
        let (repository, data) = (repository.clone(), data.clone());
        async move {
            let event = serialized(Uuid::now_v7().to_string(), 1, "OrderCreated", data);
            Ok(repository.persist::<Counter>(&[event], None).await?)
        }
    };
    let seen = clients::ask(options.clients, options.time(), once).await?;
    seen.checked(count(&pool).await?, 0)
}

pub async fn command(options: &Options) -> anyhow::Result<Value> {
    let pool = connect(options).await?;
    let repository = PostgresEventRepository::new(pool.clone());
    let ids: Arc<[String]> = (0..options.streams).map(|_| Uuid::now_v7().to_string()).collect();
    let made = stream::iter(ids.iter()).map(|id| history(&repository, id, options.history));
    made.buffer_unordered(16).try_collect::<()>().await?;
    let framework = Arc::new(postgres_cqrs::<Counter>(pool.clone(), vec![], ()));
    let conflicts = Arc::new(AtomicU64::new(0));
    let once = {
        let conflicts = conflicts.clone();
        move || {
            let (framework, conflicts) = (framework.clone(), conflicts.clone());
            let id = ids[rand::rng().random_range(0..ids.len())].clone();
            async move {
                // A conflict is the caller's to try again: so does this one, and its latency is that of all tries.
                while let Err(error) = framework.execute(&id, Increment { by: 1 }).await {
                    let AggregateError::AggregateConflict = error else { return Err(error.into()) };
                    conflicts.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }
        }
    };
    let seen = clients::ask(options.clients, options.time(), once).await?;
    let mut line = seen.checked(count(&pool).await?, (options.streams * options.history) as u64)?;
    line["conflicts"] = conflicts.load(Ordering::Relaxed).into();
    Ok(line)
}

/// Connections with their prepared statements, which are not asked whether they live before each use.
async fn connect(options: &Options) -> anyhow::Result<PgPool> {
    let url: PgConnectOptions = options.url.parse()?;
    let pool = PgPoolOptions::new().max_connections(options.pool_size() as u32).test_before_acquire(false);
    let pool = pool.connect_with(url).await?;
    sqlx::query(TABLE).execute(&pool).await?;
    Ok(pool)
}

async fn count(pool: &PgPool) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar(insert::COUNT).fetch_one(pool).await?)
}

async fn history(repository: &PostgresEventRepository, id: &str, events: usize) -> anyhow::Result<()> {
    let events: Vec<_> = (1..=events)
        .map(|sequence| serialized(id.into(), sequence, "Incremented", json!({ "by": 1 })))
        .collect();
    Ok(repository.persist::<Counter>(&events, None).await?)
}

fn serialized(id: String, sequence: usize, event_type: &str, data: Value) -> SerializedEvent {
    let kind = Counter::TYPE.into();
    SerializedEvent::new(id, sequence, kind, event_type.into(), "1".into(), data, insert::metadata())
}

#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: i64,
}

struct Increment {
    by: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Incremented {
    by: i64,
}

impl DomainEvent for Incremented {
    fn event_type(&self) -> String {
        "Incremented".into()
    }

    fn event_version(&self) -> String {
        "1".into()
    }
}

/// The counter of annals' own measurement does not go below nothing either.
#[derive(Debug)]
struct TooLow;

impl fmt::Display for TooLow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("below nothing")
    }
}

impl std::error::Error for TooLow {}

impl Aggregate for Counter {
    const TYPE: &'static str = "counter";
    type Command = Increment;
    type Event = Incremented;
    type Error = TooLow;
    type Services = ();

    async fn handle(&mut self, command: Increment, _: &(), sink: &EventSink<Self>) -> Result<(), TooLow> {
        if self.value + command.by < 0 {
            return Err(TooLow);
        }
        sink.write(Incremented { by: command.by }, self).await;
        Ok(())
    }

    fn apply(&mut self, event: Incremented) {
        self.value += event.by;
    }
}
