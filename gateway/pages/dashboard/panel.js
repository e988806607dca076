// The panel with all details of one task. It is updated until the task has ended.

import { $, copyText, el } from '../shared/dom.js';
import { duration, whole } from '../shared/format.js';
import { downloadOf, isStored, keptUntil, linkOf } from '../shared/pictures.js';
import { newStory, applyRecord } from '../playground/story.js';
import { admin } from './admin.js';
import { replace } from './board.js';
import { canRetry, isLive } from './tasks.js';

const OWN_FACTS = ['urls', 'prompt']; // request fields with their own rows; the others are listed as JSON

// The steps of a task's log. Events have no times; Redis stores when the task was submitted, first claimed, last called and ended.
export function stepsOf({ log, epoch, fields, status }) {
  const story = newStory();
  const calls = log.filter(({ data }) => data.stage === 'calling').length;
  let call = 0;
  applyRecord(story, { kind: 'joined', at: epoch });
  for (const { n, event, data } of log) {
    if (data.stage === 'calling') call++;
    const at = { start: epoch, done: Number(fields.ended_at), error: Number(fields.ended_at) }[event]
      ?? (data.stage === 'calling' ? Number(call === calls ? fields.called_at : call === 1 ? fields.claimed_at : NaN) : NaN);
    applyRecord(story, { kind: 'event', id: `${epoch}-${n}`, type: event, data, at, late: !(at > 0) });
  }
  const steps = story.steps.filter(({ kind }) => kind !== 'joined');
  return { ...story, steps: status === 'running' ? steps : steps.map((step) => ({ ...step, open: isLive({ status }) ? step.open : null })) };
}

export class Panel {
  #id = null;
  #task = null;

  // on: order(name, task), failed(error)
  constructor({ t, count, words }, on) {
    Object.assign(this, { t, count, words, on });
    $('story-close').addEventListener('click', () => $('story').close());
    $('story').addEventListener('click', (event) => event.target === $('story') && $('story').close());
    $('story').addEventListener('close', () => this.#forget());
  }

  get isFollowing() {
    return this.#id !== null && (!this.#task || isLive(this.#task));
  }

  get id() {
    return this.#id;
  }

  open(id) {
    this.#id = id;
    this.#task = null;
    $('story-title').textContent = id.slice(id.indexOf('.') + 1);
    replace($('story-body'), ['loading', id], () => [el('p', { class: 'empty' }, this.t('loading'))]);
    if (!$('story').open) $('story').showModal();
    $('story-title').focus();
    return this.load();
  }

  async load() {
    const id = this.#id;
    try {
      const task = await admin.story(id);
      if (id !== this.#id) return;
      this.#task = task;
      this.draw();
    } catch (error) {
      if (id !== this.#id) return;
      if (error.status === 404) replace($('story-body'), ['gone', id], () => [el('p', { class: 'notice' }, this.t('code_task_not_found'))]);
      else this.on.failed(error);
    }
  }

  close() {
    if ($('story').open) $('story').close();
    this.#forget(); // the dialog's close event is delivered later
  }

  #forget() {
    this.#id = null;
    this.#task = null;
  }

  draw() {
    const task = this.#task;
    if (!task) return;
    const { t } = this;
    const open = new Set([...document.querySelectorAll('#story details[open]')].map((one) => one.id));
    const focused = document.activeElement?.dataset.focus;
    replace($('story-body'), [t('facts'), task], () => {
      const story = stepsOf(task);
      return [this.#head(task), ...this.#trouble(task), ...this.#pictures(task, story),
        el('h3', {}, t('facts')), this.#facts(task),
        el('h3', {}, t('request')), this.#request(task.request),
        ...this.#webhook(task),
        el('h3', {}, t('timeline')), el('ol', { class: 'timeline' }, ...story.steps.map((step) => this.#step(step, story))),
        el('details', { id: 'raw', open: open.has('raw') }, el('summary', {}, t('raw')),
          el('pre', { class: 'listing', tabindex: '0', 'aria-label': t('raw') }, el('code', {}, JSON.stringify(task.fields, null, 2))))];
    });
    if (focused && !document.activeElement?.dataset.focus) document.querySelector(`#story [data-focus="${CSS.escape(focused)}"]`)?.focus();
  }

  #head(task) {
    const { t } = this;
    const order = (name, style) => el('button', { type: 'button', class: `button small ${style}`, 'data-order': name, 'data-focus': `panel ${name}`,
      onclick: () => this.on.order(name, task) }, t(name));
    return el('div', { class: 'actions' },
      el('span', { class: 'pill', 'data-state': task.status }, t(`state_${task.status}`)),
      ...(canRetry(task) ? [order('retry', 'primary')] : []),
      ...(isLive(task) ? [order('cancel', '')] : [order('erase', '')]),
      ...(task.webhook ? [order('resend', '')] : []),
      el('button', { type: 'button', class: 'button small', 'data-focus': 'panel copy', id: 'copy-story',
        onclick: (event) => copyText(event.currentTarget, JSON.stringify(task, null, 2), t('copied')) }, t('copy_json')));
  }

  #trouble({ status, code, result, fields }) {
    if (status !== 'failed') return fields.cancel === '1' && status === 'running' ? [el('p', { class: 'notice warn' }, this.t('asked_to_end'))] : [];
    const { title, said } = this.words(code, result?.error ?? code);
    return [el('div', { class: 'notice bad' }, el('strong', {}, title), ...(said && said !== title ? [el('p', {}, said)] : []),
      el('p', { class: 'small mono' }, [code, result?.ark_code, result?.request_id].filter(Boolean).join(' · ')))];
  }

  #pictures({ result }, story) {
    const all = Math.max(story.pictures.length, story.failed.length);
    if (!all) return [];
    const tiles = Array.from({ length: all }, (_, i) => (story.pictures[i] ? this.#picture(i + 1, story.pictures[i]) : this.#lost(i + 1, story.failed[i] ?? {})));
    return [el('h3', {}, this.t('pictures')), el('ul', { class: 'pictures' }, ...tiles),
      ...(result ? [el('p', { class: 'hint' }, this.#keeping(story.pictures.filter(Boolean)))] : [])];
  }

  #keeping(pictures) {
    const stored = pictures.find(isStored);
    return stored ? this.t('links_kept', { day: keptUntil(stored) }) : this.t('links_live');
  }

  // A stored picture that is not found was erased, has expired, or was never copied: ARK's link is not shown instead.
  #picture(number, picture) {
    const { t } = this;
    const { size } = picture;
    const url = linkOf(picture);
    const name = t('number', { number });
    const image = el('img', { src: /^(https?:|data:image\/)/i.test(url) ? url : '', alt: t('picture_alt', { number }), decoding: 'async', loading: 'lazy', referrerpolicy: 'no-referrer' });
    image.onerror = () => image.replaceWith(el('p', { class: 'broken' }, t(isStored(picture) ? 'picture_gone' : 'picture_broken')));
    return el('li', {}, el('div', { class: 'frame' }, image),
      el('div', { class: 'caption' }, el('span', {}, size || name),
        el('span', { class: 'links' }, ...(/^https?:/i.test(url)
          ? [el('a', { href: url, target: '_blank', rel: 'noopener noreferrer', 'aria-label': `${t('open')}: ${name}` }, t('open'))] : []),
        isStored(picture) ? el('a', { href: downloadOf(picture), target: '_blank', rel: 'noopener', 'aria-label': `${t('download')}: ${name}` }, t('download')) : null)));
  }

  #lost(number, { code = '', error, message }) {
    const { title, said } = this.words(code, error || message || code);
    return el('li', { class: 'lost' }, el('strong', {}, this.t('picture_failed', { number })), el('p', {}, title),
      said && said !== title ? el('p', { class: 'small' }, said) : null, el('p', { class: 'small mono' }, code));
  }

  #facts({ client, epoch, fields, result, status }) {
    const { t } = this;
    const time = (ms) => new Date(Number(ms)).toLocaleString(document.documentElement.lang, { hour12: false });
    const lasted = (from, to) => duration(Math.max(0, Number(to) - Number(from)));
    const rows = [
      ['client', client],
      ['created', time(epoch)],
      ['waited', fields.claimed_at && lasted(epoch, fields.claimed_at)],
      ['took', fields.ended_at && fields.claimed_at && lasted(fields.claimed_at, fields.ended_at)],
      ['ended', fields.ended_at && time(fields.ended_at)],
      ['worker', status === 'running' && fields.worker],
      ['attempts', t('n_of', { n: fields.attempt ?? 0, all: fields.max_attempts ?? '?' })],
      ['paid_calls', t('n_of', { n: fields.paid_calls ?? 0, all: fields.max_paid_calls ?? '?' }) +
        (Number(fields.unknown_calls) ? t('of_them_unknown', { n: fields.unknown_calls }) : '') +
        (Number(fields.earlier_paid_calls) ? t('earlier_calls', { n: fields.earlier_paid_calls, unknown: fields.earlier_unknown_calls ?? 0 }) : '')],
      ['charged', result?.charged && t(`charged_${result.charged}`)],
      ['cost', result?.cost && t(result.cost.estimated ? 'cost_estimated' : 'cost_exact', result.cost)],
      ['tokens', result?.usage?.total_tokens !== undefined && whole(result.usage.total_tokens)],
      ['trace', fields.trace],
    ];
    return el('dl', { class: 'facts' }, ...rows.filter(([, value]) => value).map(([name, value]) =>
      el('div', { 'data-fact': name }, el('dt', {}, t(name)), el('dd', {}, value))));
  }

  #request(request) {
    const { t } = this;
    if (!request) return el('p', { class: 'muted' }, t('request_gone'));
    const rest = Object.entries(request).filter(([name]) => !OWN_FACTS.includes(name));
    return el('dl', { class: 'facts' },
      el('div', {}, el('dt', {}, t('prompt')), el('dd', {}, request.prompt ?? t('by_default'))),
      el('div', {}, el('dt', {}, t('links')), el('dd', {}, el('ol', { class: 'urls mono' }, ...(request.urls ?? []).map((url) => el('li', {}, url))))),
      ...rest.map(([name, value]) => el('div', {}, el('dt', { class: 'mono' }, name), el('dd', { class: 'mono' }, JSON.stringify(value)))));
  }

  // The attempts to deliver the events of the task, the latest first.
  #webhook({ webhook }) {
    const { t } = this;
    if (!webhook) return [];
    const time = (at) => new Date(at).toLocaleString(document.documentElement.lang, { hour12: false });
    return [el('h3', {}, t('webhook')), el('p', { class: 'small mono' }, webhook.url ?? ''),
      webhook.attempts.length ? el('ul', { class: 'models', id: 'attempts' }, ...[...webhook.attempts].reverse().map(({ event_id: id, at, status, attempt, outcome, next_at: next }) =>
        el('li', { 'data-tone': outcome === 'delivered' ? '' : next ? 'warn' : 'bad' }, el('span', { class: 'mono' }, outcome), ' ',
          el('span', { class: 'small' }, [time(at), t('attempt_n', { n: attempt }), status, t('event_n', { n: id.split('-')[1] }), next && t('next_attempt', { at: time(next) })].filter(Boolean).join(' · ')))))
        : el('p', { class: 'muted small' }, t('no_attempt'))];
  }

  #step({ kind, at, ms, open, tone, code, values }, { began }) {
    const { t } = this;
    const delay = values.delayMs === undefined ? '' : duration(values.delayMs);
    const lasted = ms > 0 || ms === 0 ? el('span', { class: 'lasted mono' }, t('lasted', { duration: duration(ms) })) : null;
    return el('li', { 'data-tone': open ? 'running' : tone || '', 'data-kind': kind },
      el('span', { class: 'what' }, t(`step_${kind}`, { ...values, delay }), code ? el('span', { class: 'muted' }, ` · ${this.words(code, code).title}`) : null),
      lasted, el('span', { class: 'when mono' }, at > 0 ? `+${duration(Math.max(0, at - began))}` : ''));
  }
}
