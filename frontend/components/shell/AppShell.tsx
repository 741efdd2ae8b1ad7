'use client';

import Link from 'next/link';
import { usePathname } from 'next/navigation';
import type { ReactNode } from 'react';
import { Icon, Logo } from '@/components/ui/icons';
import type { IconName } from '@/components/ui/icons';
import { useOnline } from '@/hooks/useOnline';
import type { Session } from '@/lib/api/types';
import { useI18n } from '@/lib/i18n';
import type { MessageKey } from '@/lib/messages';
import { HOME } from '@/lib/navigation';
import { AccountMenu } from './AccountMenu';
import { LanguageSwitch } from './Preferences';

const ROOMS: { href: string; label: MessageKey; icon: IconName }[] = [
  { href: '/contacts/', label: 'nav.contacts', icon: 'users' },
  { href: '/assistant/', label: 'nav.assistant', icon: 'spark' },
  { href: '/policies/', label: 'nav.policies', icon: 'scale' },
];

/** The frame around every page of the CRM. */
export function AppShell({ session, children }: { session: Session; children: ReactNode }) {
  const { t } = useI18n();
  const pathname = usePathname();
  const online = useOnline();
  return (
    <>
      <a
        href="#content"
        className="sr-only z-50 rounded-lg bg-accent px-4 py-3 font-semibold text-accent-ink focus:not-sr-only focus:fixed focus:left-3 focus:top-3"
      >
        {t('app.skip')}
      </a>
      <header className="border-b border-line bg-surface sm:sticky sm:top-0 sm:z-30">
        <div className="mx-auto flex max-w-6xl flex-wrap items-center gap-x-6 px-4 sm:px-6">
          <Link href={HOME} className="flex min-h-14 items-center gap-2.5 font-semibold tracking-tight">
            <Logo className="size-7" />
            <span className="sr-only min-[400px]:not-sr-only">{t('app.name')}</span>
            <span className="hidden text-sm font-normal text-ink-faint lg:inline">{session.tenant.name}</span>
          </Link>
          <nav aria-label={t('app.navigation')} className="order-last -mx-2 w-full sm:order-none sm:mx-0 sm:w-auto">
            <ul className="flex">
              {ROOMS.map(({ href, label, icon }) => (
                <li key={href} className="flex-1 sm:flex-none">
                  <Link
                    href={href}
                    aria-current={pathname.startsWith(href) ? 'page' : undefined}
                    className="flex min-h-12 items-center justify-center gap-1.5 border-b-2 border-transparent px-2 text-sm font-medium whitespace-nowrap text-ink-soft hover:text-ink aria-[current=page]:border-accent aria-[current=page]:text-accent sm:min-h-14 sm:px-3"
                  >
                    <Icon name={icon} className="hidden size-4.5 min-[400px]:block" />
                    {t(label)}
                  </Link>
                </li>
              ))}
            </ul>
          </nav>
          <div className="ml-auto flex items-center gap-2">
            <LanguageSwitch />
            <AccountMenu session={session} />
          </div>
        </div>
      </header>
      <div role="status">
        {!online && (
          <p className="flex items-center justify-center gap-2 bg-warn-soft px-4 py-2 text-sm font-medium text-warn">
            <Icon name="offline" className="size-4.5" />
            {t('network.offline')}
          </p>
        )}
      </div>
      <main id="content" tabIndex={-1} className="mx-auto max-w-6xl px-4 py-6 outline-none sm:px-6 sm:py-8">
        {children}
      </main>
    </>
  );
}
