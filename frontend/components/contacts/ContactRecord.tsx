'use client';

import Link from 'next/link';
import type { ReactNode } from 'react';
import { useState } from 'react';
import { Badge } from '@/components/ui/Badge';
import { Button, LinkButton } from '@/components/ui/Button';
import { PageTitle } from '@/components/ui/PageTitle';
import { Icon } from '@/components/ui/icons';
import { ErrorNotice, Loading } from '@/components/ui/states';
import type { VersionedContact } from '@/hooks/useContacts';
import { useContact } from '@/hooks/useContacts';
import { useSession } from '@/hooks/useSession';
import type { Contact } from '@/lib/api/types';
import { formatDateTime, fullName } from '@/lib/format';
import { useI18n } from '@/lib/i18n';
import { ContactEdit } from './ContactEdit';
import { Timeline } from './Timeline';

export function ContactRecord({ id }: { id: string }) {
  const { t } = useI18n();
  const record = useContact(id);
  const { data: session } = useSession();
  // The version the edit started from; later refreshes of the page must not slip under it.
  const [editing, setEditing] = useState<VersionedContact | null>(null);
  const [message, setMessage] = useState('');

  const back = (
    <Link href="/contacts/" className="link mb-3 inline-flex min-h-8 items-center gap-1.5 text-sm">
      <Icon name="back" className="size-4" />
      {t('contact.back')}
    </Link>
  );

  if (record.data === undefined) {
    return (
      <>
        {back}
        <PageTitle title={t('contact.title')} />
        {record.isError ? (
          <ErrorNotice error={record.error} onRetry={() => void record.refetch()} />
        ) : (
          <Loading lines={6} />
        )}
      </>
    );
  }

  const { contact } = record.data;
  return (
    <>
      {back}
      <PageTitle
        title={fullName(contact)}
        lead={[contact.job_title, contact.organisation_name].filter(Boolean).join(' · ')}
      >
        <LinkButton href={`/assistant/?contact=${contact.id}`}>
          <Icon name="spark" />
          {t('contact.ask_ai')}
        </LinkButton>
      </PageTitle>
      <div role="status">
        {message && (
          <p className="mb-4 flex items-center gap-2 text-sm font-medium text-ok">
            <Icon name="check" />
            {message}
          </p>
        )}
      </div>
      <div className="grid grid-cols-[minmax(0,1fr)] items-start gap-6 lg:grid-cols-[minmax(0,5fr)_minmax(0,7fr)]">
        <section aria-labelledby="details" className="card p-5">
          <div className="mb-4 flex items-center justify-between gap-3">
            <h2 id="details" className="text-lg font-semibold">
              {t('contact.details')}
            </h2>
            {editing === null && session?.permissions.includes('contact.update') && (
              <Button
                variant="secondary"
                onClick={() => {
                  setMessage('');
                  setEditing(record.data);
                }}
              >
                <Icon name="edit" className="size-4.5" />
                {t('contact.edit')}
              </Button>
            )}
          </div>
          {editing === null ? (
            <Details contact={contact} />
          ) : (
            <ContactEdit
              start={editing}
              onDone={(done) => {
                setEditing(null);
                setMessage(done);
              }}
            />
          )}
        </section>
        <Timeline contactId={contact.id} />
      </div>
    </>
  );
}

function Details({ contact }: { contact: Contact }) {
  const { t, language } = useI18n();
  return (
    <>
      {contact.do_not_contact && (
        <p className="mb-4">
          <Badge tone="warn" icon="hand">
            {t('contact.do_not_contact')}
          </Badge>
        </p>
      )}
      <dl className="flex flex-col gap-3 text-sm">
        <Detail label={t('contact.email')}>
          {contact.email && (
            <a className="link break-all" href={`mailto:${encodeURIComponent(contact.email)}`}>
              {contact.email}
            </a>
          )}
        </Detail>
        <Detail label={t('contact.phone')}>
          {contact.phone && (
            <a className="link" href={`tel:${contact.phone.replace(/[^+\d]/g, '')}`}>
              {contact.phone}
            </a>
          )}
        </Detail>
        <Detail label={t('contact.job_title')}>{contact.job_title}</Detail>
        <Detail label={t('contact.organisation_id')}>{contact.organisation_name}</Detail>
        <Detail label={t('contact.locale')}>{t(`contact.locale.${contact.locale}`)}</Detail>
        <Detail label={t('contact.created')}>{formatDateTime(contact.created_at, language)}</Detail>
        <Detail label={t('contact.updated')}>{formatDateTime(contact.updated_at, language)}</Detail>
      </dl>
    </>
  );
}

function Detail({ label, children }: { label: string; children: ReactNode }) {
  const { t } = useI18n();
  return (
    <div className="grid grid-cols-[7rem_minmax(0,1fr)] gap-3">
      <dt className="text-ink-faint">{label}</dt>
      <dd>{children || <span className="text-ink-faint">{t('contact.empty_value')}</span>}</dd>
    </div>
  );
}
