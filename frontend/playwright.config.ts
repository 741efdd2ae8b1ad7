import { defineConfig } from '@playwright/test';

/**
 * The tests need a running system (see README.md): NOVACRM_BASE_URL, NOVACRM_ADMIN_EMAIL, NOVACRM_ADMIN_PASSWORD.
 * NOVACRM_CHROMIUM names another browser than Debian's.
 */
export default defineConfig({
  testDir: 'tests',
  // One session serves a whole run, since logging in is rate-limited.
  workers: 1,
  timeout: 60_000,
  expect: { timeout: 10_000 },
  forbidOnly: Boolean(process.env.CI),
  reporter: [['list']],
  use: {
    baseURL: process.env.NOVACRM_BASE_URL ?? 'http://127.0.0.1:8080',
    viewport: { width: 1280, height: 900 },
    locale: 'fr-FR',
    timezoneId: 'Europe/Paris',
    // Traces and videos would keep the prompts and the password of the run.
    trace: 'off',
    video: 'off',
    screenshot: 'off',
    launchOptions: {
      executablePath: process.env.NOVACRM_CHROMIUM ?? '/usr/bin/chromium',
      // Chromium's own sandbox does not start as root, as in most build containers.
      chromiumSandbox: false,
    },
  },
});
