//! Whether the cores are short of time, and how long the relay lets events gather for that.
//!
//! A transaction costs relay, broker and consumers about the same whatever is in it. Where cores have time to spare, small
//! ones buy latency; where they have none, small ones take it from everybody: commands, workers and the relay itself. What
//! tells is how late a task runs that was due, and not how long transactions take: those may be slow because a broker is far.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

/// Between two looks.
const TICK: Duration = Duration::from_millis(10);
/// A longer delay is one of a machine that stood still, and tells no more than this.
const LATE_MAX: Duration = Duration::from_millis(20);
/// The mean is over about so many looks.
const LOOKS: u64 = 64;
/// A task is late by a millisecond and a little where nothing else wants to run, for timers go by whole ones.
const GRAIN: Duration = Duration::from_micros(1_500);
/// A rest is so many times as long as tasks are late beyond that, up to `relay_rest_max_ms`. Found by trying: with less, cores stay
/// short of time.
const REST_TIMES: u32 = 200;

/// How late tasks run.
#[derive(Clone)]
pub(super) struct Strain {
    /// Mean, in nanoseconds.
    late: Arc<AtomicU64>,
    rest_max: Duration,
}

impl Strain {
    pub(super) fn new(rest_max: Duration) -> Self {
        Self { late: Arc::default(), rest_max }
    }

    /// Looks, in a task of its own that is not held up by what another does, until what is returned is dropped.
    pub(super) fn watch(&self) -> AbortOnDropHandle<()> {
        let strain = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let due = Instant::now() + TICK;
                sleep_until(due).await;
                strain.note(due.elapsed());
            }
        }))
    }

    fn note(&self, late: Duration) {
        let mean = self.late.load(Ordering::Relaxed);
        let late = late.min(LATE_MAX).as_nanos() as u64;
        // Beyond what the longest rest takes it would only be longer until the end of the strain is seen.
        let most = (GRAIN + self.rest_max / REST_TIMES).as_nanos() as u64;
        self.late.store((mean - mean / LOOKS + late / LOOKS).min(most), Ordering::Relaxed);
    }

    /// How long events had better gather before the next transaction, `rest_max` at most.
    pub(super) fn rest(&self) -> Duration {
        let late = Duration::from_nanos(self.late.load(Ordering::Relaxed));
        late.saturating_sub(GRAIN) * REST_TIMES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_tasks_are_the_longer_events_gather() {
        let most = Duration::from_millis(100);
        let strain = Strain::new(most);
        let rest_after = |late: Duration| {
            for _ in 0..10 * LOOKS {
                strain.note(late);
            }
            strain.rest()
        };
        assert_eq!(rest_after(GRAIN), Duration::ZERO);
        let some = rest_after(GRAIN + most / (2 * REST_TIMES));
        assert!(Duration::ZERO < some && some < most, "{some:?}");
        assert_eq!(rest_after(LATE_MAX), most);
        assert_eq!(rest_after(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn the_end_of_a_long_strain_is_seen_soon() {
        let strain = Strain::new(Duration::from_millis(20));
        (0..1_000 * LOOKS).for_each(|_| strain.note(LATE_MAX));
        assert_eq!(strain.rest(), Duration::from_millis(20));
        (0..LOOKS).for_each(|_| strain.note(GRAIN / 2));
        assert_eq!(strain.rest(), Duration::ZERO);
    }

    #[test]
    fn a_machine_that_stood_still_once_is_not_short_of_time() {
        let strain = Strain::new(Duration::from_secs(60));
        for late in [Duration::from_millis(1), Duration::from_secs(10)] {
            (0..10 * LOOKS).for_each(|_| strain.note(Duration::from_millis(1)));
            strain.note(late);
            assert_eq!(strain.rest(), Duration::ZERO);
        }
    }

    #[tokio::test]
    async fn cores_that_have_no_time_make_tasks_late() {
        let strain = Strain::new(Duration::from_millis(20));
        let _watching = strain.watch();
        let deadline = Instant::now() + Duration::from_secs(30);
        while strain.rest().is_zero() {
            assert!(Instant::now() < deadline, "nothing was seen");
            // Holds up all that runs on this thread, longer than until the next look.
            std::thread::sleep(3 * TICK);
            tokio::task::yield_now().await;
        }
    }
}
