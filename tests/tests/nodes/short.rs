//! Installed, used, upgraded: what has to work before anything else does.

use novacrm_tests::cluster::{NEXT_VERSION, eventually};
use novacrm_tests::system::{Api, french_prompt};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::helm::{NAMESPACE, RELEASE};
use crate::load::{Load, PROMPT};
use crate::push::Pushed;
use crate::scenario::{TIGHTENED, rules, tighten};
use crate::site::{APPLY, PATIENCE, POLICY, Site, TENANT};

/// People who work while the system is upgraded.
const WORKERS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a node, which `./task test:cluster` starts"]
async fn a_tenant_is_installed_used_and_upgraded() {
    let site = Site::install(2).await;
    site.quickstart(2).await;
    let api = site.log_in(TENANT).await;

    a_person_works(&api).await;
    a_pushed_policy_decides(&site, &api).await;
    a_broken_policy_is_refused(&site, &api).await;
    the_front_end_is_served(&site).await;
    site.audit_log_verifies(TENANT).await;
    an_upgrade_costs_no_request_and_no_record(&site, &api).await;
    site.audit_log_verifies(TENANT).await;
}

/// Somebody asks with a customer's data, and is told what may leave.
pub async fn a_person_works(api: &Api) {
    let (status, contacts) = api.get("/contacts?limit=5").await.unwrap();
    assert_eq!(status, StatusCode::OK, "{contacts}");
    let contact = contacts["data"][0]["id"].as_str().unwrap();
    let prompt = french_prompt();
    let body = json!({ "prompt": prompt, "contact_id": contact, "use_case": "sales-drafting" });
    let (status, verdict) = api.post("/assessments", &body).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{verdict}");
    assert!(!rules(&verdict).is_empty());
    let output = verdict["output"].as_str().unwrap();
    for secret in ["2 85 05 78 006 084", "3000 6000 0112", "ghp_a1B2"] {
        assert!(prompt.contains(secret) && !output.contains(secret), "{output}");
    }
    let (_, timeline) = api.get(&format!("/contacts/{contact}/timeline")).await.unwrap();
    assert_eq!(timeline["data"][0]["kind"], "assessment", "{timeline}");
}

/// Every engine enforces what was pushed once Flux says so.
async fn a_pushed_policy_decides(site: &Site, api: &Api) {
    let (_, verdict) = api.assess(PROMPT).await.unwrap();
    assert_eq!(verdict["action"], "mask", "{verdict}");
    let pushed = Pushed::start(site).await;
    pushed.push_and_wait(&tighten(&site.policy()), "Redact IBANs").await;
    let status = site.kubectl.get(&["compliancepolicy", POLICY, "--namespace", TENANT])["status"].clone();
    assert_eq!(status["active"]["version"], TIGHTENED, "{status}");
    assert_eq!(status["engines"]["summary"], "2/2", "{status}");
    // Connections are spread over the engines.
    for _ in 0..20 {
        let (_, verdict) = api.assess(PROMPT).await.unwrap();
        assert_eq!(verdict["action"], "redact", "{verdict}");
    }
}

async fn a_broken_policy_is_refused(site: &Site, api: &Api) {
    let mut policy = site.policy();
    policy["spec"]["version"] = json!("99.0.1");
    policy["spec"]["rules"][0]["when"] =
        json!({ "any": [{ "all": [{ "finding": { "detectors": ["pii.nothing"] } }] }] });
    let said = site.kubectl.refused(&APPLY, &policy.to_string());
    assert!(said.contains("pii.nothing") && said.contains("spec.rules[0]"), "{said}");
    let (_, verdict) = api.assess(PROMPT).await.unwrap();
    assert_eq!(verdict["action"], "redact", "the last good version goes on: {verdict}");
}

async fn the_front_end_is_served(site: &Site) {
    let answer = reqwest::get(site.service(TENANT, "novacrm-api")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let page = answer.text().await.unwrap();
    assert!(page.contains("<html"), "{page}");
}

/// Operator, engine and API change their release while people work.
async fn an_upgrade_costs_no_request_and_no_record(site: &Site, api: &Api) {
    let load = Load::start(api, WORKERS);
    upgrade(site, NEXT_VERSION).await;
    let told = load.stop().await;
    told.assert_no_failure();
    told.assert_kept(api).await;
    told.assert_recorded(&site.audit_log(TENANT)).await;
    println!("upgrade: {} answers, {} verdicts, no failure", told.succeeded, told.verdicts.len());
}

/// Upgrades the operator and what it runs, and waits until all of it is of the release.
pub async fn upgrade(site: &Site, version: &str) {
    let image = format!("image.tag={version}");
    let tenants = format!("tenants.imageVersion={version}");
    site.helm.ok(&[
        "upgrade",
        RELEASE,
        "charts/novacrm-operator",
        "--namespace",
        NAMESPACE,
        "--reuse-values",
        "--set",
        &image,
        "--set",
        &tenants,
    ]);
    site.rolled_out(NAMESPACE, RELEASE);
    let rolled = eventually(PATIENCE, || async {
        for part in ["novacrm-engine", "novacrm-api"] {
            let deployment = site.kubectl.get(&["deployment", part, "--namespace", TENANT]);
            let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
            if !image.as_str().unwrap().ends_with(&format!(":{version}")) {
                return Err(format!("{part} has the image {image}"));
            }
            has_rolled_out(&deployment)?;
        }
        Ok(())
    });
    rolled.await.unwrap();
    site.tenant_is_ready(TENANT);
}

/// What `kubectl rollout status` waits for.
fn has_rolled_out(deployment: &Value) -> Result<(), String> {
    let status = &deployment["status"];
    let wanted = &deployment["spec"]["replicas"];
    let seen = status["observedGeneration"] == deployment["metadata"]["generation"];
    let all =
        ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|count| status[count] == *wanted);
    if seen && all { Ok(()) } else { Err(status.to_string()) }
}
