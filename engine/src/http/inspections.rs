//! Whose turn it is to be inspected, and what waits.
//!
//! An inspection takes a processor for as long as its text is long, and memory of some twenty times its length. Short
//! texts and long texts therefore take turns of their own: however many long texts wait, a short one waits for short ones
//! only. Texts that come as streams share a budget of bytes.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Longest text that counts as short, in bytes.
const SHORT_BYTES: usize = 64 * 1024;
/// Streams at the same time.
const STREAMS: usize = 256;
/// What the texts of all streams may take together, in bytes.
const STREAM_BYTES: usize = 16 * 1024 * 1024;

/// The turns of an engine.
#[derive(Debug)]
pub struct Inspections {
    short: Arc<Semaphore>,
    long: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    stream_bytes: Arc<Semaphore>,
}

/// A turn, a stream or a part of the streams' budget; given back when dropped.
pub(super) type Turn = OwnedSemaphorePermit;

impl Inspections {
    /// As many short texts at the same time as there are processors, and one more to fill the gaps; one long text
    /// fewer than there are processors, and at least one.
    #[must_use]
    pub fn new(processors: usize) -> Self {
        let turns = |count: usize| Arc::new(Semaphore::new(count));
        Self {
            short: turns(processors + 1),
            long: turns(processors.saturating_sub(1).max(1)),
            streams: turns(STREAMS),
            stream_bytes: turns(STREAM_BYTES),
        }
    }

    /// Waits until a text of so many bytes may be inspected. `None` never happens while the engine runs.
    pub(super) async fn turn(&self, bytes: usize) -> Option<Turn> {
        let turns = if bytes <= SHORT_BYTES { &self.short } else { &self.long };
        Arc::clone(turns).acquire_owned().await.ok()
    }

    /// One more stream; `None` when there are too many.
    pub(super) fn stream(&self) -> Option<Turn> {
        Arc::clone(&self.streams).try_acquire_owned().ok()
    }

    /// Room for so many more bytes of a stream's text; `None` when there is none.
    pub(super) fn stream_bytes(&self, bytes: usize) -> Option<Turn> {
        let bytes = u32::try_from(bytes).ok()?;
        Arc::clone(&self.stream_bytes).try_acquire_many_owned(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_short_text_does_not_wait_for_long_ones() {
        let inspections = Inspections::new(2);
        let long = inspections.turn(1024 * 1024).await;
        assert!(long.is_some());
        let waiting = inspections.turn(1024 * 1024);
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending(), "one long text at a time on two processors");
        let short: Vec<_> = futures::future::join_all((0..3).map(|_| inspections.turn(4096))).await;
        assert!(short.iter().all(Option::is_some));
        drop(long);
        assert!(waiting.await.is_some());
    }

    #[test]
    fn streams_are_limited_by_number_and_by_bytes() {
        let inspections = Inspections::new(1);
        let streams: Vec<_> = std::iter::from_fn(|| inspections.stream()).collect();
        assert_eq!(streams.len(), STREAMS);
        let half = inspections.stream_bytes(STREAM_BYTES / 2);
        assert!(half.is_some());
        assert!(inspections.stream_bytes(STREAM_BYTES / 2 + 1).is_none());
        drop(half);
        assert!(inspections.stream_bytes(STREAM_BYTES / 2 + 1).is_some());
    }
}
