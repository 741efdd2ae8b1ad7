//! One admission request in; whether there is anything to judge, and every problem and warning, out. Pure.
//!
//! A request is read where it lies: the objects in it stay text ([`RawValue`]) until they were weighed, and only what is
//! judged becomes values.

use std::collections::BTreeMap;

use kube::core::admission::Operation;
use novacrm_crds::compliance_policy::{EnforcementMode, PolicyProblem};
use novacrm_crds::{CrmTenantSpec, GROUP};
use novacrm_engine_core::policy::{Manifest, read_object};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Lookup;
use super::http::Answer;
use crate::compliance_policy::dereference::{Dereferenced, scope};
use crate::weight::{self, TooHeavy, weigh};
use crate::{compliance_policy, crm_tenant};

/// Longest name of a Kubernetes object, and of what else of a request is repeated (RFC 1123).
const LONGEST_NAME: usize = 253;

/// Our kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    CompliancePolicy,
    CrmTenant,
}

impl Kind {
    /// Its name, as in manifests.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::CompliancePolicy => "CompliancePolicy",
            Self::CrmTenant => "CrmTenant",
        }
    }
}

/// `admission.k8s.io/v1`, `AdmissionReview` with a request. What else it says is not looked at.
#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    request: Request<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    uid: String,
    kind: RequestKind,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
    operation: Operation,
    #[serde(default)]
    sub_resource: Option<String>,
    #[serde(default, borrow)]
    object: Option<&'a RawValue>,
    #[serde(default, borrow)]
    old_object: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RequestKind {
    group: String,
    kind: String,
}

/// `admission.k8s.io/v1`, `AdmissionReview` with a response.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Review<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: &'a Answer,
}

impl<'a> Review<'a> {
    pub(super) fn answer(response: &'a Answer) -> Self {
        Self { api_version: "admission.k8s.io/v1", kind: "AdmissionReview", response }
    }
}

/// The parts of an object that decide whether it is judged.
#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(default)]
    metadata: Option<Metadata>,
    #[serde(default, borrow)]
    spec: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    deletion_timestamp: Option<IgnoredAny>,
}

impl<'a> Request<'a> {
    fn read(body: &'a [u8]) -> Option<Self> {
        let asked: Asked<'_> = serde_json::from_slice(body).ok()?;
        let request = asked.request;
        let short = |text: &Option<String>| text.as_ref().is_none_or(|text| text.len() <= LONGEST_NAME);
        (short(&request.name) && short(&request.namespace) && request.uid.len() <= LONGEST_NAME)
            .then_some(request)
    }

    /// The kind of the object; none when it is not ours, and then not ours to refuse.
    fn kind(&self) -> Option<Kind> {
        [Kind::CompliancePolicy, Kind::CrmTenant]
            .into_iter()
            .find(|kind| self.kind.group == GROUP && self.kind.kind == kind.name())
    }

    /// The object to judge and the spec before, of an update. Deletions, changes that leave the spec as it is (so those
    /// of metadata, finalizers and status) and objects under deletion are admitted unseen, so that a stricter check never
    /// traps an object that is there already.
    fn to_judge(&self) -> Option<(&'a RawValue, Option<&'a RawValue>)> {
        self.kind()?;
        if self.sub_resource.as_ref().is_some_and(|name| !name.is_empty()) {
            return None;
        }
        let object = self.object?;
        let before = match self.operation {
            Operation::Create => None,
            Operation::Update => Some(self.old_object?),
            Operation::Delete | Operation::Connect => return None,
        };
        // What has no such parts is for the judge to say.
        let Ok(parts) = serde_json::from_str::<Parts<'_>>(object.get()) else { return Some((object, None)) };
        if parts.metadata.as_ref().is_some_and(|metadata| metadata.deletion_timestamp.is_some()) {
            return None;
        }
        let Some(before) = before else { return Some((object, None)) };
        let before = serde_json::from_str::<Parts<'_>>(before.get()).ok()?.spec;
        let text = |spec: Option<&'a RawValue>| spec.map_or("null", RawValue::get);
        (text(before) != text(parts.spec)).then_some((object, before))
    }
}

/// What is said of a request before it is judged. It owns what it holds, which is little.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) uid: String,
    /// None when it is not ours.
    pub(super) kind: Option<Kind>,
    pub(super) operation: Operation,
    pub(super) name: String,
    pub(super) namespace: String,
    may_be_judged: bool,
}

impl Case {
    /// The case of a body; none for what is no `AdmissionReview` with a request.
    pub(super) fn of(body: &[u8]) -> Option<Self> {
        let request = Request::read(body)?;
        Some(Self {
            kind: request.kind(),
            may_be_judged: request.to_judge().is_some(),
            uid: request.uid,
            operation: request.operation,
            name: request.name.unwrap_or_default(),
            namespace: request.namespace.unwrap_or_default(),
        })
    }

    /// Whether there is anything to judge. Where there seems to be, [`judge`] may still find that nothing changed.
    pub(super) fn may_be_judged(&self) -> bool {
        self.may_be_judged
    }
}

fn value_of(text: &RawValue) -> Value {
    serde_json::from_str(text.get()).unwrap_or_default()
}

/// The object without what the API server and controllers add: that is not a person's to mend, and a newer server
/// may add what this version does not know.
fn written(object: &RawValue) -> Value {
    let Ok(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(object.get()) else {
        return value_of(object);
    };
    let mut metadata = Metadata::default();
    let mut written = serde_json::Map::new();
    for (name, value) in fields {
        match name.as_str() {
            "status" => {}
            "metadata" => metadata = serde_json::from_str(value.get()).unwrap_or_default(),
            _ => drop(written.insert(name, value_of(value))),
        }
    }
    let metadata = json!({ "name": metadata.name, "namespace": metadata.namespace });
    written.insert("metadata".to_owned(), metadata);
    Value::Object(written)
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

/// Judges a body: the schema as files are judged by it, then as the reconciler does. Nothing is said of what there is
/// nothing to judge of.
pub(super) fn judge(body: &[u8], policy_namespace: &str, lookup: &dyn Lookup) -> Judgement {
    let Some(request) = Request::read(body) else { return Judgement::default() };
    let Some((object, before)) = request.to_judge() else { return Judgement::default() };
    if weigh(object) == Err(TooHeavy) {
        return Judgement { problems: vec![too_heavy()], warnings: Vec::new() };
    }
    let object = written(object);
    // What is too heavy was admitted by nobody who could read it; like what no longer reads as a policy, it may be
    // replaced by anything that is sound.
    let before = before.filter(|before| weigh(before).is_ok()).map(value_of);
    if let Some(before) = &before
        && same(before, object.get("spec").unwrap_or(&Value::Null))
    {
        return Judgement::default();
    }
    let (manifest, mut problems) = read_object(object);
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
                accepted: before.and_then(|before| serde_json::from_value(before).ok()),
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

fn too_heavy() -> PolicyProblem {
    crate::problem(
        "spec",
        &format!(
            "the object has so many values that it would take more than {} MiB of memory, or it is nested too deeply",
            weight::LIMIT / (1024 * 1024)
        ),
        "Split it into several objects.",
    )
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

    fn request(operation: &str, object: &Value, old: &Value) -> Value {
        let kind = object.get("kind").or(old.get("kind")).cloned().unwrap_or_default();
        json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "1",
            "kind": { "group": GROUP, "version": "v1alpha1", "kind": kind },
            "resource": { "group": GROUP, "version": "v1alpha1", "resource": "any" },
            "name": "codes", "namespace": "acme", "operation": operation, "userInfo": {},
            "object": object, "oldObject": old,
        }})
    }

    fn body(operation: &str, object: &Value, old: &Value) -> Vec<u8> {
        request(operation, object, old).to_string().into_bytes()
    }

    fn judged(operation: &str, object: &Value, old: &Value) -> Judgement {
        let body = body(operation, object, old);
        assert!(Case::of(&body).unwrap().may_be_judged());
        judge(&body, "novacrm-policies", &Nobody)
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
            let case = Case::of(&body(operation, &object, &old)).unwrap();
            assert_eq!(case.may_be_judged(), judged, "{what}");
        }
        let mut status = request("UPDATE", &changed, &before);
        status["request"]["subResource"] = "status".into();
        assert!(!Case::of(status.to_string().as_bytes()).unwrap().may_be_judged());
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
        let judged = |object: Value, old: Value| judged("UPDATE", &object, &old).problems;
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
        assert_eq!(judged("CREATE", &object, &Value::Null), Judgement::default());
        // An unknown field of the spec would be a demand that no engine honours.
        let object = with(sound(), "/spec/ofTomorrow", json!(true));
        assert_eq!(judged("CREATE", &object, &Value::Null).problems[0].path, "spec.ofTomorrow");
    }

    #[test]
    fn a_spec_that_is_written_in_another_way_is_no_change() {
        let before = with(sound(), "/spec/customDetectors/0/score", json!(1));
        let body =
            body("UPDATE", &with(before.clone(), "/spec/customDetectors/0/score", json!(1.0)), &before);
        assert_eq!(judge(&body, "novacrm-policies", &Nobody), Judgement::default());
    }

    #[test]
    fn what_would_multiply_in_memory_is_refused_and_may_be_replaced() {
        let heavy = with(sound(), "/spec/rules", Value::Array(vec![json!([]); 400_000]));
        let problems = judged("CREATE", &heavy, &Value::Null).problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].path, "spec");
        assert_eq!(judged("UPDATE", &sound(), &heavy).problems, []);
        let unchanged = Case::of(&body("UPDATE", &heavy, &heavy)).unwrap();
        assert!(!unchanged.may_be_judged(), "it is in nobody's way");
    }

    #[test]
    fn names_that_no_object_can_have_make_no_review() {
        let mut long = request("CREATE", &sound(), &Value::Null);
        long["request"]["namespace"] = "a".repeat(1000).into();
        assert!(Case::of(long.to_string().as_bytes()).is_none());
    }
}
