//! The charts on a real API server, each test with a control plane of its own: the webhook of an operator that does not
//! run would refuse the objects of other tests.

use novacrm_tests::cluster::{ControlPlane, PATIENCE, eventually};
use novacrm_tests::system::repository;
use serde_json::{Value, json};

use crate::helm::{Helm, NAMESPACE, RELEASE, object};
use crate::kubectl::Kubectl;

const OPERATOR: &str = "charts/novacrm-operator";
const CRDS: &str = "charts/novacrm-crds";
const DEFINITIONS: [&str; 2] = ["compliancepolicies.novacrm.io", "crmtenants.novacrm.io"];
/// The field manager that the operator applies `caBundle` with.
const CA_MANAGER: &str = "novacrm-operator/webhook-ca";

/// A chart as it was released last.
fn released(chart: &str) -> String {
    let folder = repository().join("charts/baseline");
    let mut packages = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let package = packages.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(chart));
    package.unwrap().to_str().unwrap().to_owned()
}

/// Every object of the kinds, with its uid: made anew, it would be another.
fn objects_of_ours(kubectl: &Kubectl) -> Vec<(String, String)> {
    let found = kubectl.get(&["novacrm", "--all-namespaces"]);
    let items = found["items"].as_array().unwrap().iter();
    items
        .map(|item| {
            let metadata = &item["metadata"];
            let name = format!("{} {}/{}", item["kind"], metadata["namespace"], metadata["name"]);
            (name, metadata["uid"].to_string())
        })
        .collect()
}

/// The bundle that the webhook's server is trusted by.
fn ca_bundle(kubectl: &Kubectl) -> Value {
    let configuration = kubectl.get(&["validatingwebhookconfiguration", RELEASE]);
    configuration["webhooks"][0]["clientConfig"]["caBundle"].clone()
}

/// The definition is served with the schema that the chart renders.
fn definition_is(kubectl: &Kubectl, name: &str, wanted: &Value) {
    let schemas = |definition: &Value| -> Vec<String> {
        let versions = definition["spec"]["versions"].as_array().unwrap();
        versions.iter().map(|version| text(&version["schema"])).collect()
    };
    assert_eq!(schemas(&kubectl.get(&["customresourcedefinition", name])), schemas(wanted), "{name}");
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

    let (released_crds, released_operator) = (released("novacrm-crds"), released("novacrm-operator"));
    // The release before. Without its webhook at first, which nobody would answer here.
    helm.ok(&["install", "novacrm-crds", &released_crds, "--namespace", NAMESPACE]);
    helm.ok(&[
        "install",
        RELEASE,
        &released_operator,
        "--namespace",
        NAMESPACE,
        "--set",
        "webhook.enabled=false",
    ]);
    for name in DEFINITIONS {
        kubectl.ok(&["wait", "--for=condition=Established", "--timeout=60s", "crd", name]);
    }
    kubectl.ok(&["apply", "--server-side", "--recursive", "--filename", "examples/quickstart"]);
    let ours = objects_of_ours(&kubectl);
    assert_eq!(ours.len(), 3);
    // Without values, Helm would take those of the release before.
    helm.ok(&["upgrade", RELEASE, &released_operator, "--namespace", NAMESPACE, "--reset-values"]);
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
    assert_eq!(ca_bundle(&kubectl), bundle);

    helm.ok(&["upgrade", "novacrm-crds", CRDS, "--namespace", NAMESPACE]);
    helm.ok(&["upgrade", RELEASE, OPERATOR, "--namespace", NAMESPACE]);
    assert_eq!(ca_bundle(&kubectl), bundle);
    let rendered = helm.objects(CRDS, &[]);
    for name in DEFINITIONS {
        definition_is(&kubectl, name, object(&rendered, "CustomResourceDefinition", name));
        let live = kubectl.get(&["customresourcedefinition", name]);
        let version = &live["metadata"]["labels"]["app.kubernetes.io/version"];
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
    }
    assert_eq!(objects_of_ours(&kubectl), ours);
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
        assert_eq!(ca_bundle(&kubectl), bundle);
    }
    a_dead_operator_blocks_only_our_kinds(&kubectl);

    // What people made stays, and nothing that stands in their way.
    let ours = objects_of_ours(&kubectl);
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
    assert_eq!(objects_of_ours(&kubectl), ours);

    // Another release takes over what stayed, when it is told to, and is upgraded as usual.
    for (release, chart) in [("kinds", CRDS), ("governance", OPERATOR)] {
        let install = ["install", release, chart, "--namespace", NAMESPACE];
        let said = helm.refused(&install);
        assert!(said.contains("invalid ownership metadata"), "{said}");
        helm.ok(&[install.as_slice(), &["--take-ownership"]].concat());
        helm.ok(&["upgrade", release, chart, "--namespace", NAMESPACE]);
    }
    assert_eq!(objects_of_ours(&kubectl), ours);
    helm.ok(&["uninstall", "governance", "kinds", "--namespace", NAMESPACE]);
    assert_eq!(objects_of_ours(&kubectl), ours);

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
    let tenant = ["crmtenant", "acme", "--namespace", "acme"];
    let change = ["--type", "merge", "--patch", r#"{"spec":{"displayName":"Another"}}"#];
    let said = kubectl.refused(&[&["patch"], tenant.as_slice(), &change].concat(), "");
    assert!(said.contains("failed calling webhook \"validate.novacrm.io\""), "{said}");
    // What concerns no spec is not asked for.
    kubectl.ok(&[&["annotate"], tenant.as_slice(), &["a=b"]].concat());
    // Deletions are not its business.
    kubectl.ok(&["delete", "compliancepolicy", "acme-customer-data", "--namespace", "acme", "--timeout=60s"]);
}
