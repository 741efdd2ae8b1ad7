//! A decision in; its audit record, without text and without people, out.

use std::collections::BTreeMap;

use novacrm_engine_core::bundle::CompiledBundle;
use novacrm_engine_core::pipeline::{Decision, MatchedRule, WaivedRule};
use novacrm_engine_core::record::Record;
use novacrm_engine_core::record::commitment::{CommitmentKey, Salt};
use novacrm_engine_core::record::entry::{
    BundleFacts, DecisionFacts, FindingFacts, Kind, RequestFacts, RuleFacts, SCHEMA, WaivedFacts,
};
use novacrm_engine_wire::AnalyzeRequest;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::convert;

/// The record, and the salts of its commitments, which are kept apart from it.
pub(super) fn of(
    id: Uuid,
    recorded_at: OffsetDateTime,
    tenant: &str,
    request: &AnalyzeRequest,
    decision: &Decision,
    bundle: &CompiledBundle,
    key: &CommitmentKey,
) -> (Record, Vec<(&'static str, Salt)>) {
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
    let mut finding_counts = BTreeMap::<String, u64>::new();
    for found in &decision.findings {
        *finding_counts.entry(found.finding.kind.to_string()).or_default() += 1;
    }
    let record = Record {
        schema: SCHEMA,
        id,
        tenant: tenant.to_owned(),
        recorded_at,
        kind: Kind::Decision,
        request: RequestFacts {
            request_id: request.request_id,
            surface: name(&request.surface),
            // An identifier that is not registered is the sender's own word and may hold anything.
            use_case: decision.use_case.as_ref().map(|registered| registered.id.clone()),
            purpose: request.purpose.clone(),
            role: request.actor.as_ref().map(|actor| actor.role.clone()),
            locale: name(&request.locale),
            text_length: request.text.chars().count(),
            actor,
            subject,
        },
        decision: DecisionFacts {
            action: name(&convert::action(decision.action)),
            approvers: decision.approvers.clone(),
            risk_score: decision.risk.score,
            risk_level: name(&convert::risk_level(decision.risk.level)),
            use_case_class: decision
                .use_case
                .as_ref()
                .map(|registered| name(&convert::class(registered.class))),
            uninspected: decision.uninspected.map(|why| name(&convert::uninspected(why))),
            finding_counts,
            findings: decision
                .findings
                .iter()
                .map(|found| FindingFacts {
                    r#type: found.finding.kind.to_string(),
                    detector: found.finding.detector.to_string(),
                    start: found.finding.span.start,
                    end: found.finding.span.end,
                    score: found.finding.score,
                    fingerprint: found.finding.fingerprint.to_string(),
                    action: name(&convert::action(found.action)),
                })
                .collect(),
            rules: decision.matched.iter().map(rule).collect(),
            waived: decision.waived.iter().map(waived).collect(),
            shadow: decision.shadow.iter().map(rule).collect(),
            truncated: BTreeMap::new(),
        },
        bundle: BundleFacts { digest: bundle.digest().to_owned(), sequence: bundle.sequence() },
        engine: env!("CARGO_PKG_VERSION").to_owned(),
    };
    (record, salts)
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
