/**
 * What the browser tests share: a logged-in browser per run, and a watch on everything a page complains about. A test
 * fails when a page logs an error, throws, or is refused something by the Content-Security-Policy.
 */

import type { BrowserContext, Page } from '@playwright/test';
import { test as base, expect } from '@playwright/test';
import type { Language } from '@/lib/api/types';
import type { MessageKey, Values } from '@/lib/messages';
import { format, messages } from '@/lib/messages';

export { expect };

export const EMAIL = required('NOVACRM_ADMIN_EMAIL');
export const PASSWORD = required('NOVACRM_ADMIN_PASSWORD');

function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: the browser tests need a running system, see frontend/README.md`);
  return value;
}

/** A text of the interface, in French unless told otherwise. */
export function text(key: MessageKey, values?: Values, language: Language = 'fr'): string {
  return format(messages[language][key], values);
}

export class Complaints {
  readonly seen: string[] = [];
  /** Statuses a test provokes on purpose; the browser logs each failed request as an error. */
  readonly provoked = new Set<number>();
  /** Set while a test takes the network away. */
  offline = false;

  watch(page: Page): void {
    page.on('console', (message) => {
      if (message.type() !== 'error' && message.type() !== 'warning') return;
      const status = /status of (\d{3})/.exec(message.text())?.[1];
      if (status !== undefined && this.provoked.has(Number(status))) return;
      if (this.offline && message.text().includes('net::ERR_')) return;
      this.seen.push(`${message.type()} on ${page.url()}: ${message.text()}`);
    });
    page.on('pageerror', (error) => this.seen.push(`exception on ${page.url()}: ${error.message}`));
  }
}

interface TestFixtures {
  complaints: Complaints;
  /** A page of somebody who is logged in, in French and with the theme of the system. */
  page: Page;
  /** A browser that knows nobody. */
  stranger: Page;
}

interface WorkerFixtures {
  account: BrowserContext;
}

export const test = base.extend<TestFixtures, WorkerFixtures>({
  account: [
    async ({ browser }, provide) => {
      const context = await newContext(browser.newContext.bind(browser));
      const page = await context.newPage();
      await page.goto('/login/');
      await logIn(page);
      await page.close();
      await provide(context);
      await context.close();
    },
    { scope: 'worker' },
  ],

  complaints: async ({}, provide) => {
    const complaints = new Complaints();
    await provide(complaints);
    expect(complaints.seen).toEqual([]);
  },

  page: async ({ account, complaints }, provide) => {
    const page = await account.newPage();
    complaints.watch(page);
    await page.goto('/login/');
    await page.evaluate(() => localStorage.clear());
    await provide(page);
    await page.close();
  },

  stranger: async ({ browser, complaints }, provide) => {
    const context = await newContext(browser.newContext.bind(browser));
    const page = await context.newPage();
    complaints.watch(page);
    await provide(page);
    await context.close();
  },
});

type ContextMaker = (options: { baseURL: string; locale: string; timezoneId: string }) => Promise<BrowserContext>;

function newContext(make: ContextMaker): Promise<BrowserContext> {
  return make({
    baseURL: process.env.NOVACRM_BASE_URL ?? 'http://127.0.0.1:8080',
    locale: 'fr-FR',
    timezoneId: 'Europe/Paris',
  });
}

/** Fills the login form of the page and waits until it has been left; keeps to the rate limit. */
export async function logIn(page: Page, password = PASSWORD, email = EMAIL): Promise<void> {
  await page.getByLabel(text('login.email')).fill(email);
  let granted = false;
  for (;;) {
    await page.getByLabel(text('login.password'), { exact: true }).fill(password);
    const answered = page.waitForResponse((response) => response.url().endsWith('/auth/login'));
    await page.getByRole('button', { name: text('login.submit') }).click();
    const answer = await answered;
    granted = answer.ok();
    if (answer.status() !== 429) break;
    const pause = Number(answer.headers()['retry-after'] ?? 1);
    await page.waitForTimeout(pause * 1000);
  }
  if (granted) await page.waitForURL((url) => !url.pathname.startsWith('/login'));
}

/** A contact of this test's own, made through the interface; the page ends on it. */
export async function newContact(page: Page, lastName: string): Promise<void> {
  await page.goto('/contacts/');
  await page.getByRole('button', { name: text('contacts.new') }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox', { name: text('contact.first_name'), exact: true }).fill('Zoé');
  await dialog.getByRole('textbox', { name: text('contact.last_name'), exact: true }).fill(lastName);
  await dialog.getByRole('button', { name: text('contact.create') }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(`Zoé ${lastName}`);
}

/** A name nobody has yet. */
export function unique(stem: string): string {
  return `${stem} ${crypto.randomUUID().slice(0, 8)}`;
}
