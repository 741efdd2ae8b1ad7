'use client';

import type { Language } from '@/lib/api/types';
import { useI18n } from '@/lib/i18n';
import type { Theme } from '@/lib/preferences';
import { setLanguage, setTheme, useTheme } from '@/lib/preferences';

const LANGUAGES: { code: Language; name: string }[] = [
  { code: 'fr', name: 'Français' },
  { code: 'en', name: 'English' },
];

const THEMES: Theme[] = ['system', 'light', 'dark'];

export function LanguageSwitch() {
  const { t, language } = useI18n();
  return (
    <div role="group" aria-label={t('preferences.language')} className="flex rounded-lg border border-line-strong p-0.5">
      {LANGUAGES.map(({ code, name }) => (
        <button
          key={code}
          type="button"
          lang={code}
          aria-label={`${code.toUpperCase()} – ${name}`}
          aria-pressed={language === code}
          onClick={() => setLanguage(code)}
          className="min-h-9 min-w-10 rounded-md px-2 text-sm font-semibold text-ink-soft hover:bg-sunken aria-pressed:bg-accent aria-pressed:text-accent-ink"
        >
          {code.toUpperCase()}
        </button>
      ))}
    </div>
  );
}

export function ThemeSelect() {
  const { t } = useI18n();
  const theme = useTheme();
  return (
    <select
      aria-label={t('preferences.theme')}
      className="min-h-10 rounded-lg border border-line-strong bg-surface px-2 text-sm text-ink"
      value={theme}
      onChange={(event) => setTheme(event.target.value as Theme)}
    >
      {THEMES.map((option) => (
        <option key={option} value={option}>
          {t(`preferences.theme.${option}`)}
        </option>
      ))}
    </select>
  );
}
