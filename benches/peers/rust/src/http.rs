//! Commands to a running annals over HTTP: a fixed number of them, or a fixed rate with a look at the read model.

use std::{
    fmt, fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use futures_util::future::try_join_all;
use reqwest::{
    Client, RequestBuilder, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::{Value, json};
use tokio::{
    sync::Semaphore,
    time::{MissedTickBehavior, interval},
};

use crate::clients::{histogram, line, millis};

/// What does not count of a fixed rate.
const WARMUP_SECONDS: u32 = 1;
/// Orders on their way at once, as of callers with a pool of connections: beyond what the server can do, others wait here
/// instead of for a connection that the kernel does not make.
const ORDERS_AT_ONCE_MAX: usize = 1_000;

#[derive(clap::Args, Clone)]
pub struct Target {
    /// Where annals listens: http://127.0.0.1:8080
    #[arg(long)]
    base: String,
    /// The API key.
    #[arg(long, default_value = "dev-consumer")]
    key: String,
    /// The file with the request's body.
    #[arg(long)]
    body: PathBuf,
}

#[derive(clap::Args)]
pub struct Post {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 64)]
    clients: usize,
    #[arg(long, default_value_t = 20_000)]
    events: usize,
}

#[derive(clap::Args)]
pub struct Visible {
    #[command(flatten)]
    target: Target,
    /// Commands per second.
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    #[arg(long, default_value_t = 10)]
    seconds: u32,
}

/// Sends so many commands, each client waiting for its answer.
pub async fn post(options: Post) -> anyhow::Result<Value> {
    let (orders, left) = (Orders::new(options.target)?, Arc::new(AtomicI64::new(options.events as i64)));
    let started = Instant::now();
    let clients = (0..options.clients).map(|_| {
        let (orders, left) = (orders.clone(), left.clone());
        tokio::spawn(async move {
            let mut latencies = histogram();
            while left.fetch_sub(1, Ordering::Relaxed) > 0 {
                let asked = Instant::now();
                orders.create().await?;
                latencies.saturating_record(asked.elapsed().as_micros() as u64);
            }
            anyhow::Ok(latencies)
        })
    });
    let mut latencies = histogram();
    for client in try_join_all(clients).await? {
        latencies.add(client?)?;
    }
    Ok(line(latencies.len(), started.elapsed(), &latencies, latencies.len() as i64))
}

/// How long after a command's answer its order can be read: a read with the answer's token, which waits until then. Those
/// that are refused, because too many wait or no connection is left, are counted.
pub async fn visible(options: Visible) -> anyhow::Result<Value> {
    let orders = Orders::new(options.target)?;
    let turns = Arc::new(Semaphore::new(ORDERS_AT_ONCE_MAX));
    let mut ticks = interval(Duration::from_secs(1) / options.rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let total = options.rate * (options.seconds + WARMUP_SECONDS);
    let (mut started, mut running) = (Instant::now(), Vec::with_capacity(total as usize));
    for number in 0..total {
        ticks.tick().await;
        if number == options.rate * WARMUP_SECONDS {
            started = Instant::now();
        }
        let (orders, turns) = (orders.clone(), turns.clone());
        running.push(tokio::spawn(async move {
            let due = Instant::now();
            let _turn = turns.acquire().await?;
            orders.create_and_see(due).await
        }));
    }
    let (mut written, mut seen, mut refused, mut refusal) = (histogram(), histogram(), 0, None);
    for one in try_join_all(running).await?.into_iter().skip((options.rate * WARMUP_SECONDS) as usize) {
        match one {
            Ok((write, visible)) => {
                written.saturating_record(write.as_micros() as u64);
                seen.saturating_record(visible.as_micros() as u64);
            }
            Err(error) if is_refusal(&error) => {
                refused += 1;
                refusal.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(error) = refusal {
        eprintln!("{refused} of {total} were refused, the first: {error:#}");
        ensure!(!seen.is_empty(), "none was answered: {error:#}");
    }
    let mut line = line(seen.len(), started.elapsed(), &seen, seen.len() as i64);
    line["refused"] = json!(refused);
    line["write_p50_ms"] = json!(millis(&written, 0.5));
    line["write_p99_ms"] = json!(millis(&written, 0.99));
    Ok(line)
}

#[derive(Clone)]
struct Orders {
    client: Client,
    url: Arc<str>,
    key: Arc<str>,
    body: Arc<str>,
}

impl Orders {
    fn new(target: Target) -> anyhow::Result<Self> {
        Ok(Self {
            client: Client::builder().tcp_nodelay(true).build()?,
            url: format!("{}/api/orders", target.base).into(),
            key: format!("Bearer {}", target.key).into(),
            body: fs::read_to_string(target.body)?.into(),
        })
    }

    async fn create(&self) -> anyhow::Result<Response> {
        let request = self.client.post(&*self.url).header(CONTENT_TYPE, "application/json");
        self.send(request.body(self.body.to_string()), StatusCode::CREATED).await
    }

    /// How long it took to be answered, since it was due, and from then on to be seen.
    async fn create_and_see(&self, due: Instant) -> anyhow::Result<(Duration, Duration)> {
        let created = self.create().await?;
        let write = due.elapsed();
        let token = created.headers().get("consistency-token").context("no token in the answer")?.clone();
        let id = created.json::<Value>().await?["id"].as_str().context("no id in the answer")?.to_owned();
        let answered = Instant::now();
        let read = self.client.get(format!("{}/{id}", self.url)).header("consistency-token", token);
        self.send(read, StatusCode::OK).await?.bytes().await?;
        Ok((write, answered.elapsed()))
    }

    async fn send(&self, request: RequestBuilder, expected: StatusCode) -> anyhow::Result<Response> {
        let answer = request.header(AUTHORIZATION, &*self.key).send().await?;
        let status = answer.status();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            bail!(Busy(answer.text().await?));
        }
        ensure!(status == expected, "{status}: {}", answer.text().await?);
        Ok(answer)
    }
}

/// The server says that it has too much to do.
#[derive(Debug)]
struct Busy(String);

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Busy {}

fn is_refusal(error: &anyhow::Error) -> bool {
    error.is::<Busy>()
        || error
            .downcast_ref::<reqwest::Error>()
            .is_some_and(|error| error.is_connect() || error.is_request())
}
