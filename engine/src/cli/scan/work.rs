//! In: jobs, one after the other. Out: their results in the same order, worked out on several threads, with a
//! bounded number of jobs at a time.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// The consumer wants no more: stop producing.
#[derive(Debug)]
pub(super) struct Stopped;

/// What takes results.
pub(super) trait Consumer<R, E> {
    /// Takes the next result.
    fn take(&mut self, result: R) -> Result<(), E>;
    /// Nothing is there to take right now.
    fn idle(&mut self) -> Result<(), E>;
}

/// Runs `produce`, which sends jobs, and gives the results of `work` to `consumer`. The first failure of the
/// consumer ends all, otherwise that of the producer is answered, after what came before it was consumed.
pub(super) fn in_order<J: Send, R: Send, E: Send>(
    threads: usize,
    produce: impl FnOnce(&mut dyn FnMut(J) -> Result<(), Stopped>) -> Result<(), E> + Send,
    work: impl Fn(J) -> R + Sync,
    consumer: &mut impl Consumer<R, E>,
) -> Result<(), E> {
    std::thread::scope(|scope| {
        let (jobs, queue) = sync_channel::<(u64, J)>(threads);
        let (results, finished) = sync_channel::<(u64, R)>(threads);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let (queue, results, work) = (Arc::clone(&queue), results.clone(), &work);
            scope.spawn(move || run(&queue, &results, work));
        }
        // Whoever waits for the other end must see it go away: only the threads hold these.
        drop((queue, results));
        let producer = scope.spawn(move || {
            let mut sequence = 0;
            produce(&mut |job| {
                sequence += 1;
                jobs.send((sequence - 1, job)).map_err(|_| Stopped)
            })
        });
        consume(finished, consumer)?;
        match producer.join() {
            Ok(produced) => produced,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn run<J, R>(queue: &Mutex<Receiver<(u64, J)>>, results: &SyncSender<(u64, R)>, work: &impl Fn(J) -> R) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((sequence, job)) = next else { return };
        if results.send((sequence, work(job))).is_err() {
            return;
        }
    }
}

fn consume<R, E>(finished: Receiver<(u64, R)>, consumer: &mut impl Consumer<R, E>) -> Result<(), E> {
    let mut early = BTreeMap::new();
    let mut next = 0;
    loop {
        let received = match finished.try_recv() {
            Err(TryRecvError::Empty) => {
                consumer.idle()?;
                finished.recv().map_err(|_| TryRecvError::Disconnected)
            }
            received => received,
        };
        let Ok((sequence, result)) = received else { return Ok(()) };
        early.insert(sequence, result);
        while let Some(result) = early.remove(&next) {
            next += 1;
            consumer.take(result)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Collected {
        all: Vec<u64>,
        fail_at: Option<u64>,
    }

    impl Consumer<u64, String> for Collected {
        fn take(&mut self, result: u64) -> Result<(), String> {
            self.all.push(result);
            if self.fail_at == Some(result) { Err("full".to_owned()) } else { Ok(()) }
        }

        fn idle(&mut self) -> Result<(), String> {
            Ok(())
        }
    }

    fn work(job: u64) -> u64 {
        if job.is_multiple_of(7) {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        job
    }

    #[test]
    fn results_come_in_the_order_of_their_jobs() {
        let mut collected = Collected::default();
        let produce = |send: &mut dyn FnMut(u64) -> Result<(), Stopped>| {
            (0..500).try_for_each(&mut *send).map_err(|_| "stopped".to_owned())
        };
        assert_eq!(in_order(4, produce, work, &mut collected), Ok(()));
        assert_eq!(collected.all, (0..500).collect::<Vec<_>>());
    }

    #[test]
    fn a_consumer_that_fails_ends_an_endless_producer() {
        let mut collected = Collected { fail_at: Some(20), ..Collected::default() };
        let produce = |send: &mut dyn FnMut(u64) -> Result<(), Stopped>| {
            (0..).try_for_each(&mut *send).map_err(|_| "stopped".to_owned())
        };
        assert_eq!(in_order(3, produce, work, &mut collected), Err("full".to_owned()));
        assert_eq!(collected.all.last(), Some(&20));
    }

    #[test]
    fn what_came_before_the_producer_failed_is_consumed() {
        let mut collected = Collected::default();
        let produce = |send: &mut dyn FnMut(u64) -> Result<(), Stopped>| {
            (0..10).try_for_each(&mut *send).map_err(|_| "stopped".to_owned())?;
            Err("lost".to_owned())
        };
        assert_eq!(in_order(2, produce, work, &mut collected), Err("lost".to_owned()));
        assert_eq!(collected.all.len(), 10);
    }
}
