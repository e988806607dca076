// The models of GET /models: the form shows the fields that the chosen model has, with its limits and its price.

import { BASE, call } from '../shared/api.js';
import { $, el } from '../shared/dom.js';

const OTHER = 'other';
const PIXELS = '2048x2048';

// Whether the model takes this size, as the gateway checks it.
const takes = (row, size) => {
  if (row.sizes.includes(size)) return true;
  const [width, height] = size.split('x').map(Number);
  const { min, max, ratio_max: ratio } = row.pixels ?? {};
  return width * height >= min && width * height <= max && width <= height * ratio && height <= width * ratio;
};

// An example of a size in pixels; empty if the model takes none.
const pixelsOf = (row) => {
  const side = Math.floor(Math.sqrt(row.pixels?.max ?? 0));
  return [PIXELS, `${side}x${side}`].filter((size) => takes(row, size)).slice(0, 1);
};

// Whether a model of the list has a field. Fields that are not here are for all models.
const HAS = {
  max_images: (row) => row.group,
  output_format: (row) => row.output_formats.length > 1,
  optimize_prompt: (row) => row.optimize_prompt.length > 1,
  background: (row) => row.backgrounds.length > 1,
  layers: (row) => row.layers_max > 0,
  web_search: (row) => row.web_search,
  seed: (row) => row.seed,
  guidance_scale: (row) => row.guidance_scale,
};

export class Models {
  #answer = null; // of GET /models; null: not known
  #wanted = '';   // what to choose when it is known

  constructor({ t, onChange, onLoad }) {
    Object.assign(this, { t, onChange, onLoad });
    this.apply();
  }

  // Without an answer, such as without a key, the form has the fields that all models have.
  async load() {
    if (this.#answer) return;
    try {
      const response = await call('GET', `${BASE}/models`);
      if (response.ok) this.#answer = await response.json();
    } catch {
      return; // the request itself will say that the gateway cannot be reached
    }
    if (!this.#answer) return;
    this.#fillModels();
    this.choose(this.#wanted);
    this.onChange();
    this.onLoad();
  }

  // Of a request; undefined: not known.
  get limits() {
    return this.#answer?.limits;
  }

  // Also before the list is there.
  choose(value) {
    this.#wanted = value;
    if (this.#answer) $('model').value = [...$('model').options].some((option) => option.value === value) ? value : '';
    this.apply();
  }

  // The id for the request; '' for the default.
  value() {
    const value = $('model').value;
    return value === OTHER ? $('model_other').value.trim() : value;
  }

  // Whether the gateway keeps a list of the client's tasks.
  hasTaskList() {
    return Boolean(this.#answer?.limits.task_list);
  }

  has(name) {
    return !$(name).closest('.field').hidden;
  }

  // After a change of the model or of the language.
  apply() {
    const row = this.#row();
    $('model-field').hidden = !this.#answer;
    $('model_other').hidden = $('model').value !== OTHER;
    for (const [name, has] of Object.entries(HAS)) {
      const shown = row ? has(row) : name === 'max_images' || this.#isOther();
      $(name).closest('.field').hidden = !shown;
    }
    $('webhook').closest('.field').hidden = !this.#answer?.limits.webhooks;
    this.#drawSizes(row);
    this.#drawDefaults(row);
    $('model-hint').textContent = row ? [this.#price(row), row.note].filter(Boolean).join(' ') : '';
  }

  #isOther() {
    return $('model').value === OTHER || Boolean(this.#answer && !$('model').value);
  }

  // null: not listed, or the list is not there.
  #row() {
    const id = $('model').value || this.#answer?.defaults.listed_as;
    return this.#answer?.models.find((row) => row.id === id) ?? null;
  }

  #fillModels() {
    const options = this.#answer.models.map((row) => el('option', { value: row.id }, row.title));
    $('model').replaceChildren(el('option', { value: '' }), ...options, el('option', { value: OTHER }));
  }

  #drawSizes(row) {
    const sizes = row ? [...row.sizes, ...pixelsOf(row)] : ['1K', '2K', '4K', PIXELS];
    $('sizes').replaceChildren(...sizes.map((value) => el('option', { value })));
    $('size-hint').textContent = sizes.join(', ');
  }

  // What a field that is left alone gets.
  #drawDefaults(row) {
    const defaults = this.#answer?.defaults;
    const by = (value) => (value === undefined ? this.t('by_default') : this.t('by_default_is', { value }));
    $('size').placeholder = by(row && takes(row, defaults.size) ? defaults.size : undefined);
    $('max_images').placeholder = by(defaults?.max_images);
    $('max_paid_calls').placeholder = by(defaults?.max_paid_calls);
    if (!defaults) return;
    $('max_paid_calls').max = this.#answer.limits.max_paid_calls;
    const title = this.#answer.models.find(({ id }) => id === defaults.listed_as)?.title;
    $('model').options[0].textContent = by(title ?? defaults.model);
    [...$('model').options].at(-1).textContent = this.t('model_other');
  }

  #price({ price }) {
    if (!price) return this.t('price_unknown');
    const amounts = price.images.map(({ amount }) => amount);
    const [low, high] = [Math.min(...amounts), Math.max(...amounts)];
    const currency = this.#answer.currency;
    const { free, amount } = price.references;
    const words = low === high ? this.t('price', { amount: low, currency }) : this.t('price_range', { low, high, currency });
    return amount ? `${words} ${this.t(free ? 'price_references_after' : 'price_references', { amount, currency, free })}` : words;
  }
}
