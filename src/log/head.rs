//! The log's head as it moves: told by the appender of this process, and by notifications for those of others.
//!
//! A notification is sent in a transaction of its own after the append's commit: inside it, a lock of the whole cluster would
//! be held during the flush. It may be lost or late, so whoever relies on the head also polls, slowly. And it may be a
//! rumour, which anybody may spread: it is compared with the log, else nobody would be woken by the events below it.

use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::{Notify, watch};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Position;
use crate::postgres::{self, Sessions};

const NOTIFY: &str = include_str!("notify.sql");
const LISTEN: &str = include_str!("listen.sql");
const HEAD: &str = include_str!("head.sql");
/// Least time between two notifications. One costs every listener a wake-up; the first after a rest goes at once.
const NOTIFY_INTERVAL: Duration = Duration::from_millis(2);
/// Least time between two looks whether what was told is true.
const VERIFY_INTERVAL: Duration = Duration::from_secs(1);

/// Tells other processes each new head. Several heads in quick succession become one notification.
pub async fn announce(
    url: SecretString,
    tcp_user_timeout: Duration,
    mut appended: watch::Receiver<Position>,
    shutdown: CancellationToken,
) {
    let announcing = async {
        let mut sessions = Sessions::new("notifications are not sent; readers fall back to polling");
        while let Err(error) = announce_once(&url, tcp_user_timeout, &mut appended).await {
            sessions.next(error).await;
        }
    };
    shutdown.run_until_cancelled(announcing).await;
}

async fn announce_once(
    url: &SecretString,
    tcp_user_timeout: Duration,
    appended: &mut watch::Receiver<Position>,
) -> Result<(), postgres::Error> {
    let (mut config, tls) = postgres::session(url, tcp_user_timeout)?;
    let options = format!("{} -c synchronous_commit=off", config.get_options().unwrap_or_default());
    let (client, connection) = config.options(options).connect(tls).await?;
    tokio::spawn(connection);
    let notify = client.prepare(NOTIFY).await?;
    while appended.changed().await.is_ok() {
        let position = *appended.borrow_and_update();
        client.execute(&notify, &[&position.to_string()]).await?;
        tokio::time::sleep(NOTIFY_INTERVAL).await;
    }
    Ok(())
}

/// Moves `head` when this process appends (`appended`) and when another one announces that it did.
pub async fn listen(
    url: SecretString,
    tcp_user_timeout: Duration,
    appended: watch::Receiver<Position>,
    head: watch::Sender<Position>,
    shutdown: CancellationToken,
) {
    let own = follow(appended, &head);
    let others = async {
        let mut sessions = Sessions::new("notifications are not received; polling goes on");
        while let Err(error) = listen_once(&url, tcp_user_timeout, &head).await {
            sessions.next(error).await;
        }
    };
    tokio::select! {
        () = own => {}
        () = others => {}
        () = shutdown.cancelled() => {}
    }
}

async fn follow(mut appended: watch::Receiver<Position>, head: &watch::Sender<Position>) {
    while appended.changed().await.is_ok() {
        grow(head, *appended.borrow_and_update());
    }
    // Nobody appends in this process (any more); the others still do.
    std::future::pending().await
}

async fn listen_once(
    url: &SecretString,
    tcp_user_timeout: Duration,
    head: &watch::Sender<Position>,
) -> Result<(), postgres::Error> {
    let (client, connection) = postgres::connect(url, tcp_user_timeout).await?;
    let heard = Notify::new();
    let receive = postgres::notifications(connection, |position| {
        if let Ok(position) = position.parse() {
            grow(head, Position(position));
            heard.notify_one();
        }
    });
    let listen = async {
        client.batch_execute(LISTEN).await?;
        loop {
            verify(&client, head).await?;
            tokio::time::sleep(VERIFY_INTERVAL).await;
            heard.notified().await;
        }
    };
    tokio::select! {
        ended = receive => Err(ended),
        listened = listen => listened,
    }
}

/// Takes back what was told and is not in the log. Who tells the truth does so after the commit.
async fn verify(client: &Client, head: &watch::Sender<Position>) -> Result<(), postgres::Error> {
    let told = *head.borrow();
    let end = ask(client).await?;
    let is_rumour = head.send_if_modified(|head| {
        let is_rumour = *head == told && told > end;
        if is_rumour {
            warn!(%told, %end, "a notification told of events that the log does not hold");
            *head = end;
        }
        is_rumour
    });
    if is_rumour {
        // A head that was told between the look and the taking back was lost with it.
        grow(head, ask(client).await?);
    }
    Ok(())
}

async fn ask(client: &Client) -> Result<Position, postgres::Error> {
    Ok(Position(client.query_one(HEAD, &[]).await?.get(0)))
}

/// Moves a head forward, never back; wakes those who wait only when it moved.
pub(super) fn grow(head: &watch::Sender<Position>, position: Position) {
    head.send_if_modified(|head| {
        let grown = position > *head;
        *head = position.max(*head);
        grown
    });
}
