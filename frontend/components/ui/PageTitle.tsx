'use client';

import type { ReactNode } from 'react';
import { useI18n } from '@/lib/i18n';

interface PageTitleProps {
  title: string;
  lead?: string;
  /** What can be done with the page as a whole. */
  children?: ReactNode;
}

/** The heading of a page, also as the document's title. */
export function PageTitle({ title, lead, children }: PageTitleProps) {
  return (
    <div className="mb-6 flex flex-wrap items-end justify-between gap-x-6 gap-y-4">
      <DocumentTitle title={title} />
      <div className="min-w-0">
        <h1 className="text-2xl font-semibold tracking-tight sm:text-3xl">{title}</h1>
        {lead && <p className="mt-1.5 max-w-2xl text-ink-soft">{lead}</p>}
      </div>
      {children}
    </div>
  );
}

export function DocumentTitle({ title }: { title: string }) {
  const { t } = useI18n();
  return <title>{t('app.title', { page: title })}</title>;
}
