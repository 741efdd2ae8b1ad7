//! What the operator's account may do, asked of a real API server, and what the operator does with it.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use novacrm_tests::cluster::{AuditFilter, Cluster, ControlPlane, PATIENCE, eventually};
use novacrm_tests::system::{programs, repository};
use serde_json::{Value, json};

use crate::helm::{Helm, NAMESPACE, RELEASE, documents, grants, object};
use crate::kubectl::Kubectl;

const OPERATOR: &str = "charts/novacrm-operator";
const CRDS: &str = "charts/novacrm-crds";

/// The operator's account, from a token of it and with nothing else.
async fn account(plane: &ControlPlane) -> Kubectl {
    let cluster = plane.cluster().await.unwrap();
    let kubeconfig = cluster.kubeconfig_for_service_account(NAMESPACE, RELEASE).await.unwrap();
    // The file goes with the cluster, which goes here.
    let kept = plane.kubeconfig().with_file_name("operator.kubeconfig");
    std::fs::copy(kubeconfig, &kept).unwrap();
    Kubectl { program: plane.kubectl(), kubeconfig: kept }
}

/// All objects of the quickstart's tenant, as the operator builds them: the rules, then what is applied.
fn tenant_objects() -> (String, String) {
    let output = Command::new(programs().join("novacrm-operator"))
        .args(["render", "-f", "examples/quickstart"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = |items: Vec<Value>| json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string();
    let documents = documents(&String::from_utf8(output.stdout).unwrap());
    let (rules, applied) = documents.into_iter().partition(|object| object["kind"] == "ConfigMap");
    (list(rules), list(applied))
}

/// Every pod of a tenant meets the Pod Security Standard of its namespace. The controllers make them; no node is here to
/// run them.
async fn the_pods_are_admitted(admin: &Kubectl, tenant: &str) {
    let tenant: Value = serde_json::from_str(tenant).unwrap();
    let pods: u64 = tenant["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| match object["kind"].as_str().unwrap() {
            "Deployment" => object["spec"]["replicas"].as_u64().unwrap(),
            "Job" => 1,
            _ => 0,
        })
        .sum();
    assert!(pods >= 2);
    eventually(PATIENCE, || async {
        let made = admin.names(&["pods", "--namespace", "acme"]);
        if made.len() as u64 == pods { Ok(()) } else { Err(format!("{made:?} of {pods}")) }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_rights_suffice_for_a_tenant_and_end_where_they_should() {
    let plane = ControlPlane::start().await.unwrap();
    let helm = Helm::new("helm").on(&plane.kubeconfig());
    let admin = Kubectl::of(&plane);
    let (rules, tenant) = tenant_objects();
    for namespace in ["acme", "other"] {
        admin.ok(&["create", "namespace", namespace]);
    }
    // Pods that do not meet the restricted standard are refused here.
    admin.ok(&["label", "namespace", "acme", "pod-security.kubernetes.io/enforce=restricted"]);
    helm.ok(&["install", "novacrm-crds", CRDS, "--namespace", NAMESPACE, "--create-namespace"]);
    helm.ok(&["install", RELEASE, OPERATOR, "--namespace", NAMESPACE]);
    let operator = account(&plane).await;
    let apply = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=novacrm-operator/crmtenant",
        "--filename",
        "-",
    ];
    // A subresource is asked for by a flag; what stands behind a slash is a name.
    let may = |verb: &str, what: &str, namespace: &str| {
        let words: Vec<&str> = ["auth", "can-i", verb].into_iter().chain(what.split(' ')).collect();
        let answer = operator.run(&[words.as_slice(), &["--namespace", namespace]].concat(), "");
        answer.status.success()
    };

    // The rules of a tenant are made and replaced at the version that was read, the rest is applied.
    operator.ok_with(&["create", "--filename", "-"], &rules);
    operator.ok_with(&["replace", "--filename", "-"], &rules);
    operator.ok_with(&apply, &tenant);
    the_pods_are_admitted(&admin, &tenant).await;
    for list in [&rules, &tenant] {
        let list: Value = serde_json::from_str(list).unwrap();
        for object in list["items"].as_array().unwrap() {
            let kind = object["kind"].as_str().unwrap();
            let name = object["metadata"]["name"].as_str().unwrap();
            admin.ok(&["get", kind, name, "--namespace", "acme"]);
            operator.ok(&["delete", kind, name, "--namespace", "acme", "--wait=false"]);
        }
    }
    for (verb, what) in [
        ("watch", "namespaces"),
        ("watch", "crmtenants.novacrm.io"),
        ("patch", "crmtenants.novacrm.io --subresource=status"),
        ("patch", "compliancepolicies.novacrm.io --subresource=status"),
        ("create", "controllerrevisions.apps"),
        ("create", "events.events.k8s.io"),
        ("watch", "pods"),
        ("create", "secrets"),
    ] {
        assert!(may(verb, what, "other"), "{verb} {what}");
    }
    for (verb, what) in
        [("create", "leases.coordination.k8s.io"), ("update", "leases.coordination.k8s.io/novacrm-operator")]
    {
        assert!(may(verb, what, NAMESPACE) && !may(verb, what, "other"), "{verb} {what}");
    }
    let webhooks = "validatingwebhookconfigurations.admissionregistration.k8s.io";
    assert!(may("patch", &format!("{webhooks}/{RELEASE}"), "other"));
    for (verb, what) in [
        ("create", "pods"),
        ("create", "pods --subresource=exec"),
        ("create", "serviceaccounts --subresource=token"),
        ("get", "nodes"),
        ("create", "namespaces"),
        ("patch", "namespaces"),
        ("create", "clusterroles.rbac.authorization.k8s.io"),
        ("escalate", "roles.rbac.authorization.k8s.io"),
        ("bind", "roles.rbac.authorization.k8s.io"),
        ("patch", "customresourcedefinitions.apiextensions.k8s.io"),
        ("patch", webhooks),
        ("delete", "crmtenants.novacrm.io"),
        ("create", "crmtenants.novacrm.io"),
        ("delete", "persistentvolumeclaims"),
        ("get", "persistentvolumeclaims"),
        ("patch", "compliancepolicies.novacrm.io"),
        ("delete", "secrets"),
    ] {
        assert!(!may(verb, what, "other"), "{verb} {what}");
    }
    // A role that grants what the operator has not is refused.
    let more = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "more", "namespace": "acme" },
        "rules": [{ "apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"] }],
    });
    let said = operator.refused(&apply, &more.to_string());
    assert!(said.contains("attempting to grant RBAC permissions not currently held"), "{said}");

    // The same, when only one namespace is its business.
    helm.ok(&["upgrade", RELEASE, OPERATOR, "--namespace", NAMESPACE, "--set", "watchNamespaces={acme}"]);
    eventually(PATIENCE, || async {
        if may("list", "secrets", "other") { Err("it still may") } else { Ok(()) }
    })
    .await
    .unwrap();
    operator.ok_with(&apply, &tenant);
    for what in ["secrets", "configmaps", "pods", "crmtenants.novacrm.io", "roles.rbac.authorization.k8s.io"]
    {
        assert!(may("list", what, "acme") && !may("list", what, "other"), "{what}");
    }
    assert!(may("watch", "compliancepolicies.novacrm.io", "novacrm-policies"));
    assert!(!may("list", "secrets", "novacrm-policies"));
    assert!(may("watch", "secrets", NAMESPACE) && !may("update", "secrets", NAMESPACE));
    assert!(may("watch", "namespaces/acme", "other") && !may("watch", "namespaces/other", "other"));
}

/// Everything that tenants are made of and that is deleted when it is no longer asked for.
const PARTS: [&str; 12] = [
    "/configmaps",
    "/serviceaccounts",
    "/services",
    "apps/deployments",
    "autoscaling/horizontalpodautoscalers",
    "batch/jobs",
    "gateway.networking.k8s.io/httproutes",
    "monitoring.coreos.com/servicemonitors",
    "networking.k8s.io/ingresses",
    "networking.k8s.io/networkpolicies",
    "policy/poddisruptionbudgets",
    "rbac.authorization.k8s.io/roles",
];

/// Grants that the making of one tenant does not need, and why they are there.
const RESERVED: [(&str, &[&str], &str); 11] = [
    ("list", &["apps/replicasets"], "no engine is Ready without a node, so nobody asks whose pod it is"),
    ("delete", &PARTS, "a spec no longer asks for a part"),
    ("delete", &["rbac.authorization.k8s.io/rolebindings"], "a spec no longer asks for a part"),
    (
        "patch",
        &[
            "apps/deployments",
            "autoscaling/horizontalpodautoscalers",
            "gateway.networking.k8s.io/httproutes",
            "monitoring.coreos.com/servicemonitors",
            "networking.k8s.io/ingresses",
            "policy/poddisruptionbudgets",
            "postgresql.cnpg.io/clusters",
        ],
        "this tenant has none: no node ends its Jobs, it has one pod of each part and no address",
    ),
    ("update", &["/configmaps", "/secrets"], "rules change, certificates are renewed"),
    ("delete", &["apps/controllerrevisions"], "a policy's history is bounded"),
    ("patch", &["novacrm.io/crmtenants"], "the finalizer of a tenant whose data is to be deleted with it"),
    ("create", &["/persistentvolumeclaims"], "the last dump of such a tenant"),
    ("patch", &["events.k8s.io/events"], "an Event happens again"),
    (
        "update",
        &["novacrm.io/compliancepolicies/finalizers", "novacrm.io/crmtenants/finalizers"],
        "asked for by a check of owners that this API server does not make",
    ),
    (
        "get",
        &["admissionregistration.k8s.io/validatingwebhookconfigurations"],
        "a watch of one object that begins anew",
    ),
];

/// The operator as the chart starts it, but for addresses; it ends with this.
struct Operator {
    child: Child,
    admin: u16,
    log: tempfile::NamedTempFile,
}

impl Operator {
    fn start(objects: &[Value], account: &Kubectl) -> Self {
        let [admin, webhook] = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [admin, webhook] = [admin, webhook].map(|listener| listener.local_addr().unwrap().port());
        let deployment = object(objects, "Deployment", RELEASE);
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new(programs().join("novacrm-operator"));
        command
            .args(container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()))
            .env_clear()
            .env("KUBECONFIG", &account.kubeconfig)
            .stdin(Stdio::null())
            .stdout(log.reopen().unwrap())
            .stderr(log.reopen().unwrap());
        for variable in container["env"].as_array().unwrap() {
            let name = variable["name"].as_str().unwrap();
            let value = match name {
                "POD_NAME" => "novacrm-operator-0".to_owned(),
                "POD_NAMESPACE" => NAMESPACE.to_owned(),
                "NOVACRM_ADMIN_ADDRESS" => format!("127.0.0.1:{admin}"),
                "NOVACRM_WEBHOOK_ADDRESS" => format!("127.0.0.1:{webhook}"),
                _ => variable["value"].as_str().unwrap().to_owned(),
            };
            command.env(name, value);
        }
        Self { child: command.spawn().unwrap(), admin, log }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    async fn metrics(&self) -> String {
        let url = format!("http://127.0.0.1:{}/metrics", self.admin);
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // It fails only when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the operator with the rights that the chart gives it, until a tenant and its policies have come as far as they
/// get without a node; then compares what it asked for with what it was granted.
async fn the_operator_uses_what_it_is_granted(everywhere: bool) {
    let plane = ControlPlane::start().await.unwrap();
    let cluster = plane.cluster().await.unwrap();
    let helm = Helm::new("helm").on(&plane.kubeconfig());
    let admin = Kubectl::of(&plane);
    // Databases are one for all tests, so the tenant has a name of its own.
    let tenant = format!("rights-{}", hex::encode(rand::random::<[u8; 4]>()));
    let watched = format!("watchNamespaces={{{tenant}}}");
    let values: &[&str] = if everywhere { &[] } else { &["--set", &watched] };

    helm.ok(&["install", "novacrm-crds", CRDS, "--namespace", NAMESPACE, "--create-namespace"]);
    for namespace in [tenant.as_str(), "novacrm-policies"] {
        admin.ok(&["create", "namespace", namespace]);
    }
    for name in ["compliancepolicies.novacrm.io", "crmtenants.novacrm.io"] {
        admin.ok(&["wait", "--for=condition=Established", "--timeout=60s", "crd", name]);
    }
    // No Service leads to the operator here, so what its webhook judges is there before it.
    for file in ["tenant.yaml", "policies/acme-customer-data.yaml", "policies/organisation-baseline.yaml"] {
        let text = std::fs::read_to_string(repository().join("examples/quickstart").join(file)).unwrap();
        let text = text.replace("namespace: acme", &format!("namespace: {tenant}"));
        admin.ok_with(&["apply", "--server-side", "--filename", "-"], &text);
    }
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL: run `./task test:charts`");
    let server = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "default", "namespace": NAMESPACE, "labels": { "novacrm.io/database-server": "true" } },
        "stringData": { "url": url },
    });
    admin.ok_with(&["create", "--filename", "-"], &server.to_string());
    let install = ["install", RELEASE, OPERATOR, "--namespace", NAMESPACE, "--take-ownership"];
    helm.ok(&[install.as_slice(), values].concat());
    let account = account(&plane).await;
    let objects = helm.objects(OPERATOR, values);

    let operator = Operator::start(&objects, &account);
    let far_enough = || async {
        let ours = admin.get(&["novacrm", "--all-namespaces"]);
        let seen = ours["items"].as_array().unwrap().iter();
        let webhook = admin.get(&["validatingwebhookconfiguration", RELEASE]);
        let leases = admin.get(&["leases", "--namespace", NAMESPACE]);
        let facts = [
            ("a Job", !admin.names(&["jobs", "--namespace", &tenant]).is_empty()),
            ("an Event", !admin.names(&["events.events.k8s.io", "--namespace", &tenant]).is_empty()),
            ("conditions", seen.filter(|object| object["status"]["conditions"].is_array()).count() == 3),
            ("a caBundle", webhook["webhooks"][0]["clientConfig"]["caBundle"].is_string()),
            (
                "a Lease that was renewed",
                leases["items"].as_array().unwrap().iter().any(|lease| {
                    let spec = &lease["spec"];
                    spec["renewTime"].is_string() && spec["renewTime"] != spec["acquireTime"]
                }),
            ),
        ];
        let missing: Vec<_> = facts.iter().filter(|(_, there)| !there).map(|(what, _)| *what).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("missing: {}", missing.join(", "))) }
    };
    if let Err(late) = eventually(PATIENCE, far_enough).await {
        panic!("{late}\n{}", operator.said());
    }
    the_metrics_that_are_spoken_of_exist(&operator.metrics().await);
    drop(operator);

    let (used, refused) = asked_for(&cluster);
    assert_eq!(refused, BTreeSet::new(), "the operator asked for what it may not");
    let granted: BTreeSet<String> = objects
        .iter()
        .filter(|object| matches!(object["kind"].as_str(), Some("Role" | "ClusterRole")))
        .filter(|object| !object["metadata"]["labels"].to_string().contains("aggregate-to"))
        .flat_map(grants)
        .collect();
    let reserved: BTreeSet<String> = RESERVED
        .iter()
        .flat_map(|(verb, resources, _)| resources.iter().map(move |resource| format!("{resource} {verb}")))
        .collect();
    let stale: Vec<_> = reserved.difference(&granted).collect();
    assert_eq!(stale, Vec::<&String>::new(), "reserved, and not granted");
    let unused: Vec<_> = granted
        .difference(&used)
        .filter(|grant| !reserved.contains(*grant))
        // What is applied by the server and not there yet takes the right to create it, though the request is a patch.
        .filter(|grant| {
            let patch = grant.strip_suffix(" create").map(|resource| format!("{resource} patch"));
            !patch.is_some_and(|patch| used.contains(&patch) || reserved.contains(&patch))
        })
        .collect();
    assert_eq!(unused, Vec::<&String>::new(), "granted, and neither used nor reserved for a reason");
}

/// What the operator's account asked for, as `group/resource verb`; and what of it was refused, and where.
fn asked_for(cluster: &Cluster) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut used = BTreeSet::new();
    let mut refused = BTreeSet::new();
    for event in cluster.audit_log(&AuditFilter::service_account(NAMESPACE, RELEASE)).unwrap() {
        let Some(object) = &event.object_ref else { continue };
        let mut resource = format!("{}/{}", object.api_group, object.resource);
        if !object.subresource.is_empty() {
            resource = format!("{resource}/{}", object.subresource);
        }
        if event.code() == 403 {
            refused.insert(format!("{} {resource} in {:?} {:?}", event.verb, object.namespace, object.name));
        }
        used.insert(format!("{resource} {}", event.verb));
    }
    (used, refused)
}

/// Alerts and documentation speak of metrics that the operator has.
fn the_metrics_that_are_spoken_of_exist(scraped: &str) {
    let helm = Helm::new("helm");
    let objects = helm.objects(OPERATOR, &["--set", "metrics.prometheusRule.enabled=true"]);
    let rules = object(&objects, "PrometheusRule", RELEASE)["spec"]["groups"][0]["rules"].clone();
    let expressions = rules.as_array().unwrap().iter().map(|rule| rule["expr"].as_str().unwrap().to_owned());
    let documentation = std::fs::read_to_string(repository().join("docs/operations/observe.md")).unwrap();
    let mut named = 0;
    for text in expressions.chain([documentation]) {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for metric in words.filter(|word| word.starts_with("novacrm_operator_")) {
            named += 1;
            let family = metric.trim_end_matches("_total").trim_end_matches("_bucket");
            // Not there before the first admission, which no Service leads to the operator here.
            if family == "novacrm_operator_webhook_admissions" {
                continue;
            }
            assert!(scraped.contains(&format!("# TYPE {family} ")), "{metric} is not in\n{scraped}");
        }
    }
    assert!(named > 15, "{named}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_asks_for_nothing_that_it_may_not_and_is_granted_nothing_that_it_does_not_ask_for() {
    the_operator_uses_what_it_is_granted(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_where_it_watches_one_namespace() {
    the_operator_uses_what_it_is_granted(false).await;
}
