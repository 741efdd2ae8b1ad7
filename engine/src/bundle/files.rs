//! A folder with a bundle in; the bundle whenever it is replaced, out.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;

use super::{BUNDLE_KEY, BundleSource, Observation};

/// How often the files are looked at.
const POLL: Duration = Duration::from_millis(100);

/// Bundles from files that are replaced whole: by a rename, or by a swap of symlinks as for a mounted ConfigMap.
#[derive(Debug)]
pub struct Files {
    newest: PathBuf,
    previous: Option<PathBuf>,
    ticks: tokio::time::Interval,
    seen: Option<Stamp>,
}

/// What changes when a file is replaced.
type Stamp = (u64, u64, u64, i64, i64);

impl Files {
    /// Watches a folder and, for a process without rules, the folder of the bundle before. Call inside the runtime.
    #[must_use]
    pub fn new(dir: &Path, previous: Option<&Path>) -> Self {
        let mut ticks = tokio::time::interval(POLL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Self {
            newest: dir.join(BUNDLE_KEY),
            previous: previous.map(|dir| dir.join(BUNDLE_KEY)),
            ticks,
            seen: None,
        }
    }

    async fn look(&mut self) -> std::io::Result<Observation> {
        let meta = tokio::fs::metadata(&self.newest).await?;
        let stamp = (meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec());
        if self.seen == Some(stamp) {
            return Ok(Observation::Reached);
        }
        let bytes = tokio::fs::read(&self.newest).await?;
        self.seen = Some(stamp);
        Ok(Observation::Offered { bytes, as_of: OffsetDateTime::from(meta.modified()?) })
    }
}

#[async_trait]
impl BundleSource for Files {
    async fn next(&mut self) -> Observation {
        self.ticks.tick().await;
        let path = self.newest.display().to_string();
        self.look().await.unwrap_or_else(|error| Observation::Away(format!("{path}: {error}")))
    }

    async fn previous(&mut self) -> Option<Vec<u8>> {
        tokio::fs::read(self.previous.as_ref()?).await.ok()
    }
}
