//! The `CustomResourceDefinition`s as they are applied.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use crate::{CompliancePolicy, CrmTenant};

/// `status.observedGeneration` before any controller has looked.
#[must_use]
pub fn unobserved() -> i64 {
    -1
}

/// Both definitions, in the order in which they are applied.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![finish(CompliancePolicy::crd()), finish(CrmTenant::crd())]
}

/// Name of the file that holds a definition: `<group>_<plural>.yaml`.
#[must_use]
pub fn file_name(definition: &CustomResourceDefinition) -> String {
    format!("{}_{}.yaml", definition.spec.group, definition.spec.names.plural)
}

/// Leaves out the formats that Kubernetes does not know; its clients would warn of each. The bounds say the same.
fn plain_formats(schema: &mut JSONSchemaProps) {
    if schema.format.as_ref().is_some_and(|format| format.starts_with("uint")) {
        schema.format = None;
    }
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(plain_formats);
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => plain_formats(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(plain_formats),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(schema)) = &mut schema.additional_properties {
        plain_formats(schema);
    }
}

/// kstatus reads an object without a status as current, so the default must stand on `status` itself.
fn finish(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        let Some(root) = schema else { continue };
        plain_formats(root);
        if let Some(status) = root.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
            status.default = Some(k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSON(
                serde_json::json!({ "observedGeneration": unobserved() }),
            ));
        }
    }
    definition
}
