import { AxeBuilder } from '@axe-core/playwright';
import type { APIRequestContext, Page } from '@playwright/test';
import { EMAIL, PASSWORD, expect, logIn, test, text } from './system';

const CHOSEN = 'quatre vélos bleus au grenier';

/** An account that the administrator made, with the password they chose. */
async function newAccount(request: APIRequestContext): Promise<{ email: string; password: string }> {
  const granted = await request.post('/api/v1/auth/login', { data: { email: EMAIL, password: PASSWORD } });
  expect(granted.status()).toBe(200);
  const { access_token: token } = (await granted.json()) as { access_token: string };
  const [email, password] = [`camille.${crypto.randomUUID()}@acme.example`, crypto.randomUUID()];
  const made = await request.post('/api/v1/users', {
    headers: { Authorization: `Bearer ${token}` },
    data: { email, display_name: 'Camille', role: 'sales', password },
  });
  expect(made.status()).toBe(201);
  return { email, password };
}

async function choose(page: Page, current: string, chosen: string): Promise<void> {
  await page.getByLabel(text('password.current'), { exact: true }).fill(current);
  await page.getByLabel(text('password.new'), { exact: true }).fill(chosen);
  await page.getByRole('button', { name: text('password.submit') }).click();
}

test('a password that somebody else chose is changed before anything else', async ({ stranger, complaints, request }) => {
  complaints.provoked.add(401).add(403).add(422).add(429);
  const { email, password } = await newAccount(request);
  await stranger.goto('/policies/');
  await stranger.waitForURL('**/login/?next=*');
  await logIn(stranger, password, email);
  const title = stranger.getByRole('heading', { level: 1 });
  await expect(title).toHaveText(text('password.required.title'));
  await stranger.goto('/contacts/');
  await expect(title).toHaveText(text('password.required.title'));
  await expect(stranger).toHaveURL(/\/password\/\?next=%2Fcontacts%2F$/);

  await test.step('what is wrong is said at its field', async () => {
    await choose(stranger, 'not the password', CHOSEN);
    await expect(stranger.getByLabel(text('password.current'), { exact: true })).toHaveAttribute('aria-invalid', 'true');
    await expect(stranger.getByLabel(text('password.current'), { exact: true })).toBeFocused();
    await choose(stranger, password, 'motdepasse2026');
    await expect(stranger.getByLabel(text('password.new'), { exact: true })).toHaveAttribute('aria-invalid', 'true');
    await expect(stranger.getByRole('main').getByText(/trop facile à deviner/).last()).toBeVisible();
    const { violations } = await new AxeBuilder({ page: stranger }).analyze();
    expect(violations.map(({ id }) => id)).toEqual([]);
  });

  await choose(stranger, password, CHOSEN);
  await expect(stranger).toHaveURL(/\/contacts\/$/);
  await expect(title).toHaveText(text('contacts.title'));

  await test.step('the new password holds, and is changed from the menu', async () => {
    await stranger.context().clearCookies();
    await stranger.goto('/contacts/');
    await stranger.waitForURL('**/login/?next=*');
    await logIn(stranger, CHOSEN, email);
    await expect(title).toHaveText(text('contacts.title'));
    await stranger.locator('summary').first().click();
    await stranger.getByRole('button', { name: text('password.title') }).click();
    await expect(title).toHaveText(text('password.title'));
    await stranger.getByRole('link', { name: text('password.cancel') }).click();
    await expect(stranger).toHaveURL(/\/contacts\/$/);
  });
});
