//! How often callers may come: good ones by their principal, failing ones by the address they come from.
//!
//! A good key is never refused for what others behind the same address (a proxy) do: keys have 256 random bits, so the limit
//! on failures is there to have a client with a wrong key slow down, not to hinder guessing. The invariant: memory is bounded.
//! Who was forgotten begins with a full allowance.

use std::{hash::Hash, net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use poem::{Addr, http::header, web::RemoteAddr};
use quick_cache::sync::Cache;

use super::{
    auth::Caller,
    problem::{Problem, kind},
};
use crate::config;

/// The limits of this process.
pub(crate) struct Rates {
    requests: Option<Rate<String>>,
    failures: Option<Rate<IpAddr>>,
}

impl Rates {
    pub(crate) fn new(limits: &config::Rates) -> Self {
        let max = limits.callers_max;
        Self {
            requests: limits.requests_per_second.map(|rate| Rate::new(Quota::per_second(rate), max)),
            failures: limits.failures_per_minute.map(|rate| Rate::new(Quota::per_minute(rate), max)),
        }
    }

    pub(crate) fn off() -> Self {
        Self { requests: None, failures: None }
    }

    /// Counts a request whose caller was or was not made out; one too many is refused as such.
    pub(crate) fn check(
        &self,
        identified: Result<Caller, Problem>,
        from: &RemoteAddr,
    ) -> Result<Caller, Problem> {
        match (&identified, &self.requests, &self.failures) {
            (Ok(caller), Some(requests), _) => requests
                .check(&caller.principal)
                .map_err(|late| late.problem(|rate| format!("You may send {rate} requests a second.")))?,
            (Err(problem), _, Some(failures)) if problem.kind.status == 401 => {
                failures.check(&network(from)).map_err(|late| {
                    late.problem(|rate| format!("{rate} requests a minute may come without a good key."))
                })?;
            }
            _ => {}
        }
        identified
    }
}

/// An IPv6 customer has a network of at least 64 bits; no address counts for all that come by no network.
fn network(from: &RemoteAddr) -> IpAddr {
    match from.0 {
        Addr::SocketAddr(address) => match address.ip().to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 64 << 64).into()),
            ip => ip,
        },
        _ => IpAddr::from([0; 4]),
    }
}

/// A limit for each of many.
struct Rate<K> {
    quota: Quota,
    seen: Cache<K, Arc<DefaultDirectRateLimiter>>,
    clock: DefaultClock,
}

/// One request too many.
struct Late {
    rate: NonZeroU32,
    wait: Duration,
}

impl<K: Hash + Eq + Clone> Rate<K> {
    fn new(quota: Quota, callers_max: usize) -> Self {
        Self { quota, seen: Cache::new(callers_max), clock: DefaultClock::default() }
    }

    fn check(&self, key: &K) -> Result<(), Late> {
        let limiter = self.seen.get_or_insert_with::<_, std::convert::Infallible>(key, || {
            Ok(Arc::new(RateLimiter::direct(self.quota)))
        });
        let Ok(limiter) = limiter;
        limiter.check().map_err(|until| Late {
            rate: self.quota.burst_size(),
            wait: until.wait_time_from(self.clock.now()),
        })
    }
}

impl Late {
    fn problem(self, detail: impl FnOnce(NonZeroU32) -> String) -> Problem {
        // Rounded up: who comes then is let in.
        let seconds = self.wait.as_millis().div_ceil(1_000).max(1);
        Problem::new(kind::TOO_MANY_REQUESTS, detail(self.rate))
            .header(header::RETRY_AFTER, &seconds.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_has_an_allowance_of_their_own() {
        let rate = Rate::new(Quota::per_hour(NonZeroU32::new(2).unwrap()), 100);
        assert!(rate.check(&"a").is_ok() && rate.check(&"a").is_ok());
        let late = rate.check(&"a").unwrap_err();
        assert!(late.wait > Duration::from_secs(1_700) && late.wait <= Duration::from_secs(1_800));
        assert!(rate.check(&"b").is_ok());
    }

    #[test]
    fn memory_is_bounded() {
        let rate = Rate::new(Quota::per_hour(NonZeroU32::MIN), 100);
        for caller in 0..10_000 {
            let _ = rate.check(&caller);
        }
        assert!(rate.seen.len() <= 100);
    }

    #[test]
    fn a_network_counts_as_one() {
        let network = |address: &str| network(&RemoteAddr(Addr::SocketAddr(address.parse().unwrap())));
        assert_eq!(network("[2001:db8::1]:1"), network("[2001:db8::2:3]:2"));
        assert_ne!(network("[2001:db8::1]:1"), network("[2001:db8:0:1::1]:1"));
        assert_ne!(network("10.0.0.1:1"), network("10.0.0.2:1"));
        assert_eq!(network("[::ffff:10.0.0.1]:1"), network("10.0.0.1:2"));
    }
}
