'use client';

import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useCallback } from 'react';
import { currentSession, logout } from '@/lib/api/client';
import type { Session } from '@/lib/api/types';
import { setAccountLanguage } from '@/lib/preferences';

const KEY = ['session'] as const;

/** Who is logged in. Asked once per page load; `error` is a 401 when nobody is. */
export function useSession() {
  return useQuery({
    queryKey: KEY,
    queryFn: async () => {
      const session = await currentSession();
      setAccountLanguage(session.user.locale);
      return session;
    },
    staleTime: Infinity,
    gcTime: Infinity,
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  });
}

/** Takes over the session that a login gave. */
export function useAdoptSession(): (session: Session) => void {
  const queries = useQueryClient();
  return useCallback(
    (session) => {
      setAccountLanguage(session.user.locale);
      queries.setQueryData(KEY, session);
    },
    [queries],
  );
}

/** Ends the session. The page is loaded anew, so nothing of the last person stays in memory. */
export async function signOut(): Promise<void> {
  await logout();
  // eslint-disable-next-line @next/next/no-location-assign-relative-destination -- the reload is the point
  window.location.assign('/login/');
}
