'use client';

import type { ReactNode } from 'react';
import { ActionBadge, ProofList, RiskText, RuleList } from '@/components/governance/Decision';
import { Button } from '@/components/ui/Button';
import type { IconName } from '@/components/ui/icons';
import { Icon } from '@/components/ui/icons';
import { Empty, ErrorNotice, Loading } from '@/components/ui/states';
import { useTimeline } from '@/hooks/useContacts';
import type { Assessment, Interaction, InteractionKind, TimelineEntry } from '@/lib/api/types';
import { formatDateTime } from '@/lib/format';
import { useI18n } from '@/lib/i18n';

const ICONS: Record<InteractionKind, IconName> = {
  call: 'phone',
  email: 'mail',
  meeting: 'calendar',
  chat: 'chat',
  note: 'note',
};

/** What happened with a contact, newest first: exchanges, and what was decided about uses of AI. */
export function Timeline({ contactId }: { contactId: string }) {
  const { t } = useI18n();
  const timeline = useTimeline(contactId);
  const entries = timeline.data?.pages.flatMap((page) => page.data) ?? [];
  return (
    <section aria-labelledby="timeline" className="card p-5">
      <h2 id="timeline" className="mb-4 text-lg font-semibold">
        {t('timeline.title')}
      </h2>
      {timeline.isPending && <Loading lines={4} />}
      {timeline.isSuccess && entries.length === 0 && <Empty icon="chat" title={t('timeline.empty')} text="" />}
      {entries.length > 0 && (
        <ol className="flex flex-col">
          {entries.map((entry) => (
            <Entry key={entryId(entry)} entry={entry} />
          ))}
        </ol>
      )}
      {timeline.isError && <ErrorNotice error={timeline.error} onRetry={() => void timeline.refetch()} />}
      {timeline.hasNextPage && (
        <Button
          variant="secondary"
          className="mt-2"
          disabled={timeline.isFetchingNextPage}
          onClick={() => void timeline.fetchNextPage()}
        >
          {t('timeline.more')}
        </Button>
      )}
    </section>
  );
}

function entryId(entry: TimelineEntry): string {
  return entry.kind === 'interaction' ? entry.interaction.id : entry.assessment.id;
}

function Entry({ entry }: { entry: TimelineEntry }) {
  switch (entry.kind) {
    case 'interaction':
      return <InteractionEntry at={entry.at} interaction={entry.interaction} />;
    case 'assessment':
      return <AssessmentEntry at={entry.at} assessment={entry.assessment} />;
  }
}

function InteractionEntry({ at, interaction }: { at: string; interaction: Interaction }) {
  const { t } = useI18n();
  const { kind, direction, subject, body } = interaction;
  const label = t(`timeline.kind.${kind}`);
  // Nobody sends or receives a meeting or a note.
  const directed = kind !== 'meeting' && kind !== 'note';
  return (
    <Item icon={ICONS[kind]} at={at} label={directed ? `${label} · ${t(`timeline.direction.${direction}`)}` : label}>
      <p className="font-medium">{subject}</p>
      {body && <p className="mt-1 whitespace-pre-line text-ink-soft">{body}</p>}
    </Item>
  );
}

function AssessmentEntry({ at, assessment }: { at: string; assessment: Assessment }) {
  const { t, pick } = useI18n();
  const { action, use_case, explanation, rules } = assessment;
  return (
    <Item icon="spark" at={at} label={t('timeline.kind.assessment')}>
      <p className="font-medium">{use_case ? pick(use_case.display_name) : t('timeline.unregistered')}</p>
      <p className="my-2 flex flex-wrap items-center gap-2">
        <ActionBadge action={action} />
        <RiskText risk={assessment.risk} />
      </p>
      <p className="text-ink-soft">{pick(explanation)}</p>
      <details className="mt-2">
        <summary className="link inline-block min-h-6">{t('timeline.proof')}</summary>
        <div className="mt-3 flex flex-col gap-3">
          <RuleList rules={rules} findings={assessment.findings} />
          <ProofList assessment={assessment} />
        </div>
      </details>
    </Item>
  );
}

function Item({ icon, at, label, children }: { icon: IconName; at: string; label: string; children: ReactNode }) {
  const { language } = useI18n();
  return (
    <li className="group relative flex gap-4 pb-6 text-sm last:pb-2">
      <span aria-hidden="true" className="absolute bottom-0 left-4.5 top-9 w-px bg-line group-last:hidden" />
      <span className="grid size-9 shrink-0 place-items-center rounded-full bg-accent-soft text-accent">
        <Icon name={icon} className="size-4.5" />
      </span>
      <div className="min-w-0 flex-1">
        <p className="flex flex-wrap justify-between gap-x-3 text-xs text-ink-faint">
          <span>{label}</span>
          <time dateTime={at}>{formatDateTime(at, language)}</time>
        </p>
        {children}
      </div>
    </li>
  );
}
