'use client';

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { request } from '@/lib/api/client';
import type { Assessment, AssessmentRequest, Policies } from '@/lib/api/types';

/** The policies in force and the register of AI uses. */
export function usePolicies() {
  return useQuery({
    queryKey: ['policies'],
    queryFn: async ({ signal }) => (await request<Policies>('GET', '/policies', { signal })).data,
    // A policy can change at any moment, without a restart: coming back to the page shows the rules of now.
    staleTime: 5_000,
  });
}

/** Has a prompt decided. The prompt goes into the request and nowhere else. */
export function useAssess() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async ({ body, idempotencyKey }: { body: AssessmentRequest; idempotencyKey: string }) =>
      (await request<Assessment>('POST', '/assessments', { body, idempotencyKey })).data,
    onSuccess: async (assessment) => {
      if (assessment.contact_id) await queries.invalidateQueries({ queryKey: ['timeline', assessment.contact_id] });
    },
    // The request holds the prompt: it leaves memory with the page.
    gcTime: 0,
  });
}
