import { describe, expect, it } from 'vitest';
import { messages } from '../messages';
import { ApiError, UnreachableError, errorKind, isTransient, parseRetryAfter, readProblem } from './problem';

const answer = (status: number, body: string, headers: Record<string, string> = {}) =>
  new Response(body, { status, headers: { 'content-type': 'application/problem+json', ...headers } });

describe('readProblem', () => {
  it('keeps what a page acts on', async () => {
    const error = await readProblem(
      answer(
        422,
        JSON.stringify({
          title: 'Non valide',
          detail: 'Deux champs sont à corriger.',
          code: 'validation_failed',
          trace_id: 't',
          errors: [
            { pointer: '/email', code: 'email', message: 'Adresse non valide.' },
            { pointer: '/a~1b', code: 'x', message: 'y' },
          ],
        }),
      ),
    );
    expect(error).toMatchObject({ status: 422, code: 'validation_failed', detail: 'Deux champs sont à corriger.' });
    expect([...error.fields]).toEqual([
      ['email', 'Adresse non valide.'],
      ['a/b', 'y'],
    ]);
  });

  it('reads the current version of a stale change and the pause of a refusal', async () => {
    expect((await readProblem(answer(412, '{"current_etag":"\\"7\\""}'))).currentEtag).toBe('"7"');
    expect((await readProblem(answer(503, '{}', { 'retry-after': '5' }))).retryAfter).toBe(5);
  });

  it.each(['', '{', 'null', '[]', '"x"'])('survives the body %j', async (body) => {
    const error = await readProblem(answer(500, body));
    expect(error).toBeInstanceOf(ApiError);
    expect(error.code).toBe('unknown');
  });

  it('survives a page of a proxy', async () => {
    const error = await readProblem(answer(502, '<h1>Bad gateway</h1>', { 'content-type': 'text/html' }));
    expect(errorKind(error)).toBe('unavailable');
  });
});

describe('errorKind', () => {
  const kindOf = (status: number, code?: string) => errorKind(new ApiError(status, code ? { code } : {}, null));

  it.each([
    [400, 'invalid'],
    [401, 'session_expired'],
    [403, 'forbidden'],
    [404, 'not_found'],
    [409, 'conflict'],
    [412, 'conflict'],
    [413, 'too_large'],
    [422, 'invalid'],
    [429, 'rate_limited'],
    [500, 'unexpected'],
    [503, 'unavailable'],
  ])('of %i is %s', (status, kind) => {
    expect(kindOf(status)).toBe(kind);
    expect(messages.fr).toHaveProperty([`error.${kind}.title`]);
    expect(messages.fr).toHaveProperty([`error.${kind}.text`]);
  });

  it('of a value that is taken is something to correct', () => {
    const errors = [{ pointer: '/email', code: 'duplicate', message: 'x' }];
    expect(errorKind(new ApiError(409, { code: 'duplicate', errors }, null))).toBe('invalid');
  });

  it('tells the engine being away from everything else being away', () => {
    expect(kindOf(503, 'engine_unavailable')).toBe('engine_unavailable');
    expect(errorKind(new UnreachableError())).toBe('offline');
    expect(errorKind(new Error('x'))).toBe('unexpected');
  });

  it('asks again only where that can help', () => {
    expect(isTransient(new UnreachableError())).toBe(true);
    expect(isTransient(new ApiError(503, {}, null))).toBe(true);
    expect(isTransient(new ApiError(403, {}, null))).toBe(false);
    expect(isTransient(new ApiError(500, {}, null))).toBe(false);
  });
});

describe('parseRetryAfter', () => {
  it('takes seconds and nothing else', () => {
    expect(parseRetryAfter('30')).toBe(30);
    expect(parseRetryAfter(null)).toBeNull();
    expect(parseRetryAfter('-1')).toBeNull();
    expect(parseRetryAfter('Sun, 22 Nov 2026 20:00:00 GMT')).toBeNull();
  });
});
