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
  ])('goes home instead of to %j', (next) => {
    expect(safeNext(next)).toBe(HOME);
  });

  it('is what comes back from the login path', () => {
    const from = '/contacts/?q=Zoé & Cie';
    const next = new URL(loginPath(from), 'https://same.invalid').searchParams.get('next');
    expect(decodeURIComponent(safeNext(next))).toBe(from);
  });
});

describe('isWebAddress', () => {
  it('takes web addresses only', () => {
    expect(isWebAddress('https://eur-lex.europa.eu/eli/reg/2016/679/oj')).toBe(true);
    expect(isWebAddress('javascript:alert(1)')).toBe(false);
    expect(isWebAddress('https://')).toBe(false);
  });
});
