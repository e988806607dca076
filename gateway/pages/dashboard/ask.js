// A question before something that cannot be taken back, or that others will notice.

import { $ } from '../shared/dom.js';

// True when the reader says yes; Escape and the other button say no.
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
