'use client';

import { useMutation } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import { Button } from '@/components/ui/Button';
import { Field } from '@/components/ui/Field';
import { ErrorNotice, Notice } from '@/components/ui/states';
import { login } from '@/lib/api/client';
import { ApiError } from '@/lib/api/problem';
import type { Session } from '@/lib/api/types';
import { useI18n } from '@/lib/i18n';

interface LoginFormProps {
  /** Known when a session ran out. */
  email?: string;
  onLogin: (session: Session) => void;
}

export function LoginForm({ email = '', onLogin }: LoginFormProps) {
  const { t } = useI18n();
  const password = useRef<HTMLInputElement>(null);
  const [visible, setVisible] = useState(false);
  const attempt = useMutation({
    mutationFn: (form: FormData) => login(String(form.get('email')).trim(), String(form.get('password'))),
    onSuccess: onLogin,
    onError: () => password.current?.select(),
    gcTime: 0,
  });

  return (
    <form
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        if (!attempt.isPending) attempt.mutate(new FormData(event.currentTarget));
      }}
    >
      {attempt.isError && <LoginError error={attempt.error} />}
      <Field label={t('login.email')}>
        {(control) => (
          <input
            {...control}
            className="field"
            name="email"
            type="email"
            autoComplete="username"
            defaultValue={email}
            required
          />
        )}
      </Field>
      <Field label={t('login.password')}>
        {(control) => (
          <input
            {...control}
            ref={password}
            className="field"
            name="password"
            type={visible ? 'text' : 'password'}
            autoComplete="current-password"
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
        {t('login.show_password')}
      </label>
      <Button type="submit" disabled={attempt.isPending}>
        {attempt.isPending ? t('login.submitting') : t('login.submit')}
      </Button>
    </form>
  );
}

function LoginError({ error }: { error: unknown }) {
  const { t } = useI18n();
  if (error instanceof ApiError && error.status === 401) {
    return (
      <Notice tone="danger" icon="warning" role="alert">
        {t('login.wrong')}
      </Notice>
    );
  }
  if (error instanceof ApiError && error.status === 429 && error.retryAfter !== null) {
    return (
      <Notice tone="warn" icon="hand" role="alert">
        {t('login.rate_limited', { seconds: error.retryAfter })}
      </Notice>
    );
  }
  return <ErrorNotice error={error} />;
}
