// The connection of one task: sends the request, reads the stream, and reconnects until the task has ended.
//
//   const run = new Run({ taskId, request, records, on: { record, place, connection, refused } });
//   run.start(); ... run.cut(); run.wake(); run.stop();
//
// Before the first event, a lost connection repeats the request. That is safe: the same task_id with the same body is the same task.
// After the first event, the stream resumes after the last event received.

import { BASE, Refusal, call, refusal } from '../shared/api.js';
import { frames } from '../shared/sse.js';
import { FINAL, numberOf } from './story.js';

const FIRST_RETRY_MS = 1000; // until the server sends a `retry` field
const RETRY_MAX_MS = 30_000;
const SILENCE_MAX_MS = 60_000; // far longer than the heartbeat interval
const LATE_MS = 150; // events within this time of a reconnect happened before it
const SUBMITS_MAX = 4; // failed attempts to send the request before the user must retry

// Error codes that go away without any change to the request.
const TEMPORARY = ['draining', 'store_unavailable', 'too_many_connections', 'internal'];

export class Run {
  #abort = null;
  #stopped = false;
  #cutByHand = false;
  #wake = null;
  #retryMs = FIRST_RETRY_MS;
  #failures = 0;
  #cuts = 0;
  #known; // the task is known to exist

  constructor({ taskId, request, records, on }) {
    this.taskId = taskId;
    this.request = request;
    this.on = on;
    this.lastId = records.filter((record) => record.kind === 'event').at(-1)?.id || '';
    this.#known = Boolean(this.lastId) || !request;
  }

  get path() {
    return `${BASE}/tasks/${encodeURIComponent(this.taskId).replaceAll('%3A', ':')}`;
  }

  async start() {
    while (!this.#stopped) {
      try {
        if (await this.#connect()) break;
      } catch (error) {
        if (this.#stopped) return;
        if (error instanceof Refusal && !this.#isTemporary(error)) return this.#refuse(error);
        if (!this.#known && ++this.#failures >= SUBMITS_MAX) return this.#refuse(error);
        if (error instanceof Refusal) this.#retryMs = Math.max(this.#retryMs, error.retryAfterMs);
      }
      if (this.#stopped) return;
      await this.#pause();
    }
    if (!this.#stopped) this.on.connection('ended');
  }

  stop() {
    this.#stopped = true;
    this.#abort?.abort();
    this.#wake?.();
  }

  // Cuts the connection, as a network failure does.
  cut() {
    this.#cutByHand = true;
    this.#abort?.abort();
  }

  // Reconnects now instead of after the delay, for example when the network is back.
  wake() {
    this.#wake?.();
  }

  // Resolves to true if the task is running and will be stopped, false if it was waiting and is cancelled. Throws a Refusal.
  async cancel() {
    const response = await call('POST', `${this.path}/cancel`);
    if (!response.ok) throw await refusal(response);
    return response.status === 202;
  }

  // Makes one connection. Resolves to true if the final event was received, false if the connection ended before it.
  async #connect() {
    this.on.connection('connecting');
    this.#abort = new AbortController();
    let opened = false;
    try {
      const fresh = !this.#known && !this.#failures;
      const response = await this.#open();
      if (response.status === 204) return true;
      if (!response.ok) throw await refusal(response);
      opened = true;
      if (this.lastId || this.#cuts) this.#record({ kind: 'resumed', after: this.lastId ? numberOf(this.lastId) : 0 });
      this.#known = true;
      this.#failures = 0;
      this.on.connection('open');
      return await this.#read(response.body, fresh);
    } finally {
      this.#abort.abort();
      if (opened && !this.#stopped && !this.ended && !this.gone) this.#lost();
      this.#cutByHand = false;
    }
  }

  #lost() {
    this.#cuts++;
    this.#record({ kind: 'cut', byHand: this.#cutByHand });
  }

  #open() {
    const { signal } = this.#abort;
    const headers = { Accept: 'text/event-stream' };
    if (!this.#known) return call('POST', `${BASE}/generate/stream`, { body: this.request, headers, signal });
    if (this.lastId) headers['Last-Event-ID'] = this.lastId;
    return call('GET', `${this.path}/stream`, { headers, signal });
  }

  async #read(body, fresh) {
    const began = Date.now();
    const controller = this.#abort;
    let silence;
    try {
      for await (const frame of frames(body)) {
        clearTimeout(silence);
        silence = setTimeout(() => controller.abort(), SILENCE_MAX_MS);
        if (frame.retry) this.#retryMs = frame.retry;
        if (frame.data && this.#take(frame, !fresh && Date.now() - began < LATE_MS)) return true;
      }
    } finally {
      clearTimeout(silence);
    }
    return this.gone; // the server closed the stream: reconnect, unless the task no longer exists
  }

  #take(frame, late) {
    const { event: type, data } = JSON.parse(frame.data);
    if (type === 'reset') {
      this.lastId = '';
      this.gone = true; // until an event follows
      this.#record({ kind: 'reset' });
    } else if (!frame.id) {
      this.on.place(data);
    } else if (frame.id !== this.lastId) {
      this.gone = false;
      this.lastId = frame.id;
      this.ended = FINAL.includes(type);
      this.#record({ kind: 'event', id: frame.id, type, data, late });
    }
    return this.ended;
  }

  #record(record) {
    this.on.record({ at: Date.now(), ...record });
  }

  #refuse(error) {
    this.#stopped = true;
    this.on.refused(error);
  }

  // True if the run reconnects by itself. After 429 it does so only for an existing task; a new request is left to the user to repeat.
  #isTemporary(error) {
    if (error.code === '' ? error.status >= 500 : TEMPORARY.includes(error.code)) return true;
    return this.#known && error.status === 429;
  }

  async #pause() {
    const ms = Math.min(this.#retryMs * 2 ** Math.min(this.#failures, 5), RETRY_MAX_MS);
    if (this.#known) this.#failures++;
    this.on.connection(!navigator.onLine ? 'offline' : this.#known ? 'waiting' : 'unanswered', Date.now() + ms);
    await new Promise((done) => {
      this.#wake = done;
      setTimeout(done, ms);
    });
    this.#wake = null;
  }
}
