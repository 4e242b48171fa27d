//! What goes on to its end, even if whoever asked hangs up: else the pool would hand out a session that is still busy, to
//! the next one who comes, and of a session on which nothing comes any more nobody would wait long enough to see it.

use std::{future::poll_fn, pin::Pin};

use tokio::runtime::Handle;

/// Works to the end. What many may ask for at once is to have its session before: whoever hangs up while waiting for one then
/// leaves the queue.
pub(crate) async fn uninterrupted<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let mut work = Work(Some(Box::pin(work)));
    let value = poll_fn(|cx| work.0.as_mut().expect("taken at its end").as_mut().poll(cx)).await;
    work.0 = None;
    value
}

struct Work<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> Drop for Work<T> {
    fn drop(&mut self) {
        // A process that ends leaves its work.
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current())
            && !std::thread::panicking()
        {
            runtime.spawn(work);
        }
    }
}
