'use client';

import type { ReactNode } from 'react';
import { SessionGate } from '@/components/session/SessionGate';
import { AppShell } from '@/components/shell/AppShell';

export default function CrmLayout({ children }: { children: ReactNode }) {
  return <SessionGate>{(session) => <AppShell session={session}>{children}</AppShell>}</SessionGate>;
}
