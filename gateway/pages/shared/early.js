// Loaded before the first paint, as a plain script: the page's theme and language are right from the start. What a reader has chosen is
// kept in localStorage; until then the system decides.
(() => {
  const root = document.documentElement;
  const stored = (name) => {
    try {
      return localStorage.getItem(`arkrelay.${name}`);
    } catch {
      return null; // storage may be forbidden
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
