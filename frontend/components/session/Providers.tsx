'use client';

import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useState } from 'react';
import { isTransient } from '@/lib/api/problem';

/** What every page needs: one cache of the API's answers, in memory only. */
export function Providers({ children }: { children: ReactNode }) {
  const [queries] = useState(
    () =>
      new QueryClient({
        defaultOptions: {
          queries: {
            staleTime: 15_000,
            // Asked even when the browser thinks it is offline: the answer is then an error that can be shown.
            networkMode: 'always',
            retry: (failures, error) => failures < 1 && isTransient(error),
          },
          mutations: { networkMode: 'always' },
        },
      }),
  );
  return <QueryClientProvider client={queries}>{children}</QueryClientProvider>;
}
