// Runs before the first paint, so that a chosen theme does not flash. It is a file of its own because the
// Content-Security-Policy allows no inline script that is not part of the export. The keys are those of
// lib/preferences.ts.
(function () {
  try {
    var root = document.documentElement;
    var theme = localStorage.getItem('novacrm.theme');
    if (theme === 'light' || theme === 'dark') root.dataset.theme = theme;
    var language = localStorage.getItem('novacrm.language');
    if (language === 'fr' || language === 'en') root.lang = language;
  } catch {
    // Storage is switched off: the defaults hold.
  }
})();
