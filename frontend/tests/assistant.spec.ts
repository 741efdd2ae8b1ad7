import { githubToken, iban, nir } from './secrets';
import { expect, newContact, test, text, unique } from './system';

test('a prompt with an identifier, an account and a secret is decided, explained and recorded', async ({ page }) => {
  const values = [nir(), iban(), githubToken()];
  const [number, account, token] = values;
  await newContact(page, unique('Verdict'));
  await page.getByRole('link', { name: text('contact.ask_ai') }).click();
  await expect(page).toHaveURL(/\/assistant\/\?contact=/);

  // The emoji are several code units each: marks would slip if anything but code points were counted.
  const prompt = `Bonjour 👋🏽👨‍👩‍👧, son NIR est ${number}, son IBAN ${account} et notre jeton ${token}. Rédige une réponse.`;
  await page.getByLabel(text('assistant.use_case')).selectOption('sales-drafting');
  await page.getByRole('textbox', { name: text('assistant.prompt') }).fill(prompt);
  await page.getByRole('button', { name: text('assistant.submit') }).click();
  const verdict = page.getByRole('region', { name: text('verdict.title'), exact: true });
  await expect(verdict).toBeVisible();

  await test.step('the verdict is announced', async () => {
    await expect(page.getByRole('status').filter({ hasText: /Verdict : / })).toHaveText(/Risque \d+ sur 100/);
  });

  await test.step('what was found is marked in the text, exactly', async () => {
    const marks = verdict.getByRole('group', { name: text('verdict.your_text') }).locator('mark');
    const marked = await marks.evaluateAll((found) => found.map((mark) => mark.firstChild?.textContent ?? ''));
    for (const value of values) expect(marked.join('')).toContain(value);
    expect(marked.join('')).not.toContain(', son');
  });

  await test.step('why, by which rule of which policy, and on which law, in French', async () => {
    await expect(verdict.getByRole('meter', { name: text('verdict.risk') })).toHaveAttribute('aria-valuenow', /[1-9]/);
    const rules = verdict.getByRole('region', { name: text('verdict.rules') });
    await expect(rules.getByText(/^Politique \S+, version \d+\.\d+\.\d+$/).first()).toBeVisible();
    await expect(rules.getByText(text('finding.NIR_FR')).first()).toBeVisible();
    await expect(rules.getByRole('link').first()).toHaveAttribute('href', /^https:\/\//);
    await expect(verdict.getByRole('region', { name: text('verdict.why') })).not.toBeEmpty();
  });

  await test.step('the text that would be sent holds none of the values', async () => {
    const part = verdict.getByRole('region', { name: text('verdict.output') });
    const output = part.getByTestId('output');
    await expect(output.or(part.getByText(text('verdict.blocked.title'))).first()).toBeVisible();
    for (const value of values) await expect(part).not.toContainText(value);
  });

  await test.step('in English, the same verdict reads in English', async () => {
    await page.getByRole('button', { name: 'EN – English' }).click();
    await expect(page.locator('html')).toHaveAttribute('lang', 'en');
    await expect(page.getByRole('heading', { name: text('verdict.why', {}, 'en') })).toBeVisible();
    await expect(page.getByText(/^Policy \S+, version/).first()).toBeVisible();
    await page.getByRole('button', { name: 'FR – Français' }).click();
  });

  await test.step('the decision is on the timeline, the prompt nowhere', async () => {
    await page.getByRole('link', { name: /^Zoé Verdict/ }).click();
    const timeline = page.getByRole('region', { name: text('timeline.title') });
    await expect(timeline.getByText(text('timeline.kind.assessment'))).toBeVisible();
    await timeline.getByText(text('timeline.proof')).click();
    await expect(timeline.getByText(/^Politique /).first()).toBeVisible();
    const html = await page.content();
    for (const value of values) expect(html).not.toContain(value);
    const stored = await page.evaluate(async () => JSON.stringify([localStorage, sessionStorage, await caches.keys()]));
    for (const value of values) expect(stored).not.toContain(value);
  });
});

test('a harmless prompt passes as it is and can be copied', async ({ page, account }) => {
  await account.grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.goto('/assistant/');
  await page.getByLabel(text('assistant.use_case')).selectOption('sales-drafting');
  await page.getByRole('textbox', { name: text('assistant.prompt') }).fill('Propose trois titres pour une lettre d’information.');
  await page.getByRole('button', { name: text('assistant.submit') }).click();
  const verdict = page.getByRole('region', { name: text('verdict.title'), exact: true });
  await expect(verdict.getByTestId('output')).toHaveText('Propose trois titres pour une lettre d’information.');
  await verdict.getByRole('button', { name: text('verdict.output.copy') }).click();
  await expect(verdict.getByText(text('verdict.output.copied'))).toBeVisible();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(
    'Propose trois titres pour une lettre d’information.',
  );
});

test('an empty prompt is not sent', async ({ page }) => {
  await page.goto('/assistant/');
  await page.getByRole('button', { name: text('assistant.submit') }).click();
  const prompt = page.getByRole('textbox', { name: text('assistant.prompt') });
  await expect(prompt).toBeFocused();
  await expect(prompt).toHaveAccessibleDescription(new RegExp(text('assistant.prompt.required')));
});

test('while the engine is away nothing is sent, and asking again asks for the same thing once', async ({
  page,
  complaints,
}) => {
  complaints.provoked.add(503);
  const keys: (string | undefined)[] = [];
  await page.goto('/assistant/');
  await page.route('**/api/v1/assessments', async (route) => {
    keys.push(route.request().headers()['idempotency-key']);
    if (keys.length > 1) return route.continue();
    return route.fulfill({
      status: 503,
      headers: { 'retry-after': '5' },
      contentType: 'application/problem+json',
      body: JSON.stringify({ status: 503, code: 'engine_unavailable', title: 'x' }),
    });
  });
  await page.getByRole('textbox', { name: text('assistant.prompt') }).fill('Résume notre dernier échange.');
  await page.getByRole('button', { name: text('assistant.submit') }).click();
  const alert = page.getByRole('alert').filter({ hasText: text('error.engine_unavailable.title') });
  await expect(alert).toContainText('5 s');
  await alert.getByRole('button', { name: text('error.retry') }).click();
  await expect(page.getByRole('heading', { name: text('verdict.title') })).toBeVisible();
  expect(keys).toHaveLength(2);
  expect(keys[0]).toBe(keys[1]);
});
