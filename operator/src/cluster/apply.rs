//! Desired objects and what is there in, the fewest writes out.
//!
//! Every object carries a digest of what was applied last. It is written again when that differs from what is
//! desired now (a field that is no longer wanted goes with it), or when somebody changed a field that is ours. What
//! others add is left alone. So a steady state writes nothing.

use k8s_openapi::NamespaceResourceScope;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::ResourceExt;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Digest of the object as it was applied last.
pub const APPLIED: &str = "novacrm.io/applied";

/// Why an object could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server refused it or could not be reached.
    #[error("{kind} {name}: {source}")]
    Api {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// What the API server said.
        #[source]
        source: kube::Error,
    },
    /// It cannot be written as JSON.
    #[error("{kind} cannot be written as JSON: {source}")]
    Shape {
        /// Kind of the object.
        kind: String,
        /// Where and why.
        source: serde_json::Error,
    },
}

/// An object as it should be, ready to be compared and written.
#[derive(Clone, Debug)]
pub struct Desired {
    /// What kind it is of.
    pub resource: ApiResource,
    object: DynamicObject,
}

impl Desired {
    /// Takes an object of a built-in kind.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn of<K>(object: &K) -> Result<Self, ApplyError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize,
    {
        let resource = ApiResource::erase::<K>(&());
        let shape = |source| ApplyError::Shape { kind: resource.kind.clone(), source };
        let value = serde_json::to_value(object).map_err(shape)?;
        let object: DynamicObject = serde_json::from_value(value).map_err(shape)?;
        Ok(Self::dynamic(resource, object))
    }

    /// Takes an object of any kind.
    #[must_use]
    pub fn dynamic(resource: ApiResource, mut object: DynamicObject) -> Self {
        object.types = Some(kube::api::TypeMeta {
            api_version: resource.api_version.clone(),
            kind: resource.kind.clone(),
        });
        strip_nulls(&mut object.data);
        object.annotations_mut().remove(APPLIED);
        let digest = hex::encode(Sha256::digest(serde_json::to_vec(&object).unwrap_or_default()));
        object.annotations_mut().insert(APPLIED.to_owned(), digest);
        Self { resource, object }
    }

    /// `metadata.name`.
    #[must_use]
    pub fn name(&self) -> String {
        self.object.name_any()
    }

    /// Whether the live object is as desired.
    #[must_use]
    pub fn matches(&self, live: &DynamicObject) -> bool {
        let applied = |object: &DynamicObject| object.annotations().get(APPLIED).cloned();
        let metadata = |object: &DynamicObject| serde_json::to_value(&object.metadata).unwrap_or_default();
        applied(&self.object) == applied(live)
            && live.metadata.deletion_timestamp.is_none()
            && within(&metadata(&self.object), &metadata(live))
            && within(&self.object.data, &live.data)
    }

    /// Writes the object unless the live one is as desired. Says whether it wrote.
    ///
    /// # Errors
    /// When the API server refuses it or cannot be reached.
    pub async fn apply(
        &self,
        client: &Client,
        live: Option<&DynamicObject>,
        manager: &str,
    ) -> Result<bool, ApplyError> {
        if live.is_some_and(|live| self.matches(live)) {
            return Ok(false);
        }
        let namespace = self.object.namespace().unwrap_or_default();
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &self.resource);
        api.patch(&self.name(), &PatchParams::apply(manager).force(), &Patch::Apply(&self.object))
            .await
            .map_err(|source| self.failed(source))?;
        Ok(true)
    }

    fn failed(&self, source: kube::Error) -> ApplyError {
        ApplyError::Api { kind: self.resource.kind.clone(), name: self.name(), source }
    }
}

/// Deletes what is no longer desired, and exactly the object that was looked at.
///
/// # Errors
/// When the API server refuses it or cannot be reached.
pub async fn delete(client: &Client, resource: &ApiResource, live: &DynamicObject) -> Result<(), ApplyError> {
    let namespace = live.namespace().unwrap_or_default();
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, resource);
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: live.uid(), resource_version: None }),
        ..DeleteParams::background()
    };
    match api.delete(&live.name_any(), &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(source) => Err(ApplyError::Api { kind: resource.kind.clone(), name: live.name_any(), source }),
    }
}

/// Whether everything that is wanted is there. Lists must be alike in length and order.
fn within(wanted: &Value, there: &Value) -> bool {
    match (wanted, there) {
        (Value::Object(wanted), Value::Object(there)) => wanted
            .iter()
            .all(|(key, value)| there.get(key).map_or_else(|| is_empty(value), |there| within(value, there))),
        (Value::Array(wanted), Value::Array(there)) => {
            wanted.len() == there.len()
                && wanted.iter().zip(there).all(|(wanted, there)| within(wanted, there))
        }
        (wanted, there) => wanted == there,
    }
}

/// The API server drops these.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(strip_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(strip_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn desired(data: Value) -> Desired {
        let resource = ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&());
        let mut object = DynamicObject::new("a", &resource).within("ns");
        object.data = data;
        Desired::dynamic(resource, object)
    }

    #[test]
    fn an_object_is_written_again_when_a_field_of_ours_was_changed_or_is_no_longer_wanted() {
        let wanted = desired(json!({ "data": { "a": "1" }, "none": null }));
        let mut live = wanted.object.clone();
        live.data["status"] = json!({ "added": "by others" });
        live.data["data"]["b"] = json!("added by others");
        live.metadata.uid = Some("u".into());
        assert!(wanted.matches(&live));
        let mut drifted = live.clone();
        drifted.data["data"]["a"] = json!("2");
        assert!(!wanted.matches(&drifted), "a changed field");
        assert!(!desired(json!({ "data": {} })).matches(&live), "a field that is no longer wanted");
        let mut relabelled = live.clone();
        relabelled.metadata.annotations = None;
        assert!(!wanted.matches(&relabelled), "not applied by us");
    }

    #[test]
    fn lists_are_compared_in_order() {
        assert!(within(&json!([{ "a": 1 }]), &json!([{ "a": 1, "b": 2 }])));
        assert!(!within(&json!([1, 2]), &json!([2, 1])));
        assert!(!within(&json!([1]), &json!([1, 2])));
        assert!(within(&json!({ "a": [] }), &json!({})), "the API server drops empty lists");
    }
}
