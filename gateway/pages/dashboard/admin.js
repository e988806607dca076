// The admin API of the gateway, and its key. A URL that ends in #key=... sets the key; the fragment is removed at once.

import { BASE, call, refusal } from '../shared/api.js';
import { tab } from '../shared/storage.js';

const PATIENCE_MS = 10_000;

// The key is kept in sessionStorage: in this tab only, deleted when the tab is closed.
export const adminKey = {
  get: () => tab.get('admin_key') || '',
  set: (value) => (value ? tab.set('admin_key', value) : tab.remove('admin_key')),
};

// Only visible ASCII characters can be sent in a header.
export const canBeKey = (text) => /^[\x21-\x7e]+$/.test(text);

// Returns true if the URL had a key.
export function takeKeyFromAddress() {
  const given = location.hash.match(/[#&]key=([^&]*)/);
  if (!given) return false;
  history.replaceState(null, '', location.pathname + location.search);
  const key = decoded(given[1]).trim();
  if (canBeKey(key)) adminKey.set(key);
  return true;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // the key itself may contain a %
  }
}

// Throws a Refusal or fetch's error.
async function ask(method, path) {
  const headers = path.startsWith('/admin/') && adminKey.get() ? { Authorization: `Bearer ${adminKey.get()}` } : {};
  const response = await call(method, path, { headers, signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!response.ok) throw await refusal(response);
  return response.status === 204 ? null : response.json();
}

const pathOf = (id) => `/admin/tasks/${encodeURI(id)}`; // ids contain no characters that need escaping in a path

export const admin = {
  overview: () => ask('GET', '/admin/overview'),
  openNumbers: () => ask('GET', `${BASE}/queue`),
  usage: () => ask('GET', '/admin/usage'),
  tasks: (query) => ask('GET', `/admin/tasks?${new URLSearchParams(query)}`),
  story: (id) => ask('GET', pathOf(id)),
  retry: (id) => ask('POST', `${pathOf(id)}/retry`),
  cancel: (id) => ask('POST', `${pathOf(id)}/cancel`),
  erase: (id) => ask('DELETE', pathOf(id)),
  resend: (id) => ask('POST', `${pathOf(id)}/resend`),
  webhooks: () => ask('GET', '/admin/webhooks'),
  resendFailed: () => ask('POST', '/admin/webhooks/resend'),
  pause: () => ask('POST', '/admin/queue/pause'),
  resume: () => ask('POST', '/admin/queue/resume'),
};
