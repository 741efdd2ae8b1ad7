'use client';

import { useMutation } from '@tanstack/react-query';
import { useRouter, useSearchParams } from 'next/navigation';
import { Suspense, useEffect } from 'react';
import { PasswordForm } from '@/components/session/PasswordForm';
import { LanguageSwitch, ThemeSelect } from '@/components/shell/Preferences';
import { Button, LinkButton } from '@/components/ui/Button';
import { DocumentTitle } from '@/components/ui/PageTitle';
import { Logo } from '@/components/ui/icons';
import { ErrorNotice, Loading } from '@/components/ui/states';
import { signOut, useAdoptSession, useSession } from '@/hooks/useSession';
import { errorKind } from '@/lib/api/problem';
import { loginPath, passwordPath, safeNext } from '@/lib/navigation';
import { useI18n } from '@/lib/i18n';

/** `/password/?next=`: a person changes their password, or chooses one before anything else, and goes on. */
export default function PasswordPage() {
  return (
    <div className="flex min-h-dvh flex-col bg-surface">
      <header className="flex flex-wrap items-center justify-end gap-3 p-4">
        <ThemeSelect />
        <LanguageSwitch />
      </header>
      <main className="mx-auto flex w-full max-w-sm flex-1 flex-col justify-center gap-6 px-5 pb-16">
        <Logo className="size-12" />
        <Suspense>
          <ChangeAndGoOn />
        </Suspense>
      </main>
    </div>
  );
}

function ChangeAndGoOn() {
  const { t } = useI18n();
  const router = useRouter();
  const next = safeNext(useSearchParams().get('next'));
  const { data: session, error, refetch } = useSession();
  const adopt = useAdoptSession();
  const leave = useMutation({ mutationFn: signOut });
  const nobody = session === undefined && errorKind(error) === 'session_expired';

  useEffect(() => {
    if (nobody) router.replace(loginPath(passwordPath(next)));
  }, [nobody, next, router]);

  if (session === undefined) {
    return error !== null && !nobody ? <ErrorNotice error={error} onRetry={() => void refetch()} /> : <Loading />;
  }
  const required = session.password_change_required;
  const title = t(required ? 'password.required.title' : 'password.title');
  return (
    <>
      <DocumentTitle title={title} />
      <div>
        <h1 className="text-3xl font-semibold tracking-tight">{title}</h1>
        <p className="mt-1.5 text-ink-soft">{t(required ? 'password.required.lead' : 'password.lead')}</p>
      </div>
      <PasswordForm
        session={session}
        onChange={(renewed) => {
          adopt(renewed);
          router.replace(next);
        }}
      />
      {leave.isError && <ErrorNotice error={leave.error} />}
      {required ? (
        <Button variant="secondary" disabled={leave.isPending} onClick={() => leave.mutate()}>
          {t('login.logout')}
        </Button>
      ) : (
        <LinkButton variant="secondary" href={next}>
          {t('password.cancel')}
        </LinkButton>
      )}
    </>
  );
}
