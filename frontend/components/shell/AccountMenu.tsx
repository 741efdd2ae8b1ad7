'use client';

import { useMutation } from '@tanstack/react-query';
import { usePathname, useRouter } from 'next/navigation';
import { useEffect, useRef } from 'react';
import { Button } from '@/components/ui/Button';
import { ErrorNotice } from '@/components/ui/states';
import { Icon } from '@/components/ui/icons';
import { signOut } from '@/hooks/useSession';
import type { Session } from '@/lib/api/types';
import { useI18n } from '@/lib/i18n';
import { passwordPath } from '@/lib/navigation';
import { ThemeSelect } from './Preferences';

/** Who is logged in, the theme, their password, and the way out. */
export function AccountMenu({ session }: { session: Session }) {
  const { t } = useI18n();
  const router = useRouter();
  const pathname = usePathname();
  const menu = useRef<HTMLDetailsElement>(null);
  const leave = useMutation({ mutationFn: signOut });

  useEffect(() => {
    const closeOutside = (event: PointerEvent) => {
      if (menu.current?.open && !menu.current.contains(event.target as Node)) menu.current.open = false;
    };
    document.addEventListener('pointerdown', closeOutside);
    return () => document.removeEventListener('pointerdown', closeOutside);
  }, []);

  return (
    <details
      ref={menu}
      className="relative"
      onKeyDown={(event) => {
        if (event.key !== 'Escape' || !menu.current?.open) return;
        menu.current.open = false;
        menu.current.querySelector('summary')?.focus();
      }}
    >
      <summary className="flex min-h-10 max-w-44 list-none items-center gap-1 rounded-lg px-2 text-sm font-medium hover:bg-sunken [&::-webkit-details-marker]:hidden">
        <span className="max-w-20 truncate min-[400px]:max-w-36">{session.user.display_name}</span>
        <Icon name="down" className="size-4" />
      </summary>
      <div className="absolute right-0 z-40 mt-2 flex w-64 flex-col gap-4 rounded-card border border-line bg-surface p-4 shadow-dialog">
        <div className="text-sm">
          <p className="font-semibold">{session.user.display_name}</p>
          <p className="break-all text-ink-soft">{session.user.email}</p>
          <p className="text-ink-faint">
            {t(`role.${session.user.role}`)} · {session.tenant.name}
          </p>
        </div>
        <ThemeSelect />
        <Button variant="ghost" onClick={() => router.push(passwordPath(pathname + window.location.search))}>
          {t('password.title')}
        </Button>
        {leave.isError && <ErrorNotice error={leave.error} />}
        <Button variant="secondary" disabled={leave.isPending} onClick={() => leave.mutate()}>
          {t('login.logout')}
        </Button>
      </div>
    </details>
  );
}
