'use client';

import { keepPreviousData, useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import type { Answer } from '@/lib/api/client';
import { request } from '@/lib/api/client';
import type { Contact, ContactFields, Organisation, Page, TimelineEntry } from '@/lib/api/types';

export const CONTACT_SORTS = ['last_name', '-last_name', '-updated_at', '-created_at'] as const;

export type ContactSort = (typeof CONTACT_SORTS)[number];

export interface ContactQuery {
  q: string;
  sort: ContactSort;
  after: string | null;
}

const PAGE_SIZE = 25;

/** One page of contacts; the page before stays visible while the next one is fetched. */
export function useContacts({ q, sort, after }: ContactQuery) {
  return useQuery({
    queryKey: ['contacts', { q, sort, after }],
    queryFn: async ({ signal }) => {
      const query = { q, sort, after: after ?? undefined, limit: PAGE_SIZE, count: 'exact' };
      return (await request<Page<Contact>>('GET', '/contacts', { query, signal })).data;
    },
    placeholderData: keepPreviousData,
  });
}

/** A contact with the ETag that a change must name. */
export interface VersionedContact {
  contact: Contact;
  etag: string;
}

export function useContact(id: string) {
  return useQuery({ queryKey: contactKey(id), queryFn: ({ signal }) => fetchContact(id, signal) });
}

export async function fetchContact(id: string, signal?: AbortSignal): Promise<VersionedContact> {
  return versioned(await request<Contact>('GET', contactPath(id), { signal }));
}

export function useCreateContact() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async ({ fields, idempotencyKey }: { fields: ContactFields; idempotencyKey: string }) =>
      versioned(await request<Contact>('POST', '/contacts', { body: fields, idempotencyKey })),
    onSuccess: async (saved) => {
      queries.setQueryData(contactKey(saved.contact.id), saved);
      await queries.invalidateQueries({ queryKey: ['contacts'] });
    },
  });
}

/** Changes a contact, provided it is still the version of `etag`; 412 when it is not. */
export function useUpdateContact(id: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async ({ patch, etag }: { patch: Partial<ContactFields>; etag: string }) =>
      versioned(await request<Contact>('PATCH', contactPath(id), { body: patch, ifMatch: etag })),
    onSuccess: async (saved) => {
      queries.setQueryData(contactKey(id), saved);
      await queries.invalidateQueries({ queryKey: ['contacts'] });
    },
  });
}

/** What happened with a contact, newest first, page by page. */
export function useTimeline(id: string) {
  return useInfiniteQuery({
    queryKey: ['timeline', id],
    queryFn: async ({ pageParam, signal }) => {
      const query = { after: pageParam ?? undefined, limit: 20 };
      return (await request<Page<TimelineEntry>>('GET', `${contactPath(id)}/timeline`, { query, signal })).data;
    },
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.page.next,
  });
}

/** The organisations a contact may belong to, for a choice list. */
export function useOrganisations() {
  return useQuery({
    queryKey: ['organisations'],
    queryFn: async ({ signal }) =>
      (await request<Page<Organisation>>('GET', '/organisations', { query: { sort: 'name', limit: 200 }, signal })).data
        .data,
  });
}

function versioned({ data, etag }: Answer<Contact>): VersionedContact {
  // The ETag is the quoted version; a proxy that weakens or drops the header must not make saving impossible.
  return { contact: data, etag: etag?.startsWith('"') ? etag : `"${data.version}"` };
}

function contactKey(id: string) {
  return ['contact', id] as const;
}

function contactPath(id: string): string {
  return `/contacts/${encodeURIComponent(id)}`;
}
