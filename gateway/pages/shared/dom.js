// Creates an element with its attributes and children: el('a', { href, class: 'link', onclick }, 'text', child)

export function el(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === 'function') element[key] = value;
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const $ = (id) => document.getElementById(id);

// Copies the text and shows `done` on the button for a moment.
export async function copyText(button, text, done) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyBySelection(text); // navigator.clipboard exists only on pages served over TLS or from localhost
  }
  const label = button.textContent;
  if (button.dataset.copied) return;
  button.dataset.copied = 'yes';
  button.textContent = done;
  setTimeout(() => {
    button.textContent = label;
    delete button.dataset.copied;
  }, 1600);
}

function copyBySelection(text) {
  const area = el('textarea', { class: 'visually-hidden', 'aria-hidden': 'true', tabindex: '-1' });
  const focused = document.activeElement;
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
  focused?.focus();
}
