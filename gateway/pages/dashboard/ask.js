// A confirmation dialog for actions that cannot be undone or that affect other users.

import { $ } from '../shared/dom.js';

// Resolves to true if the user confirms; false on Escape or the other button.
export function ask({ title, text, yes, no }) {
  const dialog = $('ask');
  $('ask-title').textContent = title;
  $('ask-text').textContent = text;
  $('ask-yes').textContent = yes;
  $('ask-no').textContent = no;
  return new Promise((done) => {
    const answer = (value) => () => dialog.close(value);
    $('ask-yes').onclick = answer('yes');
    $('ask-no').onclick = answer('');
    dialog.returnValue = '';
    dialog.addEventListener('close', () => done(dialog.returnValue === 'yes'), { once: true });
    dialog.showModal();
    $('ask-no').focus();
  });
}
