// What tasks have cost: sums of today and this month with their limits, a bar per day, and a table of clients. From GET /admin/usage.

import { $, el } from '../shared/dom.js';
import { whole } from '../shared/format.js';
import { admin } from './admin.js';
import { replace } from './board.js';

const SVG = 'http://www.w3.org/2000/svg';
const [WIDTH, HEIGHT, GAP] = [900, 100, 4];
const CLIENTS_MAX = 20;

// 0.09 USD, 1,234.5 USD
export const money = (amount, currency) => `${amount.toLocaleString('en', { maximumFractionDigits: 6 })} ${currency ?? ''}`.trim();

// The days from `from` to `to`, inclusive, as 2026-11-30.
export function daysBetween(from, to) {
  const days = [];
  for (let at = Date.parse(from); at <= Date.parse(to); at += 86_400_000) days.push(new Date(at).toISOString().slice(0, 10));
  return days;
}

// Sums of rows, by day or by client: the amount in the report's currency, and those in currencies of earlier prices.
export function sumsBy(rows, name, currency) {
  const sums = new Map();
  for (const row of rows) {
    const sum = sums.get(row[name]) ?? { tasks: 0, images: 0, amount: 0, others: new Map(), unpriced: 0 };
    sum.tasks += row.tasks;
    sum.images += row.images;
    if (!row.cost) sum.unpriced += row.tasks;
    else if (row.cost.currency === currency) sum.amount += row.cost.amount;
    else sum.others.set(row.cost.currency, (sum.others.get(row.cost.currency) ?? 0) + row.cost.amount);
    sums.set(row[name], sum);
  }
  return sums;
}

// The currency of the ledger, or else that of most rows.
const currencyOf = ({ spending, rows }) => spending.currency ?? rows.find(({ cost }) => cost)?.cost.currency ?? null;

export class Costs {
  #report = null;

  constructor({ t }) {
    this.t = t;
  }

  // A report that cannot be read leaves the last one: the poll of the overview tells what is wrong.
  async load() {
    try {
      this.#report = await admin.usage();
    } catch {
      return;
    }
    this.draw();
  }

  draw() {
    const report = this.#report;
    $('costs').hidden = !report || (!report.counted && !report.rows.length);
    if ($('costs').hidden) return;
    const { t } = this;
    replace($('costs-body'), [t('costs'), report], () => {
      const currency = currencyOf(report);
      return [el('dl', { class: 'facts' }, ...['day', 'month'].map((window) => this.#fact(window, report.spending[window], currency))),
        this.#days(report, currency), this.#clients(report, currency)];
    });
  }

  #fact(window, { limit, spent, reserved }, currency) {
    const { t } = this;
    const share = limit ? (spent + reserved) / limit : 0;
    const parts = [t('costs_spent', { amount: money(spent, currency) }), reserved && t('costs_reserved', { amount: money(reserved, currency) }),
      limit !== null && t('costs_limit', { amount: money(limit, currency) })];
    return el('div', { 'data-fact': `costs_${window}` }, el('dt', {}, t(`costs_${window}`)),
      el('dd', { 'data-tone': share > 1 - Number.EPSILON ? 'bad' : share > 0.8 ? 'warn' : '' }, parts.filter(Boolean).join(' · ')));
  }

  #days({ from, to, rows }, currency) {
    const { t } = this;
    const days = daysBetween(from, to);
    const sums = sumsBy(rows, 'day', currency);
    const amounts = days.map((day) => sums.get(day)?.amount ?? 0);
    const most = Math.max(...amounts);
    const svg = document.createElementNS(SVG, 'svg');
    for (const [name, value] of Object.entries({ viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': t('costs_days') })) svg.setAttribute(name, value);
    amounts.forEach((amount, i) => {
      const bar = document.createElementNS(SVG, 'rect');
      const height = most ? (HEIGHT * amount) / most : 0;
      const box = { class: 'bar', x: (i * WIDTH) / days.length, y: HEIGHT - height, width: WIDTH / days.length - GAP, height };
      for (const [name, value] of Object.entries(box)) bar.setAttribute(name, value);
      const title = document.createElementNS(SVG, 'title');
      title.textContent = `${days[i]}: ${money(amount, currency)}`;
      bar.append(title);
      svg.append(bar);
    });
    return el('figure', { class: 'chart days' }, el('figcaption', {}, t('costs_days')),
      el('div', { class: 'plot accent' }, svg, el('span', { class: 'tick mono' }, money(most, currency))),
      el('div', { class: 'axis mono', 'aria-hidden': 'true' }, el('span', {}, from), el('span', {}, to)));
  }

  #clients({ rows }, currency) {
    const { t } = this;
    const clients = [...sumsBy(rows, 'client', currency)].sort(([, a], [, b]) => b.amount - a.amount || b.tasks - a.tasks);
    const head = ['client', 'costs_tasks', 'pictures', 'cost'].map((name) => el('th', { role: 'columnheader', scope: 'col' }, t(name)));
    const cell = (label, ...content) => el('td', { role: 'cell', 'data-label': t(label) }, ...content);
    const small = (text) => el('span', { class: 'muted small under' }, text);
    const row = ([client, { tasks, images, amount, others, unpriced }]) => el('tr', { role: 'row', 'data-client': client }, cell('client', el('strong', {}, client)),
      cell('costs_tasks', whole(tasks)), cell('pictures', whole(images)),
      cell('cost', money(amount, currency), ...[...others].map(([other, sum]) => small(money(sum, other))),
        unpriced ? small(t('costs_unpriced', { n: whole(unpriced) })) : ''));
    if (!clients.length) return el('p', { class: 'empty' }, t('costs_none'));
    return el('div', {}, el('table', { role: 'table', class: 'rows', 'aria-labelledby': 'costs-title' }, el('thead', { role: 'rowgroup' }, el('tr', { role: 'row' }, ...head)),
      el('tbody', { role: 'rowgroup' }, ...clients.slice(0, CLIENTS_MAX).map(row))),
    ...(clients.length > CLIENTS_MAX ? [el('p', { class: 'hint' }, t('more_rows', { n: whole(clients.length - CLIENTS_MAX) }))] : []));
  }
}
