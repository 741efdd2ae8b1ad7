//! What is pushed is what pods enforce, and Flux says so: real controllers, a real repository.

use std::time::{Duration, Instant};

use novacrm_tests::cluster::{Cluster, eventually};
use novacrm_tests::flux::{Flux, Repository, kustomization};
use novacrm_tests::system::{Api, repository};
use serde_json::{Value, json};

use crate::helm::documents;
use crate::load::PROMPT;
use crate::machine::signal_pod;
use crate::scenario::tighten;
use crate::site::{PATIENCE, POLICY, Site, TENANT};

/// Name of repository and Kustomization.
const NAME: &str = "tenants";
/// Where the policy stands in it.
const FILE: &str = "policies/acme-customer-data.yaml";
/// Pushes whose way is measured.
const PUSHES: usize = 20;

/// A cluster with Flux that applies a repository with the quickstart's policy.
pub struct Pushed {
    flux: Flux,
    files: Repository,
}

impl Pushed {
    /// Starts Flux, pushes the policy as it is, and waits until Flux says that it is enforced.
    pub async fn start(site: &Site) -> Self {
        let client = Cluster::connect().await.unwrap().client().unwrap();
        let flux = Flux::start(client, &site.kubectl.kubeconfig).await.unwrap();
        let files = flux.repository(NAME).await.unwrap();
        let example =
            std::fs::read_to_string(repository().join("examples/gitops/flux/tenants.yaml")).unwrap();
        flux.apply(&kustomization(NAME, &documents(&example)[0])).await.unwrap();
        let pushed = Self { flux, files };
        pushed.push_and_wait(&site.policy(), "The policy as it is").await;
        pushed
    }

    /// Pushes a policy. Out: the commit.
    async fn push(&self, policy: &Value, message: &str) -> String {
        self.files.write(FILE, &serde_yaml::to_string(policy).unwrap()).unwrap();
        self.files.push_all(message).await.unwrap()
    }

    /// Pushes a policy and waits until Flux says that it is enforced.
    pub async fn push_and_wait(&self, policy: &Value, message: &str) {
        let commit = self.push(policy, message).await;
        self.flux.kustomization_is(NAME, message, |ready| ready.is_healthy(&commit)).await.unwrap();
    }

    /// Waits until Flux says that a commit was refused. Out: what it says.
    async fn refused(&self, commit: &str, what: &str) -> String {
        let ready = self.flux.kustomization_is(NAME, what, |ready| ready.is_refused(commit)).await;
        ready.unwrap().message
    }
}

/// The policy in another version, with one rule for IBANs that acts otherwise.
pub fn version(policy: &Value, number: &str) -> Value {
    let mut policy = policy.clone();
    policy["spec"]["version"] = json!(number);
    policy
}

async fn action(api: &Api) -> String {
    let (_, verdict) = api.assess(PROMPT).await.unwrap();
    verdict["action"].as_str().unwrap_or_default().to_owned()
}

/// Every engine decides so: connections are spread over them.
async fn everybody_decides(api: &Api, wanted: &str) {
    for _ in 0..20 {
        assert_eq!(action(api).await, wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and a node of its own"]
async fn what_is_pushed_is_what_is_enforced() {
    let site = Site::install(1).await;
    site.quickstart(2).await;
    let api = site.log_in(TENANT).await;
    let pushed = Pushed::start(&site).await;
    let first = site.policy();
    everybody_decides(&api, "mask").await;

    // Ready means served everywhere: not while one engine has not answered.
    let engine = site.pods_of(TENANT, "novacrm-engine").swap_remove(0);
    signal_pod(&site, TENANT, &engine, true);
    let tightened = version(&tighten(&first), "1.1.0");
    let commit = pushed.push(&tightened, "Redact IBANs").await;
    let mut tried = 0;
    loop {
        let ready = pushed.flux.kustomization_is(NAME, "any", |_| true).await.unwrap();
        // A pod that is found unready gets no requests, and need not have the rules.
        if !site.is_ready(TENANT, &engine) {
            break;
        }
        assert!(!ready.is_healthy(&commit), "healthy with one engine of two: {ready:?}");
        tried += usize::from(ready.attempted == commit);
    }
    signal_pod(&site, TENANT, &engine, false);
    assert!(tried > 0, "the engine was unready before Flux had the commit");
    pushed.flux.kustomization_is(NAME, "both engines", |ready| ready.is_healthy(&commit)).await.unwrap();
    everybody_decides(&api, "redact").await;

    // A bare revert is an older version of another content: refused, with what to do instead.
    let commit = pushed.files.push_revert().await.unwrap();
    let said = pushed.refused(&commit, "a bare revert").await;
    println!("a bare revert: {said}");
    assert!(said.contains("spec.version") && said.contains("a new, higher version"), "{said}");
    everybody_decides(&api, "redact").await;

    // Going back is the old content as a new version.
    pushed.push_and_wait(&version(&first, "1.2.0"), "As before, as a new version").await;
    everybody_decides(&api, "mask").await;

    // A policy that names what there is not.
    let mut broken = version(&first, "1.3.0");
    broken["spec"]["rules"][0]["when"] =
        json!({ "any": [{ "all": [{ "finding": { "detectors": ["pii.nothing"] } }] }] });
    let commit = pushed.push(&broken, "A detector that there is not").await;
    let said = pushed.refused(&commit, "a broken policy").await;
    println!("a broken policy: {said}");
    assert!(said.contains("pii.nothing") && said.contains("spec.rules[0]"), "{said}");
    everybody_decides(&api, "mask").await;

    pushed.push_and_wait(&version(&first, "1.4.0"), "Whole again").await;
    the_way_of_a_push_is_measured(&site, &pushed, &first).await;
    pruned_it_acts_until_it_is_gone(&site, &api, &pushed).await;
}

/// From the end of a push: until Flux has the commit, until the object is changed, until every engine enforces it, until
/// Flux says so.
async fn the_way_of_a_push_is_measured(site: &Site, pushed: &Pushed, policy: &Value) {
    let mut parts: [Vec<Duration>; 4] = Default::default();
    for push in 0..PUSHES {
        let number = format!("2.{push}.0");
        let commit = pushed.push(&version(policy, &number), &number).await;
        let begun = Instant::now();
        let source = until(|| {
            let source = site.kubectl.get(&["gitrepository", NAME, "--namespace", "flux-system"]);
            source["status"]["artifact"]["revision"]
                .as_str()
                .is_some_and(|revision| revision.ends_with(&commit))
        });
        let stored = || site.kubectl.get(&["compliancepolicy", POLICY, "--namespace", TENANT]);
        let changed = until(|| stored()["spec"]["version"] == number);
        let enforced = until(|| {
            let status = stored()["status"].clone();
            status["active"]["version"] == number && status["engines"]["summary"] == "2/2"
        });
        let (source, changed, enforced) = (source.await, changed.await, enforced.await);
        let ready = pushed.flux.kustomization_is(NAME, &number, |ready| ready.is_healthy(&commit));
        ready.await.unwrap();
        for (part, at) in parts.iter_mut().zip([source, changed, enforced, Instant::now()]) {
            part.push(at.duration_since(begun));
        }
    }
    for (what, mut part) in [
        "Flux has the commit",
        "the policy is changed",
        "every engine enforces it",
        "the Kustomization is Ready",
    ]
    .into_iter()
    .zip(parts)
    {
        part.sort_unstable();
        println!(
            "{PUSHES} pushes, until {what}: median {} ms, longest {} ms",
            part[PUSHES / 2].as_millis(),
            part[PUSHES - 1].as_millis()
        );
    }
}

async fn until(holds: impl Fn() -> bool) -> Instant {
    let met = eventually(PATIENCE, || {
        let holds = tokio::task::block_in_place(&holds);
        async move { if holds { Ok(()) } else { Err("not yet") } }
    });
    met.await.unwrap();
    Instant::now()
}

/// Taken out of git, a policy acts until its object is gone, and not afterwards.
async fn pruned_it_acts_until_it_is_gone(site: &Site, api: &Api, pushed: &Pushed) {
    pushed.files.remove(FILE).unwrap();
    pushed.files.write("README.md", "Policies of ACME.\n").unwrap();
    pushed.files.push_all("Without a policy of its own").await.unwrap();
    let exists = || {
        let found = site.kubectl.run(&["get", "compliancepolicy", POLICY, "--namespace", TENANT], "");
        found.status.success()
    };
    let loosened = eventually(PATIENCE, || async {
        let decided = action(api).await;
        // Asked afterwards: what is there now was there when it was decided.
        let there = tokio::task::block_in_place(exists);
        match (decided.as_str(), there) {
            ("mask", _) => Err("it still acts".to_owned()),
            (other, true) => panic!("{other}, and the policy is still there"),
            (_, false) => Ok(()),
        }
    });
    loosened.await.unwrap();
}
