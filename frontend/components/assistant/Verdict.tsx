'use client';

import type { ReactNode } from 'react';
import { useEffect, useId, useMemo, useRef, useState } from 'react';
import { ActionBadge, actionTone, ProofList, RiskMeter, RuleList } from '@/components/governance/Decision';
import { toneClass } from '@/components/ui/Badge';
import { Button } from '@/components/ui/Button';
import { Icon } from '@/components/ui/icons';
import { Notice } from '@/components/ui/states';
import type { Assessment, Finding, WaivedRule } from '@/lib/api/types';
import { formatDateTime, formatList, formatPercent } from '@/lib/format';
import type { Translation } from '@/lib/i18n';
import { useI18n } from '@/lib/i18n';
import { isMessageKey } from '@/lib/messages';
import { segments } from '@/lib/spans';

/** What was decided about a prompt, why, on which rules, and what would leave. */
export function Verdict({ prompt, assessment }: { prompt: string; assessment: Assessment }) {
  const { t, pick } = useI18n();
  const card = useRef<HTMLElement>(null);
  useEffect(() => {
    // On a small screen the verdict is below the form, out of sight.
    const top = card.current?.getBoundingClientRect().top ?? 0;
    if (top > window.innerHeight / 2) card.current?.scrollIntoView();
  }, []);

  return (
    <section ref={card} aria-labelledby="verdict" className="card flex scroll-mt-20 flex-col gap-7 p-5">
      <div className="flex flex-wrap items-center justify-between gap-4">
        <div className="flex flex-wrap items-center gap-3">
          <h2 id="verdict" className="text-lg font-semibold">
            {t('verdict.title')}
          </h2>
          <ActionBadge action={assessment.action} />
        </div>
        <RiskMeter risk={assessment.risk} />
      </div>
      <Part title={t('verdict.why')}>
        <p className="leading-relaxed">{pick(assessment.explanation)}</p>
        {assessment.uninspected && (
          <div className="mt-3">
            <Notice tone="warn" icon="warning">
              {t(`verdict.uninspected.${assessment.uninspected}`)}
            </Notice>
          </div>
        )}
        {assessment.unheard && (
          <div className="mt-3">
            <Notice tone="warn" icon="warning">
              {t(assessment.unheard === 'too_large' ? 'verdict.unheard.too_large' : 'verdict.unheard')}
            </Notice>
          </div>
        )}
      </Part>
      <Part title={t('verdict.output')}>
        <Output prompt={prompt} assessment={assessment} />
      </Part>
      <Part title={t('verdict.found')}>
        <Findings prompt={prompt} findings={assessment.findings} />
      </Part>
      <Part title={t('verdict.rules')}>
        <RuleList rules={assessment.rules} findings={assessment.findings} />
      </Part>
      {assessment.waived.length > 0 && (
        <Part title={t('verdict.waived')}>
          <Waived rules={assessment.waived} />
        </Part>
      )}
      <Part title={t('verdict.proof')}>
        <ProofList assessment={assessment} />
      </Part>
    </section>
  );
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  const id = useId();
  return (
    <section aria-labelledby={id}>
      <h3 id={id} className="mb-2.5 text-sm font-semibold text-ink-soft">
        {title}
      </h3>
      {children}
    </section>
  );
}

/** Rules that matched and did not act, each with the exception that suspends it and the end of that exception. */
function Waived({ rules }: { rules: WaivedRule[] }) {
  const { t, pick, language } = useI18n();
  return (
    <ul className="flex flex-col gap-3">
      {rules.map(({ rule, exception, ticket, expires_at }) => (
        <li
          key={`${rule.policy.namespace}/${rule.policy.name}/${rule.id}`}
          className="rounded-lg border border-line p-4 text-sm"
        >
          <code className="font-mono text-sm font-semibold">{rule.id}</code>
          <p className="mt-1 text-xs text-ink-faint">
            {t('verdict.policy', { name: rule.policy.name, version: rule.policy.version })}
          </p>
          <p className="mb-1 mt-2">{pick(rule.description)}</p>
          <p className="text-ink-soft">
            {t('verdict.waived.by', { exception, ticket, until: formatDateTime(expires_at, language) })}
          </p>
        </li>
      ))}
    </ul>
  );
}

function Output({ prompt, assessment }: { prompt: string; assessment: Assessment }) {
  const { t } = useI18n();
  const { action, output } = assessment;
  if (typeof output === 'string') return <OutputText text={output} changed={output !== prompt} />;
  if (action === 'require_approval') {
    return (
      <Notice tone="warn" icon="hand" title={t('verdict.withheld.title')}>
        <Approvers approvers={assessment.approvers} />
      </Notice>
    );
  }
  return (
    <Notice tone="danger" icon="block" title={t('verdict.blocked.title')}>
      <p className="mt-1">{t('verdict.blocked.text')}</p>
    </Notice>
  );
}

function Approvers({ approvers }: { approvers: string[] }) {
  const i18n = useI18n();
  const { t, language } = i18n;
  if (approvers.length === 0) return <p className="mt-1">{t('verdict.withheld.text_nobody')}</p>;
  const names = formatList(
    approvers.map((role) => roleName(role, i18n)),
    language,
  );
  return <p className="mt-1">{t('verdict.withheld.text', { approvers: names })}</p>;
}

function roleName(role: string, { t }: Translation): string {
  const key = `role.${role}`;
  return isMessageKey(key) ? t(key) : role;
}

type Copy = 'idle' | 'copied' | 'failed';

function OutputText({ text, changed }: { text: string; changed: boolean }) {
  const { t } = useI18n();
  const [copy, setCopy] = useState<Copy>('idle');
  return (
    <div className="overflow-hidden rounded-lg border border-line">
      <div className="flex flex-wrap items-center justify-between gap-2 bg-sunken py-1.5 pl-4 pr-2">
        <p className="text-sm text-ink-soft">{t(changed ? 'verdict.output.changed' : 'verdict.output.unchanged')}</p>
        <Button
          variant="ghost"
          onClick={() => {
            navigator.clipboard.writeText(text).then(
              () => setCopy('copied'),
              () => setCopy('failed'),
            );
          }}
        >
          <Icon name={copy === 'copied' ? 'check' : 'copy'} className="size-4.5" />
          {t('verdict.output.copy')}
        </Button>
      </div>
      <p data-testid="output" className="max-h-96 overflow-y-auto whitespace-pre-wrap p-4 leading-relaxed">
        {text}
      </p>
      <p role="status" className={copy === 'idle' ? 'sr-only' : 'border-t border-line px-4 py-2 text-sm text-ink-soft'}>
        {copy === 'copied' && t('verdict.output.copied')}
        {copy === 'failed' && t('verdict.output.copy_failed')}
      </p>
    </div>
  );
}

function Findings({ prompt, findings }: { prompt: string; findings: Finding[] }) {
  const { t, findingName, language } = useI18n();
  if (findings.length === 0) return <p className="text-sm text-ink-soft">{t('verdict.nothing_found')}</p>;
  return (
    <>
      <MarkedText prompt={prompt} findings={findings} />
      <ol className="mt-3 flex flex-col gap-2 text-sm">
        {findings.map((finding, index) => (
          <li key={`${finding.start}-${finding.detector}`} className="flex flex-wrap items-center gap-x-2.5 gap-y-1">
            <Number value={index + 1} />
            <span className="font-medium">{findingName(finding.type)}</span>
            <ActionBadge action={finding.action} />
            {finding.path && <code className="break-all text-ink-soft">{finding.path}</code>}
            <span className="text-ink-faint">
              {t('verdict.confidence', { percent: formatPercent(finding.score, language) })}
            </span>
          </li>
        ))}
      </ol>
    </>
  );
}

/** The person's own text with what was found in it, numbered as in the list below it. */
function MarkedText({ prompt, findings }: { prompt: string; findings: Finding[] }) {
  const { t, findingName } = useI18n();
  const pieces = useMemo(() => segments(prompt, findings), [prompt, findings]);
  return (
    <p
      aria-label={t('verdict.your_text')}
      role="group"
      className="max-h-80 overflow-y-auto whitespace-pre-wrap rounded-lg bg-sunken p-4 leading-loose"
      tabIndex={0}
    >
      {pieces.map((piece, index) => {
        const strictest = piece.findings[0];
        const finding = strictest === undefined ? undefined : findings[strictest];
        if (finding === undefined) return <span key={index}>{piece.text}</span>;
        // A finding that others cut in pieces is numbered once, after its last piece.
        const ending = piece.findings.filter((found) => !pieces[index + 1]?.findings.includes(found));
        return (
          <mark
            key={index}
            className={`rounded px-0.5 font-medium underline decoration-2 underline-offset-4 ${toneClass(actionTone(finding.action))}`}
          >
            {piece.text}
            {ending.map((found) => (
              <span key={found}>
                <span className="sr-only"> ({findingName(findings[found]?.type ?? '')}) </span>
                <Number value={found + 1} />
              </span>
            ))}
          </mark>
        );
      })}
    </p>
  );
}

function Number({ value }: { value: number }) {
  return (
    <span className="mx-0.5 inline-grid size-5 place-items-center rounded-full bg-ink text-xs font-semibold text-surface">
      {value}
    </span>
  );
}
