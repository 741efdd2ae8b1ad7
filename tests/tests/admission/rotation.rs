//! Certificates and authorities change while admissions go on.

use std::collections::BTreeSet;
use std::time::Instant;

use kube::Api;
use kube::api::PostParams;
use novacrm_crds::CompliancePolicy;
use novacrm_operator::admission::{Lives, PATH};
use novacrm_tests::cluster::{PATIENCE, eventually};

use super::webhook::{Bench, Replica, sound};

/// A connection of its own to a replica, by whoever is trusted now.
async fn handshake(replica: &Replica, trusted: &str) -> Result<(), String> {
    let authorities = reqwest::Certificate::from_pem_bundle(trusted.as_bytes()).map_err(|e| e.to_string())?;
    let client = reqwest::Client::builder().tls_certs_only(authorities).build().map_err(|e| e.to_string())?;
    let url = format!("https://127.0.0.1:{}{PATH}", replica.port);
    let answer = client.get(url).send().await.map_err(|error| format!("{error:?}"))?;
    // There is nothing to get; that it says so is enough.
    if answer.status() == 405 { Ok(()) } else { Err(answer.status().to_string()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_admission_is_lost_while_two_replicas_change_certificates_and_authority() {
    let bench = Bench::new("admission-rotation").await;
    let namespace = bench.namespace.name().to_owned();
    let seconds = |seconds: i64| time::Duration::seconds(seconds);
    let lives = Lives { authority: seconds(30), certificate: seconds(12), settle: seconds(2) };
    // The follower comes first: it has to wait for what the leader makes.
    let follower = bench.replica(false, lives);
    let leader = bench.replica(true, lives);
    bench.ask(&[&leader, &follower]).await;
    leader.ready().await;
    follower.ready().await;

    let policies: Api<CompliancePolicy> = Api::namespaced(bench.client.clone(), &namespace);
    let policy: CompliancePolicy = serde_json::from_value(sound(&namespace)).unwrap();
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    eventually(PATIENCE, || policies.create(&dry_run, &policy)).await.unwrap();

    let mut certificates = BTreeSet::new();
    let mut authorities = BTreeSet::new();
    let mut admissions = 0_u32;
    let started = Instant::now();
    let mut led_by_the_other = false;
    // Until the third certificate and the second authority are in use, across a change of leaders.
    while certificates.len() < 4 || authorities.len() < 2 {
        assert!(started.elapsed() < PATIENCE * 3, "{} certificates", certificates.len());
        policies
            .create(&dry_run, &policy)
            .await
            .unwrap_or_else(|error| panic!("admission {admissions} after {:?}: {error}", started.elapsed()));
        admissions += 1;
        let trusted = bench.trusted().await.unwrap();
        for replica in [&leader, &follower] {
            handshake(replica, &trusted).await.unwrap_or_else(|error| {
                panic!("handshake {admissions} after {:?}: {error}", started.elapsed())
            });
        }
        certificates.insert(bench.secret("tls.crt").await);
        authorities.insert(trusted.split_inclusive("-----END CERTIFICATE-----").next().unwrap().to_owned());
        if certificates.len() == 2 && !led_by_the_other {
            leader.leads.send_replace(false);
            follower.leads.send_replace(true);
            led_by_the_other = true;
        }
    }
    bench.end(vec![leader, follower]).await;
}
