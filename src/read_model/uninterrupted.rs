//! Reads that go on to their end, even if whoever asked hangs up: else the pool would hand out a session that is still busy, to
//! the next one who comes, and of a session on which nothing comes any more nobody would wait long enough to see it.

use std::{future::poll_fn, pin::Pin};

use tokio::runtime::Handle;

/// Reads to the end. What many may ask for at once is to have its session before: whoever hangs up while waiting for one then
/// leaves the queue.
pub(super) async fn uninterrupted<T: Send + 'static>(read: impl Future<Output = T> + Send + 'static) -> T {
    let mut read = Read(Some(Box::pin(read)));
    let value = poll_fn(|cx| read.0.as_mut().expect("taken at its end").as_mut().poll(cx)).await;
    read.0 = None;
    value
}

struct Read<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> Drop for Read<T> {
    fn drop(&mut self) {
        // A process that ends leaves its reads.
        if let (Some(read), Ok(runtime)) = (self.0.take(), Handle::try_current())
            && !std::thread::panicking()
        {
            runtime.spawn(read);
        }
    }
}
