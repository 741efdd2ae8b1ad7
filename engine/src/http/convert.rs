//! The HTTP contract's types from and to those of the engine's core, one to one.

use novacrm_crds::compliance_policy as policy;
use novacrm_crds::crm_tenant as tenant;
use novacrm_engine_core::bundle::{CompiledBundle, RegisteredUse};
use novacrm_engine_core::policy::law::{Citation, cite};
use novacrm_engine_core::policy::{CompiledPolicy, ExceptionInfo};
use novacrm_engine_core::transform::{ListedToken, Restored};
use novacrm_engine_core::{ExternalFinding, pipeline, risk};
use novacrm_engine_wire as wire;
use time::OffsetDateTime;
use uuid::Uuid;

/// `document` is what the request calls it, or a name of its own for this text.
pub(super) fn request<'r>(
    request: &'r wire::AnalyzeRequest,
    external: &'r [ExternalFinding],
    document: &'r str,
    now: OffsetDateTime,
) -> pipeline::Request<'r> {
    pipeline::Request {
        text: &request.text,
        external,
        surface: surface(request.surface),
        use_case: request.use_case.as_deref(),
        purpose: request.purpose.as_deref(),
        role: request.actor.as_ref().map(|actor| actor.role.as_str()),
        locale: match request.locale {
            wire::Locale::Fr => tenant::Locale::Fr,
            wire::Locale::En => tenant::Locale::En,
        },
        document,
        now,
    }
}

pub(super) fn surface(surface: wire::Surface) -> policy::Surface {
    match surface {
        wire::Surface::PromptInput => policy::Surface::PromptInput,
        wire::Surface::PromptOutput => policy::Surface::PromptOutput,
        wire::Surface::CrmNote => policy::Surface::CrmNote,
    }
}

pub(super) fn response(
    record_id: Uuid,
    decided_at: OffsetDateTime,
    decision: pipeline::Decision,
    unheard: Option<wire::Unheard>,
    document: &str,
    bundle: &CompiledBundle,
) -> wire::AnalyzeResponse {
    let has_tokens = decision.findings.iter().any(|one| one.form == Some(policy::TokenForm::Token));
    wire::AnalyzeResponse {
        record_id,
        decided_at,
        action: action(decision.action),
        approvers: decision.approvers,
        risk: wire::Risk { score: decision.risk.score, level: risk_level(decision.risk.level) },
        findings: decision.findings.iter().map(finding).collect(),
        output: decision.output,
        document: has_tokens.then(|| document.to_owned()),
        tokens: decision.tokens.into_iter().map(listed).collect(),
        rules: decision.matched.iter().map(matched).collect(),
        waived: decision.waived.iter().map(waived).collect(),
        shadow: decision.shadow.iter().map(matched).collect(),
        explanation: bilingual(&decision.explanation),
        use_case: decision.use_case.as_deref().map(use_case),
        uninspected: decision.uninspected.map(uninspected),
        unheard,
        bundle: bundle_reference(bundle),
    }
}

pub(super) fn bundle_reference(bundle: &CompiledBundle) -> wire::BundleReference {
    let policies = bundle.bundle().policies.iter().map(|policy| wire::PolicyReference {
        namespace: policy.namespace.clone(),
        name: policy.name.clone(),
        version: policy.version.clone(),
    });
    wire::BundleReference {
        digest: bundle.digest().to_owned(),
        sequence: bundle.sequence(),
        policies: policies.collect(),
    }
}

pub(super) fn policies(bundle: &CompiledBundle, now: OffsetDateTime) -> wire::PoliciesInForce {
    wire::PoliciesInForce {
        bundle: bundle_reference(bundle),
        policies: bundle.policies().map(|policy| policy_view(policy, now)).collect(),
        use_cases: bundle.use_cases().map(use_case).collect(),
    }
}

fn policy_view(policy: &CompiledPolicy, now: OffsetDateTime) -> wire::PolicyView {
    let info = policy.info();
    wire::PolicyView {
        policy: policy_reference(info),
        mode: match info.mode {
            policy::EnforcementMode::Enforce => "enforce".to_owned(),
            policy::EnforcementMode::Shadow => "shadow".to_owned(),
        },
        owner: info.owner.team.clone(),
        contact: info.owner.contact.clone(),
        rules: policy.rules().map(rule_view).collect(),
        exceptions: policy.exceptions().map(|exception| exception_view(exception, now)).collect(),
    }
}

fn exception_view(exception: &ExceptionInfo, now: OffsetDateTime) -> wire::ExceptionView {
    wire::ExceptionView {
        id: exception.id.clone(),
        rules: exception.rules.clone(),
        use_cases: exception.use_cases.clone(),
        roles: exception.roles.clone(),
        ticket: exception.ticket.clone(),
        expires_at: exception.expires_at,
        active: exception.is_active(now),
    }
}

fn rule_view(rule: &novacrm_engine_core::bundle::RuleInfo) -> wire::RuleView {
    wire::RuleView {
        id: rule.id.clone(),
        severity: severity(rule.severity),
        action: action(rule.action),
        description: bilingual(&rule.description),
        condition: bilingual(&rule.condition),
        risks_covered: rule.risks_covered.clone(),
        references: rule.references.iter().map(law_reference).collect(),
    }
}

pub(super) fn finding(decided: &pipeline::DecidedFinding) -> wire::Finding {
    let found = &decided.finding;
    wire::Finding {
        r#type: found.kind.to_string(),
        detector: found.detector.to_string(),
        start: found.span.start,
        end: found.span.end,
        path: found.path.as_deref().map(str::to_owned),
        score: found.score,
        action: action(decided.action),
        form: decided.form.map(form),
        fingerprint: found.fingerprint.to_string(),
    }
}

fn matched(matched: &pipeline::MatchedRule) -> wire::MatchedRule {
    wire::MatchedRule {
        policy: policy_reference(&matched.policy),
        id: matched.rule.id.clone(),
        severity: severity(matched.rule.severity),
        action: action(matched.rule.action),
        description: bilingual(&matched.rule.description),
        references: matched.rule.references.iter().map(law_reference).collect(),
        findings: matched.findings.clone(),
    }
}

fn waived(waived: &pipeline::WaivedRule) -> wire::WaivedRule {
    wire::WaivedRule {
        rule: matched(&waived.matched),
        exception: waived.exception.id.clone(),
        ticket: waived.exception.ticket.clone(),
        expires_at: waived.exception.expires_at,
    }
}

fn policy_reference(info: &novacrm_engine_core::bundle::PolicyInfo) -> wire::PolicyReference {
    wire::PolicyReference {
        namespace: info.namespace.clone(),
        name: info.name.clone(),
        version: info.version.clone(),
    }
}

fn use_case(registered: &RegisteredUse) -> wire::UseCase {
    wire::UseCase {
        id: registered.id.clone(),
        display_name: bilingual(&registered.display_name),
        purpose: registered.purpose.clone(),
        class: class(registered.class),
        // Every provision of a compiled bundle is in the catalogue.
        provisions: registered
            .provisions
            .iter()
            .filter_map(cite)
            .map(|citation| law_reference(&citation))
            .collect(),
    }
}

fn law_reference(citation: &Citation) -> wire::LawReference {
    wire::LawReference {
        law: citation.law.clone(),
        r#ref: citation.r#ref.clone(),
        citation: bilingual(&citation.citation),
        title: bilingual(&citation.title),
        url: citation.url.clone(),
    }
}

fn bilingual(text: &novacrm_crds::Bilingual) -> wire::Bilingual {
    wire::Bilingual { fr: text.fr.clone(), en: text.en.clone() }
}

pub(super) fn action(action: policy::ActionType) -> wire::Action {
    match action {
        policy::ActionType::Allow => wire::Action::Allow,
        policy::ActionType::Flag => wire::Action::Flag,
        policy::ActionType::Mask => wire::Action::Mask,
        policy::ActionType::Tokenize => wire::Action::Tokenize,
        policy::ActionType::Redact => wire::Action::Redact,
        policy::ActionType::RequireApproval => wire::Action::RequireApproval,
        policy::ActionType::Block => wire::Action::Block,
    }
}

pub(super) fn form(form: policy::TokenForm) -> wire::TokenForm {
    match form {
        policy::TokenForm::Token => wire::TokenForm::Token,
        policy::TokenForm::Hash => wire::TokenForm::Hash,
        policy::TokenForm::Pseudonym => wire::TokenForm::Pseudonym,
    }
}

pub(super) fn listed(token: ListedToken) -> wire::ListedToken {
    let scope = match token.scope {
        policy::TokenScope::Tenant => wire::TokenScope::Tenant,
        policy::TokenScope::Document => wire::TokenScope::Document,
    };
    wire::ListedToken { r#type: token.kind, token: token.token, scope }
}

pub(super) fn unlisted(token: &wire::ListedToken) -> ListedToken {
    let scope = match token.scope {
        wire::TokenScope::Tenant => policy::TokenScope::Tenant,
        wire::TokenScope::Document => policy::TokenScope::Document,
    };
    ListedToken { kind: token.r#type.clone(), token: token.token.clone(), scope }
}

pub(super) fn restored(restored: &Restored) -> wire::Restored {
    wire::Restored { counts: restored.counts.clone(), foreign: restored.foreign }
}

pub(super) fn severity(severity: policy::Severity) -> wire::Severity {
    match severity {
        policy::Severity::Low => wire::Severity::Low,
        policy::Severity::Medium => wire::Severity::Medium,
        policy::Severity::High => wire::Severity::High,
        policy::Severity::Critical => wire::Severity::Critical,
    }
}

pub(super) fn risk_level(level: risk::RiskLevel) -> wire::RiskLevel {
    match level {
        risk::RiskLevel::None => wire::RiskLevel::None,
        risk::RiskLevel::Low => wire::RiskLevel::Low,
        risk::RiskLevel::Medium => wire::RiskLevel::Medium,
        risk::RiskLevel::High => wire::RiskLevel::High,
        risk::RiskLevel::Critical => wire::RiskLevel::Critical,
    }
}

pub(super) fn class(class: tenant::RegisteredClass) -> wire::UseCaseClass {
    match class {
        tenant::RegisteredClass::Minimal => wire::UseCaseClass::Minimal,
        tenant::RegisteredClass::Limited => wire::UseCaseClass::Limited,
        tenant::RegisteredClass::HighRisk => wire::UseCaseClass::HighRisk,
        tenant::RegisteredClass::Prohibited => wire::UseCaseClass::Prohibited,
    }
}

pub(super) fn uninspected(why: pipeline::Uninspected) -> wire::Uninspected {
    match why {
        pipeline::Uninspected::TooLarge => wire::Uninspected::TooLarge,
        pipeline::Uninspected::TimeOut => wire::Uninspected::TimeOut,
        pipeline::Uninspected::StaleBundle => wire::Uninspected::StaleBundle,
    }
}
