// Draws the task's card from the story.

import { $, copyText, el } from '../shared/dom.js';
import { duration, roughly } from '../shared/format.js';
import { downloadOf, isStored, keptUntil, linkOf, saveAll } from '../shared/pictures.js';

const DECIDED = ['done', 'failed', 'cancelled'];
export const isOver = (story) => DECIDED.includes(story.state);

export class View {
  #drawn = new Map(); // image index -> what its tile shows

  constructor({ t, has, count }) {
    Object.assign(this, { t, has, count });
  }

  // Before another task is shown.
  clear() {
    this.#drawn.clear();
    $('pictures').replaceChildren();
    $('error').hidden = true;
    $('connection').hidden = true;
    $('saved').textContent = '';
  }

  draw(story, taskId) {
    $('empty').hidden = true;
    $('live').hidden = false;
    $('task-id').hidden = false;
    $('task-id').textContent = taskId;
    this.#drawStatus(story);
    this.#drawPictures(story);
    this.#drawFacts(story);
    this.#drawTimeline(story);
    if (story.outcome && story.state !== 'done') this.showError(this.#failure(story));
    this.tick(story);
  }

  // After the language has changed: the tiles have texts too.
  redraw(story, taskId) {
    this.#drawn.clear();
    $('saved').textContent = '';
    $('pictures').replaceChildren();
    this.draw(story, taskId);
  }

  // Updates the running times.
  tick(story) {
    const until = story.outcome ? story.outcome.at : Date.now();
    const ms = story.outcome?.timing?.total_ms ?? (until === null ? null : until - story.began);
    $('elapsed').textContent = ms === null ? '' : duration(Math.max(0, ms));
    for (const time of document.querySelectorAll('#timeline .lasted.running')) {
      time.textContent = duration(Date.now() - Number(time.dataset.since));
    }
  }

  statusText(story) {
    const { position, etaMs, held } = story.waiting;
    const n = story.pictures.filter(Boolean).length;
    const failed = story.failed.filter(Boolean).length;
    if (story.cancelling && !isOver(story)) return this.t('state_cancelling');
    if (['waiting', 'retrying'].includes(story.state) && held) return this.t('state_held', { why: this.t(this.has(`hold_${held}`) ? `hold_${held}` : 'hold_other') });
    if (story.state === 'waiting' && position && etaMs !== undefined) return this.t('state_waiting_eta', { position, eta: roughly(etaMs) });
    if (story.state === 'waiting' && position) return this.t('state_waiting_at', { position });
    if (story.state === 'calling' && n) return this.count('state_calling_some', n);
    if (story.state === 'done') return failed ? this.t('state_partial', { n, all: n + failed }) : this.count('state_done', n);
    return this.t(`state_${story.state}`);
  }

  showConnection(state, until) {
    const text = {
      connecting: () => this.t('connection_connecting'),
      waiting: () => this.t('connection_lost', { delay: roughly(until - Date.now()) }),
      unanswered: () => this.t('connection_unanswered', { delay: roughly(until - Date.now()) }),
      offline: () => this.t('connection_offline'),
      gone: () => this.t('connection_ended'),
    }[state]?.();
    $('connection').hidden = !text;
    $('connection').textContent = text || '';
    $('connection').className = state === 'connecting' ? 'notice' : 'notice warn';
  }

  // { title, details: [], facts: [], retry: function or undefined }
  showError({ title, details = [], facts = [], retry }) {
    const box = $('error');
    box.replaceChildren(
      el('strong', {}, title),
      ...details.map((text) => el('p', {}, text)),
      ...(facts.length ? [el('p', { class: 'small mono' }, facts.join(' · '))] : []),
      ...(retry ? [el('button', { type: 'button', class: 'button small', onclick: retry }, this.t('try_again'))] : []),
    );
    box.hidden = false;
  }

  // The text of an error code, and the server's own message if it adds to it.
  words(code, said) {
    const known = this.has(`code_${code}`);
    return { title: known ? this.t(`code_${code}`) : said, said: known ? said : '' };
  }

  // The arguments of showError for a Refusal, or for a gateway that cannot be reached.
  refusal(error, more = [], retry = undefined) {
    const { title, said } = error.status ? this.words(error.code, error.message) : { title: this.t('no_network'), said: '' };
    const mayHelp = error.retryable ?? true;
    const delay = error.retryAfterMs ? roughly(error.retryAfterMs) : '';
    return {
      title,
      details: [...(said && said !== title && !error.fields?.length ? [said] : []), ...more,
        ...(mayHelp ? [this.t(delay ? 'retry_helps_in' : 'retry_helps', { delay })] : [])],
      facts: [...(error.code ? [this.t('error_code', { code: error.code })] : []),
        ...(error.requestId ? [this.t('error_request', { id: error.requestId })] : [])],
      retry: mayHelp ? retry : undefined,
    };
  }

  #failure(story) {
    const { code, error, retryable, request_id, ark_code } = story.outcome;
    const { title, said } = this.words(code, error);
    const cancelled = story.state === 'cancelled';
    const details = [...(said && !cancelled ? [said] : []), ...(cancelled ? [] : [this.t(retryable ? 'retry_helps' : 'retry_useless')])];
    const facts = [this.t('error_code', { code }), ...(ark_code ? [ark_code] : []),
      ...(request_id ? [this.t('error_ark_request', { id: request_id })] : [])];
    return { title, details, facts };
  }

  #drawStatus(story) {
    $('status').dataset.state = story.state;
    $('status-text').textContent = this.statusText(story);
    if (isOver(story) && $('controls').contains(document.activeElement)) $('task-title').focus(); // the focused button is about to be hidden
    $('controls').hidden = isOver(story);
    $('cancel').disabled = story.cancelling || story.state === 'sending';
  }

  // Keeps unchanged tiles, so that no image is loaded twice.
  #drawPictures(story) {
    const list = $('pictures');
    const size = Math.max(story.pictures.length, story.failed.length);
    list.querySelector('.coming')?.remove();
    for (let i = 0; i < size; i++) this.#drawTile(list, i, story.pictures[i], story.failed[i]);
    while (list.children.length > size) list.lastChild.remove();
    if (story.state === 'calling' && !story.cancelling) {
      list.append(el('li', { class: 'coming' }, el('span', { class: 'visually-hidden' }, this.t('picture_coming'))));
    }
    $('result').hidden = !list.children.length;
    this.#drawKeeping(story.pictures.filter(Boolean));
  }

  // How long the links live, and the button that saves all images.
  #drawKeeping(pictures) {
    const stored = pictures.filter(isStored);
    $('links-live').hidden = !pictures.some((picture) => !isStored(picture) && !picture.url.startsWith('data:'));
    $('links-kept').hidden = !stored.length;
    if (stored.length) $('links-kept').textContent = this.t('links_kept', { day: keptUntil(stored[0]) });
    $('save-box').hidden = stored.length < 2;
  }

  async saveAll(story, taskId) {
    $('save-all').disabled = true;
    $('saved').textContent = this.t('saving');
    const all = story.pictures.filter(Boolean).length;
    const saved = await saveAll(story.pictures, taskId).catch(() => 0);
    $('saved').textContent = saved === all ? this.count('saved_all', saved) : this.t('saved_some', { n: saved, all });
    $('save-all').disabled = false;
  }

  #drawTile(list, i, picture, failure) {
    const shows = picture ? linkOf(picture) : failure ? failure.code : '';
    const tile = list.children[i];
    if (tile && this.#drawn.get(i) === shows) return;
    const made = picture ? this.#picture(i + 1, picture) : failure ? this.#failed(i + 1, failure) : el('li', { class: 'coming' });
    this.#drawn.set(i, shows);
    if (tile) tile.replaceWith(made);
    else list.append(made);
  }

  #picture(number, picture) {
    const { size } = picture;
    const url = linkOf(picture);
    const name = this.t('number', { number });
    return el('li', {},
      el('div', { class: 'frame' }, this.#image(number, picture)),
      el('div', { class: 'caption' },
        el('span', {}, el('strong', {}, name), size ? el('span', { class: 'muted' }, ` ${size}`) : null),
        el('span', { class: 'links' },
          this.#opener(url, name),
          isStored(picture) ? el('a', { href: downloadOf(picture), target: '_blank', rel: 'noopener', 'aria-label': `${this.t('download')}: ${name}` },
            this.t('download')) : null,
          el('button', { type: 'button', class: 'link', 'aria-label': `${this.t('copy_link')}: ${name}`,
            onclick: (event) => copyText(event.currentTarget, url, this.t('copied')) }, this.t('copy_link')))));
  }

  // A picture that could not be copied can still be at ARK.
  #image(number, picture) {
    const { url, size } = picture;
    const alt = this.t(/^\d/.test(size || '') ? 'picture_alt_size' : 'picture_alt', { number, size });
    const image = el('img', { src: linkOf(picture), alt, decoding: 'async', referrerpolicy: 'no-referrer' });
    let others = isStored(picture) && /^https?:/i.test(url) ? [url] : [];
    image.onerror = () => {
      if (others.length) [image.src, others] = [others[0], []];
      else image.replaceWith(el('p', { class: 'broken' }, this.t('picture_broken')));
    };
    return image;
  }

  // Browsers do not navigate to data: URLs, so those are saved instead.
  #opener(url, name) {
    const how = { href: url, 'aria-label': `${this.t('open')}: ${name}` };
    if (/^data:image\//i.test(url)) return el('a', { ...how, download: '' }, this.t('open'));
    return /^https?:/i.test(url) ? el('a', { ...how, target: '_blank', rel: 'noopener noreferrer' }, this.t('open')) : null;
  }

  #failed(number, { code, error, message }) {
    const { title, said } = this.words(code, error || message || code);
    return el('li', { class: 'lost' },
      el('strong', {}, this.t('picture_failed', { number })),
      el('p', {}, title),
      said && said !== title ? el('p', { class: 'small' }, said) : null,
      el('p', { class: 'small mono' }, this.t('error_code', { code })));
  }

  #cost(cost) {
    return cost ? this.t(cost.estimated ? 'cost_at_most' : 'cost', { currency: cost.currency, amount: cost.amount }) : this.t('cost_unknown');
  }

  #drawFacts(story) {
    const o = story.outcome;
    $('facts-box').hidden = !o;
    if (!o) return;
    const rows = [];
    if (o.timing) {
      const { total_ms, queued_ms, ark_ms } = o.timing;
      rows.push(['fact_time', this.t('fact_time_value', { total: duration(total_ms), queued: duration(queued_ms), ark: duration(ark_ms) })]);
    }
    rows.push(['fact_charged', this.t(o.charged === 'yes' && o.code ? 'charged_yes_lost' : `charged_${o.charged}`)]);
    if (o.cost !== undefined) rows.push(['fact_cost', this.#cost(o.cost)]);
    rows.push(['fact_calls', (o.paid_calls ? this.count('calls', o.paid_calls) : this.t('calls_zero')) +
      (o.unknown_calls ? this.t('calls_unknown', { n: o.unknown_calls }) : '') +
      (o.attempts > 1 ? this.t('attempts', { n: o.attempts }) : '') +
      (o.earlier_paid_calls ? this.t('calls_earlier', { n: o.earlier_paid_calls }) : '')]);
    if (o.usage?.generated_images !== undefined) {
      const { generated_images: images, total_tokens: tokens = '?' } = o.usage;
      rows.push(['fact_tokens', this.count('tokens', images, { images, tokens })]);
    }
    $('facts').replaceChildren(...rows.map(([name, value]) => el('div', {}, el('dt', {}, this.t(name)), el('dd', {}, value))));
  }

  #drawTimeline(story) {
    $('timeline').replaceChildren(...story.steps.map((step) => this.#step(step, story)));
  }

  stepText({ kind, values }) {
    return this.t(`step_${kind}`, { ...values, delay: values.delayMs === undefined ? '' : duration(values.delayMs) });
  }

  #step(step, story) {
    const tone = step.open ? 'running' : step.tone || '';
    const why = step.code ? el('span', { class: 'muted' }, ` · ${this.words(step.code, step.code).title}`) : null;
    return el('li', { 'data-tone': tone, 'data-kind': step.kind },
      el('span', { class: 'what' }, this.stepText(step), why),
      this.#lasted(step),
      el('span', { class: 'when mono' }, this.#when(step, story)));
  }

  #when(step, story) {
    if (step.at !== null) return `+${duration(Math.max(0, step.at - story.began))}`;
    return this.t(story.steps.some((one) => one.kind === 'joined') ? 'earlier' : 'away');
  }

  #lasted(step) {
    if (step.open && step.at !== null) return el('span', { class: 'lasted mono running', 'data-since': step.at });
    if (step.ms === undefined || step.ms === null) return null;
    return el('span', { class: 'lasted mono' }, this.t('lasted', { duration: duration(Math.max(0, step.ms)) }));
  }
}
