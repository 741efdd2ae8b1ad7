//! Values in, objects out, without a cluster.

use std::collections::BTreeSet;
use std::path::Path;

use novacrm_operator::crm_tenant::names;
use novacrm_tests::system::repository;
use serde_json::{Value, json};

use crate::helm::{GENERATIONS, Helm, NAMESPACE, documents, grants, object};

const OPERATOR: &str = "charts/novacrm-operator";
const CRDS: &str = "charts/novacrm-crds";
const FULL: &str = "charts/novacrm-operator/ci/full-values.yaml";
const NAMESPACED: &str = "charts/novacrm-operator/ci/namespaced-values.yaml";
const NAME: &str = "novacrm-operator";

fn helm() -> Helm {
    Helm::new("helm")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn the_charts_pass_the_strict_lint_of_both_helms_with_each_set_of_values() {
    for generation in GENERATIONS {
        let helm = Helm::new(generation);
        helm.ok(&["lint", "--strict", CRDS, OPERATOR]);
        for values in [FULL, NAMESPACED] {
            helm.ok(&["lint", "--strict", OPERATOR, "--values", values]);
        }
    }
}

#[test]
fn equal_values_are_rendered_to_equal_bytes_by_both_helms() {
    let [four, three] = GENERATIONS.map(Helm::new);
    for values in [FULL, NAMESPACED] {
        let rendered = four.render(OPERATOR, &["--values", values]);
        assert_eq!(rendered, four.render(OPERATOR, &["--values", values]), "{values}");
        let sorted = |text: &str| {
            let mut texts: Vec<_> = documents(text).iter().map(Value::to_string).collect();
            texts.sort();
            texts
        };
        assert_eq!(sorted(&rendered), sorted(&three.render(OPERATOR, &["--values", values])), "{values}");
    }
}

#[test]
fn no_template_asks_the_cluster_the_clock_or_chance() {
    const FORBIDDEN: [&str; 21] = [
        "lookup",
        "genCA",
        "genCAWithKey",
        "genSignedCert",
        "genSignedCertWithKey",
        "genSelfSignedCert",
        "genSelfSignedCertWithKey",
        "genPrivateKey",
        "randAlphaNum",
        "randAlpha",
        "randAscii",
        "randNumeric",
        "randInt",
        "randBytes",
        "uuidv4",
        "now",
        "ago",
        "bcrypt",
        "htpasswd",
        "encryptAES",
        "getHostByName",
    ];
    for chart in [OPERATOR, CRDS] {
        for entry in std::fs::read_dir(repository().join(chart).join("templates")).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let actions = text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
            let code = actions.filter(|action| !action.trim_start_matches(['-', ' ']).starts_with("/*"));
            for word in code.flat_map(|action| action.split(|c: char| !c.is_alphanumeric())) {
                assert!(!FORBIDDEN.contains(&word), "{}: {word}", path.display());
            }
        }
    }
}

#[test]
fn no_values_make_the_chart_render_a_ca_bundle() {
    for arguments in [&[] as &[&str], &["--values", FULL], &["--values", NAMESPACED]] {
        for object in helm().objects(OPERATOR, arguments) {
            for webhook in object["webhooks"].as_array().into_iter().flatten() {
                assert!(webhook["clientConfig"].get("caBundle").is_none(), "{webhook}");
            }
        }
    }
}

#[test]
fn the_webhook_concerns_our_kinds_alone_and_never_deletions() {
    let objects = helm().objects(OPERATOR, &[]);
    let configuration = object(&objects, "ValidatingWebhookConfiguration", NAME);
    let [webhook] = configuration["webhooks"].as_array().unwrap().as_slice() else { panic!("one webhook") };
    assert_eq!(
        webhook["rules"],
        json!([{
            "apiGroups": ["novacrm.io"], "apiVersions": ["v1alpha1"], "operations": ["CREATE", "UPDATE"],
            "resources": ["compliancepolicies", "crmtenants"], "scope": "Namespaced",
        }])
    );
    // What they do is tried by the tests of the webhook.
    let conditions = webhook["matchConditions"].as_array().unwrap();
    let names: Vec<_> = conditions.iter().map(|condition| condition["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["is-not-being-deleted", "spec-changes"]);
    assert_eq!(webhook["failurePolicy"], "Fail");
    assert_eq!(webhook["matchPolicy"], "Equivalent");
    assert!(webhook["timeoutSeconds"].as_u64().unwrap() <= 5);
    let service = &webhook["clientConfig"]["service"];
    let target = object(&objects, "Service", service["name"].as_str().unwrap());
    assert_eq!(target["spec"]["ports"][0]["port"], service["port"]);
    assert_eq!(service["namespace"], NAMESPACE);
}

#[test]
fn the_definitions_are_those_of_the_crate_and_are_kept() {
    let rendered = helm().objects(CRDS, &["--set", "annotations.a=b,labels.team=platform"]);
    let mut committed = Vec::new();
    for entry in std::fs::read_dir(repository().join("crds/yaml")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let copied = Path::new(CRDS).join("files").join(path.file_name().unwrap());
        assert_eq!(text, read(copied.to_str().unwrap()), "run `./task generate:documents`");
        committed.extend(documents(&text));
    }
    assert_eq!(rendered.len(), committed.len());
    for definition in &committed {
        let found =
            object(&rendered, "CustomResourceDefinition", definition["metadata"]["name"].as_str().unwrap());
        // Numbers pass through Helm's JSON, where 0.0 is 0.
        assert_eq!(number_text(&found["spec"]), number_text(&definition["spec"]));
        assert_eq!(found["metadata"]["annotations"], json!({ "helm.sh/resource-policy": "keep", "a": "b" }));
        assert_eq!(found["metadata"]["labels"]["team"], "platform");
    }
    for definition in helm().objects(CRDS, &["--set", "keep=false"]) {
        assert!(definition["metadata"].get("annotations").is_none());
    }
}

/// A value as text in which a number is written in one way.
fn number_text(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64().unwrap().to_string()),
        Value::Array(items) => items.iter().map(number_text).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), number_text(value))).collect()
        }
        other => other.clone(),
    }
}

#[test]
fn the_charts_have_the_version_of_the_workspace() {
    for chart in [OPERATOR, CRDS] {
        let chart = &documents(&read(&format!("{chart}/Chart.yaml")))[0];
        assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn the_values_tables_name_every_value() {
    for chart in [OPERATOR, CRDS] {
        let readme = read(&format!("{chart}/README.md"));
        let values = &documents(&read(&format!("{chart}/values.yaml")))[0];
        let told: BTreeSet<_> = readme
            .lines()
            .filter(|line| line.starts_with("| ") && !line.starts_with("| Key "))
            .map(|line| line.split('|').nth(1).unwrap().trim().to_owned())
            .collect();
        let mut has = BTreeSet::new();
        leaves(values, "", &told, &mut has);
        assert_eq!(has, told, "{chart}: run `./task generate:charts`");
        for line in readme.lines().filter(|line| line.starts_with("| ")) {
            assert!(!line.trim_end().ends_with("|  |"), "{chart} does not say what this is for: {line}");
        }
    }
}

/// The paths of the values; a value that the table names as a whole is not taken apart.
fn leaves(value: &Value, path: &str, told: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    match value.as_object().filter(|fields| !fields.is_empty() && !told.contains(path)) {
        Some(fields) => {
            for (key, value) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(value, &path, told, found);
            }
        }
        None => drop(found.insert(path.to_owned())),
    }
}

/// What values do: arguments, then the object and the place in it that they change, and to what.
#[test]
fn each_value_does_what_its_description_says() {
    let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let pod = "/spec/template/spec";
    let container = "/spec/template/spec/containers/0";
    let rows: Vec<(&[&str], &str, &str, String, Value)> = vec![
        (&[], "Deployment", NAME, format!("{container}/image"), json!("novacrm-operator:0.1.0")),
        (
            &["--set", "imageRegistry=r.example.org/n"],
            "Deployment",
            NAME,
            format!("{container}/image"),
            json!("r.example.org/n/novacrm-operator:0.1.0"),
        ),
        (
            &["--set", "global.imageRegistry=g.example.org:5000"],
            "Deployment",
            NAME,
            format!("{container}/image"),
            json!("g.example.org:5000/novacrm-operator:0.1.0"),
        ),
        (
            &["--set", "imageRegistry=own,global.imageRegistry=shared"],
            "Deployment",
            NAME,
            format!("{container}/image"),
            json!("own/novacrm-operator:0.1.0"),
        ),
        (
            &[
                "--set",
                "image.repository=op,image.tag=1.2,image.digest=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            ],
            "Deployment",
            NAME,
            format!("{container}/image"),
            json!(format!("op:1.2@{digest}")),
        ),
        (
            &["--set", "image.pullPolicy=Never"],
            "Deployment",
            NAME,
            format!("{container}/imagePullPolicy"),
            json!("Never"),
        ),
        (
            &["--set", "imagePullSecrets[0].name=a,global.imagePullSecrets[0].name=b"],
            "Deployment",
            NAME,
            format!("{pod}/imagePullSecrets"),
            json!([{ "name": "a" }, { "name": "b" }]),
        ),
        (&["--set", "fullnameOverride=crm"], "Deployment", "crm", "/spec/replicas".into(), json!(2)),
        (
            &["--set", "commonLabels.team=platform"],
            "Service",
            "novacrm-operator-webhook",
            "/metadata/labels/team".into(),
            json!("platform"),
        ),
        (
            // The standard labels win.
            &["--set-json", r#"commonLabels={"app.kubernetes.io/name":"other"}"#],
            "Deployment",
            NAME,
            "/spec/template/metadata/labels/app.kubernetes.io~1name".into(),
            json!("novacrm-operator"),
        ),
        (&["--set", "replicaCount=3"], "Deployment", NAME, "/spec/replicas".into(), json!(3)),
        (
            &["--set", "revisionHistoryLimit=0"],
            "Deployment",
            NAME,
            "/spec/revisionHistoryLimit".into(),
            json!(0),
        ),
        (
            &["--set", "deploymentAnnotations.a=b"],
            "Deployment",
            NAME,
            "/metadata/annotations/a".into(),
            json!("b"),
        ),
        (
            &["--set", "podAnnotations.a=b"],
            "Deployment",
            NAME,
            "/spec/template/metadata/annotations/a".into(),
            json!("b"),
        ),
        (
            &["--set", "podLabels.a=b"],
            "Deployment",
            NAME,
            "/spec/template/metadata/labels/a".into(),
            json!("b"),
        ),
        (
            &["--set", "resources.limits.memory=1Gi"],
            "Deployment",
            NAME,
            format!("{container}/resources/limits/memory"),
            json!("1Gi"),
        ),
        (
            &["--set", "podSecurityContext.fsGroup=7"],
            "Deployment",
            NAME,
            format!("{pod}/securityContext/fsGroup"),
            json!(7),
        ),
        (
            &["--set", "securityContext.runAsUser=7"],
            "Deployment",
            NAME,
            format!("{container}/securityContext/runAsUser"),
            json!(7),
        ),
        (
            &["--set", "terminationGracePeriodSeconds=7"],
            "Deployment",
            NAME,
            format!("{pod}/terminationGracePeriodSeconds"),
            json!(7),
        ),
        (
            &["--set", "priorityClassName=high"],
            "Deployment",
            NAME,
            format!("{pod}/priorityClassName"),
            json!("high"),
        ),
        (
            &["--set", "nodeSelector.pool=crm"],
            "Deployment",
            NAME,
            format!("{pod}/nodeSelector/pool"),
            json!("crm"),
        ),
        (
            &["--set", "tolerations[0].key=crm"],
            "Deployment",
            NAME,
            format!("{pod}/tolerations/0/key"),
            json!("crm"),
        ),
        (
            &["--set-json", r#"affinity={"podAffinity":{}}"#],
            "Deployment",
            NAME,
            format!("{pod}/affinity"),
            json!({ "podAffinity": {} }),
        ),
        (
            &[],
            "Deployment",
            NAME,
            format!("{pod}/topologySpreadConstraints/0/topologyKey"),
            json!("topology.kubernetes.io/zone"),
        ),
        (
            &["--set-json", r#"topologySpreadConstraints=[{"topologyKey":"rack"}]"#],
            "Deployment",
            NAME,
            format!("{pod}/topologySpreadConstraints"),
            json!([{ "topologyKey": "rack" }]),
        ),
        (&[], "Deployment", NAME, format!("{pod}/automountServiceAccountToken"), json!(true)),
        (&[], "ServiceAccount", NAME, "/automountServiceAccountToken".into(), json!(false)),
        (
            &["--set", "serviceAccount.name=crm"],
            "ServiceAccount",
            "crm",
            "/metadata/namespace".into(),
            json!(NAMESPACE),
        ),
        (
            &["--set", "serviceAccount.annotations.a=b"],
            "ServiceAccount",
            NAME,
            "/metadata/annotations/a".into(),
            json!("b"),
        ),
        (
            &["--set", "serviceAccount.create=false,serviceAccount.name=crm"],
            "ClusterRoleBinding",
            "novacrm-operator-tenants",
            "/subjects/0/name".into(),
            json!("crm"),
        ),
        (
            &["--set", "podDisruptionBudget.maxUnavailable=50%"],
            "PodDisruptionBudget",
            NAME,
            "/spec/maxUnavailable".into(),
            json!("50%"),
        ),
        (
            &["--set", "webhook.failurePolicy=Ignore"],
            "ValidatingWebhookConfiguration",
            NAME,
            "/webhooks/0/failurePolicy".into(),
            json!("Ignore"),
        ),
        (
            &["--set", "webhook.timeoutSeconds=2"],
            "ValidatingWebhookConfiguration",
            NAME,
            "/webhooks/0/timeoutSeconds".into(),
            json!(2),
        ),
        (
            &["--set", "watchNamespaces={b,a}"],
            "ValidatingWebhookConfiguration",
            NAME,
            "/webhooks/0/namespaceSelector/matchExpressions/0/values".into(),
            json!(["a", "b", "novacrm-policies"]),
        ),
        (
            &["--set", "watchNamespaces={b,a}"],
            "ValidatingAdmissionPolicyBinding",
            "novacrm-operator-pods",
            "/spec/matchResources/namespaceSelector/matchExpressions/0/values".into(),
            json!(["a", "b"]),
        ),
        (
            &[
                "--set",
                "serviceAccount.name=op,protection.exemptUsers={alice,bob},protection.exemptGroups={team}",
            ],
            "ValidatingAdmissionPolicy",
            "novacrm-operator-connections",
            "/spec/matchConditions/0/expression".into(),
            json!(
                "!(request.userInfo.username in [\"system:serviceaccount:novacrm-system:op\",\"alice\",\"bob\"]) && \
                 !(has(request.userInfo.groups) && request.userInfo.groups.exists(group, group in [\"team\"]))"
            ),
        ),
        (
            &["--set", "policyNamespace.name=rules"],
            "Namespace",
            "rules",
            "/metadata/annotations".into(),
            json!({ "helm.sh/resource-policy": "keep" }),
        ),
        (
            &["--set", "metrics.service.annotations.a=b"],
            "Service",
            "novacrm-operator-metrics",
            "/metadata/annotations/a".into(),
            json!("b"),
        ),
        (
            &["--set", "metrics.serviceMonitor.enabled=true,metrics.serviceMonitor.interval=5s"],
            "ServiceMonitor",
            NAME,
            "/spec/endpoints/0/interval".into(),
            json!("5s"),
        ),
        (
            &["--set", "metrics.serviceMonitor.enabled=true,metrics.serviceMonitor.labels.release=p"],
            "ServiceMonitor",
            NAME,
            "/metadata/labels/release".into(),
            json!("p"),
        ),
        (
            &["--set", "networkPolicy.apiServerPorts={16443}"],
            "NetworkPolicy",
            NAME,
            "/spec/egress/1/ports".into(),
            json!([{ "protocol": "TCP", "port": 16443 }]),
        ),
        (
            &["--set", "networkPolicy.databasePorts={6432}"],
            "NetworkPolicy",
            NAME,
            "/spec/egress/3/ports".into(),
            json!([{ "protocol": "TCP", "port": 6432 }]),
        ),
        (
            &["--set-json", r#"networkPolicy.webhookSources=[{"ipBlock":{"cidr":"10.0.0.4/32"}}]"#],
            "NetworkPolicy",
            NAME,
            "/spec/ingress/0/from/0/ipBlock/cidr".into(),
            json!("10.0.0.4/32"),
        ),
        (
            &["--set", "webhook.clientAuthorities=-----BEGIN CERTIFICATE-----"],
            "ConfigMap",
            "novacrm-operator-webhook-clients",
            "/data/ca.crt".into(),
            json!("-----BEGIN CERTIFICATE-----\n"),
        ),
        (
            &["--set", "webhook.clientAuthorities=-----BEGIN CERTIFICATE-----"],
            "Deployment",
            NAME,
            "/spec/template/spec/volumes/0/configMap/name".into(),
            json!("novacrm-operator-webhook-clients"),
        ),
        (
            &["--set-json", r#"networkPolicy.extraEgress=[{"ports":[{"port":4317}]}]"#],
            "NetworkPolicy",
            NAME,
            "/spec/egress/4/ports/0/port".into(),
            json!(4317),
        ),
        (
            &[
                "--set-json",
                r#"extraObjects=[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"{{ .Release.Name }}-x"}}]"#,
            ],
            "ConfigMap",
            "novacrm-operator-x",
            "/apiVersion".into(),
            json!("v1"),
        ),
    ];
    let helm = helm();
    for (arguments, kind, name, pointer, expected) in rows {
        let objects = helm.objects(OPERATOR, arguments);
        let found = object(&objects, kind, name).pointer(&pointer);
        assert_eq!(found, Some(&expected), "{arguments:?}: {kind} {name} {pointer}");
    }
}

/// The variables that the operator reads, and what sets them.
#[test]
fn the_operator_is_told_what_its_flags_ask_for() {
    let told = |arguments: &[&str]| -> Vec<(String, Value)> {
        let objects = helm().objects(OPERATOR, arguments);
        let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
        let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap().iter();
        env.map(|variable| (variable["name"].as_str().unwrap().to_owned(), variable["value"].clone()))
            .collect()
    };
    let names: Vec<_> = told(&["--values", NAMESPACED]).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "POD_NAME",
            "POD_NAMESPACE",
            "NOVACRM_LOG",
            "NOVACRM_POLICY_NAMESPACE",
            "NOVACRM_WATCH_NAMESPACES",
            "NOVACRM_IMAGE_VERSION",
            "NOVACRM_TENANT_ERASURE_AFTER_DAYS",
            "NOVACRM_TENANT_ASSESSMENT_RETENTION_DAYS",
            "NOVACRM_RECOGNISER_HOSTS",
            "NOVACRM_HOSTNAMES",
            "NOVACRM_MAX_REPLICAS",
            "NOVACRM_MAX_INSTANCES",
            "NOVACRM_MAX_CPU",
            "NOVACRM_MAX_MEMORY",
            "NOVACRM_MAX_STORAGE",
            "NOVACRM_DATABASE_CONNECTIONS",
            "NOVACRM_MIGRATOR_CONNECTIONS",
            "NOVACRM_LEASE",
            "NOVACRM_ADMIN_ADDRESS",
            "NOVACRM_WEBHOOK_ADDRESS",
            "NOVACRM_WEBHOOK_SERVICE",
            "NOVACRM_WEBHOOK_CONFIGURATION"
        ]
    );
    for (arguments, name, value) in [
        (&["--set", "logLevel=debug"] as &[&str], "NOVACRM_LOG", "debug"),
        (&["--set", "policyNamespace.name=rules"], "NOVACRM_POLICY_NAMESPACE", "rules"),
        (&["--set", "watchNamespaces={b,a}"], "NOVACRM_WATCH_NAMESPACES", "b,a"),
        (&["--set", "imageRegistry=r/n"], "NOVACRM_IMAGE_REPOSITORY", "r/n"),
        (&[], "NOVACRM_IMAGE_VERSION", env!("CARGO_PKG_VERSION")),
        (&["--set", "tenants.imageVersion=9.9.9"], "NOVACRM_IMAGE_VERSION", "9.9.9"),
        (
            &["--set", "tenants.trustedProxies={10.244.0.0/16,fd00::/8}"],
            "NOVACRM_TENANT_TRUSTED_PROXIES",
            "10.244.0.0/16,fd00::/8",
        ),
        (&["--set", "tenants.retention.deletedDays=0"], "NOVACRM_TENANT_ERASURE_AFTER_DAYS", "0"),
        (&["--set", "tenants.retention.assessmentDays=90"], "NOVACRM_TENANT_ASSESSMENT_RETENTION_DAYS", "90"),
        (&[], "NOVACRM_RECOGNISER_HOSTS", "*.{namespace}.svc"),
        (
            &["--set-json", r#"tenants.limits.recogniserHosts=["*.nlp.svc","api.example.org"]"#],
            "NOVACRM_RECOGNISER_HOSTS",
            "*.nlp.svc,api.example.org",
        ),
        (&["--set", "tenants.limits.images={r/a,r/b}"], "NOVACRM_IMAGES", "r/a,r/b"),
        (
            &["--set-json", r#"tenants.limits.hostnames=["*.{namespace}.example.org"]"#],
            "NOVACRM_HOSTNAMES",
            "*.{namespace}.example.org",
        ),
        (&["--set", "tenants.limits.maxReplicas=3"], "NOVACRM_MAX_REPLICAS", "3"),
        (&["--set", "tenants.limits.maxInstances=1"], "NOVACRM_MAX_INSTANCES", "1"),
        (&["--set", "tenants.limits.maxCpu=500m"], "NOVACRM_MAX_CPU", "500m"),
        (&["--set", "tenants.limits.maxMemory=2Gi"], "NOVACRM_MAX_MEMORY", "2Gi"),
        (&["--set", "tenants.limits.maxStorage=5Gi"], "NOVACRM_MAX_STORAGE", "5Gi"),
        (&["--set", "tenants.databaseConnections.application=64"], "NOVACRM_DATABASE_CONNECTIONS", "64"),
        (&["--set", "tenants.databaseConnections.migrator=6"], "NOVACRM_MIGRATOR_CONNECTIONS", "6"),
        (
            &[
                "--set-json",
                r#"tenants.imageDigests={"novacrm-engine:1.2.0":"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}"#,
            ],
            "NOVACRM_IMAGE_DIGESTS",
            "novacrm-engine:1.2.0=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ),
        (&["--set", "fullnameOverride=crm"], "NOVACRM_LEASE", "crm"),
        (&["--set", "fullnameOverride=crm"], "NOVACRM_WEBHOOK_SERVICE", "crm-webhook"),
        (&["--set", "fullnameOverride=crm"], "NOVACRM_WEBHOOK_CONFIGURATION", "crm"),
        (&["--set", "webhook.enabled=false"], "NOVACRM_WEBHOOK_ADDRESS", ""),
        (&["--set", "extraEnv[0].name=X,extraEnv[0].value=y"], "X", "y"),
    ] {
        let found = told(arguments).into_iter().find(|(found, _)| found == name);
        assert_eq!(found.map(|(_, found)| found), Some(json!(value)), "{arguments:?}");
    }
}

#[test]
fn what_is_switched_off_is_not_rendered() {
    for (argument, kinds) in [
        ("webhook.enabled=false", &["ValidatingWebhookConfiguration"] as &[&str]),
        ("protection.enabled=false", &["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"]),
        ("rbac.create=false", &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]),
        ("serviceAccount.create=false,serviceAccount.name=x", &["ServiceAccount"]),
        ("podDisruptionBudget.enabled=false", &["PodDisruptionBudget"]),
        ("replicaCount=1", &["PodDisruptionBudget"]),
        ("networkPolicy.enabled=false", &["NetworkPolicy"]),
        ("policyNamespace.create=false", &["Namespace"]),
        ("policyNamespace.name=novacrm-system", &["Namespace"]),
        ("metrics.service.enabled=false,webhook.enabled=false", &["Service"]),
        ("metrics.serviceMonitor.enabled=false", &["ServiceMonitor", "PrometheusRule"]),
    ] {
        for object in helm().objects(OPERATOR, &["--set", argument]) {
            assert!(!kinds.iter().any(|kind| object["kind"] == **kind), "{argument}: {object}");
        }
    }
}

#[test]
fn people_get_rights_on_our_kinds_only_where_that_is_asked_for() {
    let aggregated = |arguments: &[&str]| {
        let objects = helm().objects(OPERATOR, arguments);
        let labels = objects.iter().map(|object| object["metadata"]["labels"].to_string());
        labels.filter(|labels| labels.contains("aggregate-to")).count()
    };
    assert_eq!(aggregated(&[]), 0);
    assert!(aggregated(&["--set", "rbac.aggregate=true"]) > 0);
}

#[test]
fn no_pod_that_is_not_restricted_is_admitted_beside_the_organisations_policies() {
    let objects = helm().objects(OPERATOR, &[]);
    let namespace = objects.iter().find(|object| object["kind"] == "Namespace").unwrap();
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
}

#[test]
fn bad_values_are_refused_and_the_refusal_names_the_field() {
    let helm = helm();
    for (argument, field) in [
        ("replicas=2", "replicas"),
        ("image.name=x", "name"),
        ("webhook.caBundle=x", "caBundle"),
        ("protection.exemptUsers=alice", "exemptUsers"),
        ("protection.exempt=x", "exempt"),
        ("webhook.failurePolicy=fail", "failurePolicy"),
        ("webhook.timeoutSeconds=0", "timeoutSeconds"),
        ("webhook.timeoutSeconds=30", "timeoutSeconds"),
        ("webhook.enabled=maybe", "enabled"),
        ("webhook.clientAuthorities=/etc/ca.crt", "clientAuthorities"),
        ("networkPolicy.webhookSources={10.0.0.4}", "webhookSources"),
        ("replicaCount=two", "replicaCount"),
        ("replicaCount=-1", "replicaCount"),
        ("replicaCount=1.5", "replicaCount"),
        ("image.digest=0123", "digest"),
        ("image.digest=sha256:xyz", "digest"),
        ("image.tag=a b", "tag"),
        ("image.repository=Nova", "repository"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("imageRegistry=https://registry.example.org/", "imageRegistry"),
        ("imageRegistry=registry.example.org/", "imageRegistry"),
        ("global.imageRegistry=a b", "imageRegistry"),
        ("imagePullSecrets={a}", "imagePullSecrets"),
        ("tenants.version=1", "version"),
        ("tenants.limits.recogniserHosts={https://x}", "recogniserHosts"),
        ("tenants.limits.hostnames={}", "hostnames"),
        ("tenants.limits.images={-x}", "images"),
        ("tenants.limits.maxReplicas=0", "maxReplicas"),
        ("tenants.limits.maxInstances=10", "maxInstances"),
        ("tenants.limits.maxMemory=lots", "maxMemory"),
        ("tenants.databaseConnections.migrator=1", "migrator"),
        ("tenants.imageDigests.engine=sha256:0", "engine"),
        ("fullnameOverride=Nova_CRM", "fullnameOverride"),
        ("watchNamespaces=team-a", "watchNamespaces"),
        ("watchNamespaces={Team}", "watchNamespaces"),
        ("watchNamespaces={a,a}", "watchNamespaces"),
        ("policyNamespace.name=", "policyNamespace"),
        ("logLevel=", "logLevel"),
        ("extraEnv[0].value=x", "extraEnv"),
        ("podAnnotations.a.b=c", "podAnnotations"),
        ("podDisruptionBudget.minAvailable=1", "minAvailable"),
        ("podDisruptionBudget.maxUnavailable=half", "maxUnavailable"),
        ("resources.memory=1Gi", "memory"),
        ("metrics.serviceMonitor.interval=fast", "interval"),
        ("networkPolicy.databasePorts={70000}", "databasePorts"),
        ("networkPolicy.apiServerPorts={https}", "apiServerPorts"),
        ("integrations.certManager=true", "certManager"),
        ("enabled=sure", "enabled"),
        ("serviceAccount.create=false", "serviceAccount.name"),
        ("metrics.service.enabled=false,metrics.serviceMonitor.enabled=true", "metrics.service.enabled"),
    ] {
        let said = helm.refused(&["template", "x", OPERATOR, "--kube-version", "1.36.0", "--set", argument]);
        assert!(said.contains(field), "{argument}: {said}");
    }
    for (argument, field) in
        [("keep=perhaps", "keep"), ("crds.keep=true", "crds"), ("labels.a.b=c", "labels")]
    {
        let said = helm.refused(&["template", "x", CRDS, "--kube-version", "1.36.0", "--set", argument]);
        assert!(said.contains(field), "{argument}: {said}");
    }
    let said = helm.refused(&["template", "x", OPERATOR, "--kube-version", "1.33.0"]);
    assert!(said.contains("kubeVersion"), "{said}");
}

#[test]
fn an_umbrella_chart_switches_the_charts_and_passes_what_is_global() {
    let folder = tempfile::tempdir().unwrap();
    for chart in ["novacrm-operator", "novacrm-crds"] {
        copy(&repository().join("charts").join(chart), &folder.path().join("charts").join(chart));
    }
    let version = env!("CARGO_PKG_VERSION");
    let chart = json!({
        "apiVersion": "v2", "name": "platform", "version": "1.0.0",
        "dependencies": [
            { "name": "novacrm-operator", "version": version, "condition": "novacrm-operator.enabled" },
            { "name": "novacrm-crds", "version": version, "condition": "novacrm-crds.enabled" },
        ],
    });
    std::fs::write(folder.path().join("Chart.yaml"), chart.to_string()).unwrap();
    let values = json!({
        "global": { "imageRegistry": "r.example.org", "somethingOfAnotherChart": { "a": 1 } },
        "novacrm-operator": { "enabled": true }, "novacrm-crds": { "enabled": true },
    });
    std::fs::write(folder.path().join("values.yaml"), values.to_string()).unwrap();
    std::fs::create_dir(folder.path().join("templates")).unwrap();
    std::fs::write(folder.path().join("templates/NOTES.txt"), "").unwrap();
    let platform = folder.path().to_str().unwrap();
    for generation in GENERATIONS {
        let helm = Helm::new(generation);
        helm.ok(&["lint", "--strict", "--with-subcharts", platform]);
        let objects = helm.objects(platform, &[]);
        let deployment = object(&objects, "Deployment", NAME);
        let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
        assert_eq!(image, &json!(format!("r.example.org/novacrm-operator:{version}")));
        object(&objects, "CustomResourceDefinition", "crmtenants.novacrm.io");
        let off =
            helm.objects(platform, &["--set", "novacrm-operator.enabled=false,novacrm-crds.enabled=false"]);
        assert_eq!(off, Vec::<Value>::new());
    }
}

#[test]
fn no_role_has_a_wildcard_or_a_way_to_more_rights() {
    for arguments in [&[] as &[&str], &["--values", FULL], &["--values", NAMESPACED]] {
        for object in helm().objects(OPERATOR, arguments) {
            for rule in object["rules"].as_array().into_iter().flatten() {
                let text = rule.to_string();
                for word in [
                    "\"*\"",
                    "\"escalate\"",
                    "\"bind\"",
                    "\"impersonate\"",
                    "pods/exec",
                    "serviceaccounts/token",
                ] {
                    assert!(!text.contains(word), "{}: {text}", object["metadata"]["name"]);
                }
            }
        }
    }
}

#[test]
fn every_name_that_the_operator_gives_is_protected() {
    let objects = helm().objects(OPERATOR, &[]);
    let expressions = |policy: &str| {
        let name = format!("novacrm-operator-{policy}");
        object(&objects, "ValidatingAdmissionPolicy", &name)["spec"].to_string()
    };
    let quoted = |name: &str| format!("'{name}'");
    let objects_of_tenants = expressions("objects");
    let named = [names::BUNDLE, names::BUNDLE_PREVIOUS, names::ENGINE, names::API, names::DUMP];
    for name in named.iter().chain(&names::SECRETS) {
        assert!(objects_of_tenants.contains(&quoted(name)), "{name}");
    }
    for policy in ["pods", "workloads", "cronjobs"] {
        let of_pods = expressions(policy);
        let labels = [names::ENGINE, names::API, names::ENGINE_MIGRATE, names::API_MIGRATE, names::DUMP];
        for name in labels.iter().chain(&names::SECRETS) {
            assert!(of_pods.contains(&quoted(name)), "{policy}: {name}");
        }
    }
    for policy in ["objects", "connections", "pods", "workloads", "cronjobs"] {
        let spec =
            &object(&objects, "ValidatingAdmissionPolicy", &format!("novacrm-operator-{policy}"))["spec"];
        assert_eq!(spec["failurePolicy"], "Fail", "{policy}");
    }
}

#[test]
fn watched_namespaces_narrow_the_rights_to_roles_in_them() {
    let wide = helm().objects(OPERATOR, &["--set", "rbac.aggregate=false"]);
    let narrow = helm().objects(OPERATOR, &["--set", "rbac.aggregate=false,watchNamespaces={team-a,team-b}"]);
    let cluster_wide: Vec<_> = narrow.iter().filter(|object| object["kind"] == "ClusterRole").collect();
    let [cluster_wide] = cluster_wide.as_slice() else { panic!("one ClusterRole") };
    let granted = grants(cluster_wide);
    assert!(granted.iter().all(|grant| !grant.contains("secrets")), "{granted:?}");
    assert_eq!(
        granted.iter().filter(|grant| grant.ends_with(" patch")).collect::<Vec<_>>(),
        ["admissionregistration.k8s.io/validatingwebhookconfigurations patch"]
    );

    let tenants = grants(object(&wide, "ClusterRole", "novacrm-operator-tenants"));
    let role = |namespace: &str| {
        let mut roles = narrow.iter().filter(|object| object["kind"] == "Role");
        roles.find(|role| role["metadata"]["namespace"] == namespace).unwrap()
    };
    assert_eq!(grants(role("team-a")), tenants);
    assert_eq!(grants(role("team-b")), tenants);
    let policies = grants(role("novacrm-policies"));
    assert!(policies.is_subset(&tenants));
    assert!(
        policies.iter().all(|grant| !grant.contains("secrets") && !grant.contains("pods")),
        "{policies:?}"
    );
    for binding in narrow.iter().filter(|object| object["kind"] == "RoleBinding") {
        assert_eq!(
            binding["subjects"],
            json!([{ "kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE }])
        );
    }
}

#[test]
fn rights_for_kinds_of_others_go_with_their_integration() {
    for (integration, group) in [
        ("gatewayApi", "gateway.networking.k8s.io"),
        ("cloudNativePg", "postgresql.cnpg.io"),
        ("prometheusOperator", "monitoring.coreos.com"),
    ] {
        let has = |enabled: &str| {
            let objects =
                helm().objects(OPERATOR, &["--set", &format!("integrations.{integration}={enabled}")]);
            let granted = grants(object(&objects, "ClusterRole", "novacrm-operator-tenants"));
            granted.iter().any(|grant| grant.starts_with(group))
        };
        assert!(has("true") && !has("false"), "{integration}");
    }
}
