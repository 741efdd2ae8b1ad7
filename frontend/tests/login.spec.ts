import { expect, logIn, test, text } from './system';

test('a wrong password is refused in words, and the form stays', async ({ stranger, complaints }) => {
  complaints.provoked.add(401).add(429);
  await stranger.goto('/login/');
  await logIn(stranger, 'not the password');
  await expect(stranger.getByRole('alert').filter({ hasText: text('login.wrong') })).toBeVisible();
  await expect(stranger).toHaveURL(/\/login\/$/);
  await expect(stranger.getByLabel(text('login.password'), { exact: true })).toBeFocused();
});

test('a page asked for without a session leads to the login and back', async ({ stranger, complaints }) => {
  complaints.provoked.add(401).add(429);
  await stranger.goto('/contacts/?sort=-updated_at');
  await stranger.waitForURL('**/login/?next=*');
  await logIn(stranger);
  await expect(stranger).toHaveURL(/\/contacts\/\?sort=-updated_at$/);
  await expect(stranger.getByRole('heading', { level: 1 })).toHaveText(text('contacts.title'));

  await test.step('no token and no secret is in reach of a script', async () => {
    const stored = await stranger.evaluate(() => ({
      local: Object.keys(localStorage),
      session: Object.keys(sessionStorage),
      cookies: document.cookie,
    }));
    expect(stored).toEqual({ local: [], session: [], cookies: '' });
  });

  await test.step('who logs out is out', async () => {
    await stranger.locator('summary').first().click();
    await stranger.getByRole('button', { name: text('login.logout') }).click();
    await stranger.waitForURL('**/login/');
    await stranger.goto('/contacts/');
    await stranger.waitForURL('**/login/?next=*');
  });
});

for (const next of ['//example.org/', '/.//example.org/phish', '/%2e//example.org/phish']) {
  test(`the login does not lead to another site by ${next}`, async ({ stranger, complaints, baseURL }) => {
    complaints.provoked.add(429);
    await stranger.goto(`/login/?next=${next}`);
    await logIn(stranger);
    await expect(stranger).toHaveURL(new URL('/contacts/', baseURL).href);
  });
}

test('a session that ends under the hands is renewed on the spot, and nothing typed is lost', async ({
  stranger,
  complaints,
}) => {
  complaints.provoked.add(401).add(429);
  await stranger.goto('/login/?next=/assistant/');
  await logIn(stranger);
  const prompt = stranger.getByRole('textbox', { name: text('assistant.prompt') });
  await prompt.fill('Rédige un message de remerciement.');

  await stranger.context().clearCookies();
  await stranger.getByRole('button', { name: text('assistant.submit') }).click();
  const dialog = stranger.getByRole('dialog', { name: text('session.expired.title') });
  await expect(dialog).toBeVisible();
  await stranger.keyboard.press('Escape');
  await expect(dialog).toBeVisible();

  await logIn(stranger);
  await expect(dialog).toBeHidden();
  await expect(prompt).toHaveValue('Rédige un message de remerciement.');
  await stranger.getByRole('button', { name: text('assistant.submit') }).click();
  await expect(stranger.getByRole('heading', { name: text('verdict.title') })).toBeVisible();
});

test('an access token that ran out is renewed in silence, once for all tabs', async ({ stranger, complaints }) => {
  complaints.provoked.add(401).add(429);
  await stranger.goto('/login/');
  await logIn(stranger);
  const other = await stranger.context().newPage();
  complaints.watch(other);
  await other.goto('/policies/');
  await expect(other.getByRole('heading', { level: 1 })).toHaveText(text('policies.title'));
  await expect(stranger.getByRole('table')).toBeVisible();

  let renewals = 0;
  for (const tab of [stranger, other]) {
    tab.on('request', (request) => {
      if (request.url().endsWith('/auth/refresh')) renewals += 1;
    });
  }
  await stranger.context().clearCookies({ name: '__Host-novacrm_access' });
  await Promise.all([
    stranger.getByLabel(text('contacts.sort')).selectOption('-updated_at'),
    other.getByRole('link', { name: text('nav.contacts') }).click(),
  ]);
  for (const tab of [stranger, other]) {
    await expect(tab.getByRole('table')).toBeVisible();
    await expect(tab.getByRole('dialog')).toBeHidden();
  }
  await expect(stranger).toHaveURL(/sort=-updated_at/);
  expect(renewals).toBe(1);
});
