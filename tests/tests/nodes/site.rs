//! A cluster in; the charts, a database server and the quickstart's tenant in it out, as a platform team makes them.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use novacrm_tests::cluster::eventually;
use novacrm_tests::system::{Api, repository};
use rand::distr::{Alphanumeric, SampleString};
use serde_json::{Value, json};

use crate::helm::{Helm, NAMESPACE, RELEASE, documents};
use crate::kubectl::Kubectl;

/// How long pods may take on a busy machine of two cores before they count as never.
pub const PATIENCE: Duration = Duration::from_secs(240);
/// The tenant of the quickstart, and its namespace.
pub const TENANT: &str = "acme";
/// Who logs in.
const ADMINISTRATOR: &str = "admin@acme.example";
/// Namespace of the database server.
pub const DATABASES: &str = "databases";
/// The policy that the tests change.
pub const POLICY: &str = "acme-customer-data";

/// A cluster with NovaCRM on it.
pub struct Site {
    pub kubectl: Kubectl,
    pub helm: Helm,
}

impl Site {
    /// Installs the charts and a PostgreSQL server, and waits until the operator answers.
    pub async fn install(operators: usize) -> Self {
        Self::install_on(operators, "{}").await
    }

    /// The same, with the source of the server's data volume: an `emptyDir`.
    pub async fn install_on(operators: usize, volume: &str) -> Self {
        let kubectl = Kubectl::of_environment();
        let helm = Helm::new("helm").on(&kubectl.kubeconfig);
        let site = Self { kubectl, helm };
        for namespace in [NAMESPACE, DATABASES] {
            site.namespace(namespace);
        }
        site.helm.ok(&["install", "novacrm-crds", "charts/novacrm-crds", "--namespace", NAMESPACE]);
        site.helm.ok(&[
            "install",
            RELEASE,
            "charts/novacrm-operator",
            "--namespace",
            NAMESPACE,
            "--set",
            &format!("replicaCount={operators}"),
        ]);
        site.database_server("default", DATABASES, volume);
        site.rolled_out(DATABASES, "postgres");
        site.rolled_out(NAMESPACE, RELEASE);
        site
    }

    /// Makes a namespace that admits only pods of the restricted standard.
    pub fn namespace(&self, name: &str) {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": name, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } },
        });
        self.apply(&namespace);
    }

    /// Runs PostgreSQL in a namespace and names it to the operator.
    fn database_server(&self, name: &str, namespace: &str, volume: &str) {
        let password = Alphanumeric.sample_string(&mut rand::rng(), 24);
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": "postgres", "namespace": namespace },
            "stringData": { "password": password },
        }));
        let manifests =
            std::fs::read_to_string(repository().join("tests/tests/nodes/postgres.yaml")).unwrap();
        let manifests = manifests.replace("emptyDir: {}", &format!("emptyDir: {volume}"));
        self.kubectl.ok_with(&["apply", "--namespace", namespace, "--filename", "-"], &manifests);
        self.name_server(
            name,
            &format!("postgres://postgres:{password}@postgres.{namespace}.svc:5432/postgres"),
        );
    }

    /// Names a PostgreSQL server to the operator.
    pub fn name_server(&self, name: &str, url: &str) {
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {
                "name": name, "namespace": NAMESPACE,
                "labels": { "novacrm.io/database-server": "true" },
            },
            "stringData": { "url": url },
        }));
    }

    /// Applies the quickstart with so many replicas of engine and API.
    pub async fn quickstart(&self, replicas: usize) {
        self.quickstart_with(|tenant| {
            for part in ["engine", "api"] {
                tenant["spec"][part] = json!({ "replicas": replicas });
            }
        })
        .await;
    }

    /// Applies the quickstart with a tenant that was changed.
    pub async fn quickstart_with(&self, change: impl Fn(&mut Value)) {
        self.namespace(TENANT);
        for mut object in quickstart() {
            if object["kind"] == "CrmTenant" {
                change(&mut object);
            }
            // The webhook's certificate may not have reached the API server yet.
            self.admitted(&object).await;
        }
        self.tenant_is_ready(TENANT);
    }

    /// Applies an object, by force as GitOps tools do.
    pub fn apply(&self, object: &Value) {
        self.kubectl.ok_with(&APPLY, &object.to_string());
    }

    /// Applies an object as soon as the webhook answers.
    async fn admitted(&self, object: &Value) {
        let applied = eventually(PATIENCE, || async {
            let output = self.kubectl.run(&APPLY, &object.to_string());
            if output.status.success() {
                return Ok(());
            }
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        });
        applied.await.unwrap();
    }

    /// Waits until a Deployment has rolled out.
    pub fn rolled_out(&self, namespace: &str, deployment: &str) {
        let timeout = format!("--timeout={}s", PATIENCE.as_secs());
        let name = format!("deployment/{deployment}");
        let output = self.kubectl.run(&["rollout", "status", "--namespace", namespace, &timeout, &name], "");
        assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), self.pods());
    }

    /// Waits until a tenant is Ready.
    pub fn tenant_is_ready(&self, tenant: &str) {
        self.ready(&["--namespace", tenant, &format!("crmtenant/{tenant}")]);
    }

    /// Waits until the quickstart's policy is enforced by every engine.
    pub fn policy_is_ready(&self) {
        self.ready(&["--namespace", TENANT, &format!("compliancepolicy/{POLICY}")]);
    }

    fn ready(&self, what: &[&str]) {
        let timeout = format!("--timeout={}s", PATIENCE.as_secs());
        let output = self.kubectl.run(&[&["wait", "--for=condition=Ready", &timeout], what].concat(), "");
        assert!(
            output.status.success(),
            "{}\n{}\n{}",
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(
                &self.kubectl.run(&[&["get", "--output=yaml"], what].concat(), "").stdout
            ),
            self.pods()
        );
    }

    /// Waits until a condition of a tenant has a reason.
    pub async fn tenant_says(&self, tenant: &str, reason: &str) {
        let said = eventually(PATIENCE, || async {
            let tenant = self.kubectl.get(&["crmtenant", tenant, "--namespace", tenant]);
            let conditions = &tenant["status"]["conditions"];
            let told = conditions.as_array().is_some_and(|all| all.iter().any(|one| one["reason"] == reason));
            if told { Ok(()) } else { Err(conditions.to_string()) }
        });
        said.await.unwrap();
    }

    /// What all pods say of themselves, for who reads why a test failed.
    fn pods(&self) -> String {
        let said = |arguments: &[&str]| {
            String::from_utf8_lossy(&self.kubectl.run(arguments, "").stdout).into_owned()
        };
        let mut all = said(&["get", "pods", "--all-namespaces", "--output=wide"]);
        all.push_str(&said(&["get", "events", "--all-namespaces", "--field-selector=type=Warning"]));
        all.push_str(&said(&[
            "logs",
            "--namespace",
            NAMESPACE,
            "--selector=app.kubernetes.io/name=novacrm-operator",
            "--tail=20",
        ]));
        all
    }

    /// The address of a Service's port, such as `http://10.96.0.7:8080`.
    pub fn service(&self, namespace: &str, name: &str) -> String {
        let service = self.kubectl.get(&["service", name, "--namespace", namespace]);
        let port = service["spec"]["ports"].as_array().unwrap().iter().find(|port| port["name"] == "http");
        let port = &port.unwrap_or(&service["spec"]["ports"][0])["port"];
        format!("http://{}:{port}", service["spec"]["clusterIP"].as_str().unwrap())
    }

    /// The URL of a tenant's audit log, as this process reaches the server.
    pub fn audit_log(&self, tenant: &str) -> String {
        let url = self.secret(tenant, "novacrm-database", "audit-migration-url");
        let mut url = url::Url::parse(&url).unwrap();
        let host = url.host_str().unwrap().to_owned();
        let labels: Vec<&str> = host.split('.').collect();
        if let [name, namespace, "svc", ..] = labels.as_slice() {
            let service = self.kubectl.get(&["service", name, "--namespace", namespace]);
            url.set_host(service["spec"]["clusterIP"].as_str()).unwrap();
        }
        url.into()
    }

    /// The audit log of a tenant verifies, as the engine's own program says in a pod of it.
    pub async fn audit_log_verifies(&self, tenant: &str) {
        let verified = eventually(PATIENCE, || async {
            let output = self.kubectl.run(
                &[
                    "exec",
                    "--namespace",
                    tenant,
                    "deployment/novacrm-engine",
                    "--",
                    "/novacrm-engine",
                    "audit",
                    "verify",
                ],
                "",
            );
            if output.status.success() {
                return Ok(());
            }
            Err(format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ))
        });
        verified.await.unwrap();
    }

    /// What a Secret holds under a key.
    pub fn secret(&self, namespace: &str, name: &str, key: &str) -> String {
        let secret = self.kubectl.get(&["secret", name, "--namespace", namespace]);
        String::from_utf8(STANDARD.decode(secret["data"][key].as_str().unwrap()).unwrap()).unwrap()
    }

    /// Logs in to a tenant over the Service of its API.
    pub async fn log_in(&self, tenant: &str) -> Api {
        let address = self.service(tenant, "novacrm-api");
        let password = self.secret(tenant, &format!("{tenant}-admin"), "password");
        let logged_in =
            eventually(PATIENCE, || async { Api::log_in_at(&address, ADMINISTRATOR, &password).await });
        logged_in.await.unwrap()
    }

    /// The quickstart's policy as it is stored, without what the server keeps in it.
    pub fn policy(&self) -> Value {
        let stored = self.kubectl.get(&["compliancepolicy", POLICY, "--namespace", TENANT]);
        json!({
            "apiVersion": stored["apiVersion"], "kind": stored["kind"],
            "metadata": { "name": POLICY, "namespace": TENANT },
            "spec": stored["spec"],
        })
    }

    /// Whether a pod gets requests.
    pub fn is_ready(&self, namespace: &str, pod: &str) -> bool {
        let pod = self.kubectl.get(&["pod", pod, "--namespace", namespace]);
        let conditions = pod["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True")
    }

    /// Names of the pods of a part, of those that are not ending.
    pub fn pods_of(&self, namespace: &str, part: &str) -> Vec<String> {
        let selector = format!("--selector=app.kubernetes.io/name={part}");
        let pods = self.kubectl.get(&["pods", "--namespace", namespace, &selector]);
        let pods = pods["items"].as_array().unwrap().iter();
        pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// Arguments of `kubectl` that apply what stands on its input, by force as GitOps tools do.
pub const APPLY: [&str; 5] = ["apply", "--server-side", "--force-conflicts", "--filename", "-"];

/// The objects of `examples/quickstart`.
pub fn quickstart() -> Vec<Value> {
    let mut objects = Vec::new();
    let mut open = vec![repository().join("examples/quickstart")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            let mut entries: Vec<PathBuf> = entries.collect();
            entries.sort();
            open.extend(entries);
        } else {
            objects.extend(documents(&std::fs::read_to_string(path).unwrap()));
        }
    }
    objects
}
