//! What the operator counts. Labels come from closed sets.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconcile {
    controller: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Controller {
    controller: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Definition {
    crd: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ForeignBundle {
    reason: &'static str,
}

/// The operator's metrics. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Metrics {
    reconciles: Family<Reconcile, Counter>,
    durations: Family<Controller, Histogram>,
    accepted: Counter,
    bundles: Counter,
    foreign_bundles: Family<ForeignBundle, Counter>,
    leading: Gauge,
    missing: Family<Definition, Gauge>,
    propagation: Histogram,
}

impl Metrics {
    /// Registers everything under `novacrm_operator_`.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("novacrm_operator");
        let metrics = Self {
            reconciles: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 16))),
            accepted: Counter::default(),
            bundles: Counter::default(),
            foreign_bundles: Family::default(),
            leading: Gauge::default(),
            missing: Family::default(),
            propagation: Histogram::new(exponential_buckets(0.01, 1.6, 16)),
        };
        registry.register("reconciles", "Reconciles by outcome", metrics.reconciles.clone());
        registry.register_with_unit(
            "reconcile_duration",
            "Time of a reconcile",
            Unit::Seconds,
            metrics.durations.clone(),
        );
        registry.register(
            "revisions_accepted",
            "Revisions of policies that were accepted",
            metrics.accepted.clone(),
        );
        registry.register(
            "bundles_written",
            "Bundles of rules that were given to tenants",
            metrics.bundles.clone(),
        );
        // Every series exists from the start, so that `increase()` sees its first count.
        for reason in super::rules::FOREIGN_REASONS {
            drop(metrics.foreign_bundles.get_or_create(&ForeignBundle { reason }));
        }
        registry.register(
            "foreign_bundles",
            "Bundles of rules that somebody else had written and that were replaced, by reason",
            metrics.foreign_bundles.clone(),
        );
        registry.register("leading", "1 in the replica that leads", metrics.leading.clone());
        registry.register(
            "crd_missing",
            "1 for a CustomResourceDefinition that is not installed",
            metrics.missing.clone(),
        );
        registry.register_with_unit(
            "policy_propagation",
            "From the watch event of a policy's revision until every Ready engine serves it",
            Unit::Seconds,
            metrics.propagation.clone(),
        );
        metrics
    }

    /// A reconcile ended.
    pub(super) fn reconciled(&self, controller: &'static str, outcome: &'static str, took: Duration) {
        self.reconciles.get_or_create(&Reconcile { controller, outcome }).inc();
        self.durations.get_or_create(&Controller { controller }).observe(took.as_secs_f64());
    }

    pub(super) fn accepted(&self) {
        self.accepted.inc();
    }

    pub(super) fn bundle_written(&self) {
        self.bundles.inc();
    }

    /// A bundle of somebody else was replaced.
    pub(super) fn foreign_bundle(&self, reason: &'static str) {
        self.foreign_bundles.get_or_create(&ForeignBundle { reason }).inc();
    }

    pub(super) fn leads(&self, leads: bool) {
        self.leading.set(i64::from(leads));
    }

    pub(super) fn missing(&self, crd: &'static str, missing: bool) {
        self.missing.get_or_create(&Definition { crd }).set(i64::from(missing));
    }

    /// Every engine serves a revision, so long after the operator saw it.
    pub(super) fn propagated(&self, took: Duration) {
        self.propagation.observe(took.as_secs_f64());
    }
}
