//! How fast a policy reaches many pods, and what a tenant that nobody uses takes.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use novacrm_tests::cluster::{Cluster, eventually};
use novacrm_tests::propagation::{Following, Peer, Sample, changing_policy};
use serde_json::{Value, json};

use crate::machine::working_set;
use crate::site::{PATIENCE, Site, TENANT};

/// Engine pods of the one tenant.
const ENGINES: usize = 20;
/// Changes of the policy.
const CHANGES: usize = 200;
/// The namespace of the organisation's policies.
const ORGANISATION: &str = "novacrm-policies";
/// A whole tenant that nobody uses may take so many bytes.
const IDLE_TENANT: u64 = 64 << 20;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and a node of its own"]
async fn a_policy_reaches_twenty_engine_pods() {
    let site = Site::install(1).await;
    let resources = json!({ "requests": { "cpu": "10m", "memory": "24Mi" } });
    site.quickstart_with(|tenant| {
        tenant["spec"]["engine"] = json!({ "replicas": ENGINES, "resources": resources });
        tenant["spec"]["api"] = json!({ "replicas": 1 });
    })
    .await;
    let mut changing = changing_policy(0);
    changing["apiVersion"] = json!("novacrm.io/v1alpha1");
    changing["kind"] = json!("CompliancePolicy");
    changing["metadata"]["namespace"] = json!(ORGANISATION);
    site.apply(&changing);
    site.rolled_out(TENANT, "novacrm-engine");
    let name = changing["metadata"]["name"].as_str().unwrap();
    let enforced = eventually(PATIENCE, || async {
        let policy = site.kubectl.get(&["compliancepolicy", name, "--namespace", ORGANISATION]);
        let summary = &policy["status"]["engines"]["summary"];
        if *summary == format!("{ENGINES}/{ENGINES}") { Ok(()) } else { Err(summary.to_string()) }
    });
    enforced.await.unwrap();

    let pods = site.kubectl.get(&[
        "pods",
        "--namespace",
        TENANT,
        "--selector=app.kubernetes.io/name=novacrm-engine",
    ]);
    let addresses =
        pods["items"].as_array().unwrap().iter().map(|pod| pod["status"]["podIP"].as_str().unwrap());
    let addresses: Vec<IpAddr> = addresses.map(|address| address.parse().unwrap()).collect();
    assert_eq!(addresses.len(), ENGINES);
    let secrets = |name: &str| site.kubectl.get(&["secret", name, "--namespace", TENANT])["data"].clone();
    let identities: std::collections::BTreeMap<&str, Value> =
        ["novacrm-operator-tls", "novacrm-api-tls"].into_iter().map(|name| (name, secrets(name))).collect();
    let peers = addresses.into_iter().map(|address| {
        Peer::new(TENANT, address, |identity, file| {
            Ok(STANDARD.decode(identities[identity][file].as_str().unwrap()).unwrap())
        })
        .unwrap()
    });
    let following = Following {
        client: Cluster::connect().await.unwrap().client().unwrap(),
        organisation: ORGANISATION.to_owned(),
        tenant: TENANT.to_owned(),
        peers: peers.collect(),
    };
    let (samples, decisions) = following.changes(CHANGES, &|_: &str| {}).await.unwrap();
    println!(
        "{ENGINES} engine pods, {} changes, {decisions} decisions compared: to the first p50 {} ms, to the last p50 {} ms, \
         p99 {} ms, longest {} ms",
        samples.len(),
        quantile(&samples, |sample| sample.first, 50),
        quantile(&samples, |sample| sample.last, 50),
        quantile(&samples, |sample| sample.last, 99),
        quantile(&samples, |sample| sample.last, 100),
    );
}

/// Milliseconds that so many of a hundred samples do not exceed.
fn quantile(samples: &[Sample], what: impl Fn(&Sample) -> Duration, percent: usize) -> u128 {
    let mut times: Vec<Duration> = samples.iter().map(what).collect();
    times.sort_unstable();
    times[(times.len() * percent).div_ceil(100) - 1].as_millis()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and a node of its own"]
async fn a_tenant_that_nobody_uses_takes_little_memory() {
    let site = Site::install(1).await;
    site.quickstart(1).await;
    // Started, logged in to once, and left alone.
    site.log_in(TENANT).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let mut all = 0;
    for part in ["novacrm-engine", "novacrm-api"] {
        for pod in site.pods_of(TENANT, part) {
            let taken = working_set(&site, TENANT, &pod);
            println!("{part}: {:.1} MB", taken as f64 / 1e6);
            all += taken;
        }
    }
    println!("the tenant: {:.1} MB", all as f64 / 1e6);
    assert!(all < IDLE_TENANT, "{all} bytes");
}
