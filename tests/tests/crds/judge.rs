//! An object in; what the API server, and what the checks without a server, say about it out.

use futures::StreamExt;
use kube::Client;
use novacrm_engine_core::policy::review;
use novacrm_tests::cluster::Cluster;
use serde_json::Value;

/// How many requests are under way at once.
const CONCURRENCY: usize = 16;
/// The operator's policy namespace, as far as the checks without a server are concerned.
const POLICY_NAMESPACE: &str = "novacrm-policies";

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    pub path: String,
    pub message: String,
}

/// One object to judge. Without a complaint it must be accepted.
pub struct Row {
    pub name: String,
    pub object: Value,
    /// Where, and a part of what the API server says.
    pub complaint: Option<Complaint>,
}

impl Row {
    /// `None` when the judgement is the wanted one.
    fn contradicts(
        &self,
        said: &[Complaint],
        same: impl Fn(&Complaint, &Complaint) -> bool,
    ) -> Option<String> {
        let as_wanted = match &self.complaint {
            None => said.is_empty(),
            Some(wanted) => said.iter().any(|one| same(one, wanted)),
        };
        let wanted = self.complaint.as_ref().map_or("nothing wrong".to_owned(), |one| format!("{one:?}"));
        (!as_wanted).then(|| format!("{}: wanted {wanted}, got {said:#?}", self.name))
    }
}

/// The collection that an object belongs to, and the object moved into the namespace of the test.
pub fn collection(object: &Value, namespace: &str) -> (String, Value) {
    let mut object = object.clone();
    object["metadata"]["namespace"] = namespace.into();
    let plural = match object["kind"].as_str().unwrap() {
        "CompliancePolicy" => "compliancepolicies",
        "CrmTenant" => "crmtenants",
        other => panic!("no kind of ours: {other}"),
    };
    (format!("/apis/novacrm.io/v1alpha1/namespaces/{namespace}/{plural}"), object)
}

/// Sends an object; unknown fields are refused, as `kubectl` and GitOps tools ask for.
pub async fn send(
    client: &Client,
    method: http::Method,
    path: &str,
    object: &Value,
    dry_run: bool,
) -> Result<Value, Vec<Complaint>> {
    let dry_run = if dry_run { "&dryRun=All" } else { "" };
    let request = http::Request::builder()
        .method(method)
        .uri(format!("{path}?fieldValidation=Strict{dry_run}"))
        .header("content-type", "application/json")
        .body(serde_json::to_vec(object).unwrap())
        .unwrap();
    let status = match client.request::<Value>(request).await {
        Ok(object) => return Ok(object),
        Err(kube::Error::Api(status)) => status,
        Err(error) => panic!("{path}: {error}"),
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let mut complaints: Vec<Complaint> =
        causes.map(|cause| Complaint { path: cause.field.clone(), message: cause.message.clone() }).collect();
    // What could not even be decoded is told in prose alone.
    let unknown = status.message.split("unknown field \"").skip(1);
    complaints.extend(
        unknown
            .filter_map(|rest| rest.split('"').next())
            .map(|path| Complaint { path: path.to_owned(), message: "unknown field".to_owned() }),
    );
    if complaints.is_empty() {
        complaints.push(Complaint { path: String::new(), message: status.message.clone() });
    }
    Err(complaints)
}

/// Puts every row before the API server, without storing anything.
pub async fn before_the_server(rows: &[Row]) {
    let cluster = Cluster::connect().await.unwrap();
    cluster.apply_crds().await.unwrap();
    let namespace = cluster.namespace("crds").await.unwrap();
    let client = cluster.client().unwrap();
    let judgements = futures::stream::iter(rows).map(|row| {
        let (client, (path, object)) = (client.clone(), collection(&row.object, namespace.name()));
        async move {
            let said =
                send(&client, http::Method::POST, &path, &object, true).await.err().unwrap_or_default();
            row.contradicts(&said, |said, wanted| {
                said.path == wanted.path && said.message.contains(&wanted.message)
            })
        }
    });
    let wrong: Vec<String> =
        judgements.buffer_unordered(CONCURRENCY).filter_map(std::future::ready).collect().await;
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// Puts every row before the checks that need no server. They may point at a field below the server's.
pub fn before_the_checks(rows: &[Row]) {
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let text = serde_json::to_string(&row.object).unwrap();
            let problems = review(&text, None, POLICY_NAMESPACE).problems;
            let said: Vec<Complaint> = problems
                .into_iter()
                .map(|problem| Complaint { path: problem.path, message: problem.message })
                .collect();
            row.contradicts(&said, |said, wanted| {
                said.path == wanted.path || said.path.starts_with(&format!("{}.", wanted.path))
            })
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}
