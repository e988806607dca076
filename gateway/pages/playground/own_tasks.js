// The client's own tasks (GET /tasks): newest first, page after page. Each row is a link to its task on this page.

import { BASE, call, refusal } from '../shared/api.js';
import { $, el } from '../shared/dom.js';

const PAGE = 8;
const STATES = ['all', 'live', 'done', 'failed', 'cancelled'];
const EMPTY_PAGES_MAX = 20; // a page of a state may be empty and not the last

export class OwnTasks {
  #tasks = null; // null: not loaded, and the card is hidden
  #next = null;
  #state = 'all';
  #shown = PAGE; // rows that the user has asked for
  #asked = 0; // number of the latest request; responses to earlier ones are dropped

  constructor({ t, language, current, view }) {
    Object.assign(this, { t, language, current, view });
    $('own-tasks-state').addEventListener('change', () => {
      this.#state = $('own-tasks-state').value;
      this.#shown = PAGE;
      this.load();
    });
    $('own-tasks-more').addEventListener('click', () => {
      this.#shown += PAGE;
      this.load();
    });
  }

  // Loads the rows that are shown, and those of new tasks.
  async load() {
    const asked = ++this.#asked;
    try {
      const { tasks, next } = await this.#find();
      if (asked !== this.#asked) return;
      [this.#tasks, this.#next] = [tasks, next];
      this.draw();
    } catch (error) {
      if (asked === this.#asked) this.#fail(error);
    }
  }

  async #find() {
    let tasks = [];
    let next = '';
    for (let i = 0; i < EMPTY_PAGES_MAX && tasks.length < this.#shown && next !== null; i++) {
      const query = new URLSearchParams({ state: this.#state, limit: this.#shown - tasks.length, cursor: next });
      const response = await call('GET', `${BASE}/tasks?${query}`);
      if (!response.ok) throw await refusal(response);
      const page = await response.json();
      tasks = [...tasks, ...page.tasks];
      next = page.next;
    }
    return { tasks, next };
  }

  #fail(error) {
    $('own-tasks').hidden = false;
    $('own-tasks-more').hidden = true;
    $('own-tasks-list').replaceChildren(el('li', { class: 'empty' }, this.view.refusal(error).title));
  }

  draw() {
    if (!this.#tasks) return;
    $('own-tasks').hidden = false;
    $('own-tasks-state').replaceChildren(...STATES.map((value) => el('option', { value, selected: value === this.#state }, this.t(`status_${value}`))));
    const rows = this.#tasks.map((task) => this.#row(task));
    $('own-tasks-list').replaceChildren(...(rows.length ? rows : [el('li', { class: 'empty' }, this.t('own_tasks_empty'))]));
    $('own-tasks-more').hidden = this.#next === null;
  }

  // Marks the task that the page shows.
  mark() {
    for (const link of document.querySelectorAll('#own-tasks-list a')) this.#markOne(link);
  }

  #markOne(link) {
    if (link.dataset.task === this.current()) link.setAttribute('aria-current', 'true');
    else link.removeAttribute('aria-current');
  }

  #row(task) {
    const link = el('a', { href: `#task=${encodeURIComponent(task.task_id)}`, 'data-task': task.task_id, class: 'mono' }, task.task_id);
    this.#markOne(link);
    return el('li', {},
      el('span', { class: 'pill', 'data-state': task.status }, this.t(`status_${task.status}`)),
      link,
      el('span', { class: 'what muted small' }, this.#what(task)),
      el('time', { class: 'muted small', datetime: task.created_at }, new Date(task.created_at).toLocaleString(this.language())));
  }

  // Why it failed, its place, or its model.
  #what({ code, position, model }) {
    if (code) return this.view.words(code, code).title;
    return position ? this.t('own_tasks_position', { position }) : model ?? '';
  }
}
