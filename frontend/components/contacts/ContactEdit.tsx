'use client';

import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { VersionedContact } from '@/hooks/useContacts';
import { fetchContact, useOrganisations, useUpdateContact } from '@/hooks/useContacts';
import { ApiError } from '@/lib/api/problem';
import type { ContactFields } from '@/lib/api/types';
import { fieldsOf } from '@/lib/contact';
import { useI18n } from '@/lib/i18n';
import { changes } from '@/lib/merge';
import { ConflictDialog } from './ConflictDialog';
import { ContactForm } from './ContactForm';

interface ContactEditProps {
  /** The version that is being changed. */
  start: VersionedContact;
  /** The edit is over; the message says how. */
  onDone: (message: string) => void;
}

/** Changes a contact. When somebody else was faster, the person decides field by field; no edit is lost. */
export function ContactEdit({ start, onDone }: ContactEditProps) {
  const { t } = useI18n();
  const queries = useQueryClient();
  const organisations = useOrganisations();
  const [base, setBase] = useState(start);
  const [fields, setFields] = useState(() => fieldsOf(start.contact));
  const [theirs, setTheirs] = useState<VersionedContact | null>(null);
  const [error, setError] = useState<unknown>(null);
  const update = useUpdateContact(start.contact.id);

  const save = async (from: VersionedContact, wanted: ContactFields) => {
    setError(null);
    const patch = changes(fieldsOf(from.contact), wanted);
    if (Object.keys(patch).length === 0) {
      onDone(t('contact.no_change'));
      return;
    }
    try {
      await update.mutateAsync({ patch, etag: from.etag });
      onDone(t('contact.saved'));
    } catch (refusal) {
      if (!(refusal instanceof ApiError && refusal.status === 412)) {
        setError(refusal);
        return;
      }
      try {
        const current = await fetchContact(start.contact.id);
        queries.setQueryData(['contact', start.contact.id], current);
        setTheirs(current);
      } catch (failure) {
        setError(failure);
      }
    }
  };

  const organisationNames = new Map([
    ...(organisations.data ?? []).map(({ id, name }) => [id, name] as const),
    ...[start, theirs].flatMap((version) =>
      version?.contact.organisation_id
        ? [[version.contact.organisation_id, version.contact.organisation_name ?? ''] as const]
        : [],
    ),
  ]);

  return (
    <>
      <ContactForm
        fields={fields}
        onChange={setFields}
        organisationName={base.contact.organisation_name}
        submitLabel={t('contact.save')}
        pending={update.isPending}
        error={error}
        onSubmit={(tidied) => {
          setFields(tidied);
          void save(base, tidied);
        }}
        onCancel={() => onDone('')}
      />
      {theirs !== null && (
        <ConflictDialog
          base={fieldsOf(base.contact)}
          mine={fields}
          theirs={fieldsOf(theirs.contact)}
          organisationNames={organisationNames}
          onBack={() => setTheirs(null)}
          onDiscard={() => onDone('')}
          onResolve={(merged) => {
            // From here on the edit stands on their version.
            setTheirs(null);
            setBase(theirs);
            setFields(merged);
            void save(theirs, merged);
          }}
        />
      )}
    </>
  );
}
