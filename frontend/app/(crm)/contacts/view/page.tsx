'use client';

import { useSearchParams } from 'next/navigation';
import { Suspense } from 'react';
import { ContactRecord } from '@/components/contacts/ContactRecord';
import { Loading, Notice } from '@/components/ui/states';
import { PageTitle } from '@/components/ui/PageTitle';
import { useI18n } from '@/lib/i18n';

/** `/contacts/view/?id=`: one contact. The id is a parameter because a static export knows no dynamic paths. */
export default function ContactPage() {
  return (
    <Suspense fallback={<Loading />}>
      <ContactOfAddress />
    </Suspense>
  );
}

function ContactOfAddress() {
  const { t } = useI18n();
  const id = useSearchParams().get('id');
  if (id) return <ContactRecord key={id} id={id} />;
  return (
    <>
      <PageTitle title={t('contact.title')} />
      <Notice tone="warn" icon="warning">
        {t('contact.missing_id')}
      </Notice>
    </>
  );
}
