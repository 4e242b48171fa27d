//! Events as they come, for those who listen: the history after a position, and then what is appended.
//!
//! Positions have no gaps and become visible in their order, so history and live events are read in the same way: as what comes
//! after the last position that was sent. Nothing is lost between the two.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Audit, Error, Filter};
use crate::{
    json::RawJson,
    log::{Event, Position},
    trouble::Trouble,
};

/// Shows that the other side is there, and nothing else (HTML Living Standard, 9.2.5).
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

impl Audit {
    /// The last position there is; where listening begins unless one says otherwise.
    pub async fn head(&self) -> Result<Position, Error> {
        Ok(self.log.head().await?)
    }

    /// What comes after a position, as server-sent events, until `ending`. A listener that takes nothing for too long is
    /// cut off; what waits for it is bounded.
    pub fn listen(
        &self,
        filter: Filter,
        after: Position,
        ending: CancellationToken,
    ) -> Result<impl Stream<Item = Bytes> + Send + use<>, Error> {
        let permit = Arc::clone(&self.listeners).try_acquire_owned().map_err(|_| Error::Overloaded)?;
        let (sender, receiver) = mpsc::channel(1);
        let audit = self.clone();
        tokio::spawn(async move {
            let gone = sender.clone();
            tokio::select! {
                () = audit.tell(filter, after, sender) => {}
                () = gone.closed() => {}
                () = ending.cancelled() => {}
            }
            drop(permit);
        });
        Ok(stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver))))
    }

    /// Returns when the listener is cut off.
    async fn tell(&self, filter: Filter, mut after: Position, listener: mpsc::Sender<Bytes>) {
        let patience = self.config.listener_patience;
        let send = async |bytes| timeout(patience, listener.send(bytes)).await.is_ok_and(|sent| sent.is_ok());
        let mut head = self.head.clone();
        let mut next_comment = Instant::now();
        let mut trouble = Trouble::new("the log cannot be read for a listener; trying again");
        loop {
            if Instant::now() >= next_comment {
                if !send(COMMENT).await {
                    return;
                }
                next_comment = Instant::now() + self.config.heartbeat;
            }
            let events = self.next(after, &mut trouble).await;
            let Some(last) = events.last() else {
                let silence = next_comment.saturating_duration_since(Instant::now());
                let wait: Duration = silence.min(self.config.index_poll_interval);
                // Who told of the head may be gone; then the time is waited out.
                if timeout(wait, head.wait_for(|head| *head > after)).await.is_ok_and(|told| told.is_err()) {
                    sleep(wait).await;
                }
                continue;
            };
            after = last.position;
            let text: String = events.iter().filter(|event| filter.takes(event)).map(told).collect();
            if !text.is_empty() && !send(text.into()).await {
                return;
            }
        }
    }

    async fn next(&self, after: Position, trouble: &mut Trouble) -> Vec<Event> {
        let (events_max, bytes_max) = (self.config.batch_events_max, self.config.listener_bytes_max);
        match trouble.note(self.log.after(after, None, events_max, bytes_max).await) {
            Some(events) => events,
            None => {
                sleep(self.config.index_poll_interval).await;
                vec![]
            }
        }
    }
}

/// JSON has no line breaks outside of its texts, and none inside.
fn told(event: &Event) -> String {
    let Event { position, event_type, .. } = event;
    format!("id: {position}\nevent: {event_type}\ndata: {}\n\n", RawJson::of(event).as_str())
}
