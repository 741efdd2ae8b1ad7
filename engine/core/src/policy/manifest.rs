//! A file in; the objects in it, each with the place of its fields, or every problem, out.

use novacrm_crds::crm_tenant::CrmTenant;
use novacrm_crds::{CompliancePolicy, GROUP, VERSION};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::check::{CheckedPolicy, Scope, check_references, check_tenant_references};
use super::problem::{PolicyProblem, named, nearest, problem};
use super::schema::validate;
use super::source::{self, Document, Positions};

/// An object and where its fields stand.
#[derive(Clone, Debug)]
pub struct Located<T> {
    /// The object.
    pub object: T,
    /// Line and column of its fields.
    pub positions: Positions,
    /// The file it was read from.
    pub file: Option<String>,
}

impl<T> Located<T> {
    /// Adds file, line and column to a problem of this object.
    #[must_use]
    pub fn locate(&self, problem: PolicyProblem) -> PolicyProblem {
        locate(problem, &self.positions, self.file.as_deref())
    }

    fn with<U>(self, change: impl FnOnce(T) -> U) -> Located<U> {
        Located { object: change(self.object), positions: self.positions, file: self.file }
    }
}

fn locate(mut problem: PolicyProblem, positions: &Positions, file: Option<&str>) -> PolicyProblem {
    if problem.line.is_none()
        && let Some((line, column)) = positions.of(&problem.path)
    {
        problem.line = Some(line);
        problem.column = Some(column);
    }
    if problem.file.is_none() {
        problem.file = file.map(str::to_owned);
    }
    problem
}

/// An object of a file.
#[derive(Clone, Debug)]
pub enum Manifest {
    /// A policy.
    CompliancePolicy(Box<CompliancePolicy>),
    /// A tenant.
    CrmTenant(Box<CrmTenant>),
    /// An object of somebody else's.
    Other {
        /// `apiVersion` of the object.
        api_version: String,
        /// `kind` of the object.
        kind: String,
        /// The object as it was read.
        value: Value,
    },
}

/// Reads a file of YAML documents, or of JSON.
///
/// # Errors
/// Every problem of syntax and schema, over all documents, with file, line and column.
pub fn read_manifests(
    source: &str,
    file: Option<&str>,
) -> Result<Vec<Located<Manifest>>, Vec<PolicyProblem>> {
    let (documents, problems) = source::read(source);
    let mut problems: Vec<PolicyProblem> =
        problems.into_iter().map(|one| locate(one, &Positions::default(), file)).collect();
    let mut manifests = Vec::new();
    for document in documents {
        let (manifest, found) = interpret(document, file);
        problems.extend(found);
        manifests.extend(manifest);
    }
    if problems.is_empty() { Ok(manifests) } else { Err(problems) }
}

/// What a file holds, judged as deeply as each object allows.
#[derive(Debug, Default)]
pub struct Review {
    /// The policies without problems.
    pub policies: Vec<Located<CheckedPolicy>>,
    /// The tenants without problems.
    pub tenants: Vec<Located<CrmTenant>>,
    /// How many objects of other kinds there are.
    pub others: usize,
    /// Every problem of every object, with file, line and column.
    pub problems: Vec<PolicyProblem>,
}

/// Reads a file and checks every policy and tenant in it, as a pull request or an editor wants it: all problems at
/// once. Policies in `policy_namespace` are organisation policies.
#[must_use]
pub fn review(source: &str, file: Option<&str>, policy_namespace: &str) -> Review {
    review_within(source, file, policy_namespace, || || true)
}

/// [`review`] with a limit for each policy, as [`super::check_within`] has it; `begin` begins to measure.
#[must_use]
pub fn review_within<F: Fn() -> bool>(
    source: &str,
    file: Option<&str>,
    policy_namespace: &str,
    begin: impl Fn() -> F,
) -> Review {
    let (documents, problems) = source::read(source);
    let mut review = Review {
        problems: problems.into_iter().map(|one| locate(one, &Positions::default(), file)).collect(),
        ..Review::default()
    };
    for document in documents {
        let (manifest, found) = interpret(document, file);
        let sound = found.is_empty();
        review.problems.extend(found);
        let Some(manifest) = manifest else { continue };
        let Located { object, positions, file } = manifest;
        match object {
            Manifest::CompliancePolicy(object) => {
                let scope = match object.metadata.namespace.as_deref() {
                    Some(namespace) if namespace == policy_namespace => Scope::Organisation,
                    _ => Scope::Tenant,
                };
                let located = Located { object: *object, positions, file };
                match check_references(&located.object, scope, &begin()) {
                    // What the schema refused is reported already; a policy with such problems is not sound.
                    Ok(checked) if sound => review.policies.push(located.with(|_| checked)),
                    Ok(_) => {}
                    Err(found) => review.problems.extend(found.into_iter().map(|one| located.locate(one))),
                }
            }
            Manifest::CrmTenant(object) => {
                let located = Located { object: *object, positions, file };
                let found = check_tenant_references(&located.object.spec);
                if sound && found.is_empty() {
                    review.tenants.push(located);
                } else {
                    review.problems.extend(found.into_iter().map(|one| located.locate(one)));
                }
            }
            Manifest::Other { .. } => review.others += 1,
        }
    }
    review.problems.sort_by(|a, b| (a.line, a.column, &a.path).cmp(&(b.line, b.column, &b.path)));
    // What schema and engine say in the same words is said once.
    review.problems.dedup();
    review
}

/// One document: the object, if it can be read as its kind, and what is wrong with its syntax and schema.
fn interpret(document: Document, file: Option<&str>) -> (Option<Located<Manifest>>, Vec<PolicyProblem>) {
    let Document { value, positions, mut problems } = document;
    let mut manifest = None;
    if problems.is_empty() {
        (manifest, problems) = read_object(value);
    }
    let problems = problems.into_iter().map(|one| locate(one, &positions, file)).collect();
    let file = file.map(str::to_owned);
    (manifest.map(|object| Located { object, positions, file }), problems)
}

/// Reads one object that is JSON already, as it comes in a request: the object, if it can be read as its kind, and
/// every problem of its schema. The policies of a file are read by this, too.
#[must_use]
pub fn read_object(value: Value) -> (Option<Manifest>, Vec<PolicyProblem>) {
    let Value::Object(fields) = &value else {
        let hint = "Start with `apiVersion`, `kind`, `metadata` and `spec`.";
        return (None, vec![problem("", "a document must be a Kubernetes object", hint)]);
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else {
        let missing = if text("apiVersion").is_none() { "apiVersion" } else { "kind" };
        let hint = format!("For a policy: `apiVersion: {GROUP}/{VERSION}`, `kind: CompliancePolicy`.");
        return (
            None,
            vec![problem(missing, format!("the field `{missing}` is missing or not a string"), hint)],
        );
    };
    if !api_version.starts_with(&format!("{GROUP}/")) {
        return (Some(Manifest::Other { api_version, kind, value }), Vec::new());
    }
    if api_version != format!("{GROUP}/{VERSION}") {
        let hint = format!("Use `{GROUP}/{VERSION}`.");
        return (None, vec![problem("apiVersion", "this version of the kinds does not exist", hint)]);
    }
    let problems = validate(&kind, &value);
    match kind.as_str() {
        "CompliancePolicy" => typed(value, problems, |object| Manifest::CompliancePolicy(Box::new(object))),
        "CrmTenant" => typed(value, problems, |object| Manifest::CrmTenant(Box::new(object))),
        other => {
            let hint = match nearest(other, ["CompliancePolicy", "CrmTenant"]) {
                Some(near) => format!("Did you mean `{near}`?"),
                None => "The kinds are CompliancePolicy and CrmTenant.".to_owned(),
            };
            (None, vec![problem("kind", format!("there is no kind `{}` in {GROUP}", named(other)), hint)])
        }
    }
}

fn typed<T: DeserializeOwned>(
    value: Value,
    mut problems: Vec<PolicyProblem>,
    wrap: impl FnOnce(T) -> Manifest,
) -> (Option<Manifest>, Vec<PolicyProblem>) {
    match serde_path_to_error::deserialize(value) {
        Ok(object) => (Some(wrap(object)), problems),
        // The schema has usually said why, better than serde can; its text may quote values, so it is not shown.
        Err(error) => {
            if problems.is_empty() {
                let hint = "Compare the field with the documentation of the kind.";
                problems.push(problem(error.path().to_string(), "the field cannot be read", hint));
            }
            (None, problems)
        }
    }
}
