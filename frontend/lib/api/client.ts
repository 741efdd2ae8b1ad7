/**
 * One request to the API of the same origin: method and path in, body and ETag out, or a typed error.
 *
 * Tokens are in cookies that scripts cannot read. The session's CSRF token is kept in memory only and sent with every
 * request that changes something. A 401 is answered once by a silent refresh; when that fails too the session is
 * over, and whoever listens is told.
 */

import { getLanguage } from '@/lib/preferences';
import { ApiError, UnreachableError, readProblem } from './problem';
import type { Session } from './types';

const BASE = '/api/v1';

/** A request that takes longer is given up, so that no page waits for ever. */
const TIMEOUT_MS = 30_000;

export interface RequestOptions {
  query?: Record<string, string | number | undefined>;
  body?: unknown;
  ifMatch?: string;
  idempotencyKey?: string;
  signal?: AbortSignal | undefined;
}

export interface Answer<T> {
  data: T;
  etag: string | null;
}

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

let csrfToken: string | null = null;
let refreshing: Promise<Session | null> | null = null;
let sessionLost: (() => void) | null = null;

/** Registers who is told that the session ended while the page was in use. */
export function onSessionLost(listener: () => void): () => void {
  sessionLost = listener;
  return () => {
    if (sessionLost === listener) sessionLost = null;
  };
}

export async function request<T>(method: Method, path: string, options: RequestOptions = {}): Promise<Answer<T>> {
  if (method !== 'GET' && csrfToken === null) await renewSession();
  let response = await send(method, path, options);
  if (response.status === 401 && (await renewSession()) !== null) {
    response = await send(method, path, options);
  }
  if (response.ok) return readAnswer<T>(response);
  const error = await readProblem(response);
  if (error.status === 401) {
    csrfToken = null;
    sessionLost?.();
  }
  throw error;
}

export async function login(email: string, password: string): Promise<Session> {
  const response = await send('POST', '/auth/login', { body: { email, password } });
  if (!response.ok) throw await readProblem(response);
  return adopt((await readAnswer<Session>(response)).data);
}

/** Changes one's own password. The other sessions end; this one goes on. */
export async function changePassword(current: string, chosen: string): Promise<Session> {
  const body = { current_password: current, new_password: chosen };
  return adopt((await request<Session>('POST', '/auth/password', { body })).data);
}

export async function logout(): Promise<void> {
  try {
    await request<void>('POST', '/auth/logout');
  } catch (error) {
    // A session that is already over is what was asked for.
    if (!(error instanceof ApiError && error.status === 401)) throw error;
  } finally {
    csrfToken = null;
  }
}

/** The session of this browser, refreshed if need be; 401 when there is none. */
export async function currentSession(): Promise<Session> {
  const session = await renewSession();
  if (session === null) throw new ApiError(401, { code: 'unauthenticated' }, null);
  return session;
}

/**
 * Finds out who is logged in, with a fresh access token. A refresh token used twice ends its session, so tabs take
 * turns: whoever waited first looks whether another tab has refreshed meanwhile.
 */
function renewSession(): Promise<Session | null> {
  refreshing ??= takeTurns(renewInTurn).finally(() => {
    refreshing = null;
  });
  return refreshing;
}

async function renewInTurn(): Promise<Session | null> {
  const current = await send('GET', '/auth/session', {});
  if (current.ok) return adopt((await readAnswer<Session>(current)).data);
  if (current.status !== 401) throw await readProblem(current);
  const refreshed = await send('POST', '/auth/refresh', {});
  if (refreshed.ok) return adopt((await readAnswer<Session>(refreshed)).data);
  if (refreshed.status === 401) return null;
  throw await readProblem(refreshed);
}

async function takeTurns(work: () => Promise<Session | null>): Promise<Session | null> {
  // `locks` exists in secure contexts only; without it there is one tab at a time at worst.
  return navigator.locks ? await navigator.locks.request('novacrm.session', work) : await work();
}

function adopt(session: Session): Session {
  csrfToken = session.csrf_token;
  // Copied by name, so that no token in the body can reach the cache.
  return {
    csrf_token: session.csrf_token,
    user: session.user,
    permissions: session.permissions,
    tenant: session.tenant,
    password_change_required: session.password_change_required,
  };
}

async function send(method: Method, path: string, options: RequestOptions): Promise<Response> {
  const headers = new Headers({
    Accept: 'application/json, application/problem+json',
    'Accept-Language': getLanguage(),
  });
  if (options.body !== undefined) {
    headers.set('Content-Type', method === 'PATCH' ? 'application/merge-patch+json' : 'application/json');
  }
  if (method !== 'GET' && csrfToken !== null) headers.set('X-CSRF-Token', csrfToken);
  if (options.ifMatch !== undefined) headers.set('If-Match', options.ifMatch);
  if (options.idempotencyKey !== undefined) headers.set('Idempotency-Key', options.idempotencyKey);

  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  try {
    return await fetch(BASE + path + queryString(options.query), {
      method,
      headers,
      credentials: 'same-origin',
      cache: 'no-store',
      redirect: 'error',
      signal: options.signal ? AbortSignal.any([options.signal, timeout]) : timeout,
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    });
  } catch (error) {
    // Given up by the page itself (it moved on): not a failure to report.
    if (options.signal?.aborted) throw error;
    throw new UnreachableError({ cause: error });
  }
}

async function readAnswer<T>(response: Response): Promise<Answer<T>> {
  const etag = response.headers.get('etag');
  if (response.status === 204) return { data: undefined as T, etag };
  try {
    return { data: (await response.json()) as T, etag };
  } catch (error) {
    throw new UnreachableError({ cause: error });
  }
}

function queryString(query: RequestOptions['query']): string {
  const pairs = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== '');
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs.map(([key, value]) => [key, String(value)]))}`;
}
