'use client';

import { useQueryClient } from '@tanstack/react-query';
import { usePathname, useRouter } from 'next/navigation';
import type { ReactNode } from 'react';
import { useEffect, useState } from 'react';
import { Dialog } from '@/components/ui/Dialog';
import { ErrorNotice, Loading } from '@/components/ui/states';
import { useAdoptSession, useSession } from '@/hooks/useSession';
import { onSessionLost } from '@/lib/api/client';
import { errorKind } from '@/lib/api/problem';
import type { Session } from '@/lib/api/types';
import { HOME, loginPath, passwordPath } from '@/lib/navigation';
import { useI18n } from '@/lib/i18n';
import { LoginForm } from './LoginForm';

/**
 * Shows the pages of the CRM to who is logged in; sends everybody else to the login and back, and who must choose a
 * password first to the page for that.
 */
export function SessionGate({ children }: { children: (session: Session) => ReactNode }) {
  const { data: session, error, refetch } = useSession();
  const router = useRouter();
  const pathname = usePathname();
  const nobody = session === undefined && errorKind(error) === 'session_expired';

  const mustChange = session?.password_change_required === true;

  useEffect(() => {
    const here = pathname + window.location.search;
    if (nobody) router.replace(loginPath(here));
    else if (mustChange) router.replace(passwordPath(here));
  }, [nobody, mustChange, pathname, router]);

  if (session !== undefined && !mustChange) {
    return (
      <>
        {children(session)}
        <SessionExpired session={session} />
      </>
    );
  }
  return (
    <main className="mx-auto max-w-6xl p-6">
      {error !== null && !nobody ? <ErrorNotice error={error} onRetry={() => void refetch()} /> : <Loading />}
    </main>
  );
}

/** A session that ran out under the person's hands: they log in on the spot, and the page keeps what they typed. */
function SessionExpired({ session }: { session: Session }) {
  const { t } = useI18n();
  const queries = useQueryClient();
  const adopt = useAdoptSession();
  const [lost, setLost] = useState(false);
  useEffect(() => onSessionLost(() => setLost(true)), []);

  if (!lost) return null;
  return (
    <Dialog title={t('session.expired.title')}>
      <p className="mb-5 mt-2 text-ink-soft">{t('session.expired.text')}</p>
      <LoginForm
        email={session.user.email}
        onLogin={(renewed) => {
          if (renewed.user.id !== session.user.id) {
            // Somebody else: nothing of the page may stay.
            window.location.assign(HOME);
            return;
          }
          adopt(renewed);
          setLost(false);
          void queries.invalidateQueries({ predicate: (query) => query.queryKey[0] !== 'session' });
        }}
      />
    </Dialog>
  );
}
