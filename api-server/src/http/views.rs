//! Records as the API shows them.

use novacrm_api_domain::contact::Contact;
use novacrm_api_domain::interaction::Interaction;
use novacrm_api_domain::organisation::Organisation;
use novacrm_api_domain::user::User;
use novacrm_engine_wire as wire;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::services::assessments::Assessment;
use crate::services::timeline::Entry;

/// Makes the view of a record: its own fields, then identity and history.
macro_rules! record_view {
    ($(#[$doc:meta])* $view:ident as $name:ident of $record:ident |$from:ident| {
        $($(#[$field_doc:meta])* $field:ident: $type:ty = $value:expr,)+
    }) => {
        $(#[$doc])*
        #[derive(Debug, Serialize, ToSchema)]
        #[schema(as = $name)]
        pub struct $view {
            /// UUIDv7.
            pub id: Uuid,
            $($(#[$field_doc])* pub $field: $type,)+
            /// The user who answers for it.
            pub owner_id: Uuid,
            /// Grows by one with every change; the entity tag is made of it.
            pub version: i64,
            /// When it was made.
            #[serde(with = "time::serde::rfc3339")]
            pub created_at: OffsetDateTime,
            /// By whom.
            pub created_by: Uuid,
            /// When it was last changed.
            #[serde(with = "time::serde::rfc3339")]
            pub updated_at: OffsetDateTime,
            /// By whom.
            pub updated_by: Uuid,
            /// When it was deleted.
            #[serde(with = "time::serde::rfc3339::option")]
            pub deleted_at: Option<OffsetDateTime>,
        }

        impl From<$record> for $view {
            fn from($from: $record) -> Self {
                Self {
                    id: $from.meta.id,
                    owner_id: $from.meta.owner_id,
                    version: $from.meta.version,
                    created_at: $from.meta.created_at,
                    created_by: $from.meta.created_by,
                    updated_at: $from.meta.updated_at,
                    updated_by: $from.meta.updated_by,
                    deleted_at: $from.meta.deleted_at,
                    $($field: $value,)+
                }
            }
        }
    };
}

record_view! {
    /// An organisation.
    OrganisationView as Organisation of Organisation |from| {
        /// Trade name.
        name: String = from.details.name.into_string(),
        /// Domain of its web site and mail.
        domain: Option<String> = from.details.domain.map(|value| value.into_string()),
        /// French company identifier.
        siren: Option<String> = from.details.siren.map(|value| value.into_string()),
        /// European VAT number.
        vat_number: Option<String> = from.details.vat_number.map(|value| value.into_string()),
    }
}

record_view! {
    /// A contact.
    ContactView as Contact of Contact |from| {
        /// First name.
        first_name: String = from.details.first_name.into_string(),
        /// Family name.
        last_name: String = from.details.last_name.into_string(),
        /// E-mail address.
        email: Option<String> = from.details.email.map(|value| value.into_string()),
        /// Telephone number in E.164 form.
        phone: Option<String> = from.details.phone.map(|value| value.into_string()),
        /// What the person does.
        job_title: Option<String> = from.details.job_title.map(|value| value.into_string()),
        /// `fr` or `en`.
        locale: &'static str = from.details.locale.as_str(),
        /// Where the person works.
        organisation_id: Option<Uuid> = from.details.organisation_id,
        /// Its name.
        organisation_name: Option<String> = from.organisation_name,
        /// The person asked to be left alone.
        do_not_contact: bool = from.details.do_not_contact,
    }
}

record_view! {
    /// An interaction with a contact.
    InteractionView as Interaction of Interaction |from| {
        /// With whom.
        contact_id: Uuid = from.details.contact_id,
        /// `call`, `email`, `meeting`, `chat` or `note`.
        kind: &'static str = from.details.kind.as_str(),
        /// `inbound`, `outbound` or `internal`.
        direction: &'static str = from.details.direction.as_str(),
        /// When it happened.
        #[serde(with = "time::serde::rfc3339")]
        occurred_at: OffsetDateTime = from.details.occurred_at,
        /// What it was about.
        subject: String = from.details.subject.into_string(),
        /// What was said.
        body: Option<String> = from.details.body.map(|value| value.into_string()),
    }
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserView {
    /// UUIDv7.
    pub id: Uuid,
    /// Address they log in with.
    pub email: String,
    /// What they are called.
    pub display_name: String,
    /// `sales`, `ops`, `compliance` or `direction`.
    pub role: &'static str,
    /// `fr` or `en`.
    pub locale: &'static str,
    /// Whether they may log in.
    pub active: bool,
    /// Grows by one with every change; the entity tag is made of it.
    pub version: i64,
    /// When the account was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// By whom.
    pub created_by: Uuid,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// By whom.
    pub updated_by: Uuid,
}

impl From<User> for UserView {
    fn from(User { meta, details }: User) -> Self {
        Self {
            id: meta.id,
            email: details.email.into_string(),
            display_name: details.display_name.into_string(),
            role: details.role.as_str(),
            locale: details.locale.as_str(),
            active: details.active,
            version: meta.version,
            created_at: meta.created_at,
            created_by: meta.created_by,
            updated_at: meta.updated_at,
            updated_by: meta.updated_by,
        }
    }
}

/// A verdict of the compliance engine.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Assessment)]
pub struct AssessmentView {
    /// UUIDv7.
    pub id: Uuid,
    /// Whom the prompt was about.
    pub contact_id: Option<Uuid>,
    /// The registered use of AI; null when the use is not registered.
    pub use_case: Option<UseCaseView>,
    /// When it was decided.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Who asked.
    pub created_by: Uuid,
    /// What happens to the text.
    pub action: wire::Action,
    /// Roles that may release the text, when the action is `require_approval`.
    pub approvers: Vec<String>,
    /// How much is at risk.
    pub risk: wire::Risk,
    /// What was found, in the order of the text.
    pub findings: Vec<FindingView>,
    /// The rules that matched, strictest first.
    pub rules: Vec<wire::MatchedRule>,
    /// Rules that matched and did not act, since an exception waives them.
    pub waived: Vec<wire::WaivedRule>,
    /// Why, for the person who asks.
    pub explanation: wire::Bilingual,
    /// Why the text could not be inspected, when it could not.
    pub uninspected: Option<wire::Uninspected>,
    /// Why the external recogniser that the rules look to was not heard, when it was not.
    pub unheard: Option<wire::Unheard>,
    /// The rules in force when it was decided.
    pub bundle: wire::BundleReference,
    /// Identifier of the engine's audit record.
    pub audit_record_id: Uuid,
    /// The text that may leave; only in the answer to the request that asked.
    pub output: Option<String>,
}

/// A registered use of AI, in short.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AssessedUseCase)]
pub struct UseCaseView {
    /// Identifier.
    pub id: String,
    /// What it is called.
    pub display_name: wire::Bilingual,
    /// Legal class under Regulation (EU) 2024/1689.
    pub class: wire::UseCaseClass,
}

/// Something found in a text; never its value.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AssessedFinding)]
pub struct FindingView {
    /// What it is, such as `IBAN`.
    pub r#type: String,
    /// Identifier of the detector.
    pub detector: String,
    /// First code point, from 0.
    pub start: usize,
    /// One past the last code point.
    pub end: usize,
    /// Where it lies in the structure of the text, such as `$.client.iban` or `row 3, column tel`, in the answer to the
    /// request that made the assessment; a kept one has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How sure the detector is (0 to 1).
    pub score: f64,
    /// What happened to it.
    pub action: wire::Action,
}

impl From<Assessment> for AssessmentView {
    fn from(assessment: Assessment) -> Self {
        let verdict = assessment.verdict;
        Self {
            id: assessment.id,
            contact_id: assessment.contact_id,
            use_case: verdict.use_case.map(|used| UseCaseView {
                id: used.id,
                display_name: used.display_name,
                class: used.class,
            }),
            created_at: assessment.created_at,
            created_by: assessment.owner_id,
            action: verdict.action,
            approvers: verdict.approvers,
            risk: verdict.risk,
            findings: verdict
                .findings
                .into_iter()
                .map(|finding| FindingView {
                    r#type: finding.r#type,
                    detector: finding.detector,
                    start: finding.start,
                    end: finding.end,
                    path: finding.path,
                    score: finding.score,
                    action: finding.action,
                })
                .collect(),
            rules: verdict.rules,
            waived: verdict.waived,
            explanation: verdict.explanation,
            uninspected: verdict.uninspected,
            unheard: verdict.unheard,
            bundle: verdict.bundle,
            audit_record_id: verdict.record_id,
            output: verdict.output,
        }
    }
}

/// An entry of a timeline.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schema(as = TimelineEntry)]
pub enum EntryView {
    /// Something that happened.
    Interaction {
        /// When.
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
        /// What.
        interaction: Box<InteractionView>,
    },
    /// A verdict of the engine.
    Assessment {
        /// When.
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
        /// Which.
        assessment: Box<AssessmentView>,
    },
}

impl From<Entry> for EntryView {
    fn from(entry: Entry) -> Self {
        let at = entry.at();
        match entry {
            Entry::Interaction(found) => {
                Self::Interaction { at, interaction: Box::new(InteractionView::from(*found)) }
            }
            Entry::Assessment(found) => {
                Self::Assessment { at, assessment: Box::new(AssessmentView::from(*found)) }
            }
        }
    }
}
