/** What components need to speak the person's language. */

import { useMemo } from 'react';
import type { Bilingual, Language } from './api/types';
import { formatNumber, spellOut } from './format';
import type { MessageKey, PluralKey, Values } from './messages';
import { format, isMessageKey, messages, pluralKey } from './messages';
import { useLanguage } from './preferences';

export interface Translation {
  language: Language;
  /** A text of the interface. */
  t: (key: MessageKey, values?: Values) => string;
  /** A text that depends on a count, which it also shows. */
  tn: (stem: PluralKey, count: number) => string;
  /** The person's side of a text that the API gives in both languages. */
  pick: (text: Bilingual) => string;
  /** What a finding's type is called; types the interface does not know keep their own name. */
  findingName: (type: string) => string;
}

export function translation(language: Language): Translation {
  const texts = messages[language];
  const t: Translation['t'] = (key, values) => format(texts[key], values);
  return {
    language,
    t,
    tn: (stem, count) => t(pluralKey(stem, count, language), { count: formatNumber(count, language) }),
    pick: (text) => text[language] || text.fr || text.en,
    findingName: (type) => {
      const key = `finding.${type}`;
      if (isMessageKey(key)) return t(key);
      const words = spellOut(type.replace(/^SECRET_/, '')).toLowerCase();
      return type.startsWith('SECRET_') ? t('finding.secret', { kind: words }) : words;
    },
  };
}

export function useI18n(): Translation {
  const language = useLanguage();
  return useMemo(() => translation(language), [language]);
}
