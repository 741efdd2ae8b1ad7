'use client';

import { ErrorNotice } from '@/components/ui/states';

/** A page that failed to render: the rest of the application stays usable. */
export default function PageError({ error, reset }: { error: Error; reset: () => void }) {
  return (
    <div className="mx-auto max-w-2xl p-6">
      <ErrorNotice error={error} onRetry={reset} />
    </div>
  );
}
