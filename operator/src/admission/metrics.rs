//! What the webhook counts. Labels come from closed sets.

use std::time::Duration;

use kube::core::admission::Operation;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use time::OffsetDateTime;

use super::judge::Kind;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    kind: KindLabel,
    operation: OperationLabel,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum KindLabel {
    CompliancePolicy,
    CrmTenant,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "values of labels are lower-case")]
enum OperationLabel {
    create,
    update,
    delete,
    connect,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "values of labels are lower-case")]
pub(super) enum Verdict {
    admitted,
    refused,
    /// It could not be judged in time.
    failed,
}

/// The webhook's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    admissions: Family<Labels, Counter>,
    unreceived: Counter,
    duration: Histogram,
    expiry: Gauge,
    configured: Gauge,
}

impl Metrics {
    /// Registers all of them.
    pub fn register(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("novacrm_operator");
        let metrics = Self {
            admissions: Family::default(),
            unreceived: Counter::default(),
            duration: Histogram::new(exponential_buckets(0.000_25, 2.0, 14)),
            expiry: Gauge::default(),
            configured: Gauge::default(),
        };
        registry.register(
            "webhook_admissions",
            "Admission requests by kind, operation and verdict",
            metrics.admissions.clone(),
        );
        registry.register(
            "webhook_requests_unreceived",
            "Requests that were refused before they were read: too large, too slow, or too many at once",
            metrics.unreceived.clone(),
        );
        registry.register(
            "webhook_admission_seconds",
            "Time from an admission request to its verdict",
            metrics.duration.clone(),
        );
        registry.register(
            "webhook_certificate_expiration_timestamp_seconds",
            "When the certificate that this replica serves expires, in seconds since 1970",
            metrics.expiry.clone(),
        );
        registry.register(
            "webhook_ca_bundle_applied",
            "1 when the webhook's configuration trusts the current authorities, as the leader sees it",
            metrics.configured.clone(),
        );
        metrics
    }

    /// A request was refused before it was read.
    pub(super) fn unreceived(&self) {
        self.unreceived.inc();
    }

    pub(super) fn admission(
        &self,
        kind: Option<Kind>,
        operation: &Operation,
        verdict: Verdict,
        took: Duration,
    ) {
        let kind = match kind {
            Some(Kind::CompliancePolicy) => KindLabel::CompliancePolicy,
            Some(Kind::CrmTenant) => KindLabel::CrmTenant,
            None => KindLabel::Other,
        };
        let operation = match operation {
            Operation::Create => OperationLabel::create,
            Operation::Update => OperationLabel::update,
            Operation::Delete => OperationLabel::delete,
            Operation::Connect => OperationLabel::connect,
        };
        self.admissions.get_or_create(&Labels { kind, operation, verdict }).inc();
        self.duration.observe(took.as_secs_f64());
    }

    pub(super) fn serves_until(&self, expiry: OffsetDateTime) {
        self.expiry.set(expiry.unix_timestamp());
    }

    pub(super) fn ca_bundle_applied(&self, applied: bool) {
        self.configured.set(applied.into());
    }
}
