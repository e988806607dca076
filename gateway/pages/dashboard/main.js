// The dashboard: polls the gateway once a second and updates board, list and panel.

import { $, el } from '../shared/dom.js';
import { i18n } from '../shared/i18n.js';
import { age, roughly, whole } from '../shared/format.js';
import { wireTheme } from '../shared/theme.js';
import { admin, adminKey, canBeKey, takeKeyFromAddress } from './admin.js';
import { ask } from './ask.js';
import { Board, commonVersion, drawTiles, isHeld, isPaused, queueTiles, replace, storageOf } from './board.js';
import { Costs } from './costs.js';
import { History, Sums, sampleOf } from './history.js';
import { Panel } from './panel.js';
import { Tasks } from './tasks.js';
import { Webhooks } from './webhooks.js';
import { words } from './words.js';

const POLL_MS = 1000;
const RETRY_MS = 2000;
const COSTS_EVERY = 60; // polls
const LIST_EVERY = 3; // reload the list and the panel's task on every third poll

const { t, has, language, onChange } = i18n(words);
// English needs a singular form for 1.
const count = (name, n, values = {}) => t(n === 1 && language() === 'en' && has(`${name}_one`) ? `${name}_one` : name, { n: whole(n), ...values });
const wordsFor = (code, said) => (has(`code_${code}`) ? { title: t(`code_${code}`), said } : { title: said, said: '' });
const tools = { t, count, words: wordsFor };

const history = new History();
const sums = new Sums();
const board = new Board(tools, history);
const costs = new Costs(tools);
const panel = new Panel(tools, { order, failed });
const tasks = new Tasks(tools, { open: (id) => panel.open(id), order, retryAll, failed });

const webhooks = new Webhooks(tools, { resendFailed, open: (id) => panel.open(id), failed, now: () => Date.now() + skewMs });

let mode = 'connecting'; // live, door, closed
let overview = null;
let openQueue = null;
let skewMs = 0; // Redis's clock minus this device's clock
let trouble = null; // the error of the last poll
let polls = 0;
let timer = null;
let polling = false;

tasks.now = () => Date.now() + skewMs;

// -- polling

async function poll() {
  clearTimeout(timer);
  if (polling || document.hidden || mode === 'door') return;
  polling = true;
  try {
    if (mode === 'closed') await pollOpen();
    else await pollBoard();
    trouble = null;
  } catch (error) {
    failed(error);
  }
  polling = false;
  draw();
  clearTimeout(timer);
  const isFirst = mode === 'closed' && !openQueue;
  if (mode !== 'door') timer = setTimeout(poll, trouble || (mode === 'closed' && !isFirst) ? RETRY_MS : isFirst ? 0 : POLL_MS);
}

async function pollBoard() {
  overview = await admin.overview();
  skewMs = overview.now_ms - Date.now();
  history.add(sampleOf(overview, sums));
  enter('live');
  if (polls % COSTS_EVERY === 0) costs.load();
  if (polls++ % LIST_EVERY) return;
  tasks.load();
  webhooks.load();
  if (panel.isFollowing) panel.load();
}

async function pollOpen() {
  openQueue = await admin.openNumbers();
}

// Handles a failed poll. Polling continues unless the user must enter a key or the admin API is disabled.
function failed(error) {
  if (error.status === 401 && mode !== 'closed') return showDoor();
  if (error.status === 404 && error.code === 'not_found') {
    enter('closed');
    return;
  }
  trouble = error;
  if (mode === 'connecting') draw();
}

function showDoor() {
  const had = adminKey.get();
  adminKey.set('');
  overview = null;
  trouble = null;
  panel.close();
  enter('door');
  $('key-error').hidden = !had;
  $('key-error').textContent = had ? t('key_wrong') : '';
  $('key').setAttribute('aria-invalid', String(Boolean(had)));
  $('key').focus();
}

function enter(next) {
  if (mode === next) return;
  mode = next;
  $('door').hidden = mode !== 'door';
  $('closed').hidden = mode !== 'closed';
  $('board').hidden = $('orders').hidden = $('foot').hidden = mode !== 'live';
  draw();
}

// -- actions

const ORDERS = { retry: admin.retry, cancel: admin.cancel, erase: admin.erase, resend: admin.resend };

async function order(name, task) {
  const values = { id: task.task_id };
  const running = name === 'cancel' && task.status === 'running' ? '_running' : '';
  const agreed = name === 'retry' || name === 'resend' || await ask({ title: t(`${name}_title`, values), text: t(`${name}_text${running}`), yes: t(`${name}_yes`), no: t('leave_it') });
  if (!agreed) return;
  try {
    await ORDERS[name](task.id);
    announce(t(`${name}_done`, values));
    if (name === 'erase' && panel.id === task.id) panel.close();
  } catch (error) {
    refused(error);
  }
  refresh();
}

// Retries the tasks one after the other. A refused one is shown, and the others are still retried.
async function retryAll(all) {
  if (!await ask({ title: count('retry_all_title', all.length), text: t('retry_all_text'), yes: t('retry_all', { n: all.length }), no: t('leave_it') })) return;
  let begun = 0;
  for (const task of all) {
    try {
      await admin.retry(task.id);
      begun++;
    } catch (error) {
      if (!error.status || error.status === 401 || error.status >= 500) {
        refused(error);
        break;
      }
    }
    announce(t('retry_all_done', { n: begun, all: all.length }));
  }
  refresh();
}

async function resendFailed(all) {
  if (!await ask({ title: t('resend_failed_title', { n: whole(all) }), text: t('resend_failed_text'), yes: t('resend_failed', { n: whole(all) }), no: t('leave_it') })) return;
  try {
    announce(t('resend_failed_done', { n: whole((await admin.resendFailed()).resent) }));
  } catch (error) {
    refused(error);
  }
  refresh();
}

async function togglePause() {
  const { paused, running, depth } = overview.queue;
  const name = paused ? 'resume' : 'pause';
  const text = t(`${name}_text`, { running: whole(running), depth: whole(depth) });
  if (!await ask({ title: t(`${name}_title`), text, yes: t(name), no: t('leave_it') })) return;
  try {
    await admin[name]();
    announce(t(`${name}_done`));
  } catch (error) {
    refused(error);
  }
  refresh();
}

function refused(error) {
  if (error.status === 401) return showDoor();
  announce(error.status ? wordsFor(error.code, error.message).title : t('gateway_away'), 'bad');
}

function refresh() {
  polls = 0;
  if (panel.id) panel.load();
  poll();
}

// -- drawing

let said = null;

// Shows the result of an action, and reads it out for screen readers.
function announce(text, tone = 'good') {
  said = { text, tone, until: Date.now() + 6000 };
  $('announcer').textContent = text;
  drawNotices();
}

function draw() {
  drawPulse();
  drawNotices();
  if (mode === 'closed') drawOpen();
  if (mode !== 'live') return;
  $('pause').textContent = t(overview.queue.paused ? 'resume' : 'pause');
  $('board').classList.toggle('stale', Boolean(trouble));
  board.draw(overview);
  tasks.showCounts(overview.queue);
}

function drawPulse() {
  const state = trouble ? 'trouble' : mode;
  $('pulse').dataset.state = state;
  const { gateway, redis } = overview ?? {};
  $('pulse-text').textContent = mode === 'live' && !trouble ? t('pulse_live', { gateway: gateway.version, redis: redis.version ?? '?' }) : t(`pulse_${state}`);
}

function drawNotices() {
  if (said && Date.now() > said.until) said = null;
  const notices = [...troubles(), ...(mode === 'live' ? warnings() : []), ...(said ? [[said.tone, said.text]] : [])];
  replace($('notices'), notices, () => notices.map(([tone, text]) => el('p', { class: `notice ${tone}` }, text)));
}

function troubles() {
  if (!trouble) return [];
  if (!trouble.status) return [['bad', t('gateway_away')]];
  if (trouble.code === 'store_unavailable') return [['bad', t('redis_away')]];
  if (trouble.status === 401) return [['warn', t('open_needs_key')]];
  return [['bad', t('refused', { what: wordsFor(trouble.code, trouble.message).title })]];
}

function warnings() {
  const { queue, redis, processes, governor, now_ms: now } = overview;
  const versions = new Set(processes.map(({ version }) => version));
  const workers = processes.filter(({ role, slots }) => role === 'worker' && slots !== 0); // 0: of the role outbox alone
  return [
    queue.paused && ['warn', t('is_paused')],
    processes.length && !workers.length && ['bad', t('no_workers')],
    versions.size > 1 && ['warn', t('version_mix', { all: [...versions].sort().join(', '), common: commonVersion(processes) })],
    redis.role && redis.role !== 'master' && ['bad', t('redis_not_master')],
    redis.aof_last_write_status && redis.aof_last_write_status !== 'ok' && ['bad', t('aof_failed')],
    redis.evicted_keys > 0 && ['bad', t('redis_evicts')],
    ...breakerNotices(governor, now),
    ...storageNotices(storageOf(processes)),
  ].filter(Boolean);
}

function storageNotices({ keeps, outboxes, failing, storages }) {
  return [
    keeps && !outboxes.length && ['bad', t('no_outbox')],
    failing.length && ['bad', t('storage_trouble', { names: failing.map(({ name }) => name).join(', ') })],
    storages.length > 1 && ['bad', t('storage_mix', { n: storages.length })],
  ];
}

// The account comes first: its breaker applies to all models.
function breakerNotices({ models, ...account }, now) {
  return [account, ...models].map((scope) => {
    const { model, breaker: { code, why, since_ms: since } } = scope;
    if (!isHeld(scope)) return isPaused(scope, now) && ['warn', t('model_waits', { model, delay: roughly(scope.paused_until_ms - now) })];
    const reason = t(has(`hold_${code}`) ? `hold_${code}` : 'hold_other');
    const text = t(model ? 'model_held' : 'account_held', { model, why: reason, age: age(now - (since ?? now)) });
    return ['bad', why ? `${text} ${t('last_error', { said: why })}` : text];
  });
}

function drawOpen() {
  $('open-said').hidden = $('open-tiles').hidden = !openQueue;
  if (openQueue) drawTiles($('open-tiles'), [...queueTiles(t, openQueue), { name: 'workers', label: t('workers'), value: whole(openQueue.workers) }]);
}

function drawAll() {
  draw();
  if (mode === 'live') board.redraw(overview);
  tasks.redraw(overview?.queue);
  webhooks.draw();
  costs.draw();
  panel.draw();
}

// -- user input

function wireDoor() {
  $('door').addEventListener('submit', (event) => {
    event.preventDefault();
    const key = $('key').value.trim();
    const problem = key ? canBeKey(key) ? '' : 'key_wrong' : 'key_needed';
    $('key-error').hidden = !problem;
    $('key-error').textContent = problem && t(problem);
    if (problem) return;
    adminKey.set(key);
    $('key').value = '';
    mode = 'connecting';
    poll();
  });
  $('forget').addEventListener('click', () => {
    adminKey.set('');
    location.reload(); // removes all data from the page
  });
  addEventListener('hashchange', () => {
    if (!takeKeyFromAddress()) return;
    mode = 'connecting';
    poll();
  });
}

wireTheme();
wireDoor();
onChange(drawAll);
$('pause').addEventListener('click', togglePause);
$('skip').addEventListener('click', (event) => {
  event.preventDefault();
  $('main').focus();
});
document.addEventListener('visibilitychange', () => !document.hidden && poll());
takeKeyFromAddress();
draw();
poll();
