// The gateway's API for the pages: the client's key, requests, and error responses as exceptions.

import { tab } from './storage.js';

export const BASE = '/api/v1/faceflip';

// The key is kept in sessionStorage: in this tab only, deleted when the tab is closed.
export const key = {
  get: () => tab.get('key') || '',
  set: (value) => (value ? tab.set('key', value) : tab.remove('key')),
};

// An error response of the gateway, or of a proxy in front of it. `code` is the gateway's error code; '' if the response is not from the gateway.
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

// Resolves to the response, whatever its status. Without a response it rejects with fetch's error.
// `blob`: a file as the body, instead of JSON.
export function call(method, path, { body, blob, headers = {}, signal } = {}) {
  const sent = { ...headers };
  if (body !== undefined) sent['Content-Type'] = 'application/json';
  if (blob) sent['Content-Type'] = /^image\//.test(blob.type) ? blob.type : 'application/octet-stream';
  if (key.get() && !sent.Authorization) sent.Authorization = `Bearer ${key.get()}`;
  return fetch(path, { method, headers: sent, signal, cache: 'no-store', body: body === undefined ? blob : JSON.stringify(body) });
}

export async function refusal(response) {
  const problem = await response.json().catch(() => ({}));
  return new Refusal(response, problem && typeof problem === 'object' ? problem : {});
}
