'use client';

import Link from 'next/link';
import { useRouter, useSearchParams } from 'next/navigation';
import { useRef, useState } from 'react';
import { Badge } from '@/components/ui/Badge';
import { Button, LinkButton } from '@/components/ui/Button';
import { Dialog } from '@/components/ui/Dialog';
import { PageTitle } from '@/components/ui/PageTitle';
import { Icon } from '@/components/ui/icons';
import { Empty, ErrorNotice, Loading } from '@/components/ui/states';
import type { ContactSort } from '@/hooks/useContacts';
import { CONTACT_SORTS, useContacts } from '@/hooks/useContacts';
import { useSession } from '@/hooks/useSession';
import { ApiError } from '@/lib/api/problem';
import type { Contact } from '@/lib/api/types';
import { formatDateTime, fullName, initials } from '@/lib/format';
import { useI18n } from '@/lib/i18n';
import { NewContact } from './NewContact';

const PATH = '/contacts/';
const DEFAULT_SORT: ContactSort = 'last_name';

/** Pause after the last keystroke before the list is asked for, in milliseconds. */
const SEARCH_PAUSE_MS = 250;

export function ContactList() {
  const { t, tn } = useI18n();
  const router = useRouter();
  const params = useSearchParams();
  const [creating, setCreating] = useState(false);
  const { data: session } = useSession();

  const q = params.get('q') ?? '';
  const sort = CONTACT_SORTS.find((known) => known === params.get('sort')) ?? DEFAULT_SORT;
  const after = params.get('after');
  const contacts = useContacts({ q, sort, after });

  const address = (change: { q?: string; sort?: ContactSort; after?: string }): string => {
    const next = { q, sort, ...change };
    const query = new URLSearchParams();
    if (next.q) query.set('q', next.q);
    if (next.sort !== DEFAULT_SORT) query.set('sort', next.sort);
    if (next.after) query.set('after', next.after);
    return query.size === 0 ? PATH : `${PATH}?${query}`;
  };

  const count = contacts.data?.count ?? null;
  const cursorGone = contacts.error instanceof ApiError && contacts.error.code === 'cursor_invalid';

  return (
    <>
      <PageTitle title={t('contacts.title')}>
        {session?.permissions.includes('contact.create') && (
          <Button onClick={() => setCreating(true)}>
            <Icon name="plus" />
            {t('contacts.new')}
          </Button>
        )}
      </PageTitle>
      <div className="mb-4 flex flex-wrap items-end gap-3">
        <SearchBox q={q} onSearch={(text) => router.replace(address({ q: text }), { scroll: false })} />
        <label className="flex flex-col gap-1.5 text-sm font-medium">
          {t('contacts.sort')}
          <select
            className="field font-normal"
            value={sort}
            onChange={(event) => router.replace(address({ sort: event.target.value as ContactSort }), { scroll: false })}
          >
            {CONTACT_SORTS.map((option) => (
              <option key={option} value={option}>
                {t(`contacts.sort.${option}`)}
              </option>
            ))}
          </select>
        </label>
        <p role="status" className="ml-auto self-center text-sm text-ink-faint">
          {contacts.isSuccess && count !== null && tn('contacts.count', count)}
        </p>
      </div>

      {contacts.isPending && <Loading lines={8} />}
      {contacts.isError && (
        <ErrorNotice error={contacts.error} onRetry={cursorGone ? undefined : () => void contacts.refetch()} />
      )}
      {cursorGone && (
        <LinkButton variant="secondary" className="mt-3" href={address({})}>
          {t('contacts.first_page')}
        </LinkButton>
      )}
      {contacts.isSuccess && contacts.data.data.length === 0 && (
        <div className="card">
          {q ? (
            <Empty icon="search" title={t('contacts.no_match.title')} text={t('contacts.no_match.text')}>
              <LinkButton variant="secondary" href={address({ q: '' })}>
                {t('contacts.clear_search')}
              </LinkButton>
            </Empty>
          ) : (
            <Empty icon="users" title={t('contacts.empty.title')} text={t('contacts.empty.text')} />
          )}
        </div>
      )}
      {contacts.isSuccess && contacts.data.data.length > 0 && (
        <>
          <ContactTable contacts={contacts.data.data} />
          {(after || contacts.data.page.next) && (
            <nav aria-label={t('contacts.pages')} className="mt-4 flex flex-wrap justify-between gap-3">
              {after ? (
                <LinkButton variant="secondary" href={address({})}>
                  {t('contacts.first_page')}
                </LinkButton>
              ) : (
                <span />
              )}
              {contacts.data.page.next && (
                <LinkButton variant="secondary" href={address({ after: contacts.data.page.next })}>
                  {t('contacts.next_page')}
                  <Icon name="next" />
                </LinkButton>
              )}
            </nav>
          )}
        </>
      )}
      {creating && (
        <Dialog title={t('contacts.new')} onClose={() => setCreating(false)}>
          <NewContact onCancel={() => setCreating(false)} />
        </Dialog>
      )}
    </>
  );
}

/** A search that asks when the person pauses, and follows the address when they go back. */
function SearchBox({ q, onSearch }: { q: string; onSearch: (text: string) => void }) {
  const { t } = useI18n();
  const pause = useRef<ReturnType<typeof setTimeout>>(undefined);
  const [draft, setDraft] = useState(q);
  const [sent, setSent] = useState(q);
  const [seen, setSeen] = useState(q);
  if (q !== seen) {
    setSeen(q);
    // Our own search arriving in the address must not undo what was typed since.
    if (q !== sent) setDraft(q);
  }

  const search = (text: string) => {
    clearTimeout(pause.current);
    setSent(text.trim());
    onSearch(text.trim());
  };

  return (
    <form
      role="search"
      className="w-full sm:max-w-sm"
      onSubmit={(event) => {
        event.preventDefault();
        search(draft);
      }}
    >
      <label className="flex flex-col gap-1.5 text-sm font-medium">
        {t('contacts.search')}
        <span className="relative block">
          <Icon name="search" className="pointer-events-none absolute left-3 top-3 size-5 text-ink-faint" />
          <input
            type="search"
            className="field pl-10 font-normal"
            placeholder={t('contacts.search.hint')}
            value={draft}
            maxLength={200}
            onChange={(event) => {
              const text = event.target.value;
              setDraft(text);
              clearTimeout(pause.current);
              pause.current = setTimeout(() => search(text), SEARCH_PAUSE_MS);
            }}
          />
        </span>
      </label>
    </form>
  );
}

function ContactTable({ contacts }: { contacts: Contact[] }) {
  const { t, language } = useI18n();
  return (
    <div className="card overflow-hidden">
      <table className="w-full table-fixed text-left text-sm">
        <caption className="sr-only">{t('contacts.table')}</caption>
        <thead className="border-b border-line bg-sunken text-xs text-ink-soft">
          <tr>
            <th scope="col" className="px-4 py-3 font-semibold">
              {t('contacts.name')}
            </th>
            <th scope="col" className="hidden px-4 py-3 font-semibold md:table-cell">
              {t('contacts.organisation')}
            </th>
            <th scope="col" className="hidden px-4 py-3 font-semibold sm:table-cell">
              {t('contacts.coordinates')}
            </th>
            <th scope="col" className="hidden w-44 px-4 py-3 font-semibold lg:table-cell">
              {t('contacts.updated_at')}
            </th>
          </tr>
        </thead>
        <tbody className="divide-y divide-line">
          {contacts.map((contact) => (
            <tr key={contact.id} className="relative hover:bg-sunken">
              <th scope="row" className="px-4 py-3 font-normal">
                <div className="flex items-center gap-3">
                  <span
                    aria-hidden="true"
                    className="grid size-9 shrink-0 place-items-center rounded-full bg-accent-soft text-xs font-semibold text-accent"
                  >
                    {initials(contact)}
                  </span>
                  <div className="min-w-0">
                    <Link
                      href={`/contacts/view/?id=${contact.id}`}
                      className="font-semibold text-ink after:absolute after:inset-0 hover:underline"
                    >
                      {fullName(contact)}
                    </Link>
                    {contact.job_title && <p className="text-ink-soft">{contact.job_title}</p>}
                    {contact.organisation_name && (
                      <p className="text-ink-faint md:hidden">{contact.organisation_name}</p>
                    )}
                    {contact.do_not_contact && (
                      <p className="mt-1">
                        <Badge tone="warn" icon="hand">
                          {t('contact.do_not_contact')}
                        </Badge>
                      </p>
                    )}
                  </div>
                </div>
              </th>
              <td className="hidden px-4 py-3 md:table-cell">{contact.organisation_name}</td>
              <td className="hidden px-4 py-3 text-ink-soft sm:table-cell">
                {contact.email && <p className="truncate">{contact.email}</p>}
                {contact.phone && <p>{contact.phone}</p>}
              </td>
              <td className="hidden px-4 py-3 text-ink-soft lg:table-cell">
                <time dateTime={contact.updated_at}>{formatDateTime(contact.updated_at, language)}</time>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
