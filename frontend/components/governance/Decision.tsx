'use client';

/** The parts of a decision that several pages show: what was decided, by which rules, on which law, with which proof. */

import type { Tone } from '@/components/ui/Badge';
import { Badge } from '@/components/ui/Badge';
import type { IconName } from '@/components/ui/icons';
import { Icon } from '@/components/ui/icons';
import type {
  Action,
  Assessment,
  Finding,
  LawReference,
  MatchedRule,
  RiskLevel,
  Severity,
  UseCaseClass,
} from '@/lib/api/types';
import { formatList, shortDigest } from '@/lib/format';
import { useI18n } from '@/lib/i18n';
import { isWebAddress } from '@/lib/navigation';

const ACTIONS: Record<Action, { tone: Tone; icon: IconName }> = {
  allow: { tone: 'ok', icon: 'check' },
  flag: { tone: 'info', icon: 'flag' },
  mask: { tone: 'violet', icon: 'mask' },
  tokenize: { tone: 'violet', icon: 'token' },
  redact: { tone: 'violet', icon: 'redact' },
  require_approval: { tone: 'warn', icon: 'hand' },
  block: { tone: 'danger', icon: 'block' },
};

export function actionTone(action: Action): Tone {
  return ACTIONS[action].tone;
}

export function ActionBadge({ action }: { action: Action }) {
  const { t } = useI18n();
  const { tone, icon } = ACTIONS[action];
  return (
    <Badge tone={tone} icon={icon}>
      {t(`action.${action}`)}
    </Badge>
  );
}

const LEVELS: Record<RiskLevel, Tone> = {
  none: 'ok',
  low: 'info',
  medium: 'warn',
  high: 'danger',
  critical: 'danger',
};

const FILLS: Partial<Record<Tone, string>> = {
  ok: 'fill-ok',
  info: 'fill-info',
  warn: 'fill-warn',
  danger: 'fill-danger',
};

export function RiskText({ risk }: { risk: Assessment['risk'] }) {
  const { t } = useI18n();
  return (
    <span className="text-ink-soft">
      {t('verdict.risk')} {t('verdict.risk.value', { score: risk.score })} ({t(`level.${risk.level}`)})
    </span>
  );
}

/** The score on its scale. Drawn with attributes, since inline styles are not allowed here. */
export function RiskMeter({ risk }: { risk: Assessment['risk'] }) {
  const { t } = useI18n();
  const score = Math.min(Math.max(risk.score, 0), 100);
  const value = `${t('verdict.risk.value', { score: risk.score })}, ${t(`level.${risk.level}`)}`;
  return (
    <div className="w-full sm:w-60">
      <p className="mb-1.5 flex justify-between gap-3 text-sm">
        <span className="text-ink-soft">{t('verdict.risk')}</span>
        <span className="font-semibold">
          {risk.score}/100 · {t(`level.${risk.level}`)}
        </span>
      </p>
      <svg
        role="meter"
        aria-label={t('verdict.risk')}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={score}
        aria-valuetext={value}
        viewBox="0 0 100 8"
        preserveAspectRatio="none"
        className="h-2 w-full overflow-hidden rounded-full"
      >
        <rect className="fill-line" width="100" height="8" />
        <rect className={FILLS[LEVELS[risk.level]]} width={score} height="8" />
      </svg>
    </div>
  );
}

const SEVERITIES: Record<Severity, Tone> = { low: 'neutral', medium: 'info', high: 'warn', critical: 'danger' };

export function SeverityBadge({ severity }: { severity: Severity }) {
  const { t } = useI18n();
  return <Badge tone={SEVERITIES[severity]}>{t('severity', { severity: t(`severity.${severity}`) })}</Badge>;
}

const CLASSES: Record<UseCaseClass, { tone: Tone; icon: IconName }> = {
  minimal: { tone: 'ok', icon: 'check' },
  limited: { tone: 'info', icon: 'info' },
  high_risk: { tone: 'warn', icon: 'warning' },
  prohibited: { tone: 'danger', icon: 'block' },
};

/** The legal class of a use of AI. */
export function ClassBadge({ value }: { value: UseCaseClass }) {
  const { t } = useI18n();
  const { tone, icon } = CLASSES[value];
  return (
    <Badge tone={tone} icon={icon}>
      <span className="sr-only">{t('class.about')} </span>
      {t(`class.${value}`)}
    </Badge>
  );
}

export function References({ references }: { references: LawReference[] }) {
  const { t, pick } = useI18n();
  if (references.length === 0) return null;
  return (
    <ul className="flex flex-col gap-1 text-sm">
      {references.map((reference) => (
        <li key={`${reference.law} ${reference.ref}`} className="flex items-start gap-2">
          <Icon name="scale" className="mt-0.5 size-4 text-ink-faint" />
          <span>
            {isWebAddress(reference.url) ? (
              <a className="link" href={reference.url} target="_blank" rel="noopener noreferrer">
                {pick(reference.citation)}
                <Icon name="external" className="ml-1 inline size-3.5" />
                <span className="sr-only"> ({t('app.opens_new_tab')})</span>
              </a>
            ) : (
              pick(reference.citation)
            )}{' '}
            <span className="text-ink-soft">– {pick(reference.title)}</span>
          </span>
        </li>
      ))}
    </ul>
  );
}

export function RuleList({ rules, findings }: { rules: MatchedRule[]; findings: Finding[] }) {
  const { t, pick, findingName, language } = useI18n();
  if (rules.length === 0) return <p className="text-sm text-ink-soft">{t('verdict.rules.none')}</p>;
  return (
    <ul className="flex flex-col gap-3">
      {rules.map((rule) => {
        const causes = new Set(
          rule.findings.flatMap((index) => {
            const finding = findings[index];
            return finding ? [findingName(finding.type)] : [];
          }),
        );
        return (
          <li
            key={`${rule.policy.namespace}/${rule.policy.name}/${rule.id}`}
            className="rounded-lg border border-line p-4 text-sm"
          >
            <div className="flex flex-wrap items-center gap-2">
              <code className="font-mono text-sm font-semibold">{rule.id}</code>
              <ActionBadge action={rule.action} />
              <SeverityBadge severity={rule.severity} />
            </div>
            <p className="mt-1 text-xs text-ink-faint">
              {t('verdict.policy', { name: rule.policy.name, version: rule.policy.version })}
            </p>
            <p className="mb-3 mt-2">{pick(rule.description)}</p>
            {causes.size > 0 && (
              <p className="mb-3 text-ink-soft">
                {t('verdict.rule_findings')} {formatList([...causes], language)}
              </p>
            )}
            <References references={rule.references} />
          </li>
        );
      })}
    </ul>
  );
}

/** What somebody needs to find this decision in the audit log. */
export function ProofList({ assessment }: { assessment: Assessment }) {
  const { t, language } = useI18n();
  const { bundle, audit_record_id } = assessment;
  return (
    <dl className="grid gap-x-4 gap-y-1.5 text-sm sm:grid-cols-[max-content_minmax(0,1fr)]">
      <dt className="text-ink-faint">{t('verdict.proof.record')}</dt>
      <dd className="break-all font-mono text-xs leading-5">{audit_record_id}</dd>
      <dt className="text-ink-faint">{t('verdict.proof.bundle')}</dt>
      <dd className="break-all">
        {t('verdict.proof.bundle_value', { sequence: bundle.sequence, digest: shortDigest(bundle.digest) })}
      </dd>
      <dt className="text-ink-faint">{t('verdict.proof.policies')}</dt>
      <dd>
        {formatList(
          bundle.policies.map((policy) => `${policy.name} ${policy.version}`),
          language,
        )}
      </dd>
    </dl>
  );
}
