/** The bodies of `/api/v1`, as docs/api/design.md fixes them. Nothing here is computed. */

export type Language = 'fr' | 'en';

export type Bilingual = Record<Language, string>;

export type Role = 'sales' | 'ops' | 'compliance' | 'direction';

export interface User {
  id: string;
  email: string;
  display_name: string;
  role: Role;
  locale: Language;
}

/** Tokens travel in HttpOnly cookies; the page uses the rest and never reads them. */
export interface Session {
  csrf_token: string;
  user: User;
  permissions: string[];
  tenant: { name: string };
  /** Somebody else chose the password: until it is changed, nothing else is allowed. */
  password_change_required: boolean;
}

export interface Page<T> {
  data: T[];
  page: { next: string | null; limit: number };
  count: number | null;
}

export interface Organisation {
  id: string;
  name: string;
}

export interface Contact {
  id: string;
  first_name: string;
  last_name: string;
  email: string | null;
  phone: string | null;
  job_title: string | null;
  locale: Language;
  organisation_id: string | null;
  organisation_name: string | null;
  do_not_contact: boolean;
  owner_id: string;
  version: number;
  created_at: string;
  updated_at: string;
}

/** What a person may write of a contact. */
export interface ContactFields {
  first_name: string;
  last_name: string;
  email: string | null;
  phone: string | null;
  job_title: string | null;
  locale: Language;
  organisation_id: string | null;
  do_not_contact: boolean;
}

export type InteractionKind = 'call' | 'email' | 'meeting' | 'chat' | 'note';

export type InteractionDirection = 'inbound' | 'outbound' | 'internal';

export interface Interaction {
  id: string;
  contact_id: string;
  kind: InteractionKind;
  direction: InteractionDirection;
  occurred_at: string;
  subject: string;
  body: string | null;
}

export type TimelineEntry =
  | { kind: 'interaction'; at: string; interaction: Interaction }
  | { kind: 'assessment'; at: string; assessment: Assessment };

/** Loosest first. */
export type Action = 'allow' | 'flag' | 'mask' | 'tokenize' | 'redact' | 'require_approval' | 'block';

export type Severity = 'low' | 'medium' | 'high' | 'critical';

export type RiskLevel = 'none' | Severity;

export type UseCaseClass = 'minimal' | 'limited' | 'high_risk' | 'prohibited';

export type Unheard = 'too_large' | 'busy' | 'time_out' | 'unavailable' | 'unreadable' | 'not_configured';
export type Uninspected = 'too_large' | 'time_out' | 'stale_bundle';

/** `start` and `end` count Unicode code points over the text as sent; `end` is exclusive. */
export interface Finding {
  type: string;
  detector: string;
  start: number;
  end: number;
  /** Where it lies in the structure of the text, such as `$.client.iban`, in the reply that made the assessment. */
  path?: string;
  score: number;
  action: Action;
}

export interface PolicyReference {
  namespace: string;
  name: string;
  version: string;
}

export interface LawReference {
  law: string;
  ref: string;
  citation: Bilingual;
  title: Bilingual;
  url: string;
}

export interface MatchedRule {
  policy: PolicyReference;
  id: string;
  severity: Severity;
  action: Action;
  description: Bilingual;
  references: LawReference[];
  findings: number[];
}

/** A rule that matched and that an exception of its policy waives until `expires_at`. */
export interface WaivedRule {
  rule: MatchedRule;
  exception: string;
  ticket: string;
  expires_at: string;
}

export interface BundleReference {
  digest: string;
  sequence: number;
  policies: PolicyReference[];
}

export interface Assessment {
  id: string;
  contact_id: string | null;
  use_case: { id: string; display_name: Bilingual; class: UseCaseClass } | null;
  created_at: string;
  created_by: string;
  action: Action;
  approvers: string[];
  risk: { score: number; level: RiskLevel };
  findings: Finding[];
  rules: MatchedRule[];
  waived: WaivedRule[];
  explanation: Bilingual;
  uninspected: Uninspected | null;
  /** Why a recogniser outside of the engine was not heard, when it was not. */
  unheard: Unheard | null;
  bundle: BundleReference;
  audit_record_id: string;
  /** Only in the reply to the request that made it, and null when the text is withheld or refused. */
  output?: string | null;
}

export interface AssessmentRequest {
  prompt: string;
  contact_id?: string;
  use_case?: string;
}

export interface RuleView {
  id: string;
  severity: Severity;
  action: Action;
  description: Bilingual;
  condition: Bilingual;
  risks_covered: string[];
  references: LawReference[];
}

export interface ExceptionView {
  id: string;
  rules: string[];
  use_cases: string[];
  roles: string[];
  ticket: string;
  expires_at: string;
  active: boolean;
}

export interface PolicyView {
  policy: PolicyReference;
  mode: string;
  owner: string;
  contact: string;
  rules: RuleView[];
  exceptions: ExceptionView[];
}

export interface UseCase {
  id: string;
  display_name: Bilingual;
  purpose: string;
  class: UseCaseClass;
  provisions: LawReference[];
}

export interface Policies {
  bundle: BundleReference;
  policies: PolicyView[];
  use_cases: UseCase[];
}

/** RFC 9457 with the members that design.md adds. */
export interface Problem {
  type?: string;
  title?: string;
  status?: number;
  detail?: string;
  code?: string;
  trace_id?: string;
  current_etag?: string;
  errors?: { pointer: string; code: string; message: string }[];
}
