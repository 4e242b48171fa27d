//! Bodies that nobody reads to their end. A client that sends first and reads later would find a broken connection in
//! place of the answer, so what is left is still taken in, within bounds, while the answer is already on its way.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream::BoxStream};
use poem::{Body, Request, http::header};

const BYTES_MAX: usize = 16 << 20;
const TIME_MAX: Duration = Duration::from_secs(2);

/// Makes sure that the request's body is taken in, whatever becomes of the request.
pub(crate) fn watch(request: &mut Request) {
    let waits_for_leave = request.headers().contains_key(header::EXPECT);
    let body = request.take_body();
    if !body.is_empty() {
        let rest = Some(body.into_bytes_stream().boxed());
        request.set_body(Body::from_bytes_stream(Watched { rest, waits_for_leave }));
    }
}

/// A body with someone who takes the rest.
struct Watched {
    rest: Option<BoxStream<'static, io::Result<Bytes>>>,
    /// The client sends only when told to, which the first look at the body does (RFC 9110, 10.1.1).
    waits_for_leave: bool,
}

impl Stream for Watched {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.waits_for_leave = false;
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(None);
        };
        let next = rest.poll_next_unpin(context);
        if matches!(next, Poll::Ready(None | Some(Err(_)))) {
            self.rest = None;
        }
        next
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take().filter(|_| !self.waits_for_leave)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(tokio::time::timeout(TIME_MAX, drain(rest)));
        }
    }
}

async fn drain(mut rest: BoxStream<'static, io::Result<Bytes>>) {
    let mut bytes = 0;
    while bytes < BYTES_MAX
        && let Some(Ok(chunk)) = rest.next().await
    {
        bytes += chunk.len();
    }
}
