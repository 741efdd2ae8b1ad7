'use client';

import { LinkButton } from '@/components/ui/Button';
import { DocumentTitle } from '@/components/ui/PageTitle';
import { Logo } from '@/components/ui/icons';
import { HOME } from '@/lib/navigation';
import { useI18n } from '@/lib/i18n';

/** Written out because the framework's own page carries inline styles. */
export default function NotFound() {
  const { t } = useI18n();
  return (
    <main className="mx-auto flex min-h-dvh max-w-md flex-col items-center justify-center gap-4 p-6 text-center">
      <DocumentTitle title={t('not_found.title')} />
      <Logo className="size-12" />
      <h1 className="text-2xl font-semibold">{t('not_found.title')}</h1>
      <p className="text-ink-soft">{t('not_found.text')}</p>
      <LinkButton href={HOME}>{t('not_found.home')}</LinkButton>
    </main>
  );
}
