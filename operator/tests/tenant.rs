//! From manifests to objects: what is refused and why, what is built and how.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;

use novacrm_operator::crm_tenant::build::{Resources, Settings, Surroundings, build_all};
use novacrm_operator::crm_tenant::names;
use novacrm_operator::manifests;
use novacrm_operator::render::render;
use novacrm_operator::world::{Memory, World, look};
use serde_json::{Value, json};

const TENANT: &str = include_str!("tenant.yaml");

const POLICY: &str = r"
apiVersion: novacrm.io/v1alpha1
kind: CompliancePolicy
metadata: {name: baseline, namespace: novacrm-policies}
spec:
  version: 1.0.0
  changelog: First version.
  tenantSelector: {}
  owner: {team: Conformité, contact: conformite@acme.example}
  detectors: [{id: pii.iban}]
  rules:
    - id: IBAN
      severity: high
      riskWeight: 60
      description: {fr: Un IBAN ne sort pas., en: An IBAN does not leave.}
      risksCovered: [disclosure]
      references: [{law: gdpr, ref: 5(1)(c)}]
      when: {any: [{all: [{finding: {detectors: [pii.iban]}}]}]}
      action: {type: redact}
  tests:
    - name: an IBAN is redacted
      given: {text: 'IBAN FR76 3000 6000 0112 3456 7890 189'}
      expect: {action: redact, rules: [IBAN]}
    - name: other text passes
      given: {text: Bonjour}
      expect: {action: allow}
";

fn look_at(memory: &Memory, files: &[(&str, &str)]) -> World {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    // The same paths whatever the folder, as when one folder is read again.
    let root = format!("{}/", folder.path().display());
    let shorten = |path: &mut Option<String>| *path = path.take().map(|path| path.replace(&root, ""));
    let files = manifests::read(folder.path()).unwrap().parse().into_iter().map(|mut file| {
        file.path = file.path.replace(&root, "");
        match &mut file.outcome {
            Ok(objects) => objects.iter_mut().for_each(|object| shorten(&mut object.file)),
            Err(problems) => problems.iter_mut().for_each(|problem| shorten(&mut problem.file)),
        }
        file
    });
    look(memory, &files.collect::<Vec<_>>(), "novacrm-policies")
}

fn sound(files: &[(&str, &str)]) -> World {
    let world = look_at(&Memory::default(), files);
    assert_eq!(world.problems, []);
    world
}

fn built(world: &World) -> Resources {
    let tenant = world.tenants["acme/acme"].active.as_ref().unwrap();
    build_all(tenant, &Settings::default(), &Surroundings::default())
}

fn bundle_of(world: &World) -> (u64, Option<u64>) {
    let bundle = world.tenants["acme/acme"].active.as_ref().unwrap().bundle();
    (bundle.current.sequence, bundle.previous.as_ref().map(|previous| previous.sequence))
}

#[test]
fn every_pod_is_restricted_and_only_the_engine_s_holds_a_token() {
    let resources = built(&sound(&[("t.yaml", TENANT), ("p.yaml", POLICY)]));
    let pods = resources
        .deployments
        .iter()
        .map(|deployment| (&deployment.metadata, &deployment.spec.as_ref().unwrap().template))
        .chain(resources.jobs.iter().map(|job| (&job.metadata, &job.spec.as_ref().unwrap().template)));
    let mut seen = 0;
    for (metadata, template) in pods {
        let pod = serde_json::to_value(&template.spec).unwrap();
        let speaks_to_kubernetes = metadata.name.as_deref() == Some("novacrm-engine");
        assert_eq!(pod["automountServiceAccountToken"], speaks_to_kubernetes, "{:?}", metadata.name);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert!(pod["securityContext"]["runAsUser"].as_i64().unwrap() >= 10_000);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let container = &pod["containers"][0];
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        assert_eq!(container["securityContext"]["capabilities"], json!({"drop": ["ALL"]}));
        assert!(container["resources"]["limits"]["memory"].is_string());
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn the_engine_may_read_its_two_config_maps_by_name_and_nothing_else() {
    let resources = built(&sound(&[("t.yaml", TENANT), ("p.yaml", POLICY)]));
    for account in &resources.service_accounts {
        assert_eq!(account.automount_service_account_token, Some(false));
    }
    let role = serde_json::to_value(&resources.roles).unwrap();
    let configmaps = |name: &str, verbs: &[&str]| json!({"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [name], "verbs": verbs});
    assert_eq!(
        role[0]["rules"],
        json!([
            configmaps(names::BUNDLE, &["get", "list", "watch"]),
            configmaps(names::BUNDLE_PREVIOUS, &["get"])
        ])
    );
    let binding = serde_json::to_value(&resources.role_bindings).unwrap();
    assert_eq!(
        binding[0]["roleRef"],
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "novacrm-engine"})
    );
    assert_eq!(
        binding[0]["subjects"],
        json!([{"kind": "ServiceAccount", "name": "novacrm-engine", "namespace": "acme"}])
    );
    assert_eq!((resources.roles.len(), resources.role_bindings.len()), (1, 1));
}

#[test]
fn servers_are_probed_on_the_admin_port_and_jobs_are_not() {
    let resources = built(&sound(&[("t.yaml", TENANT)]));
    for deployment in &resources.deployments {
        let deployment = serde_json::to_value(deployment).unwrap();
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["readinessProbe"]["httpGet"], json!({"path": "/readyz", "port": "admin"}));
        assert_eq!(container["livenessProbe"]["httpGet"], json!({"path": "/healthz", "port": "admin"}));
    }
    for job in &resources.jobs {
        let job = serde_json::to_value(job).unwrap();
        assert_eq!(job["spec"]["template"]["spec"]["containers"][0]["readinessProbe"], Value::Null);
    }
}

#[test]
fn no_secret_reaches_a_pod_but_by_reference() {
    let resources = built(&sound(&[("t.yaml", TENANT)]));
    for workload in resources
        .deployments
        .iter()
        .map(serde_json::to_value)
        .chain(resources.jobs.iter().map(serde_json::to_value))
    {
        let workload = workload.unwrap();
        for variable in workload["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap() {
            let name = variable["name"].as_str().unwrap();
            let secret = name.ends_with("DATABASE_URL") || name.ends_with("PASSWORD");
            assert_eq!(variable["valueFrom"]["secretKeyRef"].is_object(), secret, "{name}");
        }
    }
    let names: Vec<&str> = resources.secrets.iter().map(|secret| secret.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "novacrm-ca",
            "novacrm-engine-tls",
            "novacrm-api-tls",
            "novacrm-operator-tls",
            "novacrm-engine-keys",
            "novacrm-api-keys",
            "novacrm-database",
            "acme-admin"
        ]
    );
}

#[test]
fn a_disruption_budget_is_for_parts_of_more_than_one_pod() {
    let resources = built(&sound(&[("t.yaml", TENANT)]));
    let names: Vec<_> =
        resources.pod_disruption_budgets.iter().map(|budget| budget.metadata.name.clone().unwrap()).collect();
    assert_eq!(names, ["novacrm-engine"]);
}

#[test]
fn the_network_is_closed_but_for_the_ways_through_the_house() {
    let resources = built(&sound(&[("t.yaml", TENANT)]));
    let policies: BTreeMap<String, Value> = resources
        .network_policies
        .iter()
        .map(|policy| (policy.metadata.name.clone().unwrap(), serde_json::to_value(&policy.spec).unwrap()))
        .collect();
    let deny = &policies["novacrm-default-deny"];
    assert_eq!((&deny["ingress"], &deny["egress"]), (&Value::Null, &Value::Null));
    assert_eq!(deny["policyTypes"], json!(["Ingress", "Egress"]));
    let ports = |rules: &Value| -> Vec<i64> {
        let rules = rules.as_array().cloned().unwrap_or_default();
        rules
            .iter()
            .flat_map(|rule| {
                rule["ports"].as_array().unwrap().iter().map(|port| port["port"].as_i64().unwrap())
            })
            .collect()
    };
    assert_eq!(ports(&policies["novacrm-engine"]["ingress"]), [8443, 9090]);
    assert_eq!(ports(&policies["novacrm-engine"]["egress"]), [53, 53, 5432, 443, 6443]);
    assert_eq!(ports(&policies["novacrm-api"]["ingress"]), [8080, 9090]);
    assert_eq!(ports(&policies["novacrm-api"]["egress"]), [53, 53, 5432, 8443]);
    assert_eq!(policies["novacrm-api-migrate"]["ingress"], Value::Null);
}

#[test]
fn render_is_deterministic_and_shows_no_secret() {
    let files = [("t.yaml", TENANT), ("p.yaml", POLICY)];
    let once = render("acme", &built(&sound(&files))).unwrap();
    assert_eq!(once, render("acme", &built(&sound(&files))).unwrap());
    assert!(once.contains(
        "#   Secret acme/novacrm-database: api-migration-url, api-url, audit-migration-url, audit-url"
    ));
    assert!(!once.contains("kind: Secret\n"));
    assert!(!once.contains("postgres://"));
}

#[test]
fn a_sequence_number_grows_only_when_the_rules_change() {
    let first = sound(&[("t.yaml", TENANT), ("p.yaml", POLICY)]);
    assert_eq!(bundle_of(&first), (1, None));
    let same = look_at(&first.memory, &[("t.yaml", TENANT), ("p.yaml", POLICY)]);
    assert_eq!(bundle_of(&same), (1, None));
    let changed = POLICY
        .replace("1.0.0", "1.1.0")
        .replace("type: redact", "type: mask")
        .replace("action: redact", "action: mask");
    let second = look_at(&same.memory, &[("t.yaml", TENANT), ("p.yaml", &changed)]);
    assert_eq!(second.problems, []);
    assert_eq!(bundle_of(&second), (2, Some(1)));
    // A display name is no rule.
    let renamed = TENANT.replace("Acme SARL", "Acme SA");
    let third = look_at(&second.memory, &[("t.yaml", &renamed), ("p.yaml", &changed)]);
    assert_eq!(bundle_of(&third), (2, Some(1)));
    assert_eq!(third.tenants["acme/acme"].metadata.generation, Some(2));
}

#[test]
fn the_last_good_revision_outlives_a_broken_file_a_broken_spec_and_a_version_that_stands_still() {
    let good = sound(&[("t.yaml", TENANT), ("p.yaml", POLICY)]);
    for (name, broken, place) in [
        ("syntax", "kind: [".to_owned(), "p.yaml"),
        ("schema", POLICY.replace("severity: high", "severity: huge"), "spec.rules[0].severity"),
        ("meaning", POLICY.replace("detectors: [{id: pii.iban}]", "detectors: [{id: pii.email}]"), "spec"),
        ("version", POLICY.replace("First version.", "Second version."), "spec.version"),
    ] {
        let world = look_at(&good.memory, &[("t.yaml", TENANT), ("p.yaml", &broken)]);
        let view = &world.policies["novacrm-policies/baseline"];
        assert_eq!(view.active.as_ref().unwrap().spec().version, "1.0.0", "{name}");
        assert!(!view.problems.is_empty(), "{name}");
        let problem = &view.problems[0];
        assert_eq!(problem.file.as_deref(), Some("p.yaml"), "{name}: {problem:?}");
        assert!(problem.line.is_some(), "{name}: {problem:?}");
        assert!(place == "p.yaml" || problem.path.starts_with(place), "{name}: {problem:?}");
        assert_eq!(bundle_of(&world), (1, None), "{name}");
    }
}

#[test]
fn a_policy_that_is_deleted_leaves_the_bundle() {
    let good = sound(&[("t.yaml", TENANT), ("p.yaml", POLICY)]);
    let without = look_at(&good.memory, &[("t.yaml", TENANT)]);
    assert!(without.policies.is_empty());
    assert_eq!(bundle_of(&without), (2, Some(1)));
}

#[test]
fn an_organisation_policy_follows_the_labels_of_namespaces() {
    let selecting = POLICY.replace("tenantSelector: {}", "tenantSelector: {matchLabels: {tier: gold}}");
    let none = sound(&[("t.yaml", TENANT), ("p.yaml", &selecting)]);
    assert!(none.policies["novacrm-policies/baseline"].tenants.is_empty());
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: acme, labels: {tier: gold}}\n";
    let gold = sound(&[("t.yaml", TENANT), ("p.yaml", &selecting), ("n.yaml", namespace)]);
    assert_eq!(gold.policies["novacrm-policies/baseline"].tenants, ["acme"]);
    let by_name = selecting.replace("tier: gold", "kubernetes.io/metadata.name: acme");
    let by_name = sound(&[("t.yaml", TENANT), ("p.yaml", &by_name)]);
    assert_eq!(by_name.policies["novacrm-policies/baseline"].tenants, ["acme"]);
}

#[test]
fn a_tenant_that_cannot_be_built_is_refused_with_a_place_and_a_way_out() {
    for (name, broken, path) in [
        (
            "server",
            TENANT.replace("name: default", "name: elsewhere"),
            "spec.database.managed.serverRef.name",
        ),
        ("namespace", TENANT.replace("namespace: acme", "namespace: novacrm-policies"), "metadata.namespace"),
        (
            "own Secret",
            TENANT.replace("name: acme-admin", "name: novacrm-ca"),
            "spec.auth.bootstrapAdmin.passwordSecretRef.name",
        ),
        (
            "file name",
            TENANT.replace("name: acme-admin", "name: ../../up"),
            "spec.auth.bootstrapAdmin.passwordSecretRef.name",
        ),
        (
            "key",
            TENANT.replace("key: password", "key: ../up"),
            "spec.auth.bootstrapAdmin.passwordSecretRef.key",
        ),
        ("unknown field", TENANT.replace("locale: fr", "locale: fr\n  colour: blue"), "spec.colour"),
    ] {
        let world = look_at(&Memory::default(), &[("t.yaml", &broken)]);
        let problem = world.problems.first().unwrap_or_else(|| panic!("{name} was accepted"));
        assert_eq!(problem.path, path, "{name}: {problem:?}");
        assert!(!problem.hint.is_empty(), "{name}");
        assert!(world.tenants.values().all(|tenant| tenant.active.is_none()), "{name}");
    }
}

#[test]
fn a_namespace_holds_one_tenant() {
    let twin = TENANT.replace("name: acme, namespace", "name: twin, namespace");
    let world = look_at(&Memory::default(), &[("a.yaml", TENANT), ("b.yaml", &twin)]);
    assert_eq!(world.problems.len(), 2);
    assert!(world.problems.iter().all(|problem| problem.path == "metadata.namespace"));
    // The tenant that was there first goes on.
    let first = sound(&[("a.yaml", TENANT)]);
    let both = look_at(&first.memory, &[("a.yaml", TENANT), ("b.yaml", &twin)]);
    assert!(both.tenants["acme/acme"].active.is_none() || bundle_of(&both).0 == 1);
}
