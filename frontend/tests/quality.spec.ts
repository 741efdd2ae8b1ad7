import { AxeBuilder } from '@axe-core/playwright';
import type { Page } from '@playwright/test';
import type { Language } from '@/lib/api/types';
import type { MessageKey } from '@/lib/messages';
import { messages } from '@/lib/messages';
import { expect, newContact, test, text, unique } from './system';

const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** Each page, and the text that stands on it once its data has arrived. */
const PAGES: { name: string; path: string; ready: MessageKey }[] = [
  { name: 'login', path: '/login/', ready: 'login.submit' },
  { name: 'password', path: '/password/', ready: 'password.hint' },
  { name: 'contacts', path: '/contacts/', ready: 'contacts.table' },
  { name: 'contact', path: '', ready: 'timeline.proof' },
  { name: 'assistant', path: '/assistant/', ready: 'assistant.waiting.title' },
  { name: 'policies', path: '/policies/', ready: 'policies.use_cases' },
  { name: 'missing page', path: '/nowhere/', ready: 'not_found.text' },
];

/** The address of a contact whose timeline holds a decision; made once. */
let contact = '';

test.beforeEach(async ({ page }) => {
  if (contact !== '') return;
  await newContact(page, unique('Qualité'));
  const { pathname, search } = new URL(page.url());
  await page.getByRole('link', { name: text('contact.ask_ai') }).click();
  await decide(page);
  contact = pathname + search;
});

/** Has a prompt with personal data decided. */
async function decide(page: Page): Promise<void> {
  await page.getByRole('textbox', { name: text('assistant.prompt') }).fill('Écris à zoe@example.fr, au 192.0.2.7.');
  await page.getByRole('button', { name: text('assistant.submit') }).click();
  await expect(page.getByRole('heading', { name: text('verdict.title') })).toBeVisible();
}

async function audit(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).withTags(TAGS).analyze();
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' | ')}`)).toEqual([]);
}

for (const language of ['fr', 'en'] as const satisfies Language[]) {
  for (const theme of ['light', 'dark'] as const) {
    for (const { name, path, ready } of PAGES) {
      test(`${name} is accessible in ${language}, ${theme}`, async ({ page, complaints }) => {
        if (name === 'missing page') complaints.provoked.add(404);
        await page.evaluate(
          ([chosen, look]) => {
            localStorage.setItem('novacrm.language', chosen);
            localStorage.setItem('novacrm.theme', look);
          },
          [language, theme] as const,
        );
        await page.goto(path || contact);
        await expect(page.getByText(messages[language][ready]).first()).toBeVisible();
        await expect(page.locator('html')).toHaveAttribute('lang', language);
        await audit(page);
      });
    }
  }
}

for (const theme of ['light', 'dark'] as const) {
  test(`dialogs and verdicts are accessible, ${theme}`, async ({ page }) => {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
    await page.goto('/contacts/');
    await page.getByRole('button', { name: text('contacts.new') }).click();
    await page.getByRole('button', { name: text('contact.create') }).click();
    await audit(page);

    await page.goto('/assistant/');
    await decide(page);
    await audit(page);
  });
}

test('every page fits a screen of 320 pixels', async ({ page, complaints }) => {
  complaints.provoked.add(404);
  await page.setViewportSize({ width: 320, height: 640 });
  for (const { path, ready } of PAGES) {
    await page.goto(path || contact);
    await expect(page.getByText(text(ready)).first()).toBeVisible();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(320);
  }
});

test('pages are served under a strict policy, with no inline style to break it', async ({ page }) => {
  for (const path of ['/login/', '/password/', '/contacts/', '/assistant/', '/policies/']) {
    const answer = await page.request.get(path);
    const policy = answer.headers()['content-security-policy'] ?? '';
    expect(policy).toContain("style-src 'self'");
    expect(policy).not.toContain('unsafe');
    expect(await answer.text()).not.toMatch(/<style|\sstyle="/);
  }
});

test('the choice of language and theme is kept', async ({ page }) => {
  await page.goto('/policies/');
  await page.getByRole('button', { name: 'EN – English' }).click();
  await page.locator('summary').first().click();
  await page.getByLabel(text('preferences.theme', {}, 'en')).selectOption('dark');
  await page.reload();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(text('policies.title', {}, 'en'));
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark');
  await expect(page.locator('html')).toHaveAttribute('lang', 'en');
});

test('a contact is found, opened and changed with the keyboard alone', async ({ page }) => {
  const name = unique('Clavier');
  await newContact(page, name);
  await page.goto('/contacts/');
  await expect(page.getByRole('table')).toBeVisible();

  const tabTo = async (target: ReturnType<Page['getByRole']>) => {
    for (let presses = 0; presses < 40; presses += 1) {
      await page.keyboard.press('Tab');
      if (await target.evaluate((element) => element === document.activeElement)) return;
    }
    throw new Error('the target was not reached with Tab');
  };

  await page.keyboard.press('Tab');
  await expect(page.getByRole('link', { name: text('app.skip') })).toBeFocused();
  await page.keyboard.press('Enter');
  await tabTo(page.getByRole('searchbox'));
  await page.keyboard.type(name);
  const link = page.getByRole('link', { name: `Zoé ${name}` });
  await expect(page.getByRole('table').getByRole('link')).toHaveCount(1);
  await tabTo(link);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(`Zoé ${name}`);
  await tabTo(page.getByRole('button', { name: text('contact.edit') }));
  await page.keyboard.press('Enter');
  await tabTo(page.getByLabel(text('contact.job_title')));
  await page.keyboard.type('Acheteuse');
  await page.keyboard.press('Enter');
  await expect(page.getByText(text('contact.saved'))).toBeVisible();
  await expect(page.getByRole('region', { name: text('contact.details') })).toContainText('Acheteuse');
});

test('pages say what is wrong when the server refuses, fails or is away', async ({ page, complaints }) => {
  complaints.provoked.add(403).add(500);
  const answerWith = async (status: number) => {
    await page.unrouteAll();
    await page.route('**/api/v1/contacts?*', (route) =>
      route.fulfill({
        status,
        contentType: 'application/problem+json',
        body: JSON.stringify({ status, code: 'x', trace_id: '0af7651916cd43dd8448eb211c80319c' }),
      }),
    );
    await page.goto('/contacts/');
  };
  await answerWith(403);
  await expect(page.getByText(text('error.forbidden.title'))).toBeVisible();
  await answerWith(500);
  await expect(page.getByText(text('error.unexpected.title'))).toBeVisible();
  await expect(page.getByText('0af7651916cd43dd8448eb211c80319c')).toBeVisible();

  await page.unrouteAll();
  await page.goto('/policies/');
  await expect(page.getByRole('heading', { level: 2 }).first()).toBeVisible();
  // The menu's pages are fetched ahead once this one is idle; without them there is nothing to show offline.
  await page.waitForLoadState('networkidle');
  complaints.offline = true;
  await page.context().setOffline(true);
  await expect(page.getByText(text('network.offline'))).toBeVisible();
  await page.getByRole('link', { name: text('nav.contacts') }).click();
  await expect(page.getByText(text('error.offline.title'))).toBeVisible();
  await page.context().setOffline(false);
  await expect(page.getByText(text('network.offline'))).toBeHidden();
  await page.getByRole('button', { name: text('error.retry') }).click();
  await expect(page.getByRole('table')).toBeVisible();
});
