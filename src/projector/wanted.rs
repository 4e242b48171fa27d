//! Readers who wait in a process without the workers they wait for, told to those workers by notifications in the read models'
//! database.
//!
//! Told at once and again while somebody waits; workers make haste until they have not heard of it for a while. Nothing relies
//! on it: who hears nothing folds at the pace of one whom nobody waits for, and a rumour costs that haste.

use std::{future::pending, time::Duration};

use deadpool_postgres::Object;
use secrecy::SecretString;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Progress;
use crate::postgres::{self, Sessions};

const TELL: &str = include_str!("wanted/tell.sql");
const LISTEN: &str = include_str!("wanted/listen.sql");
/// How often it is told while somebody waits.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);
/// For how long it counts.
const HOLD: Duration = Duration::from_millis(250);

/// Tells that somebody waits for a projection.
pub(crate) async fn tell(client: &Object, projection: &str) -> Result<(), postgres::Error> {
    let tell = client.prepare_cached(TELL).await?;
    client.execute(&tell, &[&projection]).await?;
    Ok(())
}

/// Has the workers of this process make haste for those who wait in others. `url`: of the read models' database.
pub(crate) async fn listen(
    url: SecretString,
    tcp_user_timeout: Duration,
    progress: Progress,
    shutdown: CancellationToken,
) {
    let listening = async {
        let mut sessions =
            Sessions::new("readers who wait in other processes are not heard of: they may wait longer");
        while let Err(error) = listen_once(&url, tcp_user_timeout, &progress).await {
            sessions.next(error).await;
        }
    };
    shutdown.run_until_cancelled(listening).await;
}

async fn listen_once(
    url: &SecretString,
    tcp_user_timeout: Duration,
    progress: &Progress,
) -> Result<(), postgres::Error> {
    let (client, connection) = postgres::connect(url, tcp_user_timeout).await?;
    let receive = postgres::notifications(connection, |projection| {
        progress.want(projection, Instant::now() + HOLD);
    });
    let listen = async {
        client.batch_execute(LISTEN).await?;
        pending().await
    };
    tokio::select! {
        ended = receive => Err(ended),
        listened = listen => listened,
    }
}
