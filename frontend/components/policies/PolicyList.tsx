'use client';

import type { ReactNode } from 'react';
import { ActionBadge, ClassBadge, References, SeverityBadge } from '@/components/governance/Decision';
import { Badge } from '@/components/ui/Badge';
import { PageTitle } from '@/components/ui/PageTitle';
import { Empty, ErrorNotice, Loading } from '@/components/ui/states';
import { usePolicies } from '@/hooks/useGovernance';
import type { PolicyView, RuleView, UseCase } from '@/lib/api/types';
import { formatDateTime, formatList, shortDigest, spellOut } from '@/lib/format';
import { useI18n } from '@/lib/i18n';

export function PolicyList() {
  const { t } = useI18n();
  const policies = usePolicies();
  return (
    <>
      <PageTitle title={t('policies.title')} lead={t('policies.lead')}>
        {policies.data && (
          <p className="text-sm text-ink-faint">
            {t('policies.bundle', { sequence: policies.data.bundle.sequence })}
            <span className="block font-mono text-xs">{shortDigest(policies.data.bundle.digest)}</span>
          </p>
        )}
      </PageTitle>
      {policies.isPending && <Loading />}
      {policies.isError && <ErrorNotice error={policies.error} onRetry={() => void policies.refetch()} />}
      {policies.data && (
        <div className="flex flex-col gap-6">
          {policies.data.policies.length === 0 && (
            <div className="card">
              <Empty icon="scale" title={t('policies.empty.title')} text={t('policies.empty.text')} />
            </div>
          )}
          {policies.data.policies.map((policy) => (
            <Policy key={`${policy.policy.namespace}/${policy.policy.name}`} view={policy} />
          ))}
          <UseCases useCases={policies.data.use_cases} />
        </div>
      )}
    </>
  );
}

function Policy({ view }: { view: PolicyView }) {
  const { t, tn, language } = useI18n();
  const { policy, mode, owner, contact, rules, exceptions } = view;
  const id = `policy-${policy.namespace}-${policy.name}`;
  const shadow = mode === 'shadow';
  return (
    <section aria-labelledby={id} className="card">
      <div className="border-b border-line p-5">
        <div className="flex flex-wrap items-center gap-x-3 gap-y-2">
          <h2 id={id} className="text-lg font-semibold">
            {policy.name}
          </h2>
          <Badge tone="neutral">{t('policies.version', { version: policy.version })}</Badge>
          <Badge tone={shadow ? 'info' : 'ok'} icon={shadow ? 'eye' : 'check'}>
            {t(shadow ? 'policies.mode.shadow' : 'policies.mode.enforce')}
          </Badge>
          <span className="text-sm text-ink-faint sm:ml-auto">{tn('policies.rules', rules.length)}</span>
        </div>
        <p className="mt-2 text-sm text-ink-soft">
          {t('policies.owner', { owner })} · <span className="break-all">{t('policies.contact', { contact })}</span>
        </p>
        {shadow && <p className="mt-1 text-sm text-info">{t('policies.mode.shadow_hint')}</p>}
        {exceptions.map(({ id: exception, ticket, rules: waived, expires_at, active }) => (
          <p key={exception} className={`mt-1 text-sm ${active ? 'text-warn' : 'text-ink-faint'}`}>
            {t(active ? 'policies.exception' : 'policies.exception.ended', {
              id: exception,
              ticket,
              rules: formatList(waived, language),
              until: formatDateTime(expires_at, language),
            })}
          </p>
        ))}
      </div>
      <ul className="divide-y divide-line">
        {rules.map((rule) => (
          <Rule key={rule.id} rule={rule} />
        ))}
      </ul>
    </section>
  );
}

function Rule({ rule }: { rule: RuleView }) {
  const { t, pick, language } = useI18n();
  return (
    <li className="grid gap-x-8 gap-y-4 p-5 lg:grid-cols-[minmax(0,3fr)_minmax(0,2fr)]">
      <div>
        <div className="flex flex-wrap items-center gap-2">
          <h3 className="font-mono text-sm font-semibold">{rule.id}</h3>
          <SeverityBadge severity={rule.severity} />
        </div>
        <p className="mt-2 leading-relaxed">{pick(rule.description)}</p>
        <dl className="mt-3 grid grid-cols-[max-content_minmax(0,1fr)] gap-x-4 gap-y-2 text-sm">
          <Term name={t('policies.when')}>{pick(rule.condition)}</Term>
          <Term name={t('policies.then')}>
            <ActionBadge action={rule.action} />
          </Term>
          {rule.risks_covered.length > 0 && (
            <Term name={t('policies.risks')}>{formatList(rule.risks_covered.map(spellOut), language)}</Term>
          )}
        </dl>
      </div>
      <References references={rule.references} />
    </li>
  );
}

function Term({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-ink-faint">{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

function UseCases({ useCases }: { useCases: UseCase[] }) {
  const { t, pick } = useI18n();
  return (
    <section aria-labelledby="use-cases" className="card p-5">
      <h2 id="use-cases" className="text-lg font-semibold">
        {t('policies.use_cases')}
      </h2>
      <p className="mb-4 mt-1 text-sm text-ink-soft">
        {t(useCases.length > 0 ? 'policies.use_cases.lead' : 'policies.use_cases.empty')}
      </p>
      <ul className="grid gap-4 md:grid-cols-2">
        {useCases.map((useCase) => (
          <li key={useCase.id} className="rounded-lg border border-line p-4 text-sm">
            <div className="flex flex-wrap items-center gap-2">
              <h3 className="font-semibold">{pick(useCase.display_name)}</h3>
              <ClassBadge value={useCase.class} />
            </div>
            <p className="mb-3 mt-2 text-ink-soft">
              {t('assistant.purpose')} {spellOut(useCase.purpose)}
            </p>
            <References references={useCase.provisions} />
          </li>
        ))}
      </ul>
    </section>
  );
}
