//! One admission request in; whether there is anything to judge, and every problem and warning, out. Pure.

use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, Operation};
use novacrm_crds::compliance_policy::{EnforcementMode, PolicyProblem};
use novacrm_crds::{CrmTenantSpec, GROUP};
use novacrm_engine_core::policy::{Manifest, read_object};
use serde_json::{Value, json};

use super::Lookup;
use crate::compliance_policy;
use crate::compliance_policy::dereference::{Dereferenced, scope};
use crate::crm_tenant;

/// Our kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    CompliancePolicy,
    CrmTenant,
}

impl Kind {
    /// The kind of a request; none when it is not ours, and then not ours to refuse.
    pub(super) fn of(request: &AdmissionRequest<DynamicObject>) -> Option<Self> {
        match (request.kind.group.as_str(), request.kind.kind.as_str()) {
            (GROUP, "CompliancePolicy") => Some(Self::CompliancePolicy),
            (GROUP, "CrmTenant") => Some(Self::CrmTenant),
            _ => None,
        }
    }
}

/// What [`judge`] needs of a request.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// The object as a person wrote it: kind, names and spec.
    object: Value,
    /// The spec before, of an update.
    before: Option<Value>,
}

impl Case {
    /// The case of a request, if it is one: deletions, changes that leave the spec as it is (so those of metadata,
    /// finalizers and status) and objects under deletion are admitted unseen, so that a stricter check never
    /// traps an object that is there already.
    pub(super) fn of(request: &AdmissionRequest<DynamicObject>) -> Option<Self> {
        Kind::of(request)?;
        if request.sub_resource.as_ref().is_some_and(|name| !name.is_empty()) {
            return None;
        }
        let before = match request.operation {
            Operation::Create => None,
            Operation::Update => Some(spec_of(request.old_object.as_ref()?)),
            Operation::Delete | Operation::Connect => return None,
        };
        let object = request.object.as_ref()?;
        if object.metadata.deletion_timestamp.is_some() {
            return None;
        }
        if before.as_ref().is_some_and(|before| same(before, &spec_of(object))) {
            return None;
        }
        Some(Self { object: written(object), before })
    }
}

fn spec_of(object: &DynamicObject) -> Value {
    object.data.get("spec").cloned().unwrap_or_default()
}

/// The object without what the API server and controllers add: that is not a person's to mend, and a newer server
/// may add what this version does not know.
fn written(object: &DynamicObject) -> Value {
    let mut fields = object.data.clone();
    if let Value::Object(fields) = &mut fields {
        fields.remove("status");
        let (api_version, kind) = match &object.types {
            Some(types) => (types.api_version.as_str(), types.kind.as_str()),
            None => ("", ""),
        };
        fields.insert("apiVersion".to_owned(), json!(api_version));
        fields.insert("kind".to_owned(), json!(kind));
        fields.insert(
            "metadata".to_owned(),
            json!({ "name": object.metadata.name, "namespace": object.metadata.namespace }),
        );
    }
    fields
}

/// Whether two values say the same; `1` and `1.0` do.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        _ => a == b,
    }
}

/// What is to be said of an object.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Judgement {
    /// Why it is refused; admitted when there is none.
    pub(super) problems: Vec<PolicyProblem>,
    /// What its author should know all the same.
    pub(super) warnings: Vec<String>,
}

/// Judges a case: the schema as files are judged by it, then as the reconciler does.
pub(super) fn judge(case: Case, policy_namespace: &str, lookup: &dyn Lookup) -> Judgement {
    let (manifest, mut problems) = read_object(case.object);
    let mut warnings = Vec::new();
    let found = match manifest {
        Some(Manifest::CompliancePolicy(policy)) => {
            if policy.spec.enforcement.mode == EnforcementMode::Shadow {
                warnings.push(
                    "spec.enforcement.mode is shadow: matches are recorded and nothing is enforced"
                        .to_owned(),
                );
            }
            let namespace = policy.metadata.namespace.as_deref().unwrap_or_default();
            let dereferenced = Dereferenced {
                scope: scope(namespace, policy_namespace),
                tenants: Vec::new(),
                // What no longer reads as a policy may be replaced by any that is sound.
                accepted: case.before.and_then(|before| serde_json::from_value(before).ok()),
            };
            compliance_policy::validate::validate(&policy, &dereferenced).err().unwrap_or_default()
        }
        Some(Manifest::CrmTenant(tenant)) => {
            let namespace = tenant.metadata.namespace.as_deref().unwrap_or_default();
            let name = tenant.metadata.name.as_deref().unwrap_or_default();
            warnings.extend(unknown_server(&tenant.spec, lookup));
            if lookup.tenants_in(namespace).iter().any(|other| other != name) {
                warnings.push(
                    "another CrmTenant is in this namespace, and a namespace holds one: the older of the two \
                     is reconciled, the other is refused"
                        .to_owned(),
                );
            }
            crm_tenant::validate::validate_alone(&tenant, policy_namespace, lookup.limits())
        }
        Some(Manifest::Other { .. }) | None => Vec::new(),
    };
    for problem in found {
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    Judgement { problems, warnings }
}

fn unknown_server(spec: &CrmTenantSpec, lookup: &dyn Lookup) -> Option<String> {
    let managed = spec.database.managed.as_ref()?;
    (!lookup.has_database_server(&managed.server_ref.name)).then(|| {
        "spec.database.managed.serverRef.name: the operator knows no database server of this name yet"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = include_str!("../../../engine/core/testdata/policies/sound.yaml");

    fn sound() -> Value {
        serde_yaml::from_str(SOUND).unwrap()
    }

    fn request(operation: &str, object: Value, old: Value) -> AdmissionRequest<DynamicObject> {
        let kind = object.get("kind").or(old.get("kind")).cloned().unwrap_or_default();
        serde_json::from_value(json!({
            "uid": "1",
            "kind": { "group": GROUP, "version": "v1alpha1", "kind": kind },
            "resource": { "group": GROUP, "version": "v1alpha1", "resource": "any" },
            "name": "codes", "namespace": "acme", "operation": operation, "userInfo": {},
            "object": object, "oldObject": old,
        }))
        .unwrap()
    }

    fn with(mut object: Value, pointer: &str, value: Value) -> Value {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[key] = value;
        object
    }

    struct Nobody;

    impl Lookup for Nobody {
        fn has_database_server(&self, _: &str) -> bool {
            false
        }

        fn tenants_in(&self, _: &str) -> Vec<String> {
            Vec::new()
        }
    }

    #[test]
    fn only_a_new_spec_of_our_kinds_is_judged() {
        let before = sound();
        let changed = with(sound(), "/spec/changelog", json!("Second version."));
        let labelled = with(sound(), "/metadata/labels", json!({ "a": "b" }));
        let finalized = with(sound(), "/metadata/finalizers", json!(["a/b"]));
        let reported = with(sound(), "/status", json!({ "observedGeneration": 1 }));
        let deleting = with(changed.clone(), "/metadata/deletionTimestamp", json!("2026-11-22T12:00:00Z"));
        let foreign = with(changed.clone(), "/kind", json!("ConfigMap"));
        let none = Value::Null;
        for (what, operation, object, old, judged) in [
            ("create", "CREATE", before.clone(), none.clone(), true),
            ("change", "UPDATE", changed.clone(), before.clone(), true),
            ("label", "UPDATE", labelled, before.clone(), false),
            ("finalizer", "UPDATE", finalized, before.clone(), false),
            ("status", "UPDATE", reported, before.clone(), false),
            ("under deletion", "UPDATE", deleting, before.clone(), false),
            ("deletion", "DELETE", none.clone(), before.clone(), false),
            ("another kind", "UPDATE", foreign, before.clone(), false),
        ] {
            assert_eq!(Case::of(&request(operation, object, old)).is_some(), judged, "{what}");
        }
        let mut status = request("UPDATE", changed, before);
        status.sub_resource = Some("status".to_owned());
        assert!(Case::of(&status).is_none());
    }

    #[test]
    fn numbers_are_the_same_however_they_are_written() {
        assert!(same(&json!({ "a": [1, 0.5] }), &json!({ "a": [1.0, 0.5] })));
        assert!(!same(&json!({ "a": [1] }), &json!({ "a": [2] })));
        assert!(!same(&json!({ "a": 1 }), &json!({ "a": 1, "b": 1 })));
        assert!(!same(&json!([1]), &json!([1, 1])));
    }

    #[test]
    fn a_change_needs_a_higher_version_and_what_cannot_be_read_may_be_replaced() {
        let judged = |object: Value, old: Value| {
            let case = Case::of(&request("UPDATE", object, old)).unwrap();
            judge(case, "novacrm-policies", &Nobody).problems
        };
        let changed = with(sound(), "/spec/changelog", json!("Second version."));
        let problems = judged(changed.clone(), sound());
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].path, "spec.version");
        assert_eq!(judged(with(changed.clone(), "/spec/version", json!("1.2.1")), sound()), []);
        let unreadable = with(sound(), "/spec/rules/0/severity", json!("unheard-of"));
        assert_eq!(judged(changed, unreadable), []);
    }

    #[test]
    fn what_a_newer_server_adds_beside_the_spec_is_nobodys_problem() {
        let mut object = with(sound(), "/metadata/selfLink", json!("/somewhere"));
        object = with(object, "/status", json!({ "of": "tomorrow" }));
        let case = Case::of(&request("CREATE", object, Value::Null)).unwrap();
        assert_eq!(judge(case, "novacrm-policies", &Nobody), Judgement::default());
        // An unknown field of the spec would be a demand that no engine honours.
        let object = with(sound(), "/spec/ofTomorrow", json!(true));
        let case = Case::of(&request("CREATE", object, Value::Null)).unwrap();
        assert_eq!(judge(case, "novacrm-policies", &Nobody).problems[0].path, "spec.ofTomorrow");
    }
}
