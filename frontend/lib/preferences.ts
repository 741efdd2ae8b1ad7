/**
 * Language and theme of this browser: the only things the page ever stores, under the keys that
 * public/preferences.js reads before the first paint.
 */

import { useSyncExternalStore } from 'react';
import type { Language } from './api/types';

export type Theme = 'system' | 'light' | 'dark';

const LANGUAGE_KEY = 'novacrm.language';
const THEME_KEY = 'novacrm.theme';
const DEFAULT_LANGUAGE: Language = 'fr';

const listeners = new Set<() => void>();

/** Choices of this visit, for browsers that refuse to store anything. */
const chosen = new Map<string, string>();

/** The language of the account, until the person chooses another in this browser. */
let accountLanguage: Language | null = null;

export function getLanguage(): Language {
  const stored = read(LANGUAGE_KEY);
  return stored === 'fr' || stored === 'en' ? stored : (accountLanguage ?? DEFAULT_LANGUAGE);
}

export function setLanguage(language: Language): void {
  write(LANGUAGE_KEY, language);
  apply();
}

export function setAccountLanguage(language: Language | null): void {
  if (accountLanguage === language) return;
  accountLanguage = language;
  apply();
}

export function getTheme(): Theme {
  const stored = read(THEME_KEY);
  return stored === 'light' || stored === 'dark' ? stored : 'system';
}

export function setTheme(theme: Theme): void {
  write(THEME_KEY, theme);
  apply();
}

export function useLanguage(): Language {
  return useSyncExternalStore(subscribe, getLanguage, () => DEFAULT_LANGUAGE);
}

export function useTheme(): Theme {
  return useSyncExternalStore(subscribe, getTheme, () => 'system');
}

function apply(): void {
  const root = document.documentElement;
  root.lang = getLanguage();
  const theme = getTheme();
  if (theme === 'system') delete root.dataset.theme;
  else root.dataset.theme = theme;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  // Another tab changed a preference.
  window.addEventListener('storage', apply);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) window.removeEventListener('storage', apply);
  };
}

function read(key: string): string | null {
  if (typeof window === 'undefined') return null;
  try {
    return localStorage.getItem(key) ?? chosen.get(key) ?? null;
  } catch {
    return chosen.get(key) ?? null;
  }
}

function write(key: string, value: string): void {
  chosen.set(key, value);
  try {
    localStorage.setItem(key, value);
  } catch {
    // Storage is switched off: the choice holds for this visit.
  }
}
