'use client';

import { useRouter } from 'next/navigation';
import { useEffect } from 'react';
import { DocumentTitle } from '@/components/ui/PageTitle';
import { Loading } from '@/components/ui/states';
import { HOME } from '@/lib/navigation';
import { useI18n } from '@/lib/i18n';

/** `/` leads to the contacts. */
export default function HomePage() {
  const router = useRouter();
  const { t } = useI18n();
  useEffect(() => {
    router.replace(HOME);
  }, [router]);
  return (
    <main className="mx-auto max-w-6xl p-6">
      <DocumentTitle title={t('contacts.title')} />
      <h1 className="sr-only">{t('app.name')}</h1>
      <Loading />
    </main>
  );
}
