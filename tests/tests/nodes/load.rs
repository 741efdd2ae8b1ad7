//! The API of a tenant in; people who work in it all the time out, and what they were told at the end.
//!
//! Each worker writes a prompt to be assessed and reads contacts, one request after the other. What was answered with
//! success is held against what is there afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use novacrm_tests::cluster::eventually;
use novacrm_tests::system::Api;
use reqwest::StatusCode;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinHandle;

use crate::site::PATIENCE;

/// A prompt that the quickstart's policy changes.
pub const PROMPT: &str = "IBAN FR76 3000 6000 0112 3456 7890 189";
/// Pause of a worker between two requests: this machine's processors serve the cluster too.
const PAUSE: Duration = Duration::from_millis(20);

/// People at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    /// Answers to all of them so far.
    answers: Arc<AtomicUsize>,
    workers: Vec<JoinHandle<Told>>,
}

/// What the workers were told.
#[derive(Default)]
pub struct Told {
    /// Answers of success.
    pub succeeded: usize,
    /// Answers of failure and broken connections, with the moment.
    pub failed: Vec<(Instant, String)>,
    /// Verdicts that were answered.
    pub verdicts: Vec<Value>,
}

impl Load {
    /// Sends so many people to work.
    pub fn start(api: &Api, workers: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(AtomicUsize::new(0));
        let worker = |_| {
            let (api, stop, answers) = (api.clone(), Arc::clone(&stop), Arc::clone(&answers));
            tokio::spawn(async move {
                let mut told = Told::default();
                while !stop.load(Ordering::Relaxed) {
                    told.note(api.assess(PROMPT).await.map_err(|error| chain(&error)), StatusCode::CREATED);
                    tokio::time::sleep(PAUSE).await;
                    told.note(
                        api.get("/contacts?limit=5").await.map_err(|error| chain(&error)),
                        StatusCode::OK,
                    );
                    tokio::time::sleep(PAUSE).await;
                    answers.fetch_add(2, Ordering::Relaxed);
                }
                told
            })
        };
        let workers = (0..workers).map(worker).collect();
        Self { stop, answers, workers }
    }

    /// Waits until people were answered so often.
    pub async fn until(&self, answers: usize) {
        let answered = eventually(PATIENCE, || async {
            let so_far = self.answers.load(Ordering::Relaxed);
            if so_far >= answers { Ok(()) } else { Err(format!("{so_far} answers")) }
        });
        answered.await.unwrap();
    }

    /// Sends everybody home and gathers what they were told.
    pub async fn stop(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Told::default();
        for worker in self.workers {
            let told = worker.await.unwrap();
            all.succeeded += told.succeeded;
            all.failed.extend(told.failed);
            all.verdicts.extend(told.verdicts);
        }
        all
    }
}

impl Told {
    fn note(&mut self, answer: Result<(StatusCode, Value), String>, expected: StatusCode) {
        match answer {
            Ok((status, body)) if status == expected => {
                self.succeeded += 1;
                if expected == StatusCode::CREATED {
                    self.verdicts.push(body);
                }
            }
            Ok((status, body)) => self.failed.push((Instant::now(), format!("{status}: {body}"))),
            Err(error) => self.failed.push((Instant::now(), error)),
        }
    }

    /// Nobody was told of a failure.
    pub fn assert_no_failure(&self) {
        let failures: Vec<&str> = self.failed.iter().take(5).map(|(_, said)| said.as_str()).collect();
        assert!(failures.is_empty(), "{} of {}: {failures:#?}", self.failed.len(), self.succeeded);
        assert!(self.succeeded > 0 && !self.verdicts.is_empty(), "nobody worked");
    }

    /// Whatever was answered is there, as it was answered; each verdict was made by one bundle, whole.
    pub async fn assert_kept(&self, api: &Api) {
        let mut bundles: BTreeMap<u64, &Value> = BTreeMap::new();
        for verdict in &self.verdicts {
            let bundle = &verdict["bundle"];
            let known = bundles.entry(bundle["sequence"].as_u64().unwrap()).or_insert(bundle);
            assert_eq!(known["policies"], bundle["policies"], "two bundles of one sequence");
            let id = verdict["id"].as_str().unwrap();
            let (status, kept) = api.get(&format!("/assessments/{id}")).await.unwrap();
            assert_eq!(status, StatusCode::OK, "{id} was answered and is lost: {kept}");
            assert_eq!(kept["action"], verdict["action"], "{id}");
        }
    }

    /// Each verdict has its record in the tenant's audit log.
    pub async fn assert_recorded(&self, audit_log: &str) {
        let ids: BTreeSet<&str> =
            self.verdicts.iter().map(|verdict| verdict["audit_record_id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), self.verdicts.len(), "two verdicts have one record");
        let mut connection = PgConnection::connect(audit_log).await.unwrap();
        let ids: Vec<&str> = ids.into_iter().collect();
        let found: i64 =
            sqlx::query_scalar("SELECT count(*) FROM audit_record WHERE id = ANY($1::text[]::uuid[])")
                .bind(&ids)
                .fetch_one(&mut connection)
                .await
                .unwrap();
        connection.close().await.unwrap();
        assert_eq!(usize::try_from(found).unwrap(), ids.len(), "records that were acknowledged are lost");
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        said = format!("{said}: {one}");
        cause = one.source();
    }
    said
}
