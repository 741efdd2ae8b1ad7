//! What the engine counts. Labels come from closed sets: an action, a reason, never a word of a request.

use std::time::Duration;

use novacrm_engine_wire::{Action, Uninspected};
use novacrm_service::admin::Readiness;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::audit::AuditError;
use crate::audit::append::Observe;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabels {
    action: ActionLabel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the label's values are the contract's snake_case names")]
enum ActionLabel {
    allow,
    flag,
    mask,
    tokenize,
    redact,
    require_approval,
    block,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: ReasonLabel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the label's values are the contract's snake_case names")]
enum ReasonLabel {
    too_large,
    time_out,
    stale_bundle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    reason: Refusal,
}

/// Why a bundle is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the label's values are snake_case names")]
pub enum Refusal {
    /// Nobody signed it.
    unsigned,
    /// No trusted key signed it as it is.
    signature,
    /// It is another tenant's.
    tenant,
    /// Its sequence number is out of bounds.
    sequence,
    /// It is not newer than what is in force.
    older,
    /// It is signed and cannot be read.
    unreadable,
    /// A policy in it does not compile.
    invalid,
}

const REFUSALS: [Refusal; 7] = [
    Refusal::unsigned,
    Refusal::signature,
    Refusal::tenant,
    Refusal::sequence,
    Refusal::older,
    Refusal::unreadable,
    Refusal::invalid,
];

/// What is counted of the rules.
#[derive(Clone, Debug)]
pub struct BundleMetrics {
    /// Sequence number of the bundle in force.
    pub sequence: Gauge,
    /// When the source of the rules was last reached, in seconds since 1970; `time()` less this is the age.
    pub last_contact: Gauge,
    /// Bundles that were refused, by reason.
    refused: Family<RefusalLabels, Counter>,
    /// From a bundle's arrival until it is in force, in seconds.
    pub swaps: Histogram,
}

impl Default for BundleMetrics {
    fn default() -> Self {
        let refused: Family<RefusalLabels, Counter> = Family::default();
        // Every series exists from the start, so that `increase()` sees its first count.
        for reason in REFUSALS {
            drop(refused.get_or_create(&RefusalLabels { reason }));
        }
        Self {
            sequence: Gauge::default(),
            last_contact: Gauge::default(),
            refused,
            swaps: Histogram::new(exponential_buckets(0.001, 2.0, 13)),
        }
    }
}

impl BundleMetrics {
    /// A bundle was refused.
    pub fn refuse(&self, reason: Refusal) {
        self.refused.get_or_create(&RefusalLabels { reason }).inc();
    }

    /// How many bundles were refused for a reason.
    #[must_use]
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.refused.get_or_create(&RefusalLabels { reason }).get()
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("engine_bundle_sequence", "Bundle in force", self.sequence.clone());
        registry.register(
            "engine_bundle_last_contact_timestamp_seconds",
            "When the source of the rules was last reached",
            self.last_contact.clone(),
        );
        registry.register(
            "engine_bundles_refused",
            "Bundles that were refused, by reason",
            self.refused.clone(),
        );
        registry.register(
            "engine_bundle_swap_seconds",
            "Time from the arrival of a bundle until it is in force",
            self.swaps.clone(),
        );
    }
}

/// All metrics of the engine.
#[derive(Clone, Debug)]
pub struct Metrics {
    decisions: Family<ActionLabels, Counter>,
    uninspected: Family<ReasonLabels, Counter>,
    findings: Counter,
    restored: Counter,
    analysis: Histogram,
    commits: Histogram,
    batch: Histogram,
    /// The rules.
    pub bundles: BundleMetrics,
    /// Records that have a place in the log, as the sequencing engine sees it.
    pub sequenced: Gauge,
}

impl Metrics {
    /// Registers all of them. `depth` is the audit log's queue.
    pub fn new(registry: &mut Registry, depth: Gauge) -> Self {
        let metrics = Self {
            decisions: Family::default(),
            uninspected: Family::default(),
            findings: Counter::default(),
            restored: Counter::default(),
            analysis: Histogram::new(exponential_buckets(0.000_05, 2.0, 16)),
            commits: Histogram::new(exponential_buckets(0.000_25, 2.0, 15)),
            batch: Histogram::new(exponential_buckets(1.0, 2.0, 9)),
            bundles: BundleMetrics::default(),
            sequenced: Gauge::default(),
        };
        registry.register("engine_decisions", "Recorded decisions by action", metrics.decisions.clone());
        registry.register(
            "engine_uninspected",
            "Texts that were not inspected, by reason",
            metrics.uninspected.clone(),
        );
        registry.register("engine_findings", "Findings in recorded decisions", metrics.findings.clone());
        registry.register("engine_restored_tokens", "Tokens restored, as recorded", metrics.restored.clone());
        registry.register("engine_analysis_seconds", "Time to inspect and decide", metrics.analysis.clone());
        registry.register(
            "engine_audit_commit_seconds",
            "Time to make a batch durable",
            metrics.commits.clone(),
        );
        registry.register(
            "engine_audit_batch_records",
            "Records made durable together",
            metrics.batch.clone(),
        );
        metrics.bundles.register(registry);
        registry.register(
            "engine_audit_sequenced",
            "Records with a place in the log",
            metrics.sequenced.clone(),
        );
        registry.register("engine_audit_queue_depth", "Requests that wait for their record", depth);
        metrics
    }

    /// A decision was recorded.
    pub fn decided(&self, action: Action, findings: usize, uninspected: Option<Uninspected>, took: Duration) {
        let action = match action {
            Action::Allow => ActionLabel::allow,
            Action::Flag => ActionLabel::flag,
            Action::Mask => ActionLabel::mask,
            Action::Tokenize => ActionLabel::tokenize,
            Action::Redact => ActionLabel::redact,
            Action::RequireApproval => ActionLabel::require_approval,
            Action::Block => ActionLabel::block,
        };
        self.decisions.get_or_create(&ActionLabels { action }).inc();
        self.findings.inc_by(findings as u64);
        self.analysis.observe(took.as_secs_f64());
        if let Some(reason) = uninspected {
            let reason = match reason {
                Uninspected::TooLarge => ReasonLabel::too_large,
                Uninspected::TimeOut => ReasonLabel::time_out,
                Uninspected::StaleBundle => ReasonLabel::stale_bundle,
            };
            self.uninspected.get_or_create(&ReasonLabels { reason }).inc();
        }
    }
}

impl Metrics {
    /// Tokens were restored and that was recorded.
    pub fn restored(&self, tokens: u64) {
        self.restored.inc_by(tokens);
    }
}

/// The part of readiness that the audit log is.
pub const AUDIT: &str = "audit";
/// The part of readiness that the rules are.
pub const BUNDLE: &str = "bundle";

/// Tells metrics and readiness of the audit log.
#[derive(Debug)]
pub struct AuditObserver {
    /// Where to count.
    pub metrics: Metrics,
    /// What to tell.
    pub readiness: Readiness,
}

impl Observe for AuditObserver {
    fn committed(&self, records: usize, took: Duration) {
        self.metrics.commits.observe(took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a batch has at most 256 records")]
        self.metrics.batch.observe(records as f64);
    }

    fn state(&self, error: Option<&AuditError>) {
        match error {
            None => self.readiness.ready(AUDIT),
            Some(error) => self.readiness.not_ready(AUDIT, error.to_string()),
        }
    }
}
