import type { Language } from '@/lib/api/types';
import { en } from './en';
import { fr } from './fr';

export type MessageKey = keyof typeof fr;

export type Messages = Record<MessageKey, string>;

/** Keys with a form per plural category: `x` for `x.one` and `x.other`. */
export type PluralKey = StemOf<MessageKey>;

type StemOf<Key> = Key extends `${infer Stem}.one` ? Stem : never;

export type Values = Record<string, string | number>;

export const messages: Record<Language, Messages> = { fr, en };

/** The message with its `{placeholders}` filled; one without a value stays visible, so that a test finds it. */
export function format(template: string, values: Values = {}): string {
  return template.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

export function isMessageKey(key: string): key is MessageKey {
  return Object.hasOwn(fr, key);
}

/** French counts 0 and 1 as one, English only 1; `Intl` knows. */
export function pluralKey(stem: PluralKey, count: number, language: Language): MessageKey {
  return `${stem}.${new Intl.PluralRules(language).select(count) === 'one' ? 'one' : 'other'}`;
}
