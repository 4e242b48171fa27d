//! The listener: connections of HTTP/1.1, from their beginning to their orderly end.
//!
//! Takes no more connections than it may hold; those beyond wait in the kernel, unanswered. Closes a connection whose request's
//! head does not arrive in time or whose answer is not read, so that slow clients hold none. Limits on bodies, and on the time
//! until an answer begins, are the app's. HTTP/2 ends at the proxy, as TLS does.

use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use http_body_util::combinators::BoxBody;
use hyper::{body::Incoming, server::conn::http1::Builder, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use poem::{
    Addr, Endpoint, Request, Response,
    http::{self, uri::Scheme},
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config;

/// Where no connection can be taken (no file is left for it, say), others have to end first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Of a request's head beside its target and what counts as headers: enough that the app sees what is a little too much, and
/// says so.
const HEAD_BYTES_MORE: usize = 16 << 10;

/// Serves until `shutdown`, then as long as requests are under way, for at most `patience`.
pub(super) async fn serve(
    app: impl Endpoint<Output = Response> + 'static,
    listener: TcpListener,
    limits: &config::Api,
    patience: Duration,
    shutdown: CancellationToken,
) {
    let app = Arc::new(app);
    let room = Arc::new(Semaphore::new(limits.connections_max));
    let head = (limits.head_timeout, limits.url_bytes_max + limits.header_bytes_max + HEAD_BYTES_MORE);
    let mut connections = JoinSet::new();
    loop {
        select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = accept(&listener, &room, limits.write_timeout) => match accepted {
                Ok(accepted) => {
                    connections.spawn(hold(accepted, app.clone(), head, shutdown.clone()));
                }
                Err(error) => {
                    warn!(%error, "a connection could not be taken");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(patience, ended).await.is_err() {
        warn!(connections = connections.len(), "cut off, since they did not end in time");
    }
}

/// A connection, and the room that it takes.
struct Accepted {
    stream: Pin<Box<TimeoutStream<TcpStream>>>,
    local: LocalAddr,
    remote: RemoteAddr,
    _room: OwnedSemaphorePermit,
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    write_timeout: Duration,
) -> io::Result<Accepted> {
    let room = room.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, remote) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let local = LocalAddr(Addr::SocketAddr(stream.local_addr()?));
    let mut stream = Box::pin(TimeoutStream::new(stream));
    stream.as_mut().set_write_timeout_pinned(Some(write_timeout));
    Ok(Accepted { stream, local, remote: RemoteAddr(Addr::SocketAddr(remote)), _room: room })
}

/// Answers requests until the client or the connection's time ends it; after `shutdown` the one that is under way.
async fn hold(
    accepted: Accepted,
    app: Arc<impl Endpoint<Output = Response> + 'static>,
    (head_timeout, head_bytes_max): (Duration, usize),
    shutdown: CancellationToken,
) {
    let Accepted { stream, local, remote, _room } = accepted;
    let service = service_fn(|request: http::Request<Incoming>| {
        let request = Request::from((request, local.clone(), remote.clone(), Scheme::HTTP));
        let app = app.clone();
        async move {
            let response = app.get_response(request).await;
            io::Result::Ok(hyper::Response::<BoxBody<_, _>>::from(response))
        }
    });
    let mut http = Builder::new();
    let http = http.timer(TokioTimer::new()).header_read_timeout(head_timeout);
    let http = http.max_header_size(head_bytes_max);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    // How a connection ends is the client's affair: it went, was too slow, or sent no HTTP.
    select! {
        _ = &mut connection => return,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
