//! Failures of one object in, how long to wait before the next attempt out: twice as long each time, up to a bound.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// First pause.
const FIRST: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(300);

/// Attempts that failed, by object.
#[derive(Debug, Default)]
pub struct Backoff(Mutex<BTreeMap<String, u32>>);

impl Backoff {
    /// Notes another failure; the pause before the next attempt.
    pub fn failed(&self, object: &str) -> Duration {
        let mut attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = attempts.entry(object.to_owned()).or_default();
        let pause = FIRST.saturating_mul(2_u32.saturating_pow(*attempt)).min(LONGEST);
        *attempt = attempt.saturating_add(1);
        // So that objects that failed together are not tried together again: up to a quarter less, by name.
        let spread =
            object.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
        pause.mul_f64(1.0 - f64::from(spread % 256) / 1024.0)
    }

    /// Forgets the failures of an object that succeeded or is gone.
    pub fn succeeded(&self, object: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_start_over_after_a_success() {
        let backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..12).map(|_| backoff.failed("a")).collect();
        assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]), "{pauses:?}");
        assert!(pauses[0] <= FIRST && pauses[11] <= LONGEST && pauses[11] > LONGEST / 2);
        backoff.succeeded("a");
        assert_eq!(backoff.failed("a"), pauses[0]);
    }
}
