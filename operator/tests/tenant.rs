//! From manifests to objects: what is refused and why, what is built and how.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use k8s_openapi::api::core::v1::Secret;
use novacrm_crds::CrmTenant;
use novacrm_crds::crm_tenant::{CrmTenantStatus, Migrated};
use novacrm_operator::crm_tenant::build::{
    Dump, Resources, SECRETS_DIGEST, Settings, Surroundings, build, build_all, dump, is_rolled_out,
    migration, secret_names, serving,
};
use novacrm_operator::crm_tenant::dereference::Dereferenced;
use novacrm_operator::crm_tenant::generate::{self, GenerateError};
use novacrm_operator::crm_tenant::limits::Limits;
use novacrm_operator::crm_tenant::names;
use novacrm_operator::crm_tenant::validate::{Validated, validate};
use novacrm_operator::manifests;
use novacrm_operator::render::render;
use novacrm_operator::world::{Memory, World, look};
use novacrm_service::destination::{Destinations, HostPattern};
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
    look(memory, &files.collect::<Vec<_>>(), "novacrm-policies", &Limits::default())
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
        let mut files = 0;
        for variable in workload["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap() {
            let name = variable["name"].as_str().unwrap();
            // An environment shows in lists of processes and in crash dumps: it names files.
            assert!(variable["valueFrom"].is_null(), "{name}");
            assert!(!name.ends_with("_URL") || name == "NOVACRM_ENGINE_URL", "{name}");
            assert!(!name.ends_with("PASSWORD") && !name.ends_with("_KEY"), "{name}");
            files += usize::from(name.ends_with("_FILE"));
        }
        assert!(files > 0);
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

/// Limits of an organisation that lets recognisers be at some hosts beside those that it does by default.
fn limits() -> Limits {
    let hosts = ["nlp.example", "*.nlp.svc", "*.{namespace}.svc", "10.1.2.3"];
    Limits {
        destinations: Destinations {
            hosts: hosts.map(|host| HostPattern::new(host).unwrap()).into(),
            ..Destinations::default()
        },
        ..Limits::default()
    }
}

/// The tenant of `tenant.yaml` with other lines in place of some, and what was migrated before.
fn judged(
    changes: &[(&str, &str)],
    migrated: Option<Migrated>,
    release: &str,
) -> Result<Validated, Vec<novacrm_crds::compliance_policy::PolicyProblem>> {
    let mut text = TENANT.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from} is not in the manifest");
        text = text.replace(from, to);
    }
    let mut tenant: CrmTenant = serde_yaml::from_str(&text).unwrap();
    tenant.metadata.uid = Some("uid-1".to_owned());
    tenant.status = Some(CrmTenantStatus { migrated, ..CrmTenantStatus::default() });
    let dereferenced = Dereferenced {
        policies: Vec::new(),
        bundles: Vec::new(),
        database_server: true,
        release: release.to_owned(),
        tenants_in_namespace: 1,
        database_server_allowed: true,
        taken_hostnames: Vec::new(),
        confirmed_adoption: None,
    };
    validate(&tenant, &dereferenced, "novacrm-policies", &limits())
}

fn tenant_with(changes: &[(&str, &str)]) -> Validated {
    judged(changes, None, "1.2.0").unwrap()
}

fn all_of(changes: &[(&str, &str)]) -> Resources {
    build_all(&tenant_with(changes), &Settings::default(), &Surroundings::default())
}

fn migrated_to(version: &str) -> Option<Migrated> {
    Some(Migrated { version: version.to_owned(), digest: "before".to_owned() })
}

fn names_of<K: kube::ResourceExt>(objects: &[K]) -> Vec<String> {
    objects.iter().map(kube::ResourceExt::name_any).collect()
}

const MANAGED: &str = "{type: managed, managed: {serverRef: {name: default}}}";
const CLOUD_NATIVE_PG: &str = "{type: cloudNativePg, cloudNativePg: {instances: 2, storage: {size: 10Gi}}}";
const EXISTING: &str = "{type: existing, existing: {port: 6432, \
    crm: {urlSecretRef: {name: crm, key: u}, migrationUrlSecretRef: {name: crm, key: m}}, \
    audit: {urlSecretRef: {name: log, key: u}, migrationUrlSecretRef: {name: log, key: m}}}}";

#[test]
fn a_release_serves_when_its_databases_are_ready_and_the_former_one_until_then() {
    let tenant = tenant_with(&[]);
    let settings = Settings::default();
    let images = |resources: &Resources| -> Vec<String> {
        let pods = resources.deployments.iter().map(|one| one.spec.as_ref().unwrap().template.spec.as_ref());
        pods.map(|pod| pod.unwrap().containers[0].image.clone().unwrap()).collect()
    };
    // Never migrated: nothing serves.
    let new = build(&tenant, &settings, &Surroundings::default());
    assert_eq!((new.deployments.len(), new.jobs.len()), (0, 2));
    for job in &new.jobs {
        let name = job.metadata.name.as_ref().unwrap();
        assert!(name.contains("-migrate-1-2-0-") && name.len() <= 63, "{name}");
        assert!(job.spec.as_ref().unwrap().ttl_seconds_after_finished.is_some());
    }
    // Another release was: it goes on.
    let before = Surroundings { migrated: migrated_to("1.1.0"), ..Surroundings::default() };
    let upgrade = build(&tenant, &settings, &before);
    assert_eq!(images(&upgrade), ["novacrm-engine:1.1.0", "novacrm-api-server:1.1.0"]);
    assert_eq!(names_of(&upgrade.jobs), names_of(&new.jobs));
    // This one was: it serves, and no Job is missed.
    let done = Surroundings { migrated: Some(migration(&tenant, &settings)), ..Surroundings::default() };
    let steady = build(&tenant, &settings, &done);
    assert_eq!(images(&steady), ["novacrm-engine:1.2.0", "novacrm-api-server:1.2.0"]);
    assert!(steady.jobs.is_empty());
    // A status that was lost: what serves goes on, and the Jobs run once more.
    let lost = Surroundings { migrated: serving(&upgrade.deployments), ..Surroundings::default() };
    let again = build(&tenant, &settings, &lost);
    assert_eq!((images(&again), again.jobs.len()), (images(&upgrade), 2));
}

#[test]
fn a_job_that_would_do_something_else_is_another_job() {
    let settings = Settings::default();
    let plain = migration(&tenant_with(&[]), &settings);
    let demo = migration(&tenant_with(&[("  locale: fr", "  locale: fr\n  demoData: true")]), &settings);
    assert_eq!(plain.version, demo.version);
    assert_ne!(plain.digest, demo.digest);
    // What only serves is no business of theirs.
    let exposed = tenant_with(&[(
        "  locale: fr",
        "  locale: fr\n  hostnames: [crm.acme.example]\n  exposure: {type: ingress, ingress: {}}",
    )]);
    assert_eq!(migration(&exposed, &settings), plain);
}

#[test]
fn what_autoscaling_decides_is_nobody_else_s_to_say() {
    let scaled =
        all_of(&[("{replicas: 2}", "{autoscaling: {minReplicas: 2, maxReplicas: 5, targetCpuPercent: 60}}")]);
    let replicas: Vec<_> = scaled.deployments.iter().map(|one| one.spec.as_ref().unwrap().replicas).collect();
    assert_eq!(replicas, [None, Some(1)]);
    let autoscaler = serde_json::to_value(&scaled.horizontal_pod_autoscalers).unwrap();
    assert_eq!(autoscaler.as_array().unwrap().len(), 1);
    let spec = &autoscaler[0]["spec"];
    assert_eq!(
        spec["scaleTargetRef"],
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "novacrm-engine"})
    );
    assert_eq!((&spec["minReplicas"], &spec["maxReplicas"]), (&json!(2), &json!(5)));
    assert_eq!(spec["metrics"][0]["resource"]["target"]["averageUtilization"], 60);
    assert_eq!(names_of(&scaled.pod_disruption_budgets), ["novacrm-engine"]);
}

#[test]
fn a_suspended_tenant_keeps_everything_but_pods() {
    let suspended = tenant_with(&[
        ("  locale: fr", "  locale: fr\n  suspend: true"),
        ("{replicas: 2}", "{autoscaling: {maxReplicas: 5}}"),
    ]);
    let before = Surroundings { migrated: migrated_to("1.1.0"), ..Surroundings::default() };
    let resources = build(&suspended, &Settings::default(), &before);
    let replicas: Vec<_> =
        resources.deployments.iter().map(|one| one.spec.as_ref().unwrap().replicas).collect();
    assert_eq!(replicas, [Some(0), Some(0)]);
    // A migration waits until there is something to serve; an autoscaler would find nothing to scale.
    assert!(resources.jobs.is_empty() && resources.horizontal_pod_autoscalers.is_empty());
    assert!(resources.pod_disruption_budgets.is_empty());
    assert_eq!(names_of(&resources.services), ["novacrm-engine", "novacrm-api"]);
    assert_eq!(resources.secrets.len(), 8);
}

#[test]
fn a_crm_is_reached_through_an_ingress_or_a_gateway_or_not_at_all() {
    let none = all_of(&[]);
    assert!(none.ingresses.is_empty() && none.http_routes.is_empty());
    let hosts = "  locale: fr\n  hostnames: [crm.acme.example, '*.acme.example']\n  exposure: ";
    let ingress = format!("{hosts}{{type: ingress, ingress: {{className: nginx, tlsSecretName: acme-tls}}}}");
    let ingress = all_of(&[("  locale: fr", &ingress)]);
    assert!(ingress.http_routes.is_empty());
    let object = serde_json::to_value(&ingress.ingresses[0]).unwrap();
    assert_eq!(object["spec"]["ingressClassName"], "nginx");
    assert_eq!(object["spec"]["tls"][0]["secretName"], "acme-tls");
    assert_eq!(object["spec"]["rules"].as_array().unwrap().len(), 2);
    let backend = &object["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"];
    assert_eq!(backend, &json!({"name": "novacrm-api", "port": {"name": "http"}}));

    let gateway =
        format!("{hosts}{{type: gateway, gateway: {{parentRef: {{name: public, namespace: gateways}}}}}}");
    let gateway = all_of(&[("  locale: fr", &gateway)]);
    assert!(gateway.ingresses.is_empty());
    let route = serde_json::to_value(&gateway.http_routes[0]).unwrap();
    assert_eq!(
        (&route["apiVersion"], &route["kind"]),
        (&json!("gateway.networking.k8s.io/v1"), &json!("HTTPRoute"))
    );
    assert_eq!(route["spec"]["parentRefs"], json!([{"name": "public", "namespace": "gateways"}]));
    assert_eq!(route["spec"]["hostnames"], json!(["crm.acme.example", "*.acme.example"]));
    assert_eq!(route["spec"]["rules"], json!([{"backendRefs": [{"name": "novacrm-api", "port": 8080}]}]));
}

#[test]
fn metrics_are_shown_to_prometheus_where_it_runs() {
    assert!(all_of(&[]).service_monitors.is_empty());
    let settings = Settings { service_monitors: true, ..Settings::default() };
    let resources = build_all(&tenant_with(&[]), &settings, &Surroundings::default());
    let monitor = serde_json::to_value(&resources.service_monitors[0]).unwrap();
    assert_eq!(monitor["spec"]["endpoints"], json!([{"targetPort": "admin", "path": "/metrics"}]));
    let service = serde_json::to_value(&resources.services[0]).unwrap();
    assert_eq!(
        monitor["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"],
        service["metadata"]["labels"]["app.kubernetes.io/name"]
    );
}

#[test]
fn a_tenant_may_have_a_postgresql_of_its_own() {
    let resources = all_of(&[(MANAGED, CLOUD_NATIVE_PG)]);
    let cluster = serde_json::to_value(&resources.postgresql_clusters[0]).unwrap();
    assert_eq!(
        (&cluster["apiVersion"], &cluster["kind"]),
        (&json!("postgresql.cnpg.io/v1"), &json!("Cluster"))
    );
    // It outlives the tenant.
    assert_eq!(cluster["metadata"]["ownerReferences"], Value::Null);
    assert_eq!(cluster["spec"]["storage"], json!({"size": "10Gi"}));
    assert_eq!(cluster["spec"]["enableSuperuserAccess"], Value::Null);
    let role = &cluster["spec"]["managed"]["roles"][0];
    assert_eq!((&role["createdb"], &role["createrole"]), (&json!(true), &json!(true)));
    assert_eq!(
        (&role["superuser"], &role["passwordSecret"]["name"]),
        (&Value::Null, &json!("novacrm-database-administrator"))
    );
    let secrets: Vec<&str> = resources.secrets.iter().map(|secret| secret.name.as_str()).collect();
    assert!(secrets.contains(&"novacrm-database") && secrets.contains(&"novacrm-database-administrator"));
    let egress = network_policy(&resources, "novacrm-api")["egress"].to_string();
    assert!(egress.contains(r#""cnpg.io/cluster":"novacrm-database""#), "{egress}");
}

#[test]
fn existing_databases_are_used_by_reference_only() {
    let tenant = tenant_with(&[(MANAGED, EXISTING)]);
    let resources = build_all(&tenant, &Settings::default(), &Surroundings::default());
    assert!(resources.secrets.iter().all(|secret| secret.name != "novacrm-database"));
    assert!(
        secret_names(&tenant).contains(&"crm".to_owned())
            && secret_names(&tenant).contains(&"log".to_owned())
    );
    let workloads = resources.deployments.iter().map(|one| serde_json::to_value(one).unwrap());
    let workloads = workloads.chain(resources.jobs.iter().map(|one| serde_json::to_value(one).unwrap()));
    let mut urls = BTreeMap::new();
    for workload in workloads {
        for variable in workload["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap() {
            let name = variable["name"].as_str().unwrap().to_owned();
            if let Some(url) = name.strip_suffix("_FILE").filter(|name| name.ends_with("DATABASE_URL")) {
                let (secret, key) = mounted(&workload["spec"]["template"]["spec"], &variable["value"]);
                urls.insert(url.to_owned(), format!("{secret}/{key}"));
            }
        }
    }
    let expected = [
        ("NOVACRM_AUDIT_DATABASE_URL", "log/u"),
        ("NOVACRM_AUDIT_MIGRATION_DATABASE_URL", "log/m"),
        ("NOVACRM_DATABASE_URL", "crm/u"),
        ("NOVACRM_MIGRATION_DATABASE_URL", "crm/m"),
    ];
    assert_eq!(urls, expected.map(|(name, key)| (name.to_owned(), key.to_owned())).into());
    assert!(network_policy(&resources, "novacrm-api")["egress"].to_string().contains("6432"));
}

/// Which key of which Secret a file of a pod is.
fn mounted(pod: &Value, file: &Value) -> (String, String) {
    let (folder, name) = file.as_str().unwrap().rsplit_once('/').unwrap();
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|mount| mount["mountPath"] == folder).unwrap();
    assert_eq!(mount["readOnly"], true);
    let volumes = pod["volumes"].as_array().unwrap();
    let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap();
    let items = volume["secret"]["items"].as_array().unwrap();
    // One key, not the whole Secret.
    assert_eq!((items.len(), &items[0]["path"]), (1, &json!(name)));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&volume["secret"]["secretName"]), text(&items[0]["key"]))
}

#[test]
fn a_recogniser_is_told_to_the_engine_alone_and_its_key_is_a_file() {
    let engine = |recogniser: &str| {
        let recogniser = format!("  locale: fr\n  recogniser: {recogniser}");
        let tenant = tenant_with(&[("  locale: fr", &recogniser)]);
        let settings = Settings { limits: limits(), ..Settings::default() };
        let resources = build_all(&tenant, &settings, &Surroundings::default());
        let deployment = |name: &str| {
            let found = resources.deployments.iter().find(|one| one.metadata.name.as_deref() == Some(name));
            serde_json::to_value(found.unwrap()).unwrap()["spec"]["template"]["spec"].clone()
        };
        assert!(!deployment("novacrm-api").to_string().contains("RECOGNISER"));
        let pod = deployment("novacrm-engine");
        let env: BTreeMap<String, Value> = pod["containers"][0]["env"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["name"].as_str().unwrap().to_owned(), one.clone()))
            .collect();
        let key = env.get("NOVACRM_RECOGNISER_KEY_FILE").map(|file| mounted(&pod, &file["value"]));
        let egress =
            network_policy(&resources, "novacrm-engine")["egress"].as_array().unwrap().last().cloned();
        (env, egress.unwrap(), secret_names(&tenant), key)
    };
    let (env, egress, secrets, key) = engine(
        "{url: 'https://nlp.example:8443/v1/chat', api: chat, model: small, types: [PERSON, GPE=LOCATION], \
         keySecretRef: {name: nlp, key: token}, failureMode: open}",
    );
    let value = |name: &str| env[&format!("NOVACRM_RECOGNISER_{name}")]["value"].as_str().unwrap().to_owned();
    assert_eq!(value("URL"), "https://nlp.example:8443/v1/chat");
    assert_eq!(
        (value("API"), value("MODEL"), value("TYPES")),
        ("chat".into(), "small".into(), "PERSON,GPE=LOCATION".into())
    );
    assert_eq!((value("TIME_OUT_MS"), value("FAILURE_MODE")), ("1000".into(), "open".into()));
    assert_eq!(key, Some(("nlp".to_owned(), "token".to_owned())));
    assert!(secrets.contains(&"nlp".to_owned()));
    // Outside of the cluster: everything but a link's own addresses, with the metadata services.
    assert_eq!(egress["ports"], json!([{"protocol": "TCP", "port": 8443}]));
    assert_eq!(
        egress["to"],
        json!([
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}},
            {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10"]}},
        ])
    );
    let (env, egress, _, key) = engine("{url: 'http://presidio.nlp.svc:3000/analyze'}");
    assert!(key.is_none() && !env.contains_key("NOVACRM_RECOGNISER_MODEL"));
    assert!(!env.contains_key("NOVACRM_RECOGNISER_LOCAL"));
    assert_eq!(egress["ports"], json!([{"protocol": "TCP", "port": 3000}]));
    let nlp = json!({"matchLabels": {"kubernetes.io/metadata.name": "nlp"}});
    assert_eq!(egress["to"], json!([{ "namespaceSelector": nlp }]));
    assert_eq!(engine("{url: 'http://presidio:3000/'}").1["to"], json!([{"podSelector": {}}]));
    assert_eq!(engine("{url: 'https://10.1.2.3/'}").1["to"], json!([{"ipBlock": {"cidr": "10.1.2.3/32"}}]));
    let without = build_all(&tenant_with(&[]), &Settings::default(), &Surroundings::default());
    assert!(!serde_json::to_string(&without.deployments).unwrap().contains("RECOGNISER"));
}

fn network_policy(resources: &Resources, name: &str) -> Value {
    let found =
        resources.network_policies.iter().find(|policy| policy.metadata.name.as_deref() == Some(name));
    serde_json::to_value(&found.unwrap().spec).unwrap()
}

#[test]
fn only_named_peers_reach_a_tenant_s_processes() {
    let resources = all_of(&[]);
    let from = |name: &str, rule: usize| network_policy(&resources, name)["ingress"][rule]["from"].clone();
    let pods = |name: &str| json!({"matchLabels": {"app.kubernetes.io/name": name}});
    assert_eq!(
        from("novacrm-engine", 0),
        json!([
            {"podSelector": pods("novacrm-api")},
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "novacrm-system"}},
             "podSelector": pods("novacrm-operator")},
        ])
    );
    assert_eq!(
        from("novacrm-api", 0),
        json!([{"namespaceSelector": {"matchLabels": {"novacrm.io/ingress": "true"}}}])
    );
    for name in ["novacrm-engine", "novacrm-api"] {
        assert_eq!(
            from(name, 1),
            json!([{"namespaceSelector": {"matchLabels": {"novacrm.io/monitoring": "true"}}}])
        );
    }
}

#[test]
fn a_changed_secret_rolls_what_reads_it_at_its_start_and_nothing_else() {
    let digests = |entries: &[(&str, &str, &str)]| {
        let mut digests = BTreeMap::<String, BTreeMap<String, String>>::new();
        for (secret, key, digest) in entries {
            digests.entry((*secret).to_owned()).or_default().insert((*key).to_owned(), (*digest).to_owned());
        }
        digests
    };
    let settings = Settings::default();
    let rolled = |entries: &[(&str, &str, &str)]| -> Vec<Option<String>> {
        let surroundings = Surroundings { digests: digests(entries), ..Surroundings::default() };
        let resources = build_all(&tenant_with(&[]), &settings, &surroundings);
        let templates = resources.deployments.iter().map(|one| &one.spec.as_ref().unwrap().template);
        templates
            .map(|template| template.metadata.as_ref()?.annotations.as_ref()?.get(SECRETS_DIGEST).cloned())
            .collect()
    };
    let before = [
        (names::ENGINE_KEYS, "reply.key", "1"),
        (names::ENGINE_TLS, "tls.key", "1"),
        (names::API_KEYS, "token.key", "1"),
        (names::DATABASE, names::API_URL, "1"),
        (names::DATABASE, names::API_MIGRATION_URL, "1"),
        (names::DATABASE, names::AUDIT_URL, "1"),
    ];
    let was = rolled(&before);
    for (secret, key, rolls) in [
        (names::ENGINE_KEYS, "reply.key", [true, false]),
        (names::API_KEYS, "token.key", [false, true]),
        (names::DATABASE, names::API_URL, [false, true]),
        (names::DATABASE, names::AUDIT_URL, [true, false]),
        // Read by Jobs, and reread while running.
        (names::DATABASE, names::API_MIGRATION_URL, [false, false]),
        (names::ENGINE_TLS, "tls.key", [false, false]),
    ] {
        let after = before.map(|(name, entry, digest)| {
            (name, entry, if (name, entry) == (secret, key) { "2" } else { digest })
        });
        let is = rolled(&after);
        assert_eq!([is[0] != was[0], is[1] != was[1]], rolls, "{secret} {key}");
    }
}

#[test]
fn a_pod_serves_on_until_routers_have_forgotten_it() {
    for deployment in all_of(&[]).deployments {
        let pod = serde_json::to_value(deployment.spec.unwrap().template.spec.unwrap()).unwrap();
        let drain = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"].as_i64().unwrap();
        // The servers give requests under way ten seconds after that.
        assert!(pod["terminationGracePeriodSeconds"].as_i64().unwrap() > drain + 10);
    }
    let update = all_of(&[]).deployments[0].spec.as_ref().unwrap().strategy.clone();
    let update = serde_json::to_value(update).unwrap();
    assert_eq!(update["rollingUpdate"], json!({"maxSurge": 1, "maxUnavailable": 0}));
}

#[test]
fn a_rollout_is_over_when_no_pod_of_a_former_template_is_left() {
    let done = DeploymentStatus {
        observed_generation: Some(2),
        replicas: Some(2),
        updated_replicas: Some(2),
        available_replicas: Some(2),
        ..DeploymentStatus::default()
    };
    let is = |status: Option<DeploymentStatus>| {
        let mut deployment: Deployment = all_of(&[]).deployments.remove(0);
        deployment.metadata.generation = Some(2);
        deployment.status = status;
        is_rolled_out(&deployment)
    };
    assert!(is(Some(done.clone())));
    assert!(!is(None));
    for (name, status) in [
        ("not seen yet", DeploymentStatus { observed_generation: Some(1), ..done.clone() }),
        ("a former pod is left", DeploymentStatus { replicas: Some(3), ..done.clone() }),
        ("one is not updated", DeploymentStatus { updated_replicas: Some(1), ..done.clone() }),
        ("one is not available", DeploymentStatus { available_replicas: Some(1), ..done.clone() }),
        ("a former pod is ending", DeploymentStatus { terminating_replicas: Some(1), ..done.clone() }),
    ] {
        assert!(!is(Some(status)), "{name}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_path_and_a_way_out() {
    let locale = "  locale: fr";
    let with = |line: &str| format!("{locale}\n  {line}");
    for (name, from, to, migrated, path) in [
        ("older than the databases", locale, with("version: 1.0.0"), migrated_to("1.1.0"), "spec.version"),
        (
            "an operator older than the databases",
            locale,
            locale.to_owned(),
            migrated_to("1.3.0"),
            "spec.version",
        ),
        ("newer than the operator", locale, with("version: 2.0.0"), None, "spec.version"),
        (
            "autoscaling without a request",
            "{replicas: 2}",
            "{autoscaling: {maxReplicas: 3}, resources: {limits: {memory: 1Gi}}}".to_owned(),
            None,
            "spec.engine.resources.requests.cpu",
        ),
        (
            "fewest above most",
            "{replicas: 2}",
            "{autoscaling: {minReplicas: 4, maxReplicas: 3}}".to_owned(),
            None,
            "spec.engine.autoscaling.minReplicas",
        ),
        (
            "exposed without a name",
            locale,
            with("exposure: {type: ingress, ingress: {}}"),
            None,
            "spec.hostnames",
        ),
        (
            "the tenant's own Secret",
            locale,
            with("hostnames: [a.example]\n  exposure: {type: ingress, ingress: {tlsSecretName: novacrm-ca}}"),
            None,
            "spec.exposure.ingress.tlsSecretName",
        ),
        (
            "a claim that can have no such name",
            locale,
            with("finalDump: {claimName: Dumps}"),
            None,
            "spec.finalDump.claimName",
        ),
        (
            "a recogniser's address that is none",
            locale,
            with("recogniser: {url: 'http://:3000'}"),
            None,
            "spec.recogniser.url",
        ),
        (
            "another member of the union",
            MANAGED,
            MANAGED.replace("type: managed", "type: cloudNativePg"),
            None,
            "spec.database.managed",
        ),
        (
            "a Secret of the operator's as an existing one",
            MANAGED,
            EXISTING.replace("name: crm", "name: novacrm-database"),
            None,
            "spec.database.existing.crm.urlSecretRef.name",
        ),
    ] {
        let problems = judged(&[(from, &to)], migrated, "1.2.0").expect_err(name);
        let found = problems.iter().find(|problem| problem.path == path);
        let problem = found.unwrap_or_else(|| panic!("{name}: {problems:?}"));
        assert!(!problem.hint.is_empty(), "{name}");
    }
    assert!(judged(&[(locale, &with("version: 1.1.0"))], migrated_to("1.1.0"), "1.2.0").is_ok());
    // A release without an order, such as that of a branch, is not compared.
    assert!(judged(&[], migrated_to("1.1.0"), "branch").is_ok());
}

#[test]
fn a_tenant_keeps_the_databases_it_began_with() {
    let first = sound(&[("t.yaml", TENANT)]);
    let other = TENANT.replace(MANAGED, CLOUD_NATIVE_PG);
    let world = look_at(&first.memory, &[("t.yaml", &other)]);
    assert_eq!(world.problems[0].path, "spec.database.type");
    // What ran before goes on.
    let active = world.tenants["acme/acme"].active.as_ref().unwrap();
    assert!(active.spec().database.managed.is_some());
}

#[test]
fn secrets_are_created_once_and_replaced_at_the_version_that_was_read() {
    let now = time::macros::datetime!(2026-11-22 12:00 UTC);
    let tenant = tenant_with(&[]);
    let made = generate::plan(&tenant, &[], now, &mut rand::rng()).unwrap();
    assert!(made.iter().all(|secret| secret.metadata.resource_version.is_none()));
    let find = |secrets: &[Secret], name: &str| {
        secrets.iter().find(|secret| secret.metadata.name.as_deref() == Some(name)).cloned()
    };
    assert_eq!(find(&made, names::API_TLS).unwrap().type_.as_deref(), Some("kubernetes.io/tls"));
    // As the API server has them then.
    let stored: Vec<Secret> = made
        .into_iter()
        .map(|mut secret| {
            secret.metadata.resource_version = Some("7".to_owned());
            secret
        })
        .collect();
    assert!(generate::plan(&tenant, &stored, now, &mut rand::rng()).unwrap().is_empty());
    let renewed = generate::plan(&tenant, &stored, now + time::Duration::days(61), &mut rand::rng()).unwrap();
    let mut due = names_of(&renewed);
    due.sort();
    assert_eq!(due, [names::API_TLS, names::ENGINE_TLS, names::OPERATOR_TLS]);
    assert!(renewed.iter().all(|secret| secret.metadata.resource_version.as_deref() == Some("7")));

    // A Secret that people made is read, and never written.
    let mut theirs = find(&stored, "acme-admin").unwrap();
    theirs.metadata.labels = None;
    theirs.data = None;
    let error = generate::plan(&tenant, &[theirs], now, &mut rand::rng()).unwrap_err();
    assert!(matches!(error, GenerateError::Absent { .. }), "{error}");
}

/// The tenant of `examples/deletion`, as the API server would give it out.
fn leaving() -> CrmTenant {
    let mut tenant: CrmTenant =
        serde_yaml::from_str(include_str!("../../examples/deletion/tenant.yaml")).unwrap();
    tenant.metadata.uid = Some("5a1e".to_owned());
    tenant
}

#[test]
fn the_last_dump_of_a_tenant_outlives_it_and_its_parts() {
    let tenant = leaving();
    let Dump { reference, claim, job } = dump(&Validated::leaving(&tenant, "9.9.9"), &Settings::default());
    assert_eq!((reference.claim_name.as_str(), reference.folder.as_str()), ("novacrm-dump", "novacrm-5a1e"));
    let claim = serde_json::to_value(claim).unwrap();
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "20Gi");
    let job = serde_json::to_value(job).unwrap();
    for object in [&claim, &job] {
        assert_eq!(object["metadata"]["ownerReferences"], Value::Null);
    }
    assert_eq!(job["metadata"]["name"], "novacrm-dump-5a1e");
    let pod = &job["spec"]["template"]["spec"];
    // Those of the tenant may be gone before it.
    assert_eq!(pod["serviceAccountName"], Value::Null);
    assert_eq!(pod["automountServiceAccountToken"], false);
    let (audit, crm) = (&pod["initContainers"][0], &pod["containers"][0]);
    let to = |part: &str| format!("/var/lib/novacrm/dump/novacrm-5a1e/{part}");
    assert_eq!(audit["args"], json!(["audit", "dump", "--to", to("audit")]));
    assert_eq!(crm["args"], json!(["dump", "--to", to("crm")]));
    let volumes: Vec<&Value> =
        pod["volumes"].as_array().unwrap().iter().map(|volume| &volume["name"]).collect();
    for container in [audit, crm] {
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert!(container["image"].as_str().unwrap().ends_with(":9.9.9"));
        for mount in container["volumeMounts"].as_array().unwrap() {
            assert!(volumes.contains(&&mount["name"]), "{mount}");
            assert_eq!(mount["readOnly"] == true, mount["name"] != "dump", "{mount}");
        }
    }
    // What serves is what dumps, whatever the spec asks for by now.
    let migrated = Some(Migrated { version: "1.2.3".to_owned(), digest: String::new() });
    let mut served = leaving();
    served.status = Some(CrmTenantStatus { migrated, ..CrmTenantStatus::default() });
    served.spec.final_dump.as_mut().unwrap().storage = None;
    served.spec.final_dump.as_mut().unwrap().claim_name = Some("archive".to_owned());
    let Dump { reference, claim, job } = dump(&Validated::leaving(&served, "9.9.9"), &Settings::default());
    assert_eq!((reference.claim_name.as_str(), claim), ("archive", None));
    assert!(serde_json::to_string(&job).unwrap().contains("novacrm-engine:1.2.3"));
}

#[test]
fn only_a_tenant_that_is_deleted_with_its_data_lets_a_dump_reach_the_database() {
    let policy = |tenant: &Validated| {
        let resources = build_all(tenant, &Settings::default(), &Surroundings::default());
        names_of(&resources.network_policies).contains(&names::DUMP.to_owned())
    };
    assert!(!policy(&tenant_with(&[])));
    assert!(policy(&tenant_with(&[("spec:\n", "spec:\n  deletionPolicy: Delete\n")])));
}

#[test]
fn certificates_of_a_database_server_reach_every_process_that_speaks_to_it() {
    let pods = |tenant: &Validated| -> Vec<Value> {
        let resources = build_all(tenant, &Settings::default(), &Surroundings::default());
        let deployments = resources.deployments.iter().map(|one| serde_json::to_value(one).unwrap());
        let jobs = resources.jobs.iter().map(|one| serde_json::to_value(one).unwrap());
        deployments.chain(jobs).map(|object| object["spec"]["template"]["spec"].clone()).collect()
    };
    let roots = |pod: &Value| {
        let volumes = pod["volumes"].as_array().cloned().unwrap_or_default();
        let volume = volumes.into_iter().find(|volume| volume["name"] == "database-roots")?;
        let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
        let mount = mounts.iter().find(|mount| mount["name"] == "database-roots").unwrap();
        assert_eq!(
            (&mount["mountPath"], &mount["readOnly"]),
            (&json!("/etc/novacrm/database"), &json!(true))
        );
        Some(volume["secret"].clone())
    };
    let variable = |pod: &Value| {
        let variables = pod["containers"][0]["env"].as_array().unwrap();
        let found = variables.iter().find(|variable| variable["name"] == "PGSSLROOTCERT");
        found.map(|variable| variable["value"].as_str().unwrap().to_owned())
    };
    // On a server of the operator's: with the address, in the same Secret, where there are some.
    let managed = pods(&tenant_with(&[]));
    assert_eq!(managed.len(), 4);
    for pod in &managed {
        let secret = roots(pod).unwrap();
        assert_eq!((&secret["secretName"], &secret["optional"]), (&json!(names::DATABASE), &json!(true)));
        // No other key of it: a process that serves has no business with the migrator's password.
        assert_eq!(secret["items"], json!([{"key": "ca.crt", "path": "ca.crt"}]));
        assert_eq!(variable(pod), None);
    }
    let without = pods(&tenant_with(&[(MANAGED, EXISTING)]));
    assert!(without.iter().all(|pod| roots(pod).is_none() && variable(pod).is_none()));
    let named =
        EXISTING.replace("port: 6432,", "port: 6432, rootCertificateSecretRef: {name: roots, key: pem},");
    let tenant = tenant_with(&[(MANAGED, &named)]);
    assert!(secret_names(&tenant).contains(&"roots".to_owned()), "it is waited for");
    for pod in pods(&tenant) {
        let secret = roots(&pod).unwrap();
        assert_eq!((&secret["secretName"], &secret["optional"]), (&json!("roots"), &Value::Null));
        assert_eq!(secret["items"], json!([{"key": "pem", "path": "ca.crt"}]));
        assert_eq!(variable(&pod).as_deref(), Some("/etc/novacrm/database/ca.crt"));
    }
}

/// What is refused of `tenant.yaml` with other lines in place of one: the paths.
fn refused(from: &str, to: &str) -> Vec<String> {
    let problems = judged(&[(from, to)], None, "1.2.0").err().unwrap_or_default();
    assert!(problems.iter().all(|problem| !problem.hint.is_empty()), "{problems:?}");
    problems.into_iter().map(|problem| problem.path).collect()
}

#[test]
fn texts_are_sent_only_where_the_organisation_allows_it() {
    let locale = "  locale: fr";
    let to = |url: &str| refused(locale, &format!("  locale: fr\n  recogniser: {{url: '{url}'}}"));
    for url in [
        "http://anywhere.example/",
        "https://anywhere.example/",
        "https://169.254.169.254/latest/meta-data/",
        "http://2852039166/",
        "https://kubernetes.default.svc/api",
        "https://127.0.0.1/",
        "https://0177.0.0.1/",
        "https://[::ffff:169.254.169.254]/",
        "http://presidio.other.svc:3000/",
    ] {
        assert_eq!(to(url), ["spec.recogniser.url"], "{url}");
    }
    for url in [
        "http://presidio:3000/",
        "http://presidio.acme.svc:3000/",
        "https://nlp.example/",
        "http://a.nlp.svc/",
    ] {
        assert_eq!(to(url), Vec::<String>::new(), "{url}");
    }
}

#[test]
fn images_and_sizes_beyond_what_the_organisation_allows_are_refused() {
    let cluster = |fields: &str| {
        refused(
            MANAGED,
            &format!("{{type: cloudNativePg, cloudNativePg: {{storage: {{size: 10Gi}}, {fields}}}}}"),
        )
    };
    assert_eq!(cluster("instances: 3"), Vec::<String>::new());
    assert_eq!(cluster("instances: 9"), ["spec.database.cloudNativePg.instances"]);
    assert_eq!(cluster("imageName: 'evil.example/postgresql:17'"), ["spec.database.cloudNativePg.imageName"]);
    let storage = "{type: cloudNativePg, cloudNativePg: {storage: {size: 2Ti}}}";
    assert_eq!(refused(MANAGED, storage), ["spec.database.cloudNativePg.storage.size"]);
    for (engine, path) in [
        ("{replicas: 11}", "spec.engine.replicas"),
        (
            "{autoscaling: {maxReplicas: 50}, resources: {requests: {cpu: 1}}}",
            "spec.engine.autoscaling.maxReplicas",
        ),
        ("{resources: {requests: {cpu: '64'}}}", "spec.engine.resources.requests.cpu"),
        ("{resources: {limits: {memory: 64Gi}}}", "spec.engine.resources.limits.memory"),
        ("{resources: {limits: {nvidia.com/gpu: '1'}}}", "spec.engine.resources.limits.nvidia.com/gpu"),
        ("{resources: {limits: {memory: lots}}}", "spec.engine.resources.limits.memory"),
    ] {
        assert_eq!(refused("{replicas: 2}", engine), [path], "{engine}");
    }
}

#[test]
fn images_of_the_organisations_list_are_allowed_and_none_that_only_begins_alike() {
    let limits = Limits { images: vec!["registry.example/cnpg/postgresql".to_owned()], ..Limits::default() };
    let problems = |image: &str| {
        let database = format!(
            "{{type: cloudNativePg, cloudNativePg: {{storage: {{size: 1Gi}}, imageName: '{image}'}}}}"
        );
        let tenant: CrmTenant = serde_yaml::from_str(&TENANT.replace(MANAGED, &database)).unwrap();
        limits.check(&tenant.spec, "acme").len()
    };
    let digest = "0".repeat(64);
    for image in
        ["registry.example/cnpg/postgresql:17", &format!("registry.example/cnpg/postgresql@sha256:{digest}")]
    {
        assert_eq!(problems(image), 0, "{image}");
    }
    for image in [
        "registry.example/cnpg/postgresql-evil:17",
        "registry.example/cnpg/postgresql/../../evil/x:1",
        "evil.example/registry.example/cnpg/postgresql:17",
        "postgresql:17",
    ] {
        assert_eq!(problems(image), 1, "{image}");
    }
}

#[test]
fn host_names_follow_the_organisations_patterns() {
    let limits =
        Limits { hostnames: vec![HostPattern::new("{namespace}.crm.example").unwrap()], ..Limits::default() };
    let problems = |host: &str| {
        let text = TENANT.replace("  locale: fr", &format!("  locale: fr\n  hostnames: ['{host}']"));
        let tenant: CrmTenant = serde_yaml::from_str(&text).unwrap();
        limits.check(&tenant.spec, "acme").into_iter().map(|problem| problem.path).collect::<Vec<_>>()
    };
    assert_eq!(problems("acme.crm.example"), Vec::<String>::new());
    for host in ["globex.crm.example", "*.crm.example", "a.acme.crm.example", "acme.crm.example.evil.example"]
    {
        assert_eq!(problems(host), ["spec.hostnames[0]"], "{host}");
    }
}

#[test]
fn a_former_tenants_data_is_taken_over_only_where_spec_and_namespace_name_it() {
    let adopt = |asked: Option<&str>, confirmed: Option<&str>| {
        let mut tenant: CrmTenant = serde_yaml::from_str(TENANT).unwrap();
        tenant.spec.adopt_tenant_id = asked.map(str::to_owned);
        let dereferenced = Dereferenced {
            policies: Vec::new(),
            bundles: Vec::new(),
            database_server: true,
            database_server_allowed: true,
            taken_hostnames: Vec::new(),
            confirmed_adoption: confirmed.map(str::to_owned),
            release: "1.2.0".to_owned(),
            tenants_in_namespace: 1,
        };
        validate(&tenant, &dereferenced, "novacrm-policies", &Limits::default()).unwrap().identity().adopt
    };
    assert_eq!(adopt(Some("former"), Some("former")), Some("former".to_owned()));
    for (asked, confirmed) in
        [(Some("former"), None), (None, Some("former")), (Some("former"), Some("another")), (None, None)]
    {
        assert_eq!(adopt(asked, confirmed), None, "{asked:?} {confirmed:?}");
    }
}

#[test]
fn a_server_or_a_host_name_that_is_not_for_a_tenant_is_refused() {
    let problems = |allowed: bool, taken: &[&str]| {
        let text = TENANT.replace("  locale: fr", "  locale: fr\n  hostnames: [a.example, b.example]");
        let tenant: CrmTenant = serde_yaml::from_str(&text).unwrap();
        let dereferenced = Dereferenced {
            policies: Vec::new(),
            bundles: Vec::new(),
            database_server: true,
            database_server_allowed: allowed,
            taken_hostnames: taken.iter().map(|host| (*host).to_owned()).collect(),
            confirmed_adoption: None,
            release: "1.2.0".to_owned(),
            tenants_in_namespace: 1,
        };
        let problems = validate(&tenant, &dereferenced, "novacrm-policies", &Limits::default());
        problems.err().unwrap_or_default().into_iter().map(|problem| problem.path).collect::<Vec<_>>()
    };
    assert_eq!(problems(true, &[]), Vec::<String>::new());
    assert_eq!(problems(false, &[]), ["spec.database.managed.serverRef.name"]);
    assert_eq!(problems(true, &["b.example"]), ["spec.hostnames[1]"]);
}

#[test]
fn images_of_tenants_are_named_by_their_digests_where_these_are_known() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let settings = Settings {
        image_repository: Some("registry.example/novacrm".to_owned()),
        image_digests: [("novacrm-engine:1.2.0".to_owned(), digest.clone())].into(),
        ..Settings::default()
    };
    let resources = build_all(&tenant_with(&[]), &settings, &Surroundings::default());
    let images: Vec<String> = resources
        .deployments
        .iter()
        .map(|one| {
            serde_json::to_value(one).unwrap()["spec"]["template"]["spec"]["containers"][0]["image"].clone()
        })
        .map(|image| image.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        images,
        [
            format!("registry.example/novacrm/novacrm-engine:1.2.0@{digest}"),
            "registry.example/novacrm/novacrm-api-server:1.2.0".to_owned(),
        ]
    );
}

#[test]
fn only_the_api_is_told_of_proxies_and_retention_and_only_where_they_are_given() {
    let told = |settings: &Settings| -> Vec<(String, String, String)> {
        let resources = build_all(&tenant_with(&[]), settings, &Surroundings::default());
        let pods = resources.deployments.iter().map(|one| serde_json::to_value(one).unwrap());
        let of = |pod: Value| {
            let container = &pod["spec"]["template"]["spec"]["containers"][0];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let name = text(&pod["metadata"]["name"]);
            let given = [
                "NOVACRM_TRUSTED_PROXIES",
                "NOVACRM_ERASURE_AFTER_DAYS",
                "NOVACRM_ASSESSMENT_RETENTION_DAYS",
            ];
            let env = container["env"].as_array().unwrap().iter();
            env.map(|one| (name.clone(), text(&one["name"]), text(&one["value"])))
                .filter(|(_, variable, _)| given.contains(&variable.as_str()))
                .collect::<Vec<_>>()
        };
        pods.flat_map(of).collect()
    };
    assert_eq!(told(&Settings::default()), []);
    let settings = Settings {
        trusted_proxies: vec!["10.244.0.0/16".to_owned(), "fd00:10:244::/56".to_owned()],
        erasure_after_days: Some(0),
        assessment_retention_days: Some(90),
        ..Settings::default()
    };
    let expected = [
        ("NOVACRM_TRUSTED_PROXIES", "10.244.0.0/16,fd00:10:244::/56"),
        ("NOVACRM_ERASURE_AFTER_DAYS", "0"),
        ("NOVACRM_ASSESSMENT_RETENTION_DAYS", "90"),
    ];
    assert_eq!(
        told(&settings),
        expected.map(|(name, value)| { ("novacrm-api".to_owned(), name.to_owned(), value.to_owned()) })
    );
}
