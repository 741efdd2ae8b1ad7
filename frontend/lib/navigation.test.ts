import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HOME, isWebAddress, loginPath, safeNext } from './navigation';

describe('safeNext', () => {
  it('keeps a page of this origin with its query', () => {
    expect(safeNext('/contacts/view/?id=1')).toBe('/contacts/view/?id=1');
  });

  it.each([
    null,
    '',
    'contacts',
    '//evil.example/',
    '/\\evil.example/',
    '/\t/evil.example/',
    'https://evil.example/',
    'javascript:alert(1)',
    '/login/?next=/login/',
    '/.//evil.example/phish',
    '/x/..//evil.example/phish',
    '/%2e//evil.example/phish',
    '/.%2E//evil.example/phish',
    '/./\\evil.example/',
    '/.\t//evil.example/',
    '/a/../\n/evil.example/',
    '/..//user:pass@evil.example/',
  ])('goes home instead of to %j', (next) => {
    expect(safeNext(next)).toBe(HOME);
  });

  it('is what comes back from the login path', () => {
    const from = '/contacts/?q=Zoé & Cie';
    const next = new URL(loginPath(from), 'https://same.invalid').searchParams.get('next');
    expect(decodeURIComponent(safeNext(next))).toBe(from);
  });
});

describe('whatever stands in `next`', () => {
  const part = fc.constantFrom(
    ...['/', '//', '\\', '.', '..', '/.', '/..', '%2e', '%2E%2e', '%2f', '%5c', '\t', '\n', '\r', ' ', '\0', '@', ':', '?', '#'],
    ...['http:', 'https:', 'javascript:', 'data:', 'evil.example', 'user:pass@', '[::1]', ':8080', 'contacts', 'é', '\u3002'],
  );
  const odd = fc.array(fc.oneof({ weight: 4, arbitrary: part }, fc.string({ maxLength: 3, unit: 'binary' })), { maxLength: 8 });
  const origin = fc.constantFrom('https://crm.example.com', 'http://127.0.0.1:8080', 'https://[::1]:8443');

  it('leads to a page of the origin it is read on', () => {
    fc.assert(
      fc.property(odd, origin, fc.boolean(), (parts, own, rooted) => {
        const result = safeNext((rooted ? '/' : '') + parts.join(''));
        expect(result.startsWith('/')).toBe(true);
        expect(/^\/[/\\]/.test(result)).toBe(false);
        for (const page of ['/login/', '/a/b/c/?next=x']) {
          expect(new URL(result, own + page).origin).toBe(own);
        }
      }),
      { numRuns: 5000 },
    );
  });

  it('is left as it is where it is an ordinary path', () => {
    const word = fc.stringMatching(/^[a-z0-9_-]{1,8}$/).filter((text) => !text.startsWith('login'));
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 4 }), word, (words, value) => {
        const path = `/${words.join('/')}/?q=${value}`;
        expect(safeNext(path)).toBe(path);
      }),
    );
  });
});

describe('isWebAddress', () => {
  it('takes web addresses only', () => {
    expect(isWebAddress('https://eur-lex.europa.eu/eli/reg/2016/679/oj')).toBe(true);
    expect(isWebAddress('javascript:alert(1)')).toBe(false);
    expect(isWebAddress('https://')).toBe(false);
  });
});
