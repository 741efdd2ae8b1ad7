'use client';

import { useMutation } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import { Button } from '@/components/ui/Button';
import { Field } from '@/components/ui/Field';
import { ErrorNotice, Notice } from '@/components/ui/states';
import { changePassword } from '@/lib/api/client';
import { ApiError } from '@/lib/api/problem';
import type { Session } from '@/lib/api/types';
import { useI18n } from '@/lib/i18n';

interface PasswordFormProps {
  session: Session;
  onChange: (session: Session) => void;
}

/** A person changes their own password. What is wrong with it, the API says, in their language. */
export function PasswordForm({ session, onChange }: PasswordFormProps) {
  const { t } = useI18n();
  const current = useRef<HTMLInputElement>(null);
  const chosen = useRef<HTMLInputElement>(null);
  const [visible, setVisible] = useState(false);
  const attempt = useMutation({
    mutationFn: (form: FormData) => changePassword(String(form.get('current')), String(form.get('new'))),
    onSuccess: onChange,
    onError: (error) => (errors(error).has('new_password') ? chosen : current).current?.select(),
    gcTime: 0,
  });
  const wrong = errors(attempt.error);

  return (
    <form
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        if (!attempt.isPending) attempt.mutate(new FormData(event.currentTarget));
      }}
    >
      {attempt.isError && wrong.size === 0 && <PasswordError error={attempt.error} />}
      {wrong.size > 0 && (
        <p role="alert" className="sr-only">
          {[...wrong.values()].join('. ')}
        </p>
      )}
      {/* Password managers keep the new password under this name. */}
      <input type="hidden" name="username" autoComplete="username" value={session.user.email} />
      <Field label={t('password.current')} error={wrong.get('current_password')}>
        {(control) => (
          <input
            {...control}
            ref={current}
            className="field"
            name="current"
            type={visible ? 'text' : 'password'}
            autoComplete="current-password"
            required
          />
        )}
      </Field>
      <Field label={t('password.new')} hint={t('password.hint')} error={wrong.get('new_password')}>
        {(control) => (
          <input
            {...control}
            ref={chosen}
            className="field"
            name="new"
            type={visible ? 'text' : 'password'}
            autoComplete="new-password"
            required
          />
        )}
      </Field>
      <label className="flex min-h-6 items-center gap-2 text-sm text-ink-soft">
        <input
          type="checkbox"
          className="size-5 accent-accent"
          checked={visible}
          onChange={(event) => setVisible(event.target.checked)}
        />
        {t('password.show')}
      </label>
      <Button type="submit" disabled={attempt.isPending}>
        {attempt.isPending ? t('password.submitting') : t('password.submit')}
      </Button>
    </form>
  );
}

function errors(error: unknown): ReadonlyMap<string, string> {
  return error instanceof ApiError ? error.fields : new Map<string, string>();
}

function PasswordError({ error }: { error: unknown }) {
  const { t } = useI18n();
  if (error instanceof ApiError && error.status === 429 && error.retryAfter !== null) {
    return (
      <Notice tone="warn" icon="hand" role="alert">
        {t('login.rate_limited', { seconds: error.retryAfter })}
      </Notice>
    );
  }
  return <ErrorNotice error={error} />;
}
