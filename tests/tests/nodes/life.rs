//! What a platform team does to a tenant over the years, with pods that run.

use std::path::Path;

use novacrm_tests::cluster::{ADDRESS, eventually};
use novacrm_tests::system::programs;
use serde_json::{Value, json};

use crate::load::Load;
use crate::outside::Outside;
use crate::short::a_person_works;
use crate::site::{PATIENCE, Site, TENANT, quickstart};

/// People who work meanwhile.
const WORKERS: usize = 4;
/// What they are told before a tenant counts as used.
const ANSWERS: usize = 200;

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
    site.tenant_says(TENANT, "ForeignData").await;
    again["spec"]["adoptTenantId"] = json!(id);
    site.apply(&again);
    // The platform team confirms it.
    site.kubectl.ok(&["annotate", "namespace", TENANT, &format!("novacrm.io/adopt-tenant-id={id}")]);
    site.tenant_is_ready(TENANT);
    let api = site.log_in(TENANT).await;
    assert_eq!(api.get("/contacts?limit=200").await.unwrap().1["data"], before["data"]);
    site.audit_log_verifies(TENANT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and a node of its own"]
async fn a_tenant_that_goes_with_its_data_leaves_a_dump() {
    let site = Site::install(1).await;
    let volume = tempfile::tempdir().unwrap();
    site.namespace(TENANT);
    claim(&site, volume.path());
    site.quickstart_with(|tenant| {
        tenant["spec"]["deletionPolicy"] = json!("Delete");
        tenant["spec"]["finalDump"] = json!({ "claimName": ARCHIVE });
    })
    .await;
    let api = site.log_in(TENANT).await;
    let load = Load::start(&api, WORKERS);
    load.until(ANSWERS).await;
    let told = load.stop().await;
    told.assert_kept(&api).await;

    // Unconfirmed, it stays and is used.
    let tenant = site.kubectl.get(&["crmtenant", TENANT, "--namespace", TENANT]);
    let id = tenant["metadata"]["uid"].as_str().unwrap();
    site.kubectl.ok(&["delete", "crmtenant", TENANT, "--namespace", TENANT, "--wait=false"]);
    site.tenant_says(TENANT, "DeletionUnconfirmed").await;
    assert!(api.get("/contacts").await.unwrap().0.is_success());

    change(&site, &json!({ "metadata": { "annotations": { "novacrm.io/confirm-deletion": id } } }));
    let name = format!("crmtenant/{TENANT}");
    site.kubectl.ok(&["wait", "--for=delete", &name, "--namespace", TENANT, "--timeout=240s"]);

    // Every verdict that somebody was told is in the dump, and its log verifies without a cluster.
    let folder = volume.path().join(format!("novacrm-{id}"));
    let mut verify = std::process::Command::new(programs().join("novacrm-engine"));
    verify.args(["audit", "verify", "--from"]).arg(folder.join("audit/log"));
    verify.arg("--public-key").arg(folder.join("audit/audit-public.key"));
    let said = verify.output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    println!("{said}");
    let records: usize = said.split_whitespace().nth(1).and_then(|count| count.parse().ok()).unwrap();
    assert!(records >= told.verdicts.len(), "{said}");
    assert!(said.contains(&format!("Intact: {records} records, {records} covered")), "{said}");
    assert!(folder.join("crm/manifest.json").is_file());
    // What belonged to the tenant is collected; the Job of the dump stays with the claim, ended.
    let managed = "--selector=app.kubernetes.io/managed-by=novacrm-operator";
    let gone = eventually(PATIENCE, || async {
        let mut left = site.kubectl.names(&["secrets,deployments,services", "--namespace", TENANT, managed]);
        let running = "--field-selector=status.phase=Running";
        left.extend(site.kubectl.names(&["pods", "--namespace", TENANT, running]));
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    gone.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and a node of its own"]
async fn a_server_outside_of_the_cluster_serves_a_tenant() {
    let site = Site::install(1).await;
    let outside = Outside::start().await;
    site.name_server("outside", &outside.url);
    site.quickstart_with(|tenant| {
        tenant["spec"]["database"] =
            json!({ "type": "managed", "managed": { "serverRef": { "name": "outside" } } });
    })
    .await;
    let api = site.log_in(TENANT).await;
    a_person_works(&api).await;
    let load = Load::start(&api, WORKERS);
    load.until(ANSWERS).await;
    let told = load.stop().await;
    told.assert_no_failure();
    told.assert_kept(&api).await;
    told.assert_recorded(&site.audit_log(TENANT)).await;
    assert!(site.audit_log(TENANT).contains(&ADDRESS.to_string()), "the tenant is on another server");
    site.audit_log_verifies(TENANT).await;
}

/// The claim that the last dump is written to.
const ARCHIVE: &str = "archive";

/// A claim bound to a folder of this machine.
fn claim(site: &Site, folder: &Path) {
    let node = site.kubectl.names(&["nodes"])[0].trim_start_matches("node/").to_owned();
    let is_node = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": [node] });
    let size = json!({ "storage": "1Gi" });
    site.apply(&json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": { "name": ARCHIVE },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "capacity": size, "local": { "path": folder }, "storageClassName": "",
            "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [is_node] }] } },
        },
    }));
    site.apply(&json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": { "name": ARCHIVE, "namespace": TENANT },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": { "requests": size }, "storageClassName": "",
            "volumeName": ARCHIVE,
        },
    }));
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
