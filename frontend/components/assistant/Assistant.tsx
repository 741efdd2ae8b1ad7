'use client';

import Link from 'next/link';
import type { FormEvent } from 'react';
import { useRef, useState } from 'react';
import { ClassBadge, References } from '@/components/governance/Decision';
import { Button, LinkButton } from '@/components/ui/Button';
import { Field } from '@/components/ui/Field';
import { PageTitle } from '@/components/ui/PageTitle';
import { Icon } from '@/components/ui/icons';
import { Empty, ErrorNotice, Notice } from '@/components/ui/states';
import { useContact } from '@/hooks/useContacts';
import { useAssess, usePolicies } from '@/hooks/useGovernance';
import { useIdempotencyKey } from '@/hooks/useIdempotencyKey';
import type { Assessment, AssessmentRequest, UseCase } from '@/lib/api/types';
import { fullName, spellOut } from '@/lib/format';
import { useI18n } from '@/lib/i18n';
import { wellFormed } from '@/lib/spans';
import { Verdict } from './Verdict';

/** A decision and the very text it is about; both live in this page only. */
interface Decided {
  prompt: string;
  assessment: Assessment;
}

/** The choice "none of the registered uses"; identifiers are never empty. */
const UNREGISTERED = '';

export function Assistant({ contactId }: { contactId: string | null }) {
  const { t, tn } = useI18n();
  const policies = usePolicies();
  const assess = useAssess();
  const { keyFor, forget } = useIdempotencyKey();
  const textarea = useRef<HTMLTextAreaElement>(null);
  const [prompt, setPrompt] = useState('');
  const [missing, setMissing] = useState(false);
  const [chosen, setChosen] = useState<string | null>(null);
  const [decided, setDecided] = useState<Decided | null>(null);

  const useCases = policies.data?.use_cases ?? [];
  const useCaseId = chosen ?? useCases[0]?.id ?? UNREGISTERED;
  const useCase = useCases.find(({ id }) => id === useCaseId);

  const submit = (event?: FormEvent) => {
    event?.preventDefault();
    if (assess.isPending) return;
    const text = wellFormed(prompt);
    setMissing(text.trim() === '');
    if (text.trim() === '') {
      textarea.current?.focus();
      return;
    }
    const body: AssessmentRequest = {
      prompt: text,
      ...(contactId ? { contact_id: contactId } : {}),
      ...(useCaseId === UNREGISTERED ? {} : { use_case: useCaseId }),
    };
    assess.mutate(
      { body, idempotencyKey: keyFor(body) },
      {
        onSuccess: (assessment) => {
          // The same text asked again is a new question: the rules may have changed.
          forget();
          setDecided({ prompt: text, assessment });
        },
      },
    );
  };

  const announcement = () => {
    if (assess.isPending) return t('assistant.submitting');
    if (assess.isError || !decided) return '';
    const { action, risk, findings } = decided.assessment;
    return t('verdict.announce', {
      action: t(`action.${action}`),
      score: risk.score,
      level: t(`level.${risk.level}`),
      findings: findings.length > 0 ? tn('verdict.findings', findings.length) : t('verdict.findings.none'),
    });
  };

  return (
    <>
      <PageTitle title={t('assistant.title')} lead={t('assistant.lead')} />
      <div className="grid grid-cols-[minmax(0,1fr)] items-start gap-6 lg:grid-cols-[minmax(0,5fr)_minmax(0,6fr)]">
        <form noValidate onSubmit={submit} className="card flex flex-col gap-5 p-5 lg:sticky lg:top-20">
          <AboutContact contactId={contactId} />
          {policies.isError && <ErrorNotice error={policies.error} onRetry={() => void policies.refetch()} />}
          <Field label={t('assistant.use_case')}>
            {(control) => (
              <select
                {...control}
                className="field"
                value={useCaseId}
                disabled={policies.isPending}
                onChange={(event) => setChosen(event.target.value)}
              >
                {useCases.map(({ id, display_name }) => (
                  <UseCaseOption key={id} id={id} name={display_name} />
                ))}
                <option value={UNREGISTERED}>{t('assistant.use_case.none')}</option>
              </select>
            )}
          </Field>
          {policies.isSuccess && <AboutUseCase useCase={useCase} />}
          <Field
            label={t('assistant.prompt')}
            hint={t('assistant.prompt.hint')}
            error={missing ? t('assistant.prompt.required') : undefined}
            required
          >
            {(control) => (
              <textarea
                {...control}
                ref={textarea}
                name="prompt"
                rows={9}
                required
                className="field min-h-48 resize-y leading-relaxed"
                autoComplete="off"
                value={prompt}
                onChange={(event) => {
                  setPrompt(event.target.value);
                  setMissing(false);
                }}
              />
            )}
          </Field>
          <Button type="submit" disabled={assess.isPending}>
            <Icon name="shield" />
            {assess.isPending ? t('assistant.submitting') : t('assistant.submit')}
          </Button>
        </form>

        <div className="flex min-w-0 flex-col gap-4">
          <p role="status" className="sr-only">
            {announcement()}
          </p>
          {assess.isError && <ErrorNotice error={assess.error} onRetry={() => submit()} />}
          {!assess.isError && decided && (
            <>
              {prompt !== decided.prompt && (
                <Notice tone="neutral" icon="info">
                  {t('assistant.stale')}
                </Notice>
              )}
              <Verdict key={decided.assessment.id} prompt={decided.prompt} assessment={decided.assessment} />
            </>
          )}
          {!assess.isError && !decided && (
            <div className="card border-dashed">
              <Empty icon="shield" title={t('assistant.waiting.title')} text={t('assistant.waiting.text')} />
            </div>
          )}
        </div>
      </div>
    </>
  );
}

function UseCaseOption({ id, name }: { id: string; name: UseCase['display_name'] }) {
  const { pick } = useI18n();
  return <option value={id}>{pick(name)}</option>;
}

function AboutUseCase({ useCase }: { useCase: UseCase | undefined }) {
  const { t } = useI18n();
  if (useCase === undefined) {
    return (
      <Notice tone="warn" icon="warning">
        {t('assistant.use_case.none_hint')}
      </Notice>
    );
  }
  return (
    <div className="-mt-2 flex flex-col gap-2 text-sm">
      <p>
        <ClassBadge value={useCase.class} />
      </p>
      {useCase.purpose && (
        <p className="text-ink-soft">
          {t('assistant.purpose')} {spellOut(useCase.purpose)}
        </p>
      )}
      <References references={useCase.provisions} />
    </div>
  );
}

function AboutContact({ contactId }: { contactId: string | null }) {
  const { t } = useI18n();
  if (contactId !== null) return <NamedContact contactId={contactId} />;
  return (
    <p className="flex flex-wrap items-center gap-x-2 text-sm text-ink-soft">
      {t('assistant.no_contact')}{' '}
      <Link href="/contacts/" className="link">
        {t('assistant.choose_contact')}
      </Link>
    </p>
  );
}

function NamedContact({ contactId }: { contactId: string }) {
  const { t } = useI18n();
  const record = useContact(contactId);
  if (record.isError) return <ErrorNotice error={record.error} onRetry={() => void record.refetch()} />;
  return (
    <div className="flex items-center justify-between gap-3 rounded-lg bg-sunken px-4 py-2.5 text-sm">
      <p className="min-w-0">
        <span className="block text-xs text-ink-soft">{t('assistant.about')}</span>
        {record.data ? (
          <Link href={`/contacts/view/?id=${contactId}`} className="link font-semibold">
            {fullName(record.data.contact)}
          </Link>
        ) : (
          t('app.loading')
        )}
      </p>
      <LinkButton variant="ghost" className="px-2" href="/assistant/" aria-label={t('assistant.remove_contact')}>
        <Icon name="close" />
      </LinkButton>
    </div>
  );
}
