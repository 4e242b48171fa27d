//! Whether the cores are short of time, and how long the relay lets events gather for that.
//!
//! A transaction costs relay, broker and consumers about the same whatever is in it. Where cores have time to spare, small
//! ones buy latency; where they have none, small ones take it from everybody: commands, workers and the relay itself. What
//! tells is how late a task runs that was due, and not how long transactions take: those may be slow because a broker is far.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// Between two looks.
const TICK: Duration = Duration::from_millis(10);
/// A longer delay is one of a machine that stood still, and tells no more than this.
const LATE_MAX: Duration = Duration::from_millis(50);
/// The mean is over about so many looks.
const LOOKS: u64 = 64;
/// A task is as late as this where nothing else wants to run: timers go by whole milliseconds.
const GRAIN: Duration = Duration::from_micros(1_200);
/// How often what tasks are late beyond that is left for events to gather. Found by trying: with less, cores stay short of
/// time; with more, rests come where they are not needed.
const REST_TIMES: u32 = 100;

#[derive(Default)]
pub(super) struct Strain {
    /// Mean, in nanoseconds.
    late: AtomicU64,
}

impl Strain {
    /// Looks, for ever.
    pub(super) async fn watch(&self) -> Infallible {
        loop {
            let due = Instant::now() + TICK;
            sleep_until(due).await;
            self.note(due.elapsed());
        }
    }

    fn note(&self, late: Duration) {
        let mean = self.late.load(Ordering::Relaxed);
        let late = late.min(LATE_MAX).as_nanos() as u64;
        self.late.store(mean - mean / LOOKS + late / LOOKS, Ordering::Relaxed);
    }

    /// How long events had better gather before the next transaction.
    pub(super) fn rest(&self, most: Duration) -> Duration {
        let late = Duration::from_nanos(self.late.load(Ordering::Relaxed));
        (late.saturating_sub(GRAIN) * REST_TIMES).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_tasks_are_the_longer_events_gather() {
        let (strain, most) = (Strain::default(), Duration::from_millis(100));
        let rest_after = |late: Duration| {
            for _ in 0..10 * LOOKS {
                strain.note(late);
            }
            strain.rest(most)
        };
        assert_eq!(rest_after(GRAIN), Duration::ZERO);
        let some = rest_after(GRAIN + most / (2 * REST_TIMES));
        assert!(Duration::ZERO < some && some < most, "{some:?}");
        assert_eq!(rest_after(100 * GRAIN), most);
        assert_eq!(rest_after(Duration::ZERO), Duration::ZERO);
    }

    #[tokio::test]
    async fn cores_that_have_no_time_make_tasks_late() {
        let strain = Strain::default();
        let busy = async {
            while strain.rest(Duration::MAX).is_zero() {
                // Holds up all that runs on this thread, longer than a look takes.
                std::thread::sleep(3 * TICK);
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = busy => {}
            never = strain.watch() => match never {},
            () = tokio::time::sleep(Duration::from_secs(30)) => panic!("nothing was seen"),
        }
    }
}
