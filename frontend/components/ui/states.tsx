'use client';

import type { ReactNode } from 'react';
import { ApiError, errorKind } from '@/lib/api/problem';
import { useI18n } from '@/lib/i18n';
import type { Tone } from './Badge';
import { toneClass } from './Badge';
import { Button } from './Button';
import type { IconName } from './icons';
import { Icon } from './icons';

/** Grey lines where content will be. */
export function Loading({ lines = 5 }: { lines?: number }) {
  const { t } = useI18n();
  return (
    <div role="status" className="flex flex-col gap-3 p-1">
      <span className="sr-only">{t('app.loading')}</span>
      {Array.from({ length: lines }, (_, line) => (
        <span key={line} aria-hidden="true" className="h-10 animate-pulse rounded-lg bg-sunken" />
      ))}
    </div>
  );
}

interface EmptyProps {
  icon: IconName;
  title: string;
  text: string;
  children?: ReactNode;
}

export function Empty({ icon, title, text, children }: EmptyProps) {
  return (
    <div className="flex flex-col items-center gap-3 px-4 py-12 text-center">
      <span className="rounded-full bg-accent-soft p-3 text-accent">
        <Icon name={icon} className="size-6" />
      </span>
      <p className="text-lg font-semibold">{title}</p>
      <p className="max-w-md text-ink-soft">{text}</p>
      {children}
    </div>
  );
}

interface NoticeProps {
  tone: Tone;
  icon: IconName;
  title?: string;
  /** `alert` interrupts a screen reader, `status` waits; without it nothing is announced. */
  role?: 'alert' | 'status';
  children: ReactNode;
}

export function Notice({ tone, icon, title, role, children }: NoticeProps) {
  return (
    <div role={role} className={`flex gap-3 rounded-lg p-4 ${toneClass(tone)}`}>
      <Icon name={icon} className="mt-0.5 size-5" />
      <div className="min-w-0 flex-1 text-sm">
        {title && <p className="text-base font-semibold">{title}</p>}
        {children}
      </div>
    </div>
  );
}

/** What went wrong, what it means, and what to do about it. */
export function ErrorNotice({ error, onRetry }: { error: unknown; onRetry?: (() => void) | undefined }) {
  const { t } = useI18n();
  const kind = errorKind(error);
  const api = error instanceof ApiError ? error : null;
  const retryAfter = api?.retryAfter ?? null;
  const icon = kind === 'offline' ? 'offline' : kind === 'forbidden' || kind === 'session_expired' ? 'lock' : 'warning';
  // The API explains what it refused in the person's language; for the rest our own text says more.
  const text = (kind === 'invalid' && api?.detail) || t(`error.${kind}.text`);
  return (
    <Notice tone={kind === 'forbidden' ? 'warn' : 'danger'} icon={icon} title={t(`error.${kind}.title`)} role="alert">
      <p className="mt-1">{text}</p>
      {retryAfter !== null && <p className="mt-1">{t('error.retry_after', { seconds: retryAfter })}</p>}
      {kind === 'unexpected' && api?.traceId && (
        <p className="mt-1">
          {t('error.trace')} <code className="font-mono text-xs">{api.traceId}</code>
        </p>
      )}
      {onRetry && kind !== 'forbidden' && kind !== 'not_found' && (
        <Button variant="secondary" className="mt-3" onClick={onRetry}>
          {t('error.retry')}
        </Button>
      )}
    </Notice>
  );
}
