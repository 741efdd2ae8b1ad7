//! The control plane that other tests stand on does what they rely on, and leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use novacrm_crds::CompliancePolicy;
use novacrm_tests::cluster::{AuditFilter, Cluster, ControlPlane, PATIENCE, eventually};
use novacrm_tests::system::programs;
use rustix::process::{Pid, Signal, kill_process};

async fn make_account(client: &Client, namespace: &str, name: &str) {
    let mut account = ServiceAccount::default();
    account.metadata.name = Some(name.to_owned());
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    accounts.create(&PostParams::default(), &account).await.unwrap();
}

#[tokio::test]
async fn the_kinds_may_be_applied_by_many_tests_at_once() {
    let cluster = Cluster::connect().await.unwrap();
    try_join_all((0..8).map(|_| cluster.apply_crds())).await.unwrap();
    let policies: Api<CompliancePolicy> = Api::all(cluster.client().unwrap());
    policies.list(&ListParams::default()).await.unwrap();
}

#[tokio::test]
async fn a_namespace_of_a_test_goes_with_it() {
    let cluster = Cluster::connect().await.unwrap();
    let namespaces: Api<Namespace> = Api::all(cluster.client().unwrap());
    let namespace = cluster.labelled_namespace("guard", &[("tier", "gold")]).await.unwrap();
    let name = namespace.name().to_owned();
    assert_eq!(namespaces.get(&name).await.unwrap().labels().get("tier").unwrap(), "gold");
    drop(namespace);
    eventually(PATIENCE, || async {
        match namespaces.get_opt(&name).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err("it is still there".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_service_account_may_do_nothing_that_no_role_allows_and_the_log_says_it_tried() {
    let cluster = Cluster::connect().await.unwrap();
    let namespace = cluster.namespace("audit").await.unwrap();
    make_account(&cluster.client().unwrap(), namespace.name(), "reader").await;
    let client = cluster.client_for_service_account(namespace.name(), "reader").await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, namespace.name());
    let refused = maps.list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");

    let filter = AuditFilter::service_account(namespace.name(), "reader");
    let event = eventually(PATIENCE, || async {
        let events = cluster.audit_log(&filter).map_err(|error| error.to_string())?;
        events.into_iter().next().ok_or("nothing is recorded of the account".to_owned())
    })
    .await
    .unwrap();
    assert_eq!((event.verb.as_str(), event.code(), event.is_write()), ("list", 403, false));
    assert_eq!(event.object_ref.unwrap().resource, "configmaps");
}

#[tokio::test]
async fn a_process_given_an_accounts_kubeconfig_acts_as_that_account() {
    let cluster = Cluster::connect().await.unwrap();
    let namespace = cluster.namespace("kubeconfig").await.unwrap();
    make_account(&cluster.client().unwrap(), namespace.name(), "operator").await;
    let kubeconfig = cluster.kubeconfig_for_service_account(namespace.name(), "operator").await.unwrap();
    let output = Command::new(std::env::var_os("NOVACRM_TEST_KUBECTL").unwrap())
        .args(["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", "--kubeconfig"])
        .arg(&kubeconfig)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("system:serviceaccount:{namespace}:operator"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn an_impersonated_user_is_judged_by_their_own_rights() {
    let cluster = Cluster::connect().await.unwrap();
    let namespace = cluster.namespace("as-user").await.unwrap();
    let client = cluster.client_as("clara", &["compliance"]).unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, namespace.name());
    let refused = maps.list(&ListParams::default()).await.unwrap_err();
    assert!(refused.to_string().contains("clara"), "{refused}");
}

#[tokio::test]
async fn an_api_server_that_was_killed_comes_back_with_what_it_stored() {
    let mut plane = ControlPlane::start().await.unwrap();
    let cluster = plane.cluster().await.unwrap();
    let namespace = cluster.namespace("survivor").await.unwrap();
    let namespaces: Api<Namespace> = Api::all(cluster.client().unwrap());
    plane.kill_api_server();
    assert!(namespaces.get(namespace.name()).await.is_err());
    plane.restart_api_server().await.unwrap();
    assert!(namespaces.get_opt(namespace.name()).await.unwrap().is_some());
}

/// Process ids of everything that has the folder on its command line.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy().into_owned();
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let ours = entries.filter(|entry| {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(&folder)
    });
    ours.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Starts the program with a command that says where the control plane is and then waits; ends the program by the
/// signal; nothing of it may stay.
async fn nothing_stays_after(signal: Signal) {
    let mut child = Command::new(programs().join("novacrm-test-cluster"))
        .args(["--", "sh", "-c", "dirname \"$NOVACRM_TEST_KUBECONFIG\"; exec sleep 600"])
        // This test itself runs under the program.
        .env_remove("NOVACRM_TEST_KUBECONFIG")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut folder = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut folder).unwrap();
    let folder = Path::new(folder.trim_end()).to_owned();
    assert!(processes_of(&folder).len() >= 4, "the control plane runs");
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
    child.wait().unwrap();
    eventually(PATIENCE, || async {
        let left = processes_of(&folder);
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?} are left")) }
    })
    .await
    .unwrap();
    if signal == Signal::KILL {
        // Nobody was left to remove it.
        std::fs::remove_dir_all(&folder).unwrap();
    } else {
        assert!(!folder.exists());
    }
}

#[tokio::test]
async fn nothing_stays_when_it_is_asked_to_end() {
    nothing_stays_after(Signal::TERM).await;
}

#[tokio::test]
async fn nothing_stays_when_it_is_killed() {
    nothing_stays_after(Signal::KILL).await;
}

#[test]
fn the_exit_code_is_that_of_the_command() {
    let status = Command::new(programs().join("novacrm-test-cluster"))
        .args(["--", "sh", "-c", "exit 7"])
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(7));
}
