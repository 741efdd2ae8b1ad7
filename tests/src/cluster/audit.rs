//! The API server's audit log in (one JSON event per line), the requests a test asks for out.

use std::io;
use std::path::Path;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde::Deserialize;

/// One request, as the server recorded it (`audit.k8s.io/v1`, level Metadata: neither bodies nor answers).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// `ResponseStarted` for watches, else `ResponseComplete`; a watch that ended has both.
    pub stage: String,
    /// Path and query.
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// Who asked.
    pub user: AuditUser,
    /// As whom, when the asker impersonated somebody.
    pub impersonated_user: Option<AuditUser>,
    /// The client program.
    #[serde(default)]
    pub user_agent: String,
    /// What for; absent when the path is no resource.
    pub object_ref: Option<AuditObject>,
    /// What came of it.
    pub response_status: Option<AuditStatus>,
    /// When the request came.
    pub request_received_timestamp: MicroTime,
    /// When this stage was reached.
    pub stage_timestamp: MicroTime,
}

/// Who asked.
#[derive(Clone, Debug, Deserialize)]
pub struct AuditUser {
    /// Such as `system:serviceaccount:<namespace>:<name>`.
    pub username: String,
    /// Their groups.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// What was asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditObject {
    /// Plural of the kind.
    pub resource: String,
    /// Such as `status`; else empty.
    pub subresource: String,
    /// Empty for the core group.
    pub api_group: String,
    /// Empty for what has no namespace, and for all namespaces.
    pub namespace: String,
    /// Empty for a list, and for a create in which the server chose the name.
    pub name: String,
}

/// What came of a request.
#[derive(Clone, Debug, Deserialize)]
pub struct AuditStatus {
    /// HTTP status.
    #[serde(default)]
    pub code: u16,
}

impl AuditEvent {
    /// As whom the request was carried out.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.impersonated_user.as_ref().unwrap_or(&self.user).username
    }

    /// Whether the request was meant to change something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch" | "head" | "options")
    }

    /// HTTP status of the answer; 0 when there was none.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.response_status.as_ref().map_or(0, |status| status.code)
    }
}

/// Which requests to look at. An absent filter lets all pass.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// As whom they were carried out.
    pub user: Option<String>,
    /// Namespace of what was asked for.
    pub namespace: Option<String>,
}

impl AuditFilter {
    /// The requests of a service account.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self { user: Some(format!("system:serviceaccount:{namespace}:{name}")), namespace: None }
    }

    /// The requests about what is in a namespace.
    #[must_use]
    pub fn namespace(namespace: &str) -> Self {
        Self { user: None, namespace: Some(namespace.to_owned()) }
    }

    fn admits(&self, event: &AuditEvent) -> bool {
        self.user.as_ref().is_none_or(|user| user == event.username())
            && self.namespace.as_ref().is_none_or(|namespace| {
                event.object_ref.as_ref().is_some_and(|object| object.namespace == *namespace)
            })
    }
}

/// Reads a log as far as it is written. A last line without its end is being written and left out.
pub(super) fn read(path: &Path, filter: &AuditFilter) -> io::Result<Vec<AuditEvent>> {
    let text = std::fs::read_to_string(path)?;
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let events = whole.lines().map(serde_json::from_str).collect::<Result<Vec<AuditEvent>, _>>();
    let events = events.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(events.into_iter().filter(|event| filter.admits(event)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a","stage":"ResponseComplete","requestURI":"/apis/novacrm.io/v1alpha1/namespaces/acme/crmtenants/acme/status?force=true","verb":"patch","user":{"username":"admin","groups":["system:masters"]},"impersonatedUser":{"username":"system:serviceaccount:ops:operator"},"sourceIPs":["127.0.0.1"],"objectRef":{"resource":"crmtenants","namespace":"acme","name":"acme","apiGroup":"novacrm.io","apiVersion":"v1alpha1","subresource":"status"},"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"2026-11-22T22:00:00.000001Z","stageTimestamp":"2026-11-22T22:00:00.000002Z"}"#;

    fn events(filter: &AuditFilter) -> Vec<AuditEvent> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{LINE}\n{{\"kind\":\"Ev")).unwrap();
        read(file.path(), filter).unwrap()
    }

    #[test]
    fn a_log_is_read_up_to_the_line_that_is_being_written() {
        let events = events(&AuditFilter::default());
        assert_eq!(events.len(), 1);
        assert!(events[0].is_write());
        assert_eq!(events[0].code(), 200);
        assert_eq!(events[0].object_ref.as_ref().unwrap().subresource, "status");
    }

    #[test]
    fn requests_are_told_apart_by_who_asked_and_where() {
        assert_eq!(events(&AuditFilter::service_account("ops", "operator")).len(), 1);
        assert_eq!(events(&AuditFilter::service_account("ops", "engine")).len(), 0);
        assert_eq!(events(&AuditFilter::namespace("acme")).len(), 1);
        assert_eq!(events(&AuditFilter::namespace("globex")).len(), 0);
    }
}
