// Tiles, charts, processes, the ARK account, Redis: drawn from an overview and the history.

import { $, el } from '../shared/dom.js';
import { age, bytes, duration, rate, roughly, whole } from '../shared/format.js';
import { Chart } from './chart.js';
import { ARK_BOUNDS } from './history.js';

const ROWS_MAX = 200;
const STORAGE_TROUBLES = { full: 'storage_full', denied: 'storage_denied', other_storage: 'storage_other' };

// Replaces an element's content only if it has changed, so that a text selection is kept, and not while a button in it is pressed: the
// browser reports a click only if the element that was pressed still exists.
const drawn = new WeakMap();
export function replace(place, key, make) {
  const now = JSON.stringify(key);
  if (drawn.get(place) === now || place.querySelector(':active')) return;
  drawn.set(place, now);
  place.replaceChildren(...make());
}

// A tile is { name, value, sub, tone }.
export function drawTiles(place, tiles) {
  replace(place, tiles, () => tiles.map(({ name, label, value, sub = '', tone = '' }) =>
    el('div', { class: 'tile', 'data-tone': tone, 'data-tile': name },
      el('dt', {}, label), el('dd', { class: 'value' }, value), el('dd', { class: 'sub' }, sub))));
}

// The tiles of the public queue numbers, which need no admin key.
export function queueTiles(t, { depth, delayed, running, dead, oldest_age_ms: oldest }, slots) {
  return [
    { name: 'waiting', label: t('waiting'), value: whole(depth), sub: delayed ? t('and_delayed', { n: whole(delayed) }) : '' },
    { name: 'running', label: t('running'), value: whole(running), sub: slots ? t('of_slots', { n: whole(slots) }) : '' },
    { name: 'oldest', label: t('oldest'), value: oldest === null ? '–' : age(oldest), sub: oldest === null ? t('nothing_waits') : '' },
    { name: 'dead', label: t('dead'), value: whole(dead), tone: dead ? 'bad' : '' },
  ];
}

export class Board {
  constructor({ t, count }, history) {
    Object.assign(this, { t, count, history });
    const now = (name) => () => this.history.rate(name);
    const common = { now: () => t('now') };
    const seconds = (ms) => this.#seconds(ms);
    this.charts = {
      queue: new Chart($('chart-queue'), { ...common, kind: 'lines', format: whole, series: [
        { tone: 'accent', name: () => t('waiting') }, { tone: 'good', name: () => t('running') }, { tone: 'warn', name: () => t('delayed') }] }),
      ended: new Chart($('chart-ended'), { ...common, kind: 'bars', format: rate, series: [
        { tone: 'good', name: () => t('done'), latest: now('done') }, { tone: 'bad', name: () => t('failed'), latest: now('failed') },
        { tone: 'warn', name: () => t('retried'), latest: now('retried') }] }),
      latency: new Chart($('chart-latency'), { ...common, kind: 'lines', format: seconds, least: 2000, series: [
        { tone: 'accent', name: () => t('half_within') }, { tone: 'warn', name: () => t('most_within') }] }),
      images: new Chart($('chart-images'), { ...common, kind: 'lines', format: rate, limitName: () => t('limit'), series: [
        { tone: 'accent', name: () => t('pictures') }] }),
    };
  }

  draw(overview) {
    this.#drawTiles(overview);
    this.#drawCharts(overview);
    this.#drawProcesses(overview);
    this.#drawAccount(overview);
    this.#drawStorage(overview);
    this.#drawRedis(overview);
  }

  // After the language has changed.
  redraw(overview) {
    for (const chart of Object.values(this.charts)) chart.rename();
    this.draw(overview);
  }

  #drawTiles({ queue, processes, gateway }) {
    const { t, history } = this;
    const perMinute = (name) => (history.rate(name) === null ? '–' : rate(history.rate(name)));
    const since = (n) => t('in_all', { n: whole(n) });
    const unknown = total(processes, 'unknown') ?? 0;
    drawTiles($('tiles'), [
      ...queueTiles(t, queue, total(processes, 'slots')).slice(0, 3),
      { name: 'done', label: t('done_rate'), value: perMinute('done'), sub: since(queue.counters.done) },
      { name: 'failed', label: t('failed_rate'), value: perMinute('failed'), sub: t('dead_kept', { n: whole(queue.dead) }), tone: history.rate('failed') ? 'bad' : '' },
      { name: 'retried', label: t('retried_rate'), value: perMinute('retried'), sub: since(queue.counters.retried), tone: history.rate('retried') ? 'warn' : '' },
      { name: 'paid', label: t('paid_rate'), value: perMinute('paid'), sub: t('unknown_outcomes', { n: whole(unknown) }), tone: unknown ? 'warn-sub' : '' },
      { name: 'streams', label: t('streams'), value: whole(total(processes, 'streams') ?? gateway.streams ?? 0),
        sub: this.count('n_connections', total(processes, 'connections') ?? gateway.connections ?? 0) },
    ]);
  }

  #drawCharts({ processes }) {
    const { charts, history } = this;
    const { span } = history;
    charts.queue.draw({ span, points: history.points((sample) => (sample ? [sample.depth, sample.running, sample.delayed] : [null, null, null])) });
    charts.ended.draw({ span, points: history.growth(['done', 'failed', 'retried']) });
    charts.latency.draw({ span, points: history.points((sample, at) => (sample ? [history.latency(0.5, at), history.latency(0.95, at)] : [null, null])) });
    charts.images.draw({ span, points: history.points((sample, at) => [sample ? history.rate('images', at) : null]), limit: imagesLimit(processes) });
  }

  // The resolution of the histogram buckets.
  #seconds(ms) {
    if (ms < ARK_BOUNDS[0] * 1000) return this.t('under_second');
    return ms >= ARK_BOUNDS.at(-1) * 1000 ? this.t('over_minutes', { n: ARK_BOUNDS.at(-1) / 60 }) : roughly(ms);
  }

  #drawProcesses({ processes, now_ms: nowMs }) {
    const rows = [...processes].sort((a, b) => `${a.role} ${a.name}`.localeCompare(`${b.role} ${b.name}`));
    const common = commonVersion(processes);
    const shown = rows.slice(0, ROWS_MAX).map((process) => ({ ...process, ark_ms: undefined, age: age(nowMs - Date.parse(process.started_at)),
      isOther: process.version !== common }));
    replace($('processes'), [this.t('processes'), shown, rows.length], () => [this.#table(shown),
      ...(rows.length > ROWS_MAX ? [el('p', { class: 'hint' }, this.t('more_rows', { n: whole(rows.length - ROWS_MAX) }))] : []),
      ...(rows.length ? [] : [el('p', { class: 'empty' }, this.t('no_processes'))])]);
  }

  #table(rows) {
    const { t } = this;
    const head = ['process', 'version', 'load', 'since', 'status'].map((name) => el('th', { role: 'columnheader', scope: 'col' }, t(name)));
    return el('table', { role: 'table', class: 'rows', 'aria-labelledby': 'processes-title' },
      el('thead', { role: 'rowgroup' }, el('tr', { role: 'row' }, ...head)),
      el('tbody', { role: 'rowgroup' }, ...rows.map((row) => this.#process(row))));
  }

  #process({ name, role, host, version, isOther, draining, age: since, ...load }) {
    const { t } = this;
    const cell = (label, ...content) => el('td', { role: 'cell', 'data-label': t(label) }, ...content);
    return el('tr', { role: 'row', 'data-process': name },
      cell('process', el('strong', {}, t(`role_${role}`)), el('span', { class: 'muted mono under' }, host && !name.startsWith(host) ? `${name} · ${host}` : name)),
      cell('version', el('span', { class: isOther ? 'pill warn' : 'mono' }, version || '–')),
      cell('load', ...this.#load(load)),
      cell('since', since),
      cell('status', el('span', { class: `pill ${draining ? 'warn' : 'good'}` }, t(draining ? 'draining' : 'alive'))));
  }

  #load({ slots, busy = 0, streams = 0, connections = 0, threads, ...outbox }) {
    if (slots === undefined) {
      return [`${this.count('n_streams', streams)}, ${this.count('n_connections', connections)}`, el('span', { class: 'muted small under' }, this.count('n_threads', threads ?? 1))];
    }
    const calls = slots ? [this.t('busy_of', { busy, slots }), el('meter', { min: 0, max: slots, value: busy, 'aria-label': this.t('load') })] : [];
    return [...calls, ...this.#outbox(outbox, calls.length > 0)];
  }

  // What a process with the role outbox does.
  #outbox({ storage, storage_trouble: trouble }, isSecond) {
    if (!storage) return isSecond ? [] : [this.t('outbox_idle')];
    const place = isSecond ? 'small under' : 'small';
    if (trouble) return [el('span', { class: `${place} bad` }, this.t('storage_fails', { said: this.#trouble(trouble) }))];
    return [el('span', { class: `${place} muted` }, this.t('outbox_copies'))];
  }

  #trouble(name) {
    return this.t(STORAGE_TROUBLES[name] ?? 'storage_failed');
  }

  // Nothing is shown where pictures are not kept.
  #drawStorage({ processes }) {
    const { t } = this;
    const { keeps, outboxes, failing, waiting, givenUp, storages } = storageOf(processes);
    $('storage-card').hidden = !keeps;
    if (!keeps) return;
    this.#facts($('storage'), [
      ['copies_waiting', waiting === undefined ? '–' : whole(waiting), failing.length ? 'bad' : ''],
      ['copies_given_up', whole(givenUp), givenUp ? 'warn' : ''],
      ['storage_state', failing.length ? failing.map(({ name, storage_trouble: said }) => `${name}: ${this.#trouble(said)}`).join(' · ') : t('ok'), failing.length ? 'bad' : ''],
      ['outboxes', outboxes.length ? outboxes.map(({ name }) => name).join(' · ') : t('none'), outboxes.length ? '' : 'bad'],
      ['storage_place', storages.join(' · ') || '–', storages.length > 1 ? 'bad' : ''],
    ]);
  }

  #drawAccount({ governor, processes, now_ms: nowMs }) {
    const { t, history } = this;
    const limit = imagesLimit(processes);
    const pictures = history.rate('images');
    const rows = [
      ['breaker', this.#breaker(governor.breaker, nowMs), isHeld(governor) ? 'bad' : ''],
      ['pictures_limit', limit ? whole(limit) : t('no_limit')],
      ['pictures_now', pictures === null ? '–' : limit ? t('share_of_limit', { n: rate(pictures), share: Math.round((100 * pictures) / limit) }) : rate(pictures)],
      ['tokens_left', governor.tokens === null ? '–' : whole(Math.max(0, governor.tokens))],
      ['calls_now', governor.calls === null ? '–' : whole(governor.calls)],
    ];
    const models = governor.models.map((one) => ({ model: one.model, words: this.#restrictions(one, nowMs), tone: isHeld(one) ? 'bad' : isPaused(one, nowMs) ? 'warn' : '' }))
      .filter(({ words }) => words.length);
    this.#facts($('account'), rows);
    replace($('models'), [t('models'), models], () => [el('h3', {}, t('models')), models.length ? this.#models(models) : el('p', { class: 'muted small' }, t('no_model'))]);
  }

  #models(models) {
    return el('ul', { class: 'models' }, ...models.map(({ model, words, tone }) =>
      el('li', { 'data-model': model, 'data-tone': tone }, el('span', { class: 'mono' }, model), ' ', el('span', { class: 'small' }, words.join(' · ')))));
  }

  #breaker({ state, since_ms: since, probe_at_ms: probeAt }, nowMs) {
    const due = state === 'open' && !(probeAt > nowMs);
    return this.t(`breaker_${state}${due ? '_due' : ''}`, { age: age(nowMs - (since ?? nowMs)), delay: roughly((probeAt ?? nowMs) - nowMs) });
  }

  // The restrictions of a model as text.
  #restrictions({ limit, rate: learned, paused_until_ms: until, breaker }, nowMs) {
    const { t } = this;
    return [
      isHeld({ breaker }) && this.#breaker(breaker, nowMs),
      isPaused({ paused_until_ms: until }, nowMs) && t('model_paused', { delay: roughly(until - nowMs) }),
      limit !== null && t('model_limit', { n: whole(limit) }),
      learned !== null && t('model_rate', { n: whole(learned) }),
    ].filter(Boolean);
  }

  #drawRedis({ redis, queue }) {
    const { t } = this;
    const said = (text) => text ?? '–';
    const health = (text) => [text === null ? '–' : t(text === 'ok' ? 'ok' : 'not_ok', { said: text }), text === null || text === 'ok' ? '' : 'bad'];
    const memory = redis.maxmemory ? t('memory_of', { used: bytes(redis.used_memory), all: bytes(redis.maxmemory) }) : bytes(redis.used_memory ?? 0);
    const left = queue.memory_full_ms;
    const isFull = redis.maxmemory && redis.used_memory > 0.85 * redis.maxmemory;
    this.#facts($('redis'), [
      ['redis_version', said(redis.version)],
      ['redis_role', redis.role === 'master' ? t('role_master') : said(redis.role), redis.role === 'master' || !redis.role ? '' : 'bad'],
      ['round_trip', redis.round_trip_ms < 10 ? `${redis.round_trip_ms.toFixed(2)} ms` : duration(redis.round_trip_ms), redis.round_trip_ms > 100 ? 'warn' : ''],
      ['memory', memory, isFull ? 'warn' : ''],
      ...(left === null ? [] : [['memory_full', t('memory_full_in', { time: duration(left) }), left < 4 * 3600e3 ? 'bad' : 'warn']]),
      ['aof', ...(redis.aof_enabled ? health(redis.aof_last_write_status) : [t('aof_off'), 'warn'])],
      ['snapshots', ...health(redis.snapshot_last_save_status)],
      ['replicas', whole(redis.replicas ?? 0)],
      ['evicted', whole(redis.evicted_keys ?? 0), redis.evicted_keys ? 'bad' : ''],
      ['traffic', t('traffic_value', { n: whole(redis.operations_per_second ?? 0), clients: whole(redis.connected_clients ?? 0) })],
      ['uptime', age(1000 * (redis.uptime_seconds ?? 0))],
    ]);
  }

  #facts(place, rows) {
    const named = rows.map(([name, value, tone = '']) => [name, this.t(name), value, tone]);
    replace(place, named, () => named.map(([name, label, value, tone]) =>
      el('div', { 'data-fact': name }, el('dt', {}, label), el('dd', { 'data-tone': tone }, value))));
  }
}

// Sum over the processes that report the value; undefined if none does.
export function total(processes, name) {
  const reporting = processes.filter((process) => process[name] !== undefined);
  return reporting.length ? reporting.reduce((sum, process) => sum + process[name], 0) : undefined;
}

// The account has one limit. If workers are configured with different ones, the lowest applies.
export function imagesLimit(processes) {
  const limits = processes.map((process) => process.images_per_minute).filter((limit) => limit > 0);
  return limits.length ? Math.min(...limits) : 0;
}

// What the processes report about stored pictures.
export function storageOf(processes) {
  const users = processes.filter(({ storage }) => storage);
  const outboxes = users.filter(({ role }) => role === 'worker');
  return {
    keeps: users.length > 0 || processes.some(({ keeps_pictures: keeps }) => keeps),
    outboxes,
    failing: outboxes.filter(({ storage_trouble: trouble }) => trouble),
    waiting: outboxes.length ? Math.max(...outboxes.map(({ copies_waiting: n }) => n ?? 0)) : undefined,
    givenUp: total(outboxes, 'copies_given_up') ?? 0,
    storages: [...new Set(users.map(({ storage }) => storage))].sort(),
  };
}

// True if no task of the account or model may start.
export const isHeld = ({ breaker }) => breaker.state !== 'closed';
export const isPaused = ({ paused_until_ms: until }, nowMs) => until > nowMs;

// The version that most processes run.
export function commonVersion(processes) {
  const counts = new Map();
  for (const { version } of processes) counts.set(version, (counts.get(version) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0];
}
