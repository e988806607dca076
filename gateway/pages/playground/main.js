// The playground: connects form, run, story and view, and restores the run after a reload.

import { key } from '../shared/api.js';
import { $, copyText } from '../shared/dom.js';
import { i18n } from '../shared/i18n.js';
import { tab } from '../shared/storage.js';
import { wireTheme } from '../shared/theme.js';
import { listings } from './code.js';
import { Form } from './form.js';
import { OwnTasks } from './own_tasks.js';
import { Run } from './run.js';
import { newStory, applyRecord, applyHint } from './story.js';
import { View, isOver } from './view.js';
import { words } from './words.js';

const TICK_MS = matchMedia('(prefers-reduced-motion: reduce)').matches ? 1000 : 100;

const { t, has, language, onChange } = i18n(words);
// English needs a singular form for 1.
function count(name, n, values = {}) {
  const single = n === 1 && language() === 'en' && has(`${name}_one`);
  return t(single ? `${name}_one` : name, { n, ...values });
}

const view = new View({ t, has, count });
const form = new Form({ t, count, onChange: drawCode, onSubmit: submit, onLoad: loadOwnTasks });
const ownTasks = new OwnTasks({ t, language, view, current: () => run?.taskId });
let run = null;
let story = null;
let records = [];
let connection = ['', 0];
let draftId = newTaskId();
let wantsKey = false;
let showRefusal = null; // shows the last error again, after the language has changed

function newTaskId() {
  const random = crypto.getRandomValues(new Uint32Array(1))[0].toString(36);
  return `play-${Date.now().toString(36)}-${random}`;
}

// -- a task

function submit() {
  if (wantsKey && !takeKey()) return;
  if (isRunning() || !form.check()) return;
  if (wasAccepted()) draftId = newTaskId(); // with the same id it would be the same task
  const request = { ...form.request(), task_id: draftId };
  begin(request.task_id, request, [{ kind: 'sent', at: Date.now() }]);
  showTask();
}

// On a phone the task is below the form: scroll to it.
function showTask() {
  const { top } = $('task').getBoundingClientRect();
  if (top > innerHeight / 2) $('task').scrollIntoView();
}

function begin(taskId, request, before) {
  run?.stop();
  view.clear();
  connection = ['', 0];
  showRefusal = null;
  story = newStory();
  records = [];
  run = new Run({ taskId, request, records: before, on: { record: take, place, connection: connected, refused } });
  before.forEach(take);
  $('watch').href = `#task=${encodeURIComponent(taskId)}`;
  history.replaceState(null, '', `#task=${encodeURIComponent(taskId)}`);
  if (isOver(story)) connected('ended');
  else run.start();
  ownTasks.mark();
  drawCode();
}

function take(record) {
  const before = story.state;
  records.push(record);
  applyRecord(story, record);
  keep();
  view.draw(story, run.taskId);
  if (before !== story.state || record.data?.stage === 'image') announce(view.statusText(story));
  else if (['cut', 'resumed', 'cancel'].includes(record.kind)) announce(view.stepText(story.steps.at(-1)));
  if (['start', 'done', 'error'].includes(record.type)) loadOwnTasks();
  drawControls();
}

function loadOwnTasks() {
  if (form.models.hasTaskList()) ownTasks.load();
}

function place(data) {
  applyHint(story, data);
  view.draw(story, run.taskId);
}

function connected(state, until = 0) {
  const gone = state === 'ended' && !isOver(story);
  const first = state === 'connecting' && !connection[0]; // shows no notice for the first connection
  connection = [gone ? 'gone' : state, until];
  if (!first) view.showConnection(...connection);
  if (gone) giveUp();
  drawControls();
}

function refused(error) {
  connected('');
  if (error.status === 401) return askForKey();
  const rest = error.fields ? form.showFields(error.fields) : [];
  showRefusal = () => view.showError(view.refusal(error, rest, again));
  showRefusal();
  giveUp();
  if (!run.request) return;
  tab.remove('run');
  history.replaceState(null, '', location.pathname);
}

function giveUp() {
  story.state = 'failed';
  view.draw(story, run.taskId);
  drawControls();
}

const wasAccepted = () => records.some((record) => record.kind === 'event');

// Retries the same task. If the gateway has accepted it, this resumes it and pays for no second one.
function again() {
  const { taskId, request } = run;
  begin(taskId, request, wasAccepted() ? records : [{ kind: request ? 'sent' : 'joined', at: Date.now() }]);
}

// -- the key

function askForKey() {
  const had = key.get();
  wantsKey = true;
  $('key-field').hidden = false;
  form.show({ key: t(had ? 'key_wrong' : 'key_needed') });
  showRefusal = () => view.showError({ title: t('code_unauthorized') });
  showRefusal();
  giveUp();
}

// Stores the key. Returns true if the form must now be sent; false if no key was entered or an existing task was resumed.
function takeKey() {
  key.set($('key').value.trim());
  if (!key.get()) {
    form.show({ key: t('key_needed') });
    return false;
  }
  wantsKey = false;
  form.show({});
  form.load();
  if (run.request && !wasAccepted()) return true;
  again();
  return false;
}

// -- reload

function keep() {
  const { taskId, request } = run;
  // Events with inline images may not fit into the storage. Then no records are stored, and a reloaded page reads the whole log.
  if (!tab.set('run', JSON.stringify({ taskId, request, records }))) tab.set('run', JSON.stringify({ taskId, request, records: [] }));
}

function restore() {
  const id = new URLSearchParams(location.hash.slice(1)).get('task');
  if (!id || id === run?.taskId) return;
  const kept = JSON.parse(tab.get('run') || '{}');
  if (kept.taskId !== id || !kept.records.length) {
    begin(id, undefined, [{ kind: 'joined', at: Date.now() }]);
    return;
  }
  const over = kept.records.some((record) => ['done', 'error'].includes(record.type));
  draftId = kept.request?.task_id || draftId;
  begin(id, kept.request, over ? kept.records : [...kept.records, { kind: 'reload', at: Date.now() }]);
}

// -- drawing

const isRunning = () => Boolean(story) && !isOver(story) && connection[0] !== 'gone';

// For screen readers: one sentence per change, without running times.
function announce(text) {
  $('announcer').textContent = text;
}

function drawControls() {
  const running = isRunning();
  $('generate').disabled = running;
  $('generate').textContent = t(running ? 'generating' : wantsKey ? 'use_key' : 'generate');
  $('cut').disabled = connection[0] !== 'open';
  $('task').setAttribute('aria-busy', String(running));
}

const listed = () => document.querySelector('#tabs [aria-selected="true"]').id.slice('tab-'.length);

function drawCode() {
  const sent = run?.request;
  const draft = form.request();
  const same = sent && JSON.stringify({ ...draft, task_id: sent.task_id }) === JSON.stringify(sent);
  if (!same && draftId === sent?.task_id) draftId = newTaskId();
  const request = { ...draft, task_id: same ? sent.task_id : draftId };
  $('code-text').textContent = listings[listed()](location.origin, request, Boolean(key.get()));
}

function choose(button) {
  for (const one of document.querySelectorAll('#tabs [role="tab"]')) {
    const chosen = one === button;
    one.setAttribute('aria-selected', String(chosen));
    one.tabIndex = chosen ? 0 : -1;
  }
  $('code-panel').setAttribute('aria-labelledby', button.id);
  drawCode();
}

function wireTabs() {
  const tabs = [...document.querySelectorAll('#tabs [role="tab"]')];
  const targets = {
    ArrowRight: (i) => (i + 1) % tabs.length,
    ArrowLeft: (i) => (i + tabs.length - 1) % tabs.length,
    Home: () => 0,
    End: () => tabs.length - 1,
  };
  for (const [i, button] of tabs.entries()) {
    button.addEventListener('click', () => choose(button));
    button.addEventListener('keydown', (event) => {
      const target = tabs[targets[event.key]?.(i)];
      if (!target) return;
      event.preventDefault();
      target.focus();
      choose(target);
    });
  }
}

function wireControls() {
  $('skip').addEventListener('click', (event) => {
    event.preventDefault(); // keeps the fragment, which has the task id
    $('main').focus();
  });
  $('cut').addEventListener('click', () => run.cut());
  $('cancel').addEventListener('click', cancel);
  $('save-all').addEventListener('click', () => view.saveAll(story, run.taskId));
  $('copy-code').addEventListener('click', (event) => copyText(event.currentTarget, $('code-text').textContent, t('copied')));
  addEventListener('online', () => run?.wake());
  addEventListener('hashchange', restore);
  addEventListener('pagehide', () => run?.stop()); // so that leaving the page is not recorded as a lost connection
  addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
  document.addEventListener('visibilitychange', () => !document.hidden && run?.wake());
}

async function cancel() {
  try {
    if (await run.cancel()) take({ kind: 'cancel', at: Date.now() });
  } catch (error) {
    if (!isOver(story)) view.showError(view.refusal(error));
  }
}

function drawAll() {
  form.showCount();
  form.models.apply();
  ownTasks.draw();
  drawControls();
  drawCode();
  if (!story) return;
  view.redraw(story, run.taskId);
  view.showConnection(...connection);
  showRefusal?.();
}

wireTheme();
wireTabs();
wireControls();
onChange(drawAll);
if (key.get()) {
  $('key-field').hidden = false;
  $('key').value = key.get();
}
$('key').addEventListener('input', () => !wantsKey && key.set($('key').value.trim()));
restore();
drawCode();
drawControls();
form.load();
setInterval(() => {
  if (isRunning()) view.tick(story);
  if (['waiting', 'unanswered'].includes(connection[0])) view.showConnection(...connection);
}, TICK_MS);
