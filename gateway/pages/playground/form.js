// The form: reads its fields as a request, and shows validation errors.

import { $ } from '../shared/dom.js';
import { tab } from '../shared/storage.js';

const URLS_MAX = 14;
const SAMPLE = [
  'https://ark-project.tos-cn-beijing.volces.com/doc_image/seedream4_imagesToimages_1.png',
  'https://ark-project.tos-cn-beijing.volces.com/doc_image/seedream4_imagesToimages_2.png',
];
const FIELDS = ['urls', 'prompt', 'size', 'max_images', 'watermark', 'max_paid_calls'];

export class Form {
  constructor({ t, count, onChange, onSubmit }) {
    Object.assign(this, { t, count, onChange });
    this.element = $('form');
    this.element.addEventListener('submit', (event) => {
      event.preventDefault();
      onSubmit();
    });
    this.element.addEventListener('input', () => this.#changed());
    $('sample').addEventListener('click', () => this.#fillSample());
    this.#takeDrops();
    this.#restore();
    this.showCount();
  }

  // The request without task_id. Empty fields are absent.
  request() {
    const request = { urls: this.#urls() };
    for (const name of ['prompt', 'size']) if ($(name).value.trim()) request[name] = $(name).value.trim();
    for (const name of ['max_images', 'max_paid_calls']) if ($(name).value) request[name] = $(name).valueAsNumber;
    if ($('watermark').value) request.watermark = $('watermark').value === 'true';
    return request;
  }

  // Returns true if the form is valid. Otherwise shows the errors and focuses the first invalid field.
  check() {
    const urls = this.#lines();
    const odd = urls.find(({ text }) => !/^(https?:\/\/|data:image\/)/i.test(text));
    const errors = {};
    if (!urls.length && !$('prompt').value.trim()) errors.urls = this.t('urls_missing');
    else if (urls.length > URLS_MAX) errors.urls = this.t('urls_many', { n: urls.length });
    else if (odd) errors.urls = this.t('urls_line', odd);
    for (const name of ['max_images', 'max_paid_calls']) {
      const { min, max, validity } = $(name);
      if (!validity.valid) errors[name] = this.t('number_range', { min, max });
    }
    this.show(errors);
    return Object.keys(errors).length === 0;
  }

  // Shows the gateway's validation errors, a list of { pointer, detail }. Returns the errors that belong to no field of the form.
  showFields(fields) {
    const errors = {};
    const rest = [];
    for (const { pointer, detail } of fields) {
      const [, name, index] = pointer.split('/');
      const text = index === undefined ? detail : this.t('line', { line: this.#lines()[index]?.line ?? Number(index) + 1, detail });
      if (FIELDS.includes(name)) errors[name] = errors[name] ? `${errors[name]}\n${text}` : text;
      else rest.push(`${pointer}: ${detail}`);
    }
    this.show(errors);
    return rest;
  }

  show(errors) {
    for (const name of [...FIELDS, 'key']) {
      const error = $(`${name}-error`);
      error.textContent = errors[name] || '';
      error.hidden = !errors[name];
      if (errors[name]) $(name).setAttribute('aria-invalid', 'true');
      else $(name).removeAttribute('aria-invalid');
    }
    const first = [...FIELDS, 'key'].find((name) => errors[name]);
    if (!first) return;
    if ($('options').contains($(first))) $('options').open = true;
    $(first).focus();
  }

  showCount() {
    const n = this.#lines().length;
    $('urls-hint').textContent = n ? this.count('urls_count', n) : this.t('urls_hint');
  }

  #lines() {
    return $('urls').value.split('\n').map((text, i) => ({ text: text.trim(), line: i + 1 })).filter(({ text }) => text);
  }

  #urls() {
    return this.#lines().map(({ text }) => text);
  }

  #fillSample() {
    $('urls').value = SAMPLE.join('\n');
    this.#changed();
  }

  #add(urls) {
    $('urls').value = [...this.#urls(), ...urls].join('\n');
    this.#changed();
  }

  #changed() {
    this.show({});
    this.showCount();
    tab.set('draft', JSON.stringify(Object.fromEntries(FIELDS.map((name) => [name, $(name).value]))));
    this.onChange();
  }

  #restore() {
    const draft = tab.get('draft');
    if (!draft) $('urls').value = SAMPLE.join('\n');
    else for (const [name, value] of Object.entries(JSON.parse(draft))) if (FIELDS.includes(name)) $(name).value = value;
  }

  // Links and images dragged from other pages arrive as text/uri-list.
  #takeDrops() {
    const area = $('urls');
    const lit = (on) => area.classList.toggle('drop', on);
    area.addEventListener('dragover', (event) => {
      event.preventDefault();
      lit(true);
    });
    for (const name of ['dragleave', 'dragend']) area.addEventListener(name, () => lit(false));
    area.addEventListener('drop', (event) => {
      event.preventDefault();
      lit(false);
      const text = event.dataTransfer.getData('text/uri-list') || event.dataTransfer.getData('text/plain');
      const urls = text.split(/\r?\n/).map((line) => line.trim()).filter((line) => line && !line.startsWith('#'));
      if (urls.length) this.#add(urls);
      else if (event.dataTransfer.files.length) this.show({ urls: this.t('urls_files') });
    });
  }
}
