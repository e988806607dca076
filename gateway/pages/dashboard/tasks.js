// The list of tasks: by state, with search and pages, and the actions on one task or on all tasks shown.

import { $, el } from '../shared/dom.js';
import { age, whole } from '../shared/format.js';
import { admin } from './admin.js';
import { replace } from './board.js';

const PAGE = 15;
const STATES = ['live', 'queued', 'delayed', 'running', 'done', 'failed', 'cancelled', 'ended'];
const COUNTED = { queued: 'depth', delayed: 'delayed', running: 'running', failed: 'dead' };
const EMPTY_PAGES_MAX = 20; // a search reads this many pages of a thousand tasks before the user must continue it
const TYPING_MS = 250;

export const canRetry = (task) => ['failed', 'cancelled'].includes(task.status);
export const isLive = (task) => ['queued', 'delayed', 'running'].includes(task.status);

export class Tasks {
  #state = 'live';
  #search = '';
  #cursors = ['']; // cursors of the pages up to the current one
  #page = null;
  #asked = 0; // number of the latest request; responses to earlier ones are dropped

  // on: open(id), order(name, task), failed(error), say(text)
  constructor({ t, count, words }, on) {
    Object.assign(this, { t, count, words, on });
    $('page-next').addEventListener('click', () => this.#turn([...this.#cursors, this.#page.next]));
    $('page-back').addEventListener('click', () => this.#turn(this.#cursors.slice(0, -1)));
    $('retry-all').addEventListener('click', () => this.on.retryAll(this.#page.tasks.filter(canRetry)));
    $('search-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#look();
    });
    $('search').addEventListener('change', () => this.#look());
    $('search').addEventListener('input', () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.#look(), TYPING_MS);
    });
    this.#drawStates();
  }

  #look() {
    clearTimeout(this.typing);
    const wanted = $('search').value.trim();
    if (wanted === this.#search) return;
    this.#search = wanted;
    this.#turn(['']);
  }

  choose(state) {
    this.#state = state;
    this.#drawStates();
    this.#turn(['']);
  }

  #turn(cursors) {
    this.#cursors = cursors;
    this.#page = null;
    replace($('list'), ['loading', this.#asked], () => [el('p', { class: 'empty' }, this.t('loading'))]);
    return this.load();
  }

  // Reloads the current page. The list shown stays until the response has arrived.
  async load() {
    const asked = ++this.#asked;
    try {
      const page = await this.#find();
      if (asked !== this.#asked) return;
      this.#page = page;
      this.draw();
    } catch (error) {
      if (asked === this.#asked) this.#fail(error);
    }
  }

  // The gateway searches a thousand tasks per request; later ones may still match.
  async #find() {
    const query = { state: this.#state, limit: PAGE, ...(this.#search ? { q: this.#search } : {}) };
    let page = { tasks: [], next: this.#cursors.at(-1) };
    for (let i = 0; i < EMPTY_PAGES_MAX && page.tasks.length === 0 && page.next !== null; i++) {
      page = await admin.tasks({ ...query, cursor: page.next });
    }
    return page;
  }

  #fail(error) {
    this.on.failed(error);
    if (this.#page) return;
    replace($('list'), ['failed', error.message], () => [el('p', { class: 'empty' }, this.t('list_failed'))]);
  }

  // -- drawing

  // Shows the counts of an overview on the tabs.
  showCounts(queue) {
    for (const [state, name] of Object.entries(COUNTED)) $(`state-${state}`).querySelector('.n').textContent = queue[name] ? whole(queue[name]) : '';
  }

  #drawStates() {
    const focused = document.activeElement?.id;
    $('states').replaceChildren(...STATES.map((state) => el('button', { type: 'button', id: `state-${state}`,
      'aria-pressed': String(state === this.#state), onclick: () => this.choose(state) }, this.t(`state_${state}`), ' ', el('span', { class: 'n' }))));
    if (focused?.startsWith('state-')) $(focused).focus();
  }

  redraw(queue) {
    this.#drawStates();
    if (queue) this.showCounts(queue);
    this.draw();
  }

  draw() {
    if (!this.#page) return;
    const { tasks, next } = this.#page;
    const focused = document.activeElement?.dataset.focus;
    replace($('list'), [this.t('tasks'), tasks.map((task) => [task, this.#when(task)]), next, this.#search], () => [tasks.length ? this.#table(tasks) : this.#empty(next)]);
    if (focused && !document.activeElement?.dataset.focus) document.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
    this.#drawBulk(tasks.filter(canRetry));
    $('pager').hidden = this.#cursors.length === 1 && next === null;
    $('page-back').disabled = this.#cursors.length === 1;
    $('page-next').disabled = next === null;
    $('page-number').textContent = this.t('page', { n: this.#cursors.length });
  }

  #drawBulk(tasks) {
    $('bulk').hidden = tasks.length === 0 || !['failed', 'cancelled'].includes(this.#state);
    $('bulk-text').textContent = this.count('bulk', tasks.length);
    $('retry-all').textContent = this.t('retry_all', { n: tasks.length });
  }

  #empty(next) {
    if (next !== null) return el('p', { class: 'empty' }, this.t('search_goes_on'));
    return el('p', { class: 'empty' }, this.#search ? this.t('nothing_found', { text: this.#search }) : this.t(`empty_${this.#state}`));
  }

  #table(tasks) {
    const names = ['task', 'status', 'when', 'attempts', 'paid_calls', 'more', 'orders'];
    return el('table', { role: 'table', class: 'rows', 'aria-labelledby': 'tasks-title' },
      el('thead', { role: 'rowgroup' }, el('tr', { role: 'row' }, ...names.map((name) =>
        el('th', { role: 'columnheader', scope: 'col' }, name === 'orders' ? el('span', { class: 'visually-hidden' }, this.t(name)) : this.t(name))))),
      el('tbody', { role: 'rowgroup' }, ...tasks.map((task) => this.#row(task))));
  }

  #row(task) {
    const cell = (name, ...content) => el('td', { role: 'cell', 'data-label': this.t(name), class: `cell-${name}` }, ...content);
    return el('tr', { role: 'row', 'data-task': task.id },
      cell('task', el('button', { type: 'button', class: 'link mono', 'data-focus': `open ${task.id}`, onclick: () => this.on.open(task.id) }, task.task_id),
        el('span', { class: 'muted small under' }, task.client)),
      cell('status', el('span', { class: 'pill', 'data-state': task.status }, this.t(`state_${task.status}`))),
      cell('when', el('time', { datetime: task.ended_at || task.created_at }, this.#when(task))),
      cell('attempts', whole(task.attempts)),
      cell('paid_calls', whole(task.paid_calls)),
      cell('more', this.#more(task)),
      cell('orders', this.#orders(task)));
  }

  // Coarse, because the list is reloaded every few seconds.
  #when(task) {
    const now = this.now?.() ?? Date.now();
    if (task.ended_at) return this.t('ago', { time: age(now - Date.parse(task.ended_at)) });
    if (task.started_at && task.status === 'running') return this.t('runs_for', { time: age(now - Date.parse(task.started_at)) });
    if (task.due_at) return this.t('due_in', { time: age(Date.parse(task.due_at) - now) });
    return this.t('waits_for', { time: age(now - Date.parse(task.created_at)) });
  }

  #more(task) {
    if (task.code) return el('span', { title: task.code }, this.words(task.code, task.code).title);
    if (task.worker) return el('span', { class: 'mono' }, task.worker);
    return task.position === undefined ? '–' : this.t('place', { n: whole(task.position) });
  }

  #orders(task) {
    const names = canRetry(task) ? ['retry', 'erase'] : isLive(task) ? ['cancel'] : ['erase'];
    return el('span', { class: 'orders' }, ...names.map((name) => el('button', { type: 'button', class: `button small${name === 'retry' ? '' : ' plain'}`,
      'data-order': name, 'data-focus': `${name} ${task.id}`, 'aria-label': `${this.t(name)}: ${task.task_id}`, onclick: () => this.on.order(name, task) }, this.t(name))));
  }
}
