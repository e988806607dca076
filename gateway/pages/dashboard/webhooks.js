// Receivers of webhooks and failed deliveries. The card is hidden while there are none.

import { $, el } from '../shared/dom.js';
import { age, roughly, whole } from '../shared/format.js';
import { admin } from './admin.js';
import { replace } from './board.js';

const ROWS_MAX = 20;

export class Webhooks {
  #seen = null;

  // on: resendFailed(number), open(id), failed(error), now()
  constructor({ t, count }, on) {
    Object.assign(this, { t, count, on });
    $('resend-failed').addEventListener('click', () => this.on.resendFailed(this.#seen.failed));
  }

  async load() {
    try {
      this.#seen = await admin.webhooks();
      this.draw();
    } catch (error) {
      this.on.failed(error);
    }
  }

  draw() {
    const seen = this.#seen;
    if (!seen) return;
    const { t } = this;
    $('webhooks-card').hidden = !seen.waiting && !seen.failed && !seen.lanes.length;
    $('resend-failed').hidden = !seen.failed;
    $('resend-failed').textContent = t('resend_failed', { n: whole(seen.failed) });
    const now = this.on.now();
    const lanes = seen.lanes.slice(0, ROWS_MAX).map((lane) => ({ ...lane, next_at: undefined, state: this.#state(lane, now) }));
    const failures = seen.failed_deliveries.slice(0, ROWS_MAX).map((each) => ({ ...each, ago: age(now - Date.parse(each.failed_at)) }));
    replace($('webhooks'), [t('webhooks'), seen.waiting, seen.failed, seen.failing, lanes, failures], () => [
      el('dl', { class: 'facts' }, ...[['webhooks_waiting', seen.waiting], ['webhooks_failing', seen.failing], ['webhooks_failed', seen.failed]].map(([name, value]) =>
        el('div', { 'data-fact': name }, el('dt', {}, t(name)), el('dd', {}, whole(value))))),
      ...(lanes.length ? [this.#table('receivers', ['client', 'receiver', 'webhooks_waiting', 'status'], lanes.map((lane) => this.#lane(lane)))] : []),
      ...(failures.length ? [this.#table('failed_deliveries', ['task', 'outcome', 'ended'], failures.map((each) => this.#failure(each)))] : [])]);
  }

  #state({ failing_since: since, paused_until: until }, now) {
    if (!since) return { tone: 'good', text: this.t('receiver_ok') };
    const wait = Date.parse(until) - now;
    return { tone: 'bad', text: this.t(wait > 0 ? 'receiver_waits' : 'receiver_fails', { age: age(now - Date.parse(since)), delay: roughly(Math.max(0, wait)) }) };
  }

  #table(title, names, rows) {
    const { t } = this;
    return el('div', {}, el('h3', { id: `${title}-title` }, t(title)),
      el('table', { role: 'table', class: 'rows', 'aria-labelledby': `${title}-title` },
        el('thead', { role: 'rowgroup' }, el('tr', { role: 'row' }, ...names.map((name) => el('th', { role: 'columnheader', scope: 'col' }, t(name))))),
        el('tbody', { role: 'rowgroup' }, ...rows.map((cells) =>
          el('tr', { role: 'row' }, ...cells.map((content, i) => el('td', { role: 'cell', 'data-label': t(names[i]) }, content)))))));
  }

  #lane({ client, host, waiting, state }) {
    return [client, el('span', { class: 'mono' }, host), whole(waiting), el('span', { class: `pill ${state.tone}` }, state.text)];
  }

  #failure({ id, url, outcome, ago }) {
    return [el('button', { type: 'button', class: 'link mono', 'data-focus': `webhook ${id}`, onclick: () => this.on.open(id) }, id),
      el('span', {}, el('span', { class: 'mono' }, outcome), el('span', { class: 'muted mono under' }, url)), ago];
  }
}
