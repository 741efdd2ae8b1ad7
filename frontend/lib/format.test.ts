import { describe, expect, it } from 'vitest';
import { formatDateTime, formatList, formatNumber, formatPercent, initials, shortDigest, spellOut } from './format';

describe('formatDateTime', () => {
  it('follows the language and the zone, also over the change of summer time', () => {
    expect(formatDateTime('2026-10-25T00:30:00Z', 'fr', 'Europe/Paris')).toMatch(/25 oct\. 2026.*02:30/);
    expect(formatDateTime('2026-10-25T01:30:00Z', 'fr', 'Europe/Paris')).toMatch(/25 oct\. 2026.*02:30/);
    expect(formatDateTime('2026-11-22T18:05:00Z', 'en', 'Europe/Paris')).toMatch(/22 Nov 2026.*19:05/);
  });

  it('shows what is no time as it is', () => {
    expect(formatDateTime('?', 'fr')).toBe('?');
  });
});

describe('numbers and lists', () => {
  it('follow the language', () => {
    expect(formatNumber(1234567, 'fr')).toMatch(/^1\s234\s567$/);
    expect(formatNumber(1234567, 'en')).toBe('1,234,567');
    expect(formatPercent(0.985, 'fr')).toMatch(/^99\s%$/);
    expect(formatList(['a', 'b', 'c'], 'fr')).toBe('a, b et c');
    expect(formatList(['a', 'b'], 'en')).toBe('a and b');
  });
});

describe('initials', () => {
  it('takes whole characters and survives empty names', () => {
    expect(initials({ first_name: 'émile', last_name: '𝒳avier' })).toBe('É𝒳');
    expect(initials({ first_name: '', last_name: ' ' })).toBe('');
  });
});

describe('identifiers', () => {
  it('are shortened or spelt out for people', () => {
    expect(shortDigest(`sha256:${'ab'.repeat(32)}`)).toBe('sha256:abababababab…');
    expect(shortDigest('other')).toBe('other');
    expect(spellOut('customer-service')).toBe('customer service');
  });
});
