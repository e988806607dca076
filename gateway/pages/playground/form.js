// The form: reads its fields as a request, and shows validation errors.

import { $ } from '../shared/dom.js';
import { tab } from '../shared/storage.js';
import { Models } from './models.js';
import { Uploads, isUpload } from './uploads.js';

const URLS_MAX = 14;
const SAMPLE = [
  'https://ark-project.tos-cn-beijing.volces.com/doc_image/seedream4_imagesToimages_1.png',
  'https://ark-project.tos-cn-beijing.volces.com/doc_image/seedream4_imagesToimages_2.png',
];
const WORDS = ['prompt', 'size', 'output_format', 'optimize_prompt', 'background', 'webhook'];
const NUMBERS = ['max_images', 'seed', 'guidance_scale', 'max_paid_calls'];
const FLAGS = ['watermark', 'web_search', 'layers'];
const FIELDS = ['urls', 'model', ...WORDS, ...NUMBERS, ...FLAGS];
const KEPT = [...FIELDS, 'model_other'];

export class Form {
  constructor({ t, count, onChange, onSubmit, onLoad }) {
    Object.assign(this, { t, count, onChange });
    this.models = new Models({ t, onChange, onLoad });
    this.uploads = new Uploads({
      t,
      urls: () => this.#urls(),
      add: (id) => this.#add([id]),
      remove: (id, index) => this.#remove(id, index),
      fail: (text) => this.show({ urls: text }),
    });
    this.element = $('form');
    this.element.addEventListener('submit', (event) => {
      event.preventDefault();
      onSubmit();
    });
    this.element.addEventListener('input', () => this.#changed());
    $('model').addEventListener('change', () => this.models.choose($('model').value));
    $('sample').addEventListener('click', () => this.#fillSample());
    this.#takeDrops();
    this.#takePastes();
    this.#restore();
    this.showCount();
  }

  // The request without task_id. Empty fields are absent.
  request() {
    const request = { urls: this.#urls() };
    const model = this.models.value();
    const given = (names) => names.filter((name) => this.models.has(name) && $(name).value.trim());
    if (model) request.model = model;
    for (const name of given(WORDS)) request[name] = $(name).value.trim();
    for (const name of given(NUMBERS)) request[name] = $(name).valueAsNumber;
    for (const name of given(FLAGS)) request[name] = $(name).value === 'true';
    return request;
  }

  // What the gateway says about itself, and what depends on it.
  async load() {
    await this.models.load();
    if (this.models.limits) this.uploads.allow(this.models.limits.upload_bytes);
  }

  // Returns true if the form is valid. Otherwise shows the errors and focuses the first invalid field.
  check() {
    const urls = this.#lines();
    const odd = urls.find(({ text }) => !isUpload(text) && !/^(https?:\/\/|data:image\/)/i.test(text));
    const errors = {};
    if (this.uploads.busy) errors.urls = this.t('uploads_busy');
    else if (!urls.length && !$('prompt').value.trim()) errors.urls = this.t('urls_missing');
    else if (urls.length > URLS_MAX) errors.urls = this.t('urls_many', { n: urls.length });
    else if (odd) errors.urls = this.t('urls_line', odd);
    for (const name of NUMBERS.filter((one) => this.models.has(one))) {
      const { min, max, step, validity } = $(name);
      if (!validity.valid) errors[name] = this.t(step ? 'decimal_range' : 'number_range', { min, max });
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
      if (FIELDS.includes(name) && this.models.has(name)) errors[name] = errors[name] ? `${errors[name]}\n${text}` : text;
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
    const urls = this.#urls();
    const uploads = urls.filter(isUpload).length;
    const name = uploads ? 'urls_uploaded' : 'urls_count';
    $('urls-hint').textContent = urls.length ? this.count(name, urls.length, { uploads }) : this.t('urls_hint');
    this.uploads.draw();
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

  // The upload of this id that is the index-th of all uploads.
  #remove(id, index) {
    let left = index;
    $('urls').value = this.#urls().filter((text) => !isUpload(text) || left-- !== 0).join('\n');
    this.#changed();
    $('files').focus();
  }

  // Images that were copied, such as screenshots. Text is pasted as always.
  #takePastes() {
    $('urls').addEventListener('paste', (event) => {
      const { files } = event.clipboardData;
      if (!files.length) return;
      event.preventDefault();
      this.uploads.take(files);
    });
  }

  #changed() {
    this.show({});
    this.showCount();
    tab.set('draft', JSON.stringify(Object.fromEntries(KEPT.map((name) => [name, $(name).value]))));
    this.onChange();
  }

  #restore() {
    const draft = tab.get('draft');
    if (!draft) $('urls').value = SAMPLE.join('\n');
    else for (const [name, value] of Object.entries(JSON.parse(draft))) if (KEPT.includes(name)) $(name).value = value;
    this.models.choose(draft ? JSON.parse(draft).model : '');
  }

  // Links and images dragged from other pages arrive as text/uri-list, images of this device as files.
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
      else this.uploads.take(event.dataTransfer.files);
    });
  }
}
