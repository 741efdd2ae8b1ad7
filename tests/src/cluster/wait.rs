//! A condition that becomes true some time: asked again and again until it is, or until patience ends.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// First pause between two attempts; it grows to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// What was waited for did not come.
#[derive(Debug, thiserror::Error)]
#[error("not within {} s: {last}", waited.as_secs())]
pub struct Late {
    /// How long it was waited for.
    pub waited: Duration,
    /// What the last attempt said.
    pub last: String,
}

/// Tries until an attempt succeeds, and gives back what it found. An attempt says in its error what is missing.
///
/// # Errors
/// When no attempt succeeded within `deadline`; with what the last one said. An attempt that hangs is cut off.
pub async fn eventually<T, E, F>(deadline: Duration, mut attempt: impl FnMut() -> F) -> Result<T, Late>
where
    E: Display,
    F: Future<Output = Result<T, E>>,
{
    let end = Instant::now() + deadline;
    let mut pause = FIRST_PAUSE;
    let mut last = "the first attempt did not end".to_owned();
    loop {
        match tokio::time::timeout_at(end, attempt()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => return Err(Late { waited: deadline, last }),
        }
        if Instant::now() + pause >= end {
            return Err(Late { waited: deadline, last });
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_attempt_that_succeeds_ends_the_wait() {
        let mut attempts = 0;
        let found = eventually(Duration::from_secs(5), || {
            attempts += 1;
            let enough = attempts == 3;
            async move { if enough { Ok("there") } else { Err("not yet") } }
        })
        .await;
        assert_eq!(found.unwrap(), "there");
        assert_eq!(attempts, 3);
    }

    #[tokio::test]
    async fn patience_ends_with_what_was_missing() {
        let late = eventually(Duration::from_millis(30), || async { Err::<(), _>("no pod is ready") }).await;
        assert_eq!(late.unwrap_err().last, "no pod is ready");
    }

    #[tokio::test]
    async fn an_attempt_that_hangs_is_cut_off() {
        let late = eventually(Duration::from_millis(30), std::future::pending::<Result<(), String>>).await;
        assert_eq!(late.unwrap_err().last, "the first attempt did not end");
    }
}
