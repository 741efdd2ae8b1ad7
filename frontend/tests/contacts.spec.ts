import { expect, logIn, newContact, test, text, unique } from './system';

test('home leads to the contacts, which open by name', async ({ page }) => {
  await page.goto('/');
  await expect(page).toHaveURL(/\/contacts\/$/);
  const first = page.getByRole('table').getByRole('link').first();
  const name = (await first.textContent()) ?? '';
  await first.click();
  await expect(page).toHaveURL(/\/contacts\/view\/\?id=/);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(name);
  await expect(page.getByRole('heading', { name: text('timeline.title') })).toBeVisible();
  await expect(page).toHaveTitle(`${name} · NovaCRM`);
});

test('a search finds without accents, and its address can be kept', async ({ page }) => {
  const name = unique('Évrard');
  await newContact(page, name);
  await page.goto('/contacts/');
  await page.getByRole('searchbox').fill(name.replace('É', 'e'));
  await expect(page).toHaveURL(/[?&]q=evrard/);
  await expect(page.getByRole('table').getByRole('link')).toHaveText([`Zoé ${name}`]);
  await page.reload();
  await expect(page.getByRole('searchbox')).toHaveValue(name.replace('É', 'e'));
  await expect(page.getByRole('table').getByRole('link')).toHaveText([`Zoé ${name}`]);

  await page.getByRole('searchbox').fill(unique('personne'));
  await expect(page.getByText(text('contacts.no_match.title'))).toBeVisible();
  await page.getByRole('link', { name: text('contacts.clear_search') }).click();
  await expect(page.getByRole('searchbox')).toHaveValue('');
  await expect(page.getByRole('table')).toBeVisible();
});

test('the pages of the list follow one another without gap or repetition, and back goes back', async ({ page }) => {
  for (let made = 0; made < 27; made += 1) {
    // More than a page of them, made over the API with the rights of the page.
    const status = await page.evaluate(async (lastName) => {
      const session = (await (await fetch('/api/v1/auth/session')).json()) as { csrf_token: string };
      const answer = await fetch('/api/v1/contacts', {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-csrf-token': session.csrf_token },
        body: JSON.stringify({ first_name: 'Page', last_name: lastName }),
      });
      return answer.status;
    }, unique('Feuille'));
    expect(status).toBe(201);
  }
  await page.goto('/contacts/?q=Feuille');
  const names = page.getByRole('table').getByRole('link');
  const next = page.getByRole('link', { name: text('contacts.next_page') });
  await expect(names).toHaveCount(25);
  const first = await names.allTextContents();
  await next.click();
  await expect(page).toHaveURL(/after=/);
  await expect(names.first()).not.toHaveText(first[0] ?? '');
  const second = await names.allTextContents();
  expect(second.filter((name) => first.includes(name))).toEqual([]);
  await page.goBack();
  await expect(names.first()).toHaveText(first[0] ?? '');
});

test('what is not valid is said at its field, and nothing typed is lost', async ({ page, complaints }) => {
  complaints.provoked.add(422).add(400);
  await page.goto('/contacts/');
  await page.getByRole('button', { name: text('contacts.new') }).click();
  const dialog = page.getByRole('dialog');
  const firstName = dialog.getByRole('textbox', { name: text('contact.first_name'), exact: true });
  const email = dialog.getByLabel(text('contact.email'));

  await dialog.getByRole('button', { name: text('contact.create') }).click();
  await expect(firstName).toBeFocused();
  await expect(firstName).toHaveAccessibleDescription(text('contact.required'));

  await firstName.fill('Zoé');
  await dialog.getByRole('textbox', { name: text('contact.last_name'), exact: true }).fill(unique('Martin'));
  await email.fill('pas une adresse');
  await dialog.getByRole('button', { name: text('contact.create') }).click();
  await expect(email).toHaveAttribute('aria-invalid', 'true');
  await expect(email).not.toHaveAccessibleDescription('');
  await expect(email).toHaveValue('pas une adresse');
  await page.keyboard.press('Escape');
  await expect(dialog).toBeHidden();
  await expect(page.getByRole('button', { name: text('contacts.new') })).toBeFocused();
});

test('a contact that does not exist is said to be missing', async ({ page, complaints }) => {
  complaints.provoked.add(404);
  await page.goto('/contacts/view/?id=01900000-0000-7000-8000-000000000000');
  await expect(page.getByText(text('error.not_found.title'))).toBeVisible();
  await page.goto('/contacts/view/');
  await expect(page.getByText(text('contact.missing_id'))).toBeVisible();
});

test('two people change the same contact, and no edit is lost', async ({ page, stranger, complaints }) => {
  complaints.provoked.add(401).add(412).add(429);
  await newContact(page, unique('Conflit'));
  const email = `${unique('zoe').replace(' ', '-')}@example.fr`;
  const address = page.url();
  await stranger.goto(address);
  await logIn(stranger);

  for (const person of [page, stranger]) {
    await person.getByRole('button', { name: text('contact.edit') }).click();
  }
  const field = (person: typeof page, key: 'job_title' | 'email' | 'phone') => person.getByLabel(text(`contact.${key}`));
  const save = { name: text('contact.save') };

  // The other person is faster: one field both change, one that only they do.
  await field(stranger, 'job_title').fill('Directrice des achats');
  await field(stranger, 'email').fill(email);
  await stranger.getByRole('button', save).click();
  await expect(stranger.getByText(text('contact.saved'))).toBeVisible();

  await field(page, 'job_title').fill('Responsable logistique');
  await field(page, 'phone').fill('+33 1 99 00 12 34');
  await page.getByRole('button', save).click();
  const dialog = page.getByRole('dialog', { name: text('conflict.title') });
  await expect(dialog).toContainText('Directrice des achats');
  await expect(dialog).toContainText('Responsable logistique');
  await expect(dialog).toContainText(email);

  await test.step('going back keeps what was typed', async () => {
    await dialog.getByRole('button', { name: text('conflict.back') }).click();
    await expect(field(page, 'job_title')).toHaveValue('Responsable logistique');
    await page.getByRole('button', save).click();
    await expect(dialog).toBeVisible();
  });

  await dialog.getByRole('radio', { name: /Directrice des achats/ }).check();
  await dialog.getByRole('button', { name: text('conflict.save') }).click();
  await expect(page.getByText(text('contact.saved'))).toBeVisible();
  const details = page.getByRole('region', { name: text('contact.details') });
  await expect(details).toContainText('Directrice des achats');
  await expect(details).toContainText(email);
  // However the API writes a number, its digits are those.
  await expect
    .poll(async () => ((await details.textContent()) ?? '').replace(/\D/g, ''))
    .toContain('199001234');
});
