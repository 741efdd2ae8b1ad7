//! A policy that changes arrives at every engine, and the engines decide by it.

use novacrm_tests::propagation::{Size, measure};

#[tokio::test]
async fn every_change_of_a_policy_reaches_every_engine_and_is_what_they_do() {
    let size = Size { engines: 3, policies: 4, changes: 5 };
    let outcome = measure(size, |_| ()).await.unwrap();
    assert_eq!(outcome.samples.len(), 5);
    assert_eq!(outcome.decisions, 10);
    assert!(outcome.samples.iter().all(|sample| sample.first <= sample.last), "{:?}", outcome.samples);
    // The operator measures what it was told too.
    assert!(outcome.histogram.contains(&"count 5".to_owned()), "{:?}", outcome.histogram);
}
