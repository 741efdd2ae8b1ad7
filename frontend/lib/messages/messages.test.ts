import { describe, expect, it } from 'vitest';
import { translation } from '../i18n';
import { format, messages, pluralKey } from './index';

const placeholders = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();

describe('messages', () => {
  it('exist in both languages under the same keys', () => {
    expect(Object.keys(messages.en).sort()).toEqual(Object.keys(messages.fr).sort());
  });

  it.each(Object.entries(messages.fr))('%s is written and takes the same values in both languages', (key, french) => {
    const english = messages.en[key as keyof typeof messages.en];
    expect(french.trim()).not.toBe('');
    expect(english.trim()).not.toBe('');
    expect(placeholders(english)).toEqual(placeholders(french));
  });

  it('use typographic apostrophes in French', () => {
    expect(Object.values(messages.fr).filter((text) => text.includes("'"))).toEqual([]);
  });

  it('have a form for each plural category that is used', () => {
    const keys = Object.keys(messages.fr);
    for (const key of keys.filter((name) => name.endsWith('.one'))) {
      expect(keys).toContain(key.replace(/one$/, 'other'));
    }
  });
});

describe('format', () => {
  it('fills placeholders and leaves unknown ones visible', () => {
    expect(format('{a} sur {b}', { a: 0 })).toBe('0 sur {b}');
  });

  it('does not read a value as a template', () => {
    expect(format('{a}', { a: '{b} $& $1', b: 'x' })).toBe('{b} $& $1');
  });
});

describe('plurals', () => {
  it('follow the language: zero is singular in French and plural in English', () => {
    expect(pluralKey('contacts.count', 0, 'fr')).toBe('contacts.count.one');
    expect(pluralKey('contacts.count', 0, 'en')).toBe('contacts.count.other');
    expect(translation('fr').tn('contacts.count', 1)).toBe('1 contact');
    expect(translation('en').tn('contacts.count', 1200)).toBe('1,200 contacts');
  });
});

describe('names of findings', () => {
  it('are spoken for known types, and readable for all others', () => {
    const { findingName } = translation('fr');
    expect(findingName('NIR_FR')).toBe('Numéro de sécurité sociale (NIR)');
    expect(findingName('SECRET_GITHUB_TOKEN')).toBe('Secret (github token)');
    expect(findingName('ES_NIF')).toBe('es nif');
    expect(findingName('toString')).toBe('tostring');
  });
});
