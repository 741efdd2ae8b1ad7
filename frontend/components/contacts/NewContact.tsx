'use client';

import { useRouter } from 'next/navigation';
import { useState } from 'react';
import { useCreateContact } from '@/hooks/useContacts';
import { useIdempotencyKey } from '@/hooks/useIdempotencyKey';
import { EMPTY_CONTACT } from '@/lib/contact';
import { useI18n } from '@/lib/i18n';
import { ContactForm } from './ContactForm';

/** Makes a contact and goes to it. */
export function NewContact({ onCancel }: { onCancel: () => void }) {
  const { t, language } = useI18n();
  const router = useRouter();
  const { keyFor } = useIdempotencyKey();
  const [fields, setFields] = useState({ ...EMPTY_CONTACT, locale: language });
  const create = useCreateContact();
  return (
    <div className="mt-4">
      <ContactForm
        fields={fields}
        onChange={setFields}
        submitLabel={t('contact.create')}
        pending={create.isPending || create.isSuccess}
        error={create.error}
        onSubmit={(tidied) =>
          create.mutate(
            { fields: tidied, idempotencyKey: keyFor(tidied) },
            { onSuccess: ({ contact }) => router.push(`/contacts/view/?id=${contact.id}`) },
          )
        }
        onCancel={onCancel}
      />
    </div>
  );
}
