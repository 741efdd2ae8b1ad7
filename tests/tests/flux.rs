//! Flux as the tests run it: what is pushed is there, what is taken out is gone.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use novacrm_tests::cluster::{ControlPlane, PATIENCE, eventually};
use novacrm_tests::flux::{Flux, kustomization};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_is_applied_and_what_is_removed_is_pruned() {
    let plane = ControlPlane::start().await.unwrap();
    let client = plane.cluster().await.unwrap().client().unwrap();
    let flux = Flux::start(client.clone(), &plane.kubeconfig()).await.unwrap();
    let files = flux.repository("files").await.unwrap();
    let example = json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {}, "spec": { "prune": true, "wait": true, "sourceRef": { "kind": "GitRepository" } },
    });
    flux.apply(&kustomization("files", &example)).await.unwrap();
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "pushed", "namespace": "default" }, "data": { "word": "one" },
    });
    files.write("map.yaml", &map.to_string()).unwrap();
    let commit = files.push_all("One word").await.unwrap();
    flux.kustomization_is("files", "it is applied", |ready| ready.is_healthy(&commit)).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    assert_eq!(maps.get("pushed").await.unwrap().data.unwrap().get("word").unwrap(), "one");

    files.remove("map.yaml").unwrap();
    files.write("README.md", "Nothing.\n").unwrap();
    files.push_all("Nothing").await.unwrap();
    let gone = eventually(PATIENCE, || async {
        match maps.get_opt("pushed").await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err("it is still there".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    });
    gone.await.unwrap();
}
