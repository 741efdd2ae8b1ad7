'use client';

import { useCallback, useRef } from 'react';

/**
 * A key per distinct request: asked with the same body again (after a time-out, say) it gives the same key, so the
 * API answers with the first reply instead of doing it twice. `forget` after a definite answer starts anew.
 */
export function useIdempotencyKey() {
  const last = useRef<{ body: string; key: string } | null>(null);
  const keyFor = useCallback((body: unknown): string => {
    const serialised = JSON.stringify(body);
    if (last.current?.body !== serialised) last.current = { body: serialised, key: crypto.randomUUID() };
    return last.current.key;
  }, []);
  const forget = useCallback(() => {
    last.current = null;
  }, []);
  return { keyFor, forget };
}
