//! What deployment tools make of a status. Helm 4 waits with kstatus, the library of Flux; it is the judge here, and
//! this test writes what a controller would.

use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use kube::api::{Patch, PatchParams};
use novacrm_crds::CompliancePolicy;
use novacrm_tests::cluster::{Cluster, PATIENCE, eventually};
use novacrm_tests::tools::go_tool;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::cases::fixture;
use crate::status::condition;

/// How long Helm waits for what must not come.
const SHORT: Duration = Duration::from_secs(8);

/// What comes of `helm upgrade --install --wait`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The release is deployed.
    Deployed,
    /// It waited until its time was over.
    Waited,
    /// It gave up at once.
    Failed,
}

/// How far the status lags behind the object.
const CURRENT: i64 = 0;
const STALE: i64 = 1;

struct Row {
    name: &'static str,
    /// `None`: the controller is silent.
    status: Option<(Option<i64>, Vec<Condition>)>,
    outcome: Outcome,
}

fn rows() -> Vec<Row> {
    let ready = || condition("Ready", "True", "Enforced");
    let not_ready = || condition("Ready", "False", "Propagating");
    let row =
        |name, lag: Option<i64>, conditions, outcome| Row { name, status: Some((lag, conditions)), outcome };
    vec![
        Row { name: "silent", status: None, outcome: Outcome::Waited },
        row("condition-only", None, vec![ready()], Outcome::Waited),
        row("stale", Some(STALE), vec![ready()], Outcome::Waited),
        row("not-ready", Some(CURRENT), vec![not_ready()], Outcome::Waited),
        row(
            "reconciling",
            Some(CURRENT),
            vec![not_ready(), condition("Reconciling", "True", "Propagating")],
            Outcome::Waited,
        ),
        row(
            "stalled",
            Some(CURRENT),
            vec![condition("Ready", "False", "Invalid"), condition("Stalled", "True", "Invalid")],
            Outcome::Failed,
        ),
        row("ready", Some(CURRENT), vec![ready()], Outcome::Deployed),
    ]
}

/// A chart with nothing in it but the object.
fn write_chart(folder: &Path, object: &Value) {
    std::fs::create_dir_all(folder.join("templates")).unwrap();
    std::fs::write(folder.join("Chart.yaml"), "apiVersion: v2\nname: policy\nversion: 1.0.0\n").unwrap();
    std::fs::write(folder.join("templates/policy.yaml"), object.to_string()).unwrap();
}

/// Installs, waits, and says what came of it and what Helm said.
async fn install(cluster: &Cluster, chart: &Path, namespace: &str, patience: Duration) -> (Outcome, String) {
    let home = chart.join(".helm");
    let started = Instant::now();
    let output = Command::new(go_tool("helm").unwrap())
        .args(["upgrade", "--install", "policy"])
        .arg(chart)
        .args(["--namespace", namespace, "--wait", "--timeout", &format!("{}s", patience.as_secs())])
        .arg("--kubeconfig")
        .arg(cluster.kubeconfig())
        .env("HELM_CACHE_HOME", home.join("cache"))
        .env("HELM_CONFIG_HOME", home.join("config"))
        .env("HELM_DATA_HOME", home.join("data"))
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let outcome = match (output.status.success(), started.elapsed() < patience) {
        (true, _) => Outcome::Deployed,
        (false, true) => Outcome::Failed,
        (false, false) => Outcome::Waited,
    };
    (outcome, said)
}

/// Writes the row's status as soon as the object is there, as a controller would.
async fn control(policies: Api<CompliancePolicy>, row: &Row) {
    let Some((lag, conditions)) = &row.status else { return };
    let policy = eventually(PATIENCE, || policies.get("sound")).await.unwrap();
    let mut status = json!({ "conditions": conditions });
    if let Some(lag) = lag {
        status["observedGeneration"] = json!(policy.metadata.generation.unwrap() - lag);
    }
    let patch = json!({
        "apiVersion": "novacrm.io/v1alpha1", "kind": "CompliancePolicy", "metadata": { "name": "sound" },
        "status": status,
    });
    let params = PatchParams::apply("novacrm-tests").force();
    policies.patch_status("sound", &params, &Patch::Apply(patch)).await.unwrap();
}

#[tokio::test]
async fn helm_waits_for_what_is_not_ready_fails_with_what_is_stalled_and_goes_on_with_what_is_ready() {
    let cluster = Cluster::connect().await.unwrap();
    cluster.apply_crds().await.unwrap();
    // Built first where it is absent, so that no row's time passes meanwhile.
    go_tool("helm").unwrap();
    let rows = rows();
    let judgements = rows.iter().map(|row| async {
        let namespace = cluster.namespace("kstatus").await.unwrap();
        let chart = tempfile::tempdir().unwrap();
        let mut object = fixture("policy");
        object["metadata"]["namespace"] = namespace.name().into();
        write_chart(chart.path(), &object);
        let policies = Api::namespaced(cluster.client().unwrap(), namespace.name());
        let patience = if row.outcome == Outcome::Waited { SHORT } else { PATIENCE };
        let installed = install(&cluster, chart.path(), namespace.name(), patience);
        let ((outcome, said), ()) = tokio::join!(installed, control(policies, row));
        assert_eq!(outcome, row.outcome, "{}: {said}", row.name);
        if outcome == Outcome::Failed {
            assert!(
                said.contains("All is well."),
                "{} is told without the condition's message: {said}",
                row.name
            );
        }
    });
    futures::future::join_all(judgements).await;
}
