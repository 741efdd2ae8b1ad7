//! Replicas of the webhook in this process, and their configuration, for the namespace of one test.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, RuleWithOperations, ValidatingWebhook, ValidatingWebhookConfiguration,
    WebhookClientConfig,
};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use novacrm_operator::admission::{self, ClientAuthorities, Config, Lives, Lookup, Metrics, PATH, SECRET};
use novacrm_service::admin::Readiness;
use novacrm_tests::cluster::{Cluster, PATIENCE, TestNamespace, eventually};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Knows the server `default` and, once told, a second tenant.
#[derive(Clone, Default)]
pub struct Known {
    pub other_tenant: Arc<AtomicBool>,
}

impl Lookup for Known {
    fn has_database_server(&self, name: &str) -> bool {
        name == "default"
    }

    fn tenants_in(&self, _: &str) -> Vec<String> {
        if self.other_tenant.load(Ordering::Relaxed) { vec!["other".to_owned()] } else { Vec::new() }
    }
}

/// One replica.
pub struct Replica {
    pub port: u16,
    pub leads: watch::Sender<bool>,
    pub metrics: Arc<Registry>,
    readiness: Readiness,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), admission::Error>>,
}

impl Replica {
    pub fn missing(&self) -> BTreeMap<&'static str, String> {
        self.readiness.missing()
    }

    pub async fn ready(&self) {
        eventually(PATIENCE, || async {
            let missing = self.missing();
            if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) }
        })
        .await
        .unwrap();
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// A namespace whose policies and tenants are judged by replicas of its own.
pub struct Bench {
    pub cluster: Cluster,
    pub client: Client,
    pub namespace: TestNamespace,
    pub known: Known,
    /// Authorities of the callers that replicas hear; all callers when none.
    pub clients: Option<ClientAuthorities>,
    configuration: String,
}

impl Bench {
    pub async fn new(prefix: &str) -> Self {
        let cluster = Cluster::connect().await.unwrap();
        cluster.apply_crds().await.unwrap();
        let namespace = cluster.namespace(prefix).await.unwrap();
        let client = cluster.client().unwrap();
        let configuration = format!("{namespace}.novacrm.io");
        Self { cluster, client, namespace, known: Known::default(), clients: None, configuration }
    }

    /// Starts a replica; its Secret lives in the namespace of the test.
    pub fn replica(&self, leads: bool, lives: Lives) -> Replica {
        let listener = admission::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, is_leader) = watch::channel(leads);
        let mut registry = Registry::default();
        let readiness = Readiness::new(&[admission::READINESS]);
        let config = Config {
            namespace: self.namespace.name().to_owned(),
            service: "novacrm-webhook".to_owned(),
            configuration: self.configuration.clone(),
            policy_namespace: "novacrm-policies".to_owned(),
            lives,
            clients: self.clients.clone(),
            is_leader,
            readiness: readiness.clone(),
            metrics: Metrics::register(&mut registry),
        };
        let shutdown = CancellationToken::new();
        let client = self.cluster.client().unwrap();
        let serving = admission::serve(listener, config, client, self.known.clone(), shutdown.clone());
        let task = tokio::spawn(serving);
        Replica { port, leads: sender, metrics: Arc::new(registry), readiness, shutdown, task }
    }

    pub fn configurations(&self) -> Api<ValidatingWebhookConfiguration> {
        Api::all(self.client.clone())
    }

    pub async fn configuration(&self) -> ValidatingWebhookConfiguration {
        self.configurations().get(&self.configuration).await.unwrap()
    }

    /// Has the API server ask every replica, each by an entry of its own, about this namespace alone. As the chart
    /// does, it says nothing of whom to trust.
    pub async fn ask(&self, replicas: &[&Replica]) {
        let selector = LabelSelector {
            match_labels: Some(BTreeMap::from([(
                "kubernetes.io/metadata.name".to_owned(),
                self.namespace.name().to_owned(),
            )])),
            ..LabelSelector::default()
        };
        let webhook = |(index, replica): (usize, &&Replica)| ValidatingWebhook {
            name: format!("replica-{index}.webhook.novacrm.io"),
            admission_review_versions: vec!["v1".to_owned()],
            side_effects: "None".to_owned(),
            failure_policy: Some("Fail".to_owned()),
            timeout_seconds: Some(5),
            namespace_selector: Some(selector.clone()),
            rules: Some(vec![RuleWithOperations {
                api_groups: Some(vec!["novacrm.io".to_owned()]),
                api_versions: Some(vec!["v1alpha1".to_owned()]),
                operations: Some(vec!["CREATE".to_owned(), "UPDATE".to_owned()]),
                resources: Some(vec!["compliancepolicies".to_owned(), "crmtenants".to_owned()]),
                scope: Some("Namespaced".to_owned()),
            }]),
            client_config: WebhookClientConfig {
                url: Some(format!("https://127.0.0.1:{}{PATH}", replica.port)),
                ..WebhookClientConfig::default()
            },
            match_conditions: Some(match_conditions()),
            ..ValidatingWebhook::default()
        };
        let mut configuration = ValidatingWebhookConfiguration::default();
        configuration.metadata.name = Some(self.configuration.clone());
        configuration.webhooks = Some(replicas.iter().enumerate().map(webhook).collect());
        self.configurations().create(&PostParams::default(), &configuration).await.unwrap();
    }

    /// The authorities that the API server was told to trust, when all entries say the same.
    pub async fn trusted(&self) -> Result<String, String> {
        let configuration =
            self.configurations().get(&self.configuration).await.map_err(|e| e.to_string())?;
        let bundles: Vec<Option<ByteString>> =
            configuration.webhooks.into_iter().flatten().map(|one| one.client_config.ca_bundle).collect();
        match bundles.as_slice() {
            [Some(first), rest @ ..] if rest.iter().all(|one| one.as_ref() == Some(first)) => {
                String::from_utf8(first.0.clone()).map_err(|error| error.to_string())
            }
            _ => Err("an entry trusts nobody".to_owned()),
        }
    }

    /// One entry of the Secret.
    pub async fn secret(&self, key: &str) -> String {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), self.namespace.name());
        let data = secrets.get(SECRET).await.unwrap().data.unwrap();
        String::from_utf8(data[key].0.clone()).unwrap()
    }

    /// Removes the configuration, so that no test leaves the cluster with one that nobody answers.
    pub async fn end(self, replicas: Vec<Replica>) {
        self.configurations().delete(&self.configuration, &DeleteParams::default()).await.unwrap();
        for replica in replicas {
            replica.stop().await;
        }
    }
}

/// Those of the chart, which are the same whatever its values say.
fn match_conditions() -> Vec<MatchCondition> {
    let template = include_str!("../../../charts/novacrm-operator/templates/webhook.yaml");
    let (_, from) = template.split_once("    matchConditions:\n").unwrap();
    let conditions: Vec<&str> = from.lines().take_while(|line| line.starts_with("      ")).collect();
    serde_yaml::from_str(&conditions.join("\n")).unwrap()
}

/// A sound policy of a namespace.
pub fn sound(namespace: &str) -> serde_json::Value {
    let text = include_str!("../../../engine/core/testdata/policies/sound.yaml");
    let mut policy: serde_json::Value = serde_yaml::from_str(text).unwrap();
    policy["metadata"]["namespace"] = namespace.into();
    policy
}
