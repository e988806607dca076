// A button with data-theme-switch toggles between light and dark. early.js applies the stored choice.

import { forever } from './storage.js';

export function wireTheme() {
  const root = document.documentElement;
  const buttons = document.querySelectorAll('[data-theme-switch]');
  const show = () => {
    for (const button of buttons) button.setAttribute('aria-pressed', String(root.dataset.theme === 'dark'));
  };

  for (const button of buttons) {
    button.addEventListener('click', () => {
      root.dataset.theme = root.dataset.theme === 'dark' ? 'light' : 'dark';
      forever.set('theme', root.dataset.theme);
    });
  }
  new MutationObserver(show).observe(root, { attributeFilter: ['data-theme'] });
  show();
}
