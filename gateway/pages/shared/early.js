// Sets the theme and the language before the first paint, to avoid a flash of the wrong theme; therefore not a module. Uses the choice in
// localStorage, or the browser's preference if there is none.
(() => {
  const root = document.documentElement;
  const stored = (name) => {
    try {
      return localStorage.getItem(`arkrelay.${name}`);
    } catch {
      return null; // the browser may block storage
    }
  };
  const system = matchMedia('(prefers-color-scheme: dark)');
  const applyTheme = () => {
    root.dataset.theme = stored('theme') || (system.matches ? 'dark' : 'light');
  };

  applyTheme();
  system.addEventListener('change', applyTheme);
  root.lang = stored('language') || (/^zh\b/i.test(navigator.language) ? 'zh-CN' : 'en');
})();
