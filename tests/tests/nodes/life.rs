//! What a platform team does to a tenant over the years, with pods that run.

use novacrm_tests::cluster::eventually;
use serde_json::{Value, json};

use crate::load::Load;
use crate::site::{PATIENCE, Site, TENANT, quickstart};

/// People who work meanwhile.
const WORKERS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and a node of its own"]
async fn a_tenant_survives_what_is_done_to_it() {
    let site = Site::install(1).await;
    site.quickstart(2).await;
    let api = site.log_in(TENANT).await;

    // New certificates and a new database login reach pods without a request lost.
    for secret in ["novacrm-engine-tls", "novacrm-api-tls"] {
        let before = site.secret(TENANT, secret, "tls.crt");
        let load = Load::start(&api, WORKERS);
        site.kubectl.ok(&["delete", "secret", secret, "--namespace", TENANT]);
        let renewed = eventually(PATIENCE, || async {
            let secret =
                site.kubectl.run(&["get", "secret", secret, "--namespace", TENANT, "--output=json"], "");
            let made = secret.status.success() && !String::from_utf8_lossy(&secret.stdout).contains(&before);
            if made { Ok(()) } else { Err("the certificate is not renewed") }
        });
        renewed.await.unwrap();
        for part in ["novacrm-engine", "novacrm-api"] {
            site.rolled_out(TENANT, part);
        }
        site.tenant_is_ready(TENANT);
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        let told = load.stop().await;
        println!("{secret} renewed: {} answers, {} failures", told.succeeded, told.failed.len());
        told.assert_no_failure();
        told.assert_kept(&api).await;
    }

    // Suspended, nothing runs; resumed, everything is there.
    let (_, before) = api.get("/contacts?limit=200").await.unwrap();
    change(&site, &json!({ "spec": { "suspend": true } }));
    let none = eventually(PATIENCE, || async {
        let pods =
            site.kubectl.names(&["pods", "--namespace", TENANT, "--field-selector=status.phase=Running"]);
        if pods.is_empty() { Ok(()) } else { Err(format!("{pods:?}")) }
    });
    none.await.unwrap();
    change(&site, &json!({ "spec": { "suspend": false } }));
    site.tenant_is_ready(TENANT);
    let api = site.log_in(TENANT).await;
    assert_eq!(api.get("/contacts?limit=200").await.unwrap().1["data"], before["data"]);

    // Deleted and applied again, it is another tenant, which takes the data over only when it is told to.
    let tenant = site.kubectl.get(&["crmtenant", TENANT, "--namespace", TENANT]);
    let id = tenant["metadata"]["uid"].as_str().unwrap();
    site.kubectl.ok(&["delete", "crmtenant", TENANT, "--namespace", TENANT, "--timeout=120s"]);
    let mut again = quickstart().into_iter().find(|object| object["kind"] == "CrmTenant").unwrap();
    site.apply(&again);
    let foreign = eventually(PATIENCE, || async {
        let tenant = site.kubectl.get(&["crmtenant", TENANT, "--namespace", TENANT]);
        let reasons: Vec<&Value> = tenant["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| &one["reason"])
            .collect();
        if reasons.iter().any(|reason| **reason == "ForeignData") {
            Ok(())
        } else {
            Err(format!("{reasons:?}"))
        }
    });
    foreign.await.unwrap();
    again["spec"]["adoptTenantId"] = json!(id);
    site.apply(&again);
    site.tenant_is_ready(TENANT);
    let api = site.log_in(TENANT).await;
    assert_eq!(api.get("/contacts?limit=200").await.unwrap().1["data"], before["data"]);
    site.audit_log_verifies(TENANT).await;
}

fn change(site: &Site, patch: &Value) {
    let patch = patch.to_string();
    site.kubectl.ok(&[
        "patch",
        "crmtenant",
        TENANT,
        "--namespace",
        TENANT,
        "--type=merge",
        "--patch",
        &patch,
    ]);
}
