//! Accepted revisions of policies, kept as `ControllerRevision` objects beside them.
//!
//! A revision is in the history before any engine is given it, so the last good one is known after any crash. The
//! objects belong to their policy and go with it.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::core::ResourceExt;
use kube::{Api, Client, Resource};
use novacrm_crds::{CompliancePolicy, CompliancePolicySpec};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::shelf::owners_of;
use super::watch::{Head, Index, Source, WatchError, list_once};

/// How many revisions of a policy are kept.
pub const KEPT: usize = 20;
/// Label of every revision; its value is the kind.
pub const LABEL: &str = "novacrm.io/history-of";
/// Selects all revisions of policies.
pub const SELECTOR: &str = "novacrm.io/history-of=CompliancePolicy";

/// A revision that was accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Name of the `ControllerRevision`.
    pub name: String,
    /// Grows with every revision of the policy.
    pub number: i64,
    /// When it was accepted (RFC 3339), where the API server told.
    pub accepted_at: Option<String>,
    /// What it says.
    pub spec: CompliancePolicySpec,
}

impl Revision {
    /// Reads a revision; `None` for one that no operator of ours wrote.
    #[must_use]
    pub fn read(object: &ControllerRevision) -> Option<Self> {
        let data = object.data.as_ref()?;
        Some(Self {
            name: object.name_any(),
            number: object.revision,
            accepted_at: object.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string()),
            spec: serde_json::from_value(data.0.get("spec")?.clone()).ok()?,
        })
    }
}

/// Keeps of a revision whose it is and its number. What it says may be a megabyte, and is read when it is needed
/// ([`read`]).
#[must_use]
pub fn keep(object: &RawValue) -> Option<ControllerRevision> {
    #[derive(Deserialize)]
    struct Numbered {
        revision: i64,
    }
    let Numbered { revision } = serde_json::from_str(object.get()).ok()?;
    let policies = owners_of(object).into_iter().filter(|owner| owner.controller);
    let owners = policies.map(|owner| OwnerReference {
        kind: owner.kind,
        name: owner.name,
        uid: owner.uid,
        ..OwnerReference::default()
    });
    let metadata =
        ObjectMeta { owner_references: Some(owners.collect()), ..Head::of(object).ok()?.metadata() };
    Some(ControllerRevision { metadata, data: None, revision })
}

/// Names of the revisions of a policy, newest first.
#[must_use]
pub fn of(store: &Index<ControllerRevision>, namespace: &str, uid: &str) -> Vec<String> {
    let mut found: Vec<Arc<ControllerRevision>> = store
        .all()
        .filter(|object| object.namespace().as_deref() == Some(namespace) && belongs_to(object, uid))
        .collect();
    found.sort_by_key(|object| std::cmp::Reverse(object.revision));
    found.iter().map(|object| object.name_any()).collect()
}

/// What a revision says; `None` for one that is gone, or that no operator of ours wrote.
///
/// # Errors
/// When the API server refuses it or cannot be reached.
pub async fn read(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<CompliancePolicySpec>, WatchError> {
    #[derive(Deserialize)]
    struct Said {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        spec: CompliancePolicySpec,
    }
    let api: Api<ControllerRevision> = Api::namespaced(client.clone(), namespace);
    let mut found = None;
    let one = Source::whole(api).fields(&format!("metadata.name={name}"));
    list_once(&one, |object| {
        found = serde_json::from_str::<Said>(object.get()).ok().map(|said| said.data.spec);
    })
    .await?;
    Ok(found)
}

/// Whether the revision belongs to the policy with this uid.
#[must_use]
pub fn belongs_to(object: &ControllerRevision, uid: &str) -> bool {
    object.owner_references().iter().any(|owner| owner.uid == uid)
}

/// Writes an accepted revision down. One that is there already is left as it is.
///
/// # Errors
/// When the API server refuses it or cannot be reached.
pub async fn record(client: &Client, policy: &CompliancePolicy, number: i64) -> Result<(), kube::Error> {
    let namespace = policy.namespace().unwrap_or_default();
    let spec = serde_json::to_value(&policy.spec).map_err(kube::Error::SerdeError)?;
    // Names end in a digest of the content, so that writing the same twice is one object; and of the policy's uid, so
    // that a policy that is made anew does not take for its own what goes with its predecessor.
    let uid = policy.uid().unwrap_or_default();
    let digest = hex::encode(Sha256::digest(format!("{uid} {spec}")));
    let start: String = policy.name_any().chars().take(200).collect();
    let short: String = digest.chars().take(10).collect();
    let revision = ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{start}-{short}")),
            labels: Some([(LABEL.to_owned(), "CompliancePolicy".to_owned())].into()),
            owner_references: policy.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(serde_json::json!({ "spec": spec }))),
        revision: number,
    };
    let api: Api<ControllerRevision> = Api::namespaced(client.clone(), &namespace);
    match api.create(&PostParams::default(), &revision).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Deletes what is older than the newest [`KEPT`].
///
/// # Errors
/// When the API server refuses it or cannot be reached.
pub async fn prune(client: &Client, namespace: &str, history: &[String]) -> Result<(), kube::Error> {
    let api: Api<ControllerRevision> = Api::namespaced(client.clone(), namespace);
    for old in history.iter().skip(KEPT) {
        match api.delete(old, &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            other => drop(other?),
        }
    }
    Ok(())
}
