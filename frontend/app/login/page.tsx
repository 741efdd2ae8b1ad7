'use client';

import { useRouter, useSearchParams } from 'next/navigation';
import { Suspense } from 'react';
import { LoginForm } from '@/components/session/LoginForm';
import { LanguageSwitch, ThemeSelect } from '@/components/shell/Preferences';
import { DocumentTitle } from '@/components/ui/PageTitle';
import type { IconName } from '@/components/ui/icons';
import { Icon, Logo } from '@/components/ui/icons';
import { useAdoptSession } from '@/hooks/useSession';
import type { MessageKey } from '@/lib/messages';
import { safeNext } from '@/lib/navigation';
import { useI18n } from '@/lib/i18n';

const BENEFITS: [IconName, MessageKey][] = [
  ['shield', 'login.benefit.govern'],
  ['scale', 'login.benefit.explain'],
  ['lock', 'login.benefit.prove'],
];

/** `/login/?next=`: a person proves who they are and goes back to where they wanted to be. */
export default function LoginPage() {
  const { t } = useI18n();
  return (
    <div className="grid min-h-dvh lg:grid-cols-[1fr_minmax(26rem,34rem)]">
      <aside className="hidden flex-col justify-between border-r border-line bg-accent-soft p-12 lg:flex">
        <p className="flex items-center gap-3 text-lg font-semibold">
          <Logo /> {t('app.name')}
        </p>
        <div className="max-w-lg">
          <p className="text-4xl font-semibold leading-tight tracking-tight">{t('app.tagline')}</p>
          <ul className="mt-10 flex flex-col gap-5">
            {BENEFITS.map(([icon, key]) => (
              <li key={key} className="flex items-start gap-3 text-ink-soft">
                <Icon name={icon} className="mt-0.5 size-5 text-accent" />
                {t(key)}
              </li>
            ))}
          </ul>
        </div>
        <span />
      </aside>
      <div className="flex flex-col bg-surface">
        <header className="flex flex-wrap items-center justify-end gap-3 p-4">
          <ThemeSelect />
          <LanguageSwitch />
        </header>
        <main className="mx-auto flex w-full max-w-sm flex-1 flex-col justify-center gap-6 px-5 pb-16">
          <DocumentTitle title={t('login.title')} />
          <Logo className="size-12 lg:hidden" />
          <div>
            <h1 className="text-3xl font-semibold tracking-tight">{t('login.title')}</h1>
            <p className="mt-1.5 text-ink-soft">{t('login.lead')}</p>
          </div>
          <Suspense>
            <LoginAndGoOn />
          </Suspense>
        </main>
      </div>
    </div>
  );
}

function LoginAndGoOn() {
  const router = useRouter();
  const next = safeNext(useSearchParams().get('next'));
  const adopt = useAdoptSession();
  return (
    <LoginForm
      onLogin={(session) => {
        adopt(session);
        router.replace(next);
      }}
    />
  );
}
