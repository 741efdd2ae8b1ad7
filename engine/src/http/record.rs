//! A decision or a restoration in; its audit record, without text and without people, out.

use std::collections::BTreeMap;

use novacrm_engine_core::bundle::CompiledBundle;
use novacrm_engine_core::pipeline::{DecidedFinding, Decision, MatchedRule, WaivedRule};
use novacrm_engine_core::record::Record;
use novacrm_engine_core::record::commitment::{CommitmentKey, Salt};
use novacrm_engine_core::record::entry::{
    BundleFacts, DecisionFacts, FindingFacts, Kind, PartFacts, RequestFacts, RestorationFacts, RuleFacts,
    SCHEMA, WaivedFacts,
};
use novacrm_engine_core::transform::Restored;
use novacrm_engine_wire::{AnalyzeRequest, Unheard};
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::convert;

/// What every record holds, of whatever kind.
pub(super) struct Head<'a> {
    pub(super) id: Uuid,
    pub(super) recorded_at: OffsetDateTime,
    pub(super) tenant: &'a str,
    pub(super) request: &'a AnalyzeRequest,
    /// In code points.
    pub(super) text_length: usize,
    pub(super) part: Option<PartFacts>,
    pub(super) bundle: &'a CompiledBundle,
    pub(super) key: &'a CommitmentKey,
}

/// The salts of a record's commitments, which are kept apart from it.
pub(super) type Salts = Vec<(&'static str, Salt)>;

/// The record of a decision, of which `findings` are recorded; and of what was restored with it, if anything was asked
/// for.
pub(super) fn of(
    head: Head<'_>,
    decision: &Decision,
    findings: &[DecidedFinding],
    unheard: Option<Unheard>,
    restored: Option<&Restored>,
) -> (Record, Salts) {
    let mut finding_counts = BTreeMap::<String, u64>::new();
    for found in findings {
        *finding_counts.entry(found.finding.kind.to_string()).or_default() += 1;
    }
    let facts = DecisionFacts {
        action: name(&convert::action(decision.action)),
        approvers: decision.approvers.clone(),
        risk_score: decision.risk.score,
        risk_level: name(&convert::risk_level(decision.risk.level)),
        use_case_class: decision.use_case.as_ref().map(|registered| name(&convert::class(registered.class))),
        uninspected: decision.uninspected.map(|why| name(&convert::uninspected(why))),
        unheard: unheard.map(|why| name(&why)),
        finding_counts,
        findings: findings.iter().map(finding).collect(),
        rules: decision.matched.iter().map(rule).collect(),
        waived: decision.waived.iter().map(waived).collect(),
        shadow: decision.shadow.iter().map(rule).collect(),
        truncated: BTreeMap::new(),
    };
    let (record, salts) = of_kind(head, Kind::Decision);
    (Record { decision: Some(facts), restoration: restored.map(restoration_facts), ..record }, salts)
}

/// The record of a restoration.
pub(super) fn restoration(head: Head<'_>, restored: &Restored) -> (Record, Salts) {
    let (record, salts) = of_kind(head, Kind::Restoration);
    (Record { restoration: Some(restoration_facts(restored)), ..record }, salts)
}

fn of_kind(head: Head<'_>, kind: Kind) -> (Record, Salts) {
    let Head { id, recorded_at, tenant, request, text_length, part, bundle, key } = head;
    let mut salts = Vec::new();
    let mut commit = |field: &'static str, value: Option<&str>| {
        value.map(|value| {
            // 122 of the 128 bits of a random UUID are random, from the system's generator.
            let salt = Uuid::new_v4().into_bytes();
            salts.push((field, salt));
            key.commit(field, &salt, value)
        })
    };
    let actor = commit("actor", request.actor.as_ref().map(|actor| actor.id.as_str()));
    let subject = commit("subject", request.subject.as_deref());
    let record = Record {
        schema: SCHEMA,
        id,
        tenant: tenant.to_owned(),
        recorded_at,
        kind,
        request: RequestFacts {
            request_id: request.request_id,
            surface: name(&request.surface),
            // An identifier that is not registered is the sender's own word and may hold anything.
            use_case: request
                .use_case
                .as_deref()
                .and_then(|id| bundle.use_case(id))
                .map(|registered| registered.id.clone()),
            purpose: request.purpose.clone(),
            role: request.actor.as_ref().map(|actor| actor.role.clone()),
            locale: name(&request.locale),
            text_length,
            actor,
            subject,
            part,
        },
        decision: None,
        restoration: None,
        bundle: BundleFacts { digest: bundle.digest().to_owned(), sequence: bundle.sequence() },
        engine: env!("CARGO_PKG_VERSION").to_owned(),
    };
    (record, salts)
}

fn restoration_facts(restored: &Restored) -> RestorationFacts {
    RestorationFacts { counts: restored.counts.clone(), foreign: restored.foreign }
}

fn finding(found: &DecidedFinding) -> FindingFacts {
    FindingFacts {
        r#type: found.finding.kind.to_string(),
        detector: found.finding.detector.to_string(),
        start: found.finding.span.start,
        end: found.finding.span.end,
        score: found.finding.score,
        fingerprint: found.finding.fingerprint.to_string(),
        action: name(&convert::action(found.action)),
        form: found.form.map(|form| name(&convert::form(form))),
    }
}

fn rule(matched: &MatchedRule) -> RuleFacts {
    RuleFacts {
        namespace: matched.policy.namespace.clone(),
        policy: matched.policy.name.clone(),
        version: matched.policy.version.clone(),
        id: matched.rule.id.clone(),
        severity: name(&convert::severity(matched.rule.severity)),
        action: name(&convert::action(matched.rule.action)),
    }
}

fn waived(waived: &WaivedRule) -> WaivedFacts {
    WaivedFacts {
        rule: rule(&waived.matched),
        exception: waived.exception.id.clone(),
        ticket: waived.exception.ticket.clone(),
        expires_at: waived.exception.expires_at,
    }
}

/// The name a value has in the HTTP contract, so that record and answer speak alike.
fn name(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}
