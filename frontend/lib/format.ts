/** Values of the API as people read them. */

import type { Language } from './api/types';

const TAGS: Record<Language, string> = { fr: 'fr-FR', en: 'en-GB' };

/** Date and time to the minute, in the zone of the browser unless told otherwise. */
export function formatDateTime(value: string, language: Language, timeZone?: string): string {
  const date = new Date(value);
  if (Number.isNaN(date.getTime())) return value;
  return new Intl.DateTimeFormat(TAGS[language], {
    dateStyle: 'medium',
    timeStyle: 'short',
    ...(timeZone === undefined ? {} : { timeZone }),
  }).format(date);
}

export function formatNumber(value: number, language: Language): string {
  return new Intl.NumberFormat(TAGS[language]).format(value);
}

/** A share between 0 and 1 as a percentage. */
export function formatPercent(value: number, language: Language): string {
  return new Intl.NumberFormat(TAGS[language], { style: 'percent', maximumFractionDigits: 0 }).format(value);
}

export function formatList(values: readonly string[], language: Language): string {
  return new Intl.ListFormat(TAGS[language], { type: 'conjunction' }).format(values);
}

export function fullName(person: { first_name: string; last_name: string }): string {
  return `${person.first_name} ${person.last_name}`.trim();
}

/** Up to two initials, whole characters even beyond the basic plane. */
export function initials(person: { first_name: string; last_name: string }): string {
  return [person.first_name, person.last_name].map((name) => Array.from(name.trim())[0] ?? '').join('').toUpperCase();
}

/** An identifier, such as `customer-service` or `API_KEY`, as words. */
export function spellOut(identifier: string): string {
  return identifier.replace(/[-_]+/g, ' ');
}

/** `sha256:` and the first twelve digits: enough to compare by eye. */
export function shortDigest(digest: string): string {
  return digest.replace(/^(sha256:[0-9a-f]{12})[0-9a-f]+$/, '$1…');
}
