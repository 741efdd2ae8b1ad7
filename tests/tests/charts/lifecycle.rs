//! The charts on a real API server, each test with a control plane of its own: the webhook of an operator that does not
//! run would refuse the objects of other tests.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use novacrm_tests::cluster::{ControlPlane, PATIENCE, eventually};
use novacrm_tests::system::{programs, repository};
use serde_json::{Value, json};

use crate::helm::{Helm, NAMESPACE, RELEASE, documents, object};

const OPERATOR: &str = "charts/novacrm-operator";
const CRDS: &str = "charts/novacrm-crds";
/// The charts as they were released last.
const BASELINE_OPERATOR: &str = "charts/baseline/novacrm-operator-0.0.1.tgz";
const BASELINE_CRDS: &str = "charts/baseline/novacrm-crds-0.0.1.tgz";
const BASELINE_VERSION: &str = "0.0.1";
const DEFINITIONS: [&str; 2] = ["compliancepolicies.novacrm.io", "crmtenants.novacrm.io"];
/// The field manager that the operator applies `caBundle` with.
const CA_MANAGER: &str = "novacrm-operator/webhook-ca";

struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    fn of(plane: &ControlPlane) -> Self {
        Self { program: plane.kubectl(), kubeconfig: plane.kubeconfig() }
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(&self.program)
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .current_dir(repository())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        self.ok_with(arguments, "")
    }

    fn ok_with(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(
            output.status.success(),
            "kubectl {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(!output.status.success(), "kubectl {} went well", arguments.join(" "));
        String::from_utf8(output.stderr).unwrap()
    }

    fn get(&self, what: &[&str]) -> Value {
        let text = self.ok(&[&["get", "--output", "json"], what].concat());
        serde_json::from_str(&text).unwrap()
    }

    fn names(&self, what: &[&str]) -> Vec<String> {
        let text = self.ok(&[&["get", "--output", "name"], what].concat());
        text.lines().map(str::to_owned).collect()
    }

    /// Every object of the kinds, with its uid: made anew, it would be another.
    fn objects_of_ours(&self) -> Vec<(String, String)> {
        let found = self.get(&["novacrm", "--all-namespaces"]);
        let items = found["items"].as_array().unwrap().iter();
        items
            .map(|item| {
                let metadata = &item["metadata"];
                let name = format!("{} {}/{}", item["kind"], metadata["namespace"], metadata["name"]);
                (name, metadata["uid"].to_string())
            })
            .collect()
    }

    fn ca_bundle(&self) -> Value {
        let configuration = self.get(&["validatingwebhookconfiguration", RELEASE]);
        configuration["webhooks"][0]["clientConfig"]["caBundle"].clone()
    }

    /// The definition as it is served, with the defaults that the server adds.
    fn definition_is(&self, name: &str, wanted: &Value) {
        let live = self.get(&["customresourcedefinition", name]);
        for (version, wanted) in live["spec"]["versions"]
            .as_array()
            .unwrap()
            .iter()
            .zip(wanted["spec"]["versions"].as_array().unwrap())
        {
            assert_eq!(text(&version["schema"]), text(&wanted["schema"]), "{name}");
        }
    }
}

/// A schema as text; numbers as the server writes them.
fn text(value: &Value) -> String {
    value.to_string().replace(".0,", ",").replace(".0}", "}")
}

/// A certificate for a bundle. Nobody presents it: what matters is who owns the field.
fn certificate() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let made = rcgen::CertificateParams::new(vec!["novacrm-operator".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, made.pem())
}

async fn the_charts_live(generation: &str) {
    let plane = ControlPlane::start().await.unwrap();
    let helm = Helm::new(generation).on(&plane.kubeconfig());
    let kubectl = Kubectl::of(&plane);

    // Pods that do not meet the restricted standard are refused here.
    kubectl.ok_with(&["create", "--filename", "-"], &json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": NAMESPACE, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } },
    }).to_string());
    kubectl.ok(&["create", "namespace", "acme"]);

    // The release before. Without its webhook at first, which nobody would answer here.
    helm.ok(&["install", "novacrm-crds", BASELINE_CRDS, "--namespace", NAMESPACE]);
    helm.ok(&[
        "install",
        RELEASE,
        BASELINE_OPERATOR,
        "--namespace",
        NAMESPACE,
        "--set",
        "webhook.enabled=false",
    ]);
    for name in DEFINITIONS {
        kubectl.ok(&["wait", "--for=condition=Established", "--timeout=60s", "crd", name]);
    }
    kubectl.ok(&["apply", "--server-side", "--recursive", "--filename", "examples/quickstart"]);
    let ours = kubectl.objects_of_ours();
    assert_eq!(ours.len(), 3);
    // Without values, Helm would take those of the release before.
    helm.ok(&["upgrade", RELEASE, BASELINE_OPERATOR, "--namespace", NAMESPACE, "--reset-values"]);
    the_pods_are_admitted(&kubectl).await;

    // The operator gives the webhook its certificate; the upgrade leaves it.
    let bundle = certificate();
    let applied = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": RELEASE },
        "webhooks": [{
            "name": "validate.novacrm.io", "clientConfig": { "caBundle": bundle },
            "admissionReviewVersions": ["v1"], "sideEffects": "None",
        }],
    });
    let manager = format!("--field-manager={CA_MANAGER}");
    kubectl.ok_with(&["apply", "--server-side", &manager, "--filename", "-"], &applied.to_string());
    assert_eq!(kubectl.ca_bundle(), bundle);

    helm.ok(&["upgrade", "novacrm-crds", CRDS, "--namespace", NAMESPACE]);
    helm.ok(&["upgrade", RELEASE, OPERATOR, "--namespace", NAMESPACE]);
    assert_eq!(kubectl.ca_bundle(), bundle);
    let rendered = helm.objects(CRDS, &[]);
    for name in DEFINITIONS {
        kubectl.definition_is(name, object(&rendered, "CustomResourceDefinition", name));
        let live = kubectl.get(&["customresourcedefinition", name]);
        let version = &live["metadata"]["labels"]["app.kubernetes.io/version"];
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
        assert_ne!(version, BASELINE_VERSION);
    }
    assert_eq!(kubectl.objects_of_ours(), ours);
    the_pods_are_admitted(&kubectl).await;

    // Argo CD applies what the chart renders, by force, and again. Not the namespace, which outlives this step and
    // which Helm 4 takes from no other owner.
    let manifests = helm.render(OPERATOR, &["--set", "policyNamespace.create=false"]);
    for _ in 0..2 {
        let arguments = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=argocd-controller",
            "--filename",
            "-",
        ];
        kubectl.ok_with(&arguments, &manifests);
        assert_eq!(kubectl.ca_bundle(), bundle);
    }
    a_dead_operator_blocks_only_our_kinds(&kubectl);

    // What people made stays, and nothing that stands in their way.
    let ours = kubectl.objects_of_ours();
    helm.ok(&["uninstall", RELEASE, "--namespace", NAMESPACE]);
    assert_eq!(kubectl.names(&["validatingwebhookconfiguration"]), Vec::<String>::new());
    let owned = "app.kubernetes.io/instance=novacrm-operator";
    for kinds in [
        "deployments,services,networkpolicies,poddisruptionbudgets,roles,rolebindings",
        "clusterroles,clusterrolebindings",
    ] {
        assert_eq!(kubectl.names(&[kinds, "--all-namespaces", "--selector", owned]), Vec::<String>::new());
    }
    assert_eq!(kubectl.names(&["namespace", "novacrm-policies"]), ["namespace/novacrm-policies"]);
    helm.ok(&["uninstall", "novacrm-crds", "--namespace", NAMESPACE]);
    assert_eq!(kubectl.objects_of_ours(), ours);

    // Another release takes over what stayed, when it is told to, and is upgraded as usual.
    for (release, chart) in [("kinds", CRDS), ("governance", OPERATOR)] {
        let install = ["install", release, chart, "--namespace", NAMESPACE];
        let said = helm.refused(&install);
        assert!(said.contains("invalid ownership metadata"), "{said}");
        helm.ok(&[install.as_slice(), &["--take-ownership"]].concat());
        helm.ok(&["upgrade", release, chart, "--namespace", NAMESPACE]);
    }
    assert_eq!(kubectl.objects_of_ours(), ours);
    helm.ok(&["uninstall", "governance", "kinds", "--namespace", NAMESPACE]);
    assert_eq!(kubectl.objects_of_ours(), ours);

    // What stayed goes when it is asked to, though no operator runs.
    for kind in ["crmtenants", "compliancepolicies"] {
        kubectl.ok(&["delete", kind, "--all", "--all-namespaces", "--timeout=60s"]);
    }
    kubectl.ok(&["delete", "crd", DEFINITIONS[0], DEFINITIONS[1], "--timeout=60s"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_helm_4_the_charts_are_installed_upgraded_uninstalled_and_taken_over() {
    the_charts_live("helm").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_helm_3_the_charts_are_installed_upgraded_uninstalled_and_taken_over() {
    the_charts_live("helm3").await;
}

/// The controllers make the pods; no node is here to run them.
async fn the_pods_are_admitted(kubectl: &Kubectl) {
    eventually(PATIENCE, || async {
        let deployment = kubectl.get(&["deployment", RELEASE, "--namespace", NAMESPACE]);
        let status = &deployment["status"];
        let seen = status["observedGeneration"] == deployment["metadata"]["generation"];
        // Two of the new template, or one above what an upgrade leaves running.
        if seen && status["updatedReplicas"].as_u64() >= Some(1) && status["replicas"].as_u64() >= Some(2) {
            Ok(())
        } else {
            Err(deployment["status"].to_string())
        }
    })
    .await
    .unwrap();
}

fn a_dead_operator_blocks_only_our_kinds(kubectl: &Kubectl) {
    let others = json!({
        "apiVersion": "v1", "kind": "List", "items": [
            { "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "other" } },
            { "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "other" } },
            { "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "other" },
              "spec": { "containers": [{ "name": "other", "image": "other" }] } },
            { "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "other" } },
        ],
    });
    kubectl.ok_with(&["create", "--namespace", "acme", "--filename", "-"], &others.to_string());
    let said = kubectl.refused(&["annotate", "crmtenant", "acme", "--namespace", "acme", "a=b"], "");
    assert!(said.contains("failed calling webhook \"validate.novacrm.io\""), "{said}");
    // Deletions are not its business.
    kubectl.ok(&["delete", "compliancepolicy", "acme-customer-data", "--namespace", "acme", "--timeout=60s"]);
}

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

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_rights_suffice_for_a_tenant_and_end_where_they_should() {
    let plane = ControlPlane::start().await.unwrap();
    let helm = Helm::new("helm").on(&plane.kubeconfig());
    let admin = Kubectl::of(&plane);
    let (rules, tenant) = tenant_objects();
    for namespace in ["acme", "other"] {
        admin.ok(&["create", "namespace", namespace]);
    }
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
    assert!(may("get", "secrets", NAMESPACE) && !may("list", "secrets", NAMESPACE));
    assert!(may("watch", "namespaces/acme", "other") && !may("watch", "namespaces/other", "other"));
}
