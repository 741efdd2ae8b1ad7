/** What can go wrong with a request: an answer of the API in, an error the page can act on out. */

import type { Problem } from './types';

/** The API answered, and the answer is an error. `detail` is written for people, in the language asked for. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly detail: string | null;
  readonly traceId: string | null;
  readonly currentEtag: string | null;
  /** Messages by field, named as in the body that was sent (`email`). */
  readonly fields: ReadonlyMap<string, string>;
  /** Seconds. */
  readonly retryAfter: number | null;

  constructor(status: number, problem: Problem, retryAfter: number | null) {
    super(`${status} ${problem.code ?? 'unknown'}`);
    this.name = 'ApiError';
    this.status = status;
    this.code = problem.code ?? 'unknown';
    this.detail = problem.detail ?? null;
    this.traceId = problem.trace_id ?? null;
    this.currentEtag = problem.current_etag ?? null;
    this.fields = new Map((problem.errors ?? []).map((error) => [fieldOf(error.pointer), error.message]));
    this.retryAfter = retryAfter;
  }
}

/** No answer came: the network, or the server, is away. */
export class UnreachableError extends Error {
  constructor(options?: ErrorOptions) {
    super('no answer', options);
    this.name = 'UnreachableError';
  }
}

/** Reads an error answer; whatever its body is, the result is usable. */
export async function readProblem(response: Response): Promise<ApiError> {
  let problem: Problem = {};
  if (response.headers.get('content-type')?.includes('json')) {
    try {
      const body: unknown = await response.json();
      if (typeof body === 'object' && body !== null) problem = body;
    } catch {
      // A proxy may cut an answer short: the status alone says enough.
    }
  }
  return new ApiError(response.status, problem, parseRetryAfter(response.headers.get('retry-after')));
}

/** `Retry-After` in seconds; the form with a date is not used by our API. */
export function parseRetryAfter(value: string | null): number | null {
  return value !== null && /^\d{1,6}$/.test(value) ? Number(value) : null;
}

/** What a page can say and offer about an error; the texts are `error.<kind>` in the messages. */
export type ErrorKind =
  | 'offline'
  | 'session_expired'
  | 'forbidden'
  | 'not_found'
  | 'conflict'
  | 'too_large'
  | 'invalid'
  | 'rate_limited'
  | 'engine_unavailable'
  | 'unavailable'
  | 'unexpected';

export function errorKind(error: unknown): ErrorKind {
  if (error instanceof UnreachableError) return 'offline';
  if (!(error instanceof ApiError)) return 'unexpected';
  switch (error.status) {
    case 400:
    case 422:
      return 'invalid';
    case 401:
      return 'session_expired';
    case 403:
      return 'forbidden';
    case 404:
      return 'not_found';
    case 409:
      // A value that another record has already is for the person to correct, at its field.
      return error.fields.size > 0 ? 'invalid' : 'conflict';
    case 412:
      return 'conflict';
    case 413:
      return 'too_large';
    case 429:
      return 'rate_limited';
    case 503:
      return error.code === 'engine_unavailable' ? 'engine_unavailable' : 'unavailable';
    case 502:
    case 504:
      return 'unavailable';
    default:
      return 'unexpected';
  }
}

/** Whether asking again can help without anything being changed. */
export function isTransient(error: unknown): boolean {
  const kind = errorKind(error);
  return kind === 'offline' || kind === 'unavailable' || kind === 'engine_unavailable' || kind === 'rate_limited';
}

/** `/organisation_id` (RFC 6901) names the field `organisation_id`. */
function fieldOf(pointer: string): string {
  return pointer.replace(/^#?\//, '').replaceAll('~1', '/').replaceAll('~0', '~');
}
