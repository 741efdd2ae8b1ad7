//! The `CustomResourceDefinition`s as they are applied.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
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

/// kstatus reads an object without a status as current, so the default must stand on `status` itself.
fn finish(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        let status = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
            .and_then(|root| root.properties.as_mut())
            .and_then(|properties| properties.get_mut("status"));
        if let Some(status) = status {
            status.default = Some(k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSON(
                serde_json::json!({ "observedGeneration": unobserved() }),
            ));
        }
    }
    definition
}
