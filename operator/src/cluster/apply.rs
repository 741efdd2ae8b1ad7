//! Desired objects and what is there in, the fewest writes out.
//!
//! Every object carries a digest of what was applied last. It is written again when that differs from what is
//! desired now (a field that is no longer wanted goes with it), or when somebody changed a field that is ours. What
//! others add is left alone. So a steady state writes nothing.

use k8s_openapi::NamespaceResourceScope;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::{Request, ResourceExt};
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
        let params = PatchParams::apply(manager).force();
        patch(client, &api, &self.name(), None, &params, &Patch::Apply(&self.object))
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
    let request = Request::new(api.resource_url()).delete(&live.name_any(), &params);
    match unread(client, request).await {
        Ok(()) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(source) => Err(ApplyError::Api { kind: resource.kind.clone(), name: live.name_any(), source }),
    }
}

/// Changes an object, or a subresource of it, without reading what became of it: others may have added megabytes.
///
/// # Errors
/// When the API server refuses it or cannot be reached.
pub async fn patch<K: Resource, P: Serialize>(
    client: &Client,
    api: &Api<K>,
    name: &str,
    subresource: Option<&str>,
    params: &PatchParams,
    patch: &Patch<P>,
) -> Result<(), kube::Error> {
    let request = Request::new(api.resource_url());
    let request = match subresource {
        Some(subresource) => request.patch_subresource(subresource, name, params, patch),
        None => request.patch(name, params, patch),
    };
    unread(client, request).await
}

/// Sends a request of which only matters whether it succeeds. The API server is asked to leave out of the answer all but
/// metadata.
async fn unread(
    client: &Client,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<(), kube::Error> {
    let mut request = request.map_err(kube::Error::BuildRequest)?;
    let metadata = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json";
    request.headers_mut().insert(http::header::ACCEPT, http::HeaderValue::from_static(metadata));
    client.request_text(request).await.map(drop)
}

/// Whether everything that is wanted is there. Lists must be alike in length and order.
fn within(wanted: &Value, there: &Value) -> bool {
    match (wanted, there) {
        (Value::Object(wanted), Value::Object(there)) => {
            wanted.iter().all(|(key, value)| match (key.as_str(), there.get(key)) {
                (_, None) => is_empty(value),
                ("requests" | "limits", Some(there)) => within(&quantities(value), &quantities(there)),
                (_, Some(there)) => within(value, there),
            })
        }
        (Value::Array(wanted), Value::Array(there)) => {
            wanted.len() == there.len()
                && wanted.iter().zip(there).all(|(wanted, there)| within(wanted, there))
        }
        (wanted, there) => wanted == there,
    }
}

/// Requests and limits with each quantity as a number: the API server writes `1000m` as `1`.
fn quantities(resources: &Value) -> Value {
    let Value::Object(resources) = resources else { return resources.clone() };
    let number = |value: &Value| {
        value.as_str().and_then(quantity).map_or_else(|| value.clone(), |number| number.to_string().into())
    };
    resources.iter().map(|(name, value)| (name.clone(), number(value))).collect()
}

/// A quantity (`k8s.io/apimachinery/pkg/api/resource`) in thousandths; `None` for what is none, or finer than that.
fn quantity(text: &str) -> Option<i128> {
    let end = text.find(|char: char| !char.is_ascii_digit() && !matches!(char, '.' | '-' | '+'));
    let (number, suffix) = text.split_at(end.unwrap_or(text.len()));
    let (thousandths, divisor): (i128, i128) = match suffix {
        "m" => (1, 1),
        "" => (1000, 1),
        "k" => (1000 * 1000, 1),
        "M" => (1000 * 1000_i128.pow(2), 1),
        "G" => (1000 * 1000_i128.pow(3), 1),
        "T" => (1000 * 1000_i128.pow(4), 1),
        "P" => (1000 * 1000_i128.pow(5), 1),
        "E" => (1000 * 1000_i128.pow(6), 1),
        "Ki" => (1000 << 10, 1),
        "Mi" => (1000 << 20, 1),
        "Gi" => (1000 << 30, 1),
        "Ti" => (1000 << 40, 1),
        "Pi" => (1000 << 50, 1),
        "Ei" => (1000 << 60, 1),
        "u" => (1, 1000),
        "n" => (1, 1_000_000),
        exponent => {
            let exponent: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 { (1000, power) } else { (power.checked_mul(1000)?, 1) }
        }
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = divisor.checked_mul(scale)?;
    let product = digits.checked_mul(thousandths)?;
    (product % divisor == 0).then_some(product / divisor)
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
    fn quantities_are_compared_by_what_they_say() {
        for (one, same) in [
            ("1000m", "1"),
            ("1024Mi", "1Gi"),
            ("0.5", "500m"),
            ("1e3", "1k"),
            ("1.5Gi", "1536Mi"),
            ("2E", "2000P"),
            ("1000000u", "1"),
        ] {
            assert_eq!(quantity(one), quantity(same), "{one} {same}");
            assert!(quantity(one).is_some(), "{one}");
            let of = |text: &str| json!({ "resources": { "requests": { "cpu": text } } });
            assert!(within(&of(one), &of(same)));
        }
        assert_ne!(quantity("1"), quantity("1m"));
        for none in ["", "x", "1 Gi", "1ee3", "0.1m", "1e999"] {
            assert_eq!(quantity(none), None, "{none}");
        }
        assert!(!within(&json!({ "a": "1000m" }), &json!({ "a": "1" })), "elsewhere texts are texts");
    }

    #[test]
    fn lists_are_compared_in_order() {
        assert!(within(&json!([{ "a": 1 }]), &json!([{ "a": 1, "b": 2 }])));
        assert!(!within(&json!([1, 2]), &json!([2, 1])));
        assert!(!within(&json!([1]), &json!([1, 2])));
        assert!(within(&json!({ "a": [] }), &json!({})), "the API server drops empty lists");
    }
}
