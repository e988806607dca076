// The gateway's API as pages use it: the key, and refusals as one kind of error.

import { tab } from './storage.js';

export const BASE = '/api/v1/faceflip';

// The key stays in this tab and goes with it.
export const key = {
  get: () => tab.get('key') || '',
  set: (value) => (value ? tab.set('key', value) : tab.remove('key')),
};

// What the gateway refused, or a proxy before it. code is the gateway's, or '' where the answer is not its own.
export class Refusal extends Error {
  constructor(response, problem) {
    super(problem.detail || problem.title || response.statusText || `HTTP ${response.status}`);
    this.status = response.status;
    this.code = problem.code || '';
    this.retryable = problem.retryable ?? response.status >= 500;
    this.fields = problem.errors || [];
    this.requestId = problem.request_id || '';
    this.retryAfterMs = Number(response.headers.get('Retry-After')) * 1000 || 0;
  }
}

// The response, whatever its status; throws what fetch throws when there is none.
export function call(method, path, { body, headers = {}, signal } = {}) {
  const sent = { ...headers };
  if (body !== undefined) sent['Content-Type'] = 'application/json';
  if (key.get() && !sent.Authorization) sent.Authorization = `Bearer ${key.get()}`;
  return fetch(path, { method, headers: sent, signal, cache: 'no-store', body: body === undefined ? undefined : JSON.stringify(body) });
}

export async function refusal(response) {
  const problem = await response.json().catch(() => ({}));
  return new Refusal(response, problem && typeof problem === 'object' ? problem : {});
}
