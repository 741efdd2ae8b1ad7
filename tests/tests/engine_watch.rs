//! Engines take their rules from a real Kubernetes API, with the rights the operator gives them and no others.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchParams};
use kube::{Api, Client};
use novacrm_engine::audit::{Database, Durability, MIGRATIONS};
use novacrm_engine::bundle::{BUNDLE_KEY, ConfigMaps, Files};
use novacrm_engine::server::{self, Rules};
use novacrm_engine_core::bundle::Bundle;
use novacrm_engine_core::bundle::signed::TrustedKeys;
use novacrm_operator::crm_tenant::build::{self, Resources};
use novacrm_operator::crm_tenant::generate::{Wanted, generate};
use novacrm_operator::crm_tenant::names::{BUNDLE, BUNDLE_PREVIOUS, ENGINE, ENGINE_KEYS, ENGINE_TLS};
use novacrm_operator::crm_tenant::{self, limits, names};
use novacrm_operator::signing::SigningKeys;
use novacrm_operator::{manifests, world};
use novacrm_service::serve;
use novacrm_service::tls::Identity;
use novacrm_tests::cluster::{Cluster, ControlPlane, PATIENCE, TestNamespace, eventually};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, PgPool};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A tenant as the operator builds it, in a namespace of this test.
struct Tenant {
    namespace: TestNamespace,
    cluster: Cluster,
    admin: Client,
    secrets: TempDir,
    mounted: TempDir,
    signing: SigningKeys,
    pool: PgPool,
}

impl Tenant {
    async fn new(cluster: Cluster, pool: PgPool) -> Self {
        let namespace = cluster.namespace("watch").await.unwrap();
        let admin = cluster.client().unwrap();
        let resources = built(namespace.name());
        for account in &resources.service_accounts {
            create(&admin, namespace.name(), account).await;
        }
        for role in &resources.roles {
            create(&admin, namespace.name(), role).await;
        }
        for binding in &resources.role_bindings {
            create(&admin, namespace.name(), binding).await;
        }
        let secrets = write_secrets(namespace.name());
        let now = time::OffsetDateTime::now_utc();
        let signing = SigningKeys::generate(now, &mut rand::rng()).unwrap();
        let signing = SigningKeys::read(&signing).unwrap();
        Self { namespace, cluster, admin, secrets, mounted: tempfile::tempdir().unwrap(), signing, pool }
    }

    fn name(&self) -> &str {
        self.namespace.name()
    }

    fn maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.admin.clone(), self.name())
    }

    /// Writes a bundle as the operator does.
    async fn write(&self, map: &str, bundle: &Bundle) {
        self.put(map, &self.signing.sign(&bundle.encode().unwrap()).unwrap()).await;
    }

    async fn put(&self, map: &str, bytes: &[u8]) {
        let content = BASE64_STANDARD.encode(bytes);
        let map_object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": map}, "binaryData": {BUNDLE_KEY: content}
        });
        let manager = PatchParams::apply("novacrm-tests").force();
        self.maps().patch(map, &manager, &Patch::Apply(map_object)).await.unwrap();
    }

    /// Rules that find the word and redact it.
    fn rules(&self, sequence: u64, pattern: &str) -> Bundle {
        let text = json!({"fr": "essai", "en": "test"});
        let bundle = json!({
            "format": 1, "tenant": self.name(), "sequence": sequence, "useCases": [],
            "policies": [{
                "namespace": "acme", "name": "test", "version": format!("{sequence}.0.0"),
                "owner": {"team": "tests", "contact": "tests@acme.example"},
                "enforcement": {"mode": "enforce", "failureMode": "block", "maxStalenessSeconds": STALENESS},
                "detectors": [],
                "customDetectors": [{
                    "id": "custom.word", "type": "WORD", "description": text, "pattern": pattern, "score": 0.9
                }],
                "rules": [{
                    "id": "TEST-1", "severity": "high", "riskWeight": 50, "description": text,
                    "risksCovered": ["leak"], "references": [{"law": "gdpr", "ref": "32"}],
                    "when": {"any": [{"all": [{"finding": {"detectors": ["custom.word"]}}]}]},
                    "action": {"type": "redact"}
                }]
            }]
        });
        serde_json::from_value(bundle).unwrap()
    }

    /// An engine with the operator's role for it, and with a mounted folder as a pod has it.
    async fn engine(&self) -> Running {
        let client = self.cluster.client_for_service_account(self.name(), ENGINE).await.unwrap();
        let maps = ConfigMaps::new(client, self.name(), BUNDLE, Some(BUNDLE_PREVIOUS));
        let listen = || serve::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let (listener, admin_listener) = (listen(), listen());
        let (address, admin) = (listener.local_addr().unwrap(), admin_listener.local_addr().unwrap());
        let url = self.pool.connect_options().to_url_lossy().to_string();
        let stop = CancellationToken::new();
        let settings = server::Settings {
            tenant: self.name().to_owned(),
            listener,
            admin_listener,
            tls_dir: self.secrets.path().join(ENGINE_TLS),
            keys_dir: self.secrets.path().join(ENGINE_KEYS),
            rules: Rules::ConfigMaps(Box::new(maps), Some(Files::new(self.mounted.path(), None))),
            bundle_keys: TrustedKeys::parse(&self.signing.public_lines()).unwrap(),
            database: Database::new(&url, Durability::Volatile).unwrap(),
            budget: server::BUDGET,
            recogniser: None,
        };
        let task = tokio::spawn(server::run(settings, stop.clone()));
        let peer =
            |name: &str| Identity::watch(&self.secrets.path().join(name), stop.clone()).unwrap().client();
        let (api, operator) = (peer(names::API_TLS), peer(names::OPERATOR_TLS));
        Running { address, admin, api, operator, stop, _task: task }
    }

    /// Replaces the mounted file, as the kubelet does.
    fn mount(&self, bundle: &Bundle) {
        let new = self.mounted.path().join("new");
        std::fs::write(&new, self.signing.sign(&bundle.encode().unwrap()).unwrap()).unwrap();
        std::fs::rename(new, self.mounted.path().join(BUNDLE_KEY)).unwrap();
    }
}

/// Longer than an engine needs to ask the API server again on a busy machine.
const STALENESS: u32 = 15;

struct Running {
    address: SocketAddr,
    admin: SocketAddr,
    api: reqwest::Client,
    operator: reqwest::Client,
    stop: CancellationToken,
    _task: JoinHandle<Result<(), server::ServeError>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Running {
    /// What the operator is told; `question` as in `?not=…`.
    async fn status(&self, question: &str) -> Result<Value, reqwest::Error> {
        let url = format!("https://127.0.0.1:{}/v1/bundle{question}", self.address.port());
        self.operator.get(url).send().await?.error_for_status()?.json().await
    }

    /// Waits until what the operator is told fulfils a condition.
    async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let asked = eventually(PATIENCE, || async {
            let status = self.status("").await.map_err(|error| error.to_string())?;
            if holds(&status) { Ok(status) } else { Err(format!("{what}: {status}")) }
        });
        asked.await.unwrap()
    }

    async fn until_sequence(&self, sequence: u64) -> Value {
        self.until("the sequence", |status| status["bundle"]["sequence"] == sequence).await
    }

    async fn analyze(&self, text: &str) -> Value {
        let url = format!("https://127.0.0.1:{}/v1/analyze", self.address.port());
        self.api.post(url).json(&json!({"text": text})).send().await.unwrap().json().await.unwrap()
    }

    async fn probe(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("http://{}{path}", self.admin)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

async fn create<K>(client: &Client, namespace: &str, object: &K)
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let objects: Api<K> = Api::namespaced(client.clone(), namespace);
    objects.create(&PostParams::default(), object).await.unwrap();
}

/// What the operator builds for a tenant in this namespace.
fn built(namespace: &str) -> Resources {
    let folder = tempfile::tempdir().unwrap();
    let tenant = include_str!("../../operator/tests/tenant.yaml")
        .replace("namespace: acme", &format!("namespace: {namespace}"));
    std::fs::write(folder.path().join("tenant.yaml"), tenant).unwrap();
    let files = manifests::read(folder.path()).unwrap().parse();
    let world = world::look(&world::Memory::default(), &files, "novacrm-policies", limits::defaults());
    assert_eq!(world.problems, []);
    let tenant = world.tenants[&format!("{namespace}/acme")].active.as_ref().unwrap();
    build::build_all(tenant, &build::Settings::default(), &build::Surroundings::default())
}

/// The Secrets of a tenant as folders, as they are mounted.
fn write_secrets(namespace: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let admin = novacrm_crds::SecretKeyReference { name: "admin".to_owned(), key: "password".to_owned() };
    let identity =
        crm_tenant::Identity { namespace: namespace.to_owned(), id: namespace.to_owned(), adopt: None };
    let wanted = Wanted { identity, admin: &admin, database_administrator: false };
    let now = time::OffsetDateTime::now_utc();
    let made = generate(&wanted, &Default::default(), now, &mut rand::rng()).unwrap();
    for (name, content) in &made {
        write_secret(&folder.path().join(name), content);
    }
    folder
}

fn write_secret(folder: &Path, content: &novacrm_operator::crm_tenant::generate::Content) {
    std::fs::create_dir(folder).unwrap();
    for (key, value) in content {
        std::fs::write(folder.join(key), value.as_str()).unwrap();
    }
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_change_is_enforced_a_broken_one_is_refused_and_a_deleted_one_changes_nothing(pool: PgPool) {
    let tenant = Tenant::new(Cluster::connect().await.unwrap(), pool).await;
    let [first, second] = [tenant.rules(1, "alpha"), tenant.rules(2, "beta")];
    tenant.write(BUNDLE, &first).await;
    let engine = tenant.engine().await;
    engine.until_sequence(1).await;
    let ready = || async {
        let (status, body) = engine.probe("/readyz").await;
        if status == 200 { Ok(()) } else { Err(body) }
    };
    eventually(PATIENCE, ready).await.unwrap();
    assert_eq!(engine.analyze("alpha beta").await["output"], "[WORD] beta");

    // The operator waits for what is new, and is told of a change...
    let question = format!("?not={}&refused=", first.digest());
    let (told, ()) = tokio::join!(engine.status(&question), tenant.write(BUNDLE, &second));
    let told = told.unwrap();
    assert_eq!(told["bundle"]["digest"], second.digest(), "{told}");
    assert_eq!(told["bundle"]["policies"][0]["version"], "2.0.0");
    assert!(told["since"].is_string() && told["last_contact"].is_string(), "{told}");
    assert_eq!((&told["stale"], &told["source"]), (&json!(false), &Value::Null));
    assert_eq!(engine.analyze("alpha beta").await["output"], "alpha [WORD]");

    // ... and of a refusal, which leaves the last good rules in force.
    let broken = tenant.rules(3, "(");
    let question = format!("?not={}&refused=", second.digest());
    let (told, ()) = tokio::join!(engine.status(&question), tenant.write(BUNDLE, &broken));
    let told = told.unwrap();
    assert_eq!(told["last_error"]["digest"], broken.digest(), "{told}");
    let message = told["last_error"]["message"].as_str().unwrap();
    assert!(message.starts_with("acme/test: spec.customDetectors[0].pattern: "), "{message}");
    assert_eq!(told["bundle"]["sequence"], 2);
    assert_eq!(engine.analyze("alpha beta").await["output"], "alpha [WORD]");
    assert!(engine.probe("/metrics").await.1.contains("engine_bundles_refused_total{reason=\"invalid\"} 1"));

    tenant.maps().delete(BUNDLE, &DeleteParams::default()).await.unwrap();
    engine.until("it is told", |status| status["source"]["reason"] == "missing").await;
    assert_eq!(engine.analyze("alpha beta").await["output"], "alpha [WORD]");
    tenant.write(BUNDLE, &tenant.rules(4, "alpha")).await;
    let told = engine.until_sequence(4).await;
    assert_eq!((&told["source"], &told["last_error"]), (&Value::Null, &Value::Null));
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_fresh_engine_that_cannot_use_the_newest_rules_enforces_those_before(pool: PgPool) {
    let tenant = Tenant::new(Cluster::connect().await.unwrap(), pool).await;
    tenant.write(BUNDLE_PREVIOUS, &tenant.rules(6, "alpha")).await;
    tenant.write(BUNDLE, &tenant.rules(7, "(")).await;
    let engine = tenant.engine().await;
    let told = engine.until_sequence(6).await;
    assert_eq!(told["last_error"]["digest"], tenant.rules(7, "(").digest(), "{told}");
    assert_eq!(engine.analyze("alpha beta").await["output"], "[WORD] beta");
    tenant.write(BUNDLE, &tenant.rules(8, "beta")).await;
    let told = engine.until_sequence(8).await;
    assert_eq!(told["last_error"], Value::Null);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn an_engine_may_read_its_rules_and_nothing_else(pool: PgPool) {
    let tenant = Tenant::new(Cluster::connect().await.unwrap(), pool).await;
    for name in [BUNDLE, BUNDLE_PREVIOUS, "other"] {
        tenant.write(name, &tenant.rules(1, "alpha")).await;
    }
    let client = tenant.cluster.client_for_service_account(tenant.name(), ENGINE).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), tenant.name());
    let named = |name: &str| format!("metadata.name={name}");
    maps.get(BUNDLE).await.unwrap();
    maps.get(BUNDLE_PREVIOUS).await.unwrap();
    assert_eq!(maps.list(&ListParams::default().fields(&named(BUNDLE))).await.unwrap().items.len(), 1);
    assert!(maps.watch(&WatchParams::default().fields(&named(BUNDLE)).timeout(1), "0").await.is_ok());

    let secrets: Api<Secret> = Api::namespaced(client, tenant.name());
    let refused = [
        ("another ConfigMap", maps.get("other").await.err()),
        ("all ConfigMaps", maps.list(&ListParams::default()).await.err()),
        ("a list of another", maps.list(&ListParams::default().fields(&named("other"))).await.err()),
        (
            "a list of the one before",
            maps.list(&ListParams::default().fields(&named(BUNDLE_PREVIOUS))).await.err(),
        ),
        ("a deletion", maps.delete(BUNDLE, &DeleteParams::default()).await.err()),
        ("Secrets", secrets.list(&ListParams::default()).await.err()),
    ];
    for (what, error) in refused {
        assert!(matches!(&error, Some(kube::Error::Api(status)) if status.code == 403), "{what}: {error:?}");
    }
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn without_the_api_server_the_strictest_failure_mode_holds_and_is_recorded(pool: PgPool) {
    let mut plane = ControlPlane::start().await.unwrap();
    let tenant = Tenant::new(plane.cluster().await.unwrap(), pool).await;
    tenant.write(BUNDLE, &tenant.rules(1, "alpha")).await;
    let engine = tenant.engine().await;
    engine.until_sequence(1).await;
    assert_eq!(engine.analyze("beta").await["action"], "allow");

    plane.kill_api_server();
    let told = engine.until("it is told", |status| status["source"]["reason"] == "unreachable").await;
    assert_eq!(told["stale"], false, "for a while nothing changes: {told}");
    // The kubelet may have seen newer rules.
    tenant.mount(&tenant.rules(2, "gamma"));
    engine.until_sequence(2).await;
    engine.until("the rules are stale", |status| status["stale"] == true).await;
    let decision = engine.analyze("beta").await;
    assert_eq!((&decision["action"], &decision["uninspected"]), (&json!("block"), &json!("stale_bundle")));
    let recorded: String =
        sqlx::query_scalar("SELECT convert_from(body, 'UTF8') FROM audit_record ORDER BY id DESC LIMIT 1")
            .fetch_one(&tenant.pool)
            .await
            .unwrap();
    assert!(recorded.contains("\"stale_bundle\""), "{recorded}");
    let metrics = engine.probe("/metrics").await.1;
    assert!(metrics.contains("engine_uninspected_total{reason=\"stale_bundle\"} 1"), "{metrics}");
    assert!(metrics.contains("engine_bundle_last_contact_timestamp_seconds"), "{metrics}");
    assert_eq!(engine.probe("/readyz").await.0, 200, "what refuses is served too");

    plane.restart_api_server().await.unwrap();
    engine.until("contact", |status| status["stale"] == false && status["source"].is_null()).await;
    assert_eq!(engine.analyze("beta").await["action"], "allow");
    tenant.write(BUNDLE, &tenant.rules(3, "beta")).await;
    engine.until_sequence(3).await;
    assert_eq!(engine.analyze("beta").await["output"], "[WORD]");
}
