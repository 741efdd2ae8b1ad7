//! A limit in, whether work has reached it out: in time of a processor, so that a busy machine refuses nothing that an idle
//! one accepts.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Work of one thread, measured from its beginning. To be asked on the thread that began it.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    began: Duration,
    limit: Duration,
}

impl Effort {
    /// Begins to measure what this thread does.
    #[must_use]
    pub fn begin(limit: Duration) -> Self {
        Self { began: spent(), limit }
    }

    /// Whether this thread has worked for as long as the limit since.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        spent().saturating_sub(self.began) >= self.limit
    }
}

/// Processor time of this thread.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_counts_and_waiting_does_not() {
        let effort = Effort::begin(Duration::from_millis(30));
        std::thread::sleep(Duration::from_millis(60));
        assert!(!effort.is_spent(), "it only slept");
        let began = std::time::Instant::now();
        let mut sum = 0_u64;
        while !effort.is_spent() {
            sum = std::hint::black_box(sum.wrapping_add(1));
            assert!(began.elapsed() < Duration::from_secs(60), "it never ends");
        }
    }
}
