// Texts in two languages. A dictionary is { en: { key: 'text with {name}' }, 'zh-CN': { ... } }.
//
//   const { t, onChange } = i18n(words);    t('waiting', { position: 3 })
//
// In the document, data-i18n="key" sets an element's text and data-i18n-attr="placeholder:key aria-label:key" its attributes. A
// button with data-language-switch switches to the other language.

import { forever } from './storage.js';

const LANGUAGES = ['en', 'zh-CN'];

export function i18n(words) {
  const listeners = [];
  const switches = document.querySelectorAll('[data-language-switch]');
  const language = () => (LANGUAGES.includes(document.documentElement.lang) ? document.documentElement.lang : 'en');

  const other = () => LANGUAGES.find((one) => one !== language());

  function t(key, values = {}) {
    const text = words[language()][key] ?? words.en[key] ?? key;
    return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? '');
  }
  const has = (key) => key in words.en;

  function apply() {
    document.title = t('title');
    for (const element of document.querySelectorAll('[data-i18n]')) element.textContent = t(element.dataset.i18n);
    for (const element of document.querySelectorAll('[data-i18n-attr]')) {
      for (const pair of element.dataset.i18nAttr.split(' ')) {
        const [name, key] = pair.split(':');
        element.setAttribute(name, t(key));
      }
    }
    for (const button of switches) button.lang = other();
    for (const listener of listeners) listener();
  }

  for (const button of switches) {
    button.addEventListener('click', () => {
      document.documentElement.lang = other();
      forever.set('language', document.documentElement.lang);
      apply();
    });
  }
  apply();
  return { t, has, language, onChange: (listener) => listeners.push(listener) };
}
