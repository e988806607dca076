// A small chart of the last minutes: lines or stacked bars. The legend shows the latest values, or the values under the pointer.
//
//   const chart = new Chart($('chart-queue'), { kind: 'lines', series: [{ tone: 'accent', name: () => t('waiting') }], format, now });
//   chart.draw({ points: [{ at, values }], span, limit });

import { el } from '../shared/dom.js';
import { age } from '../shared/format.js';

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 900;
const HEIGHT = 100;

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// The next round even number: 2, 4, 6, 8, 10, 20, 30, 40, 60 ...
export function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 3, 4, 6, 8, 10].map((step) => step * power).find((round) => round >= value && round % 2 === 0);
}

export class Chart {
  #hover = null; // horizontal position of the pointer, 0 to 1
  #data = null;

  // format: formats a value for the legend. A series may have latest(): its current value, if that is not the last point.
  // least: the minimum upper end of the scale.
  constructor(figure, { kind, series, format, now, least = 10, limitName }) {
    Object.assign(this, { kind, series, format, now, least, limitName });
    this.svg = shape('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', focusable: 'false' });
    this.top = el('span', { class: 'tick mono', 'aria-hidden': 'true' });
    this.half = el('span', { class: 'tick half mono', 'aria-hidden': 'true' });
    this.when = el('span', { class: 'when mono', 'aria-hidden': 'true' });
    this.legend = el('ul', { class: 'legend' });
    this.values = series.map(() => el('strong', {}));
    this.limitValue = el('strong', {});
    const plot = el('div', { class: 'plot' }, this.svg, this.top, this.half);
    this.axis = [1, 2 / 3, 1 / 3, 0].map((share) => [share, el('span', {})]);
    figure.firstElementChild.after(this.when, this.legend, plot, el('div', { class: 'axis mono', 'aria-hidden': 'true' }, ...this.axis.map(([, tick]) => tick)));
    this.rename();
    plot.addEventListener('pointermove', (event) => this.#point(event, plot));
    plot.addEventListener('pointerleave', () => this.#leave());
  }

  // After the language has changed.
  rename() {
    const item = (tone, name, value) => el('li', {}, el('span', { class: `swatch ${tone}`, 'aria-hidden': 'true' }), el('span', {}, `${name} `), value);
    this.limitItem = this.limitName ? item('dashed', this.limitName(), this.limitValue) : null;
    this.legend.replaceChildren(...this.series.map(({ tone, name }, i) => item(tone, name(), this.values[i])), ...(this.limitItem ? [this.limitItem] : []));
  }

  draw({ points, span, limit = 0 }) {
    this.#data = { points, span, limit };
    for (const [share, tick] of this.axis) tick.textContent = share ? `${Math.round((share * span) / 60_000)} min` : this.now();
    if (this.limitItem) this.limitItem.hidden = !limit;
    this.limitValue.textContent = this.format(limit);
    const tops = points.map(({ values }) => (this.kind === 'bars' ? sum(values) : Math.max(0, ...values)));
    const scale = ceiling(Math.max(this.least, limit, ...tops));
    const end = points.at(-1).at + (this.kind === 'bars' ? this.#step() : 0);
    const x = (at) => WIDTH * (1 - (end - at) / span);
    const y = (value) => HEIGHT * (1 - value / scale);

    this.top.textContent = this.format(scale);
    this.half.textContent = this.format(scale / 2);
    this.svg.replaceChildren(
      ...[0, HEIGHT / 2, HEIGHT].map((at) => shape('path', { class: 'grid', d: `M0 ${at}H${WIDTH}` })),
      ...(limit ? [shape('path', { class: 'limit', d: `M0 ${y(limit)}H${WIDTH}` })] : []),
      ...(this.kind === 'bars' ? this.#bars(points, x, y) : this.#lines(points, x, y)),
      ...this.#cursor());
    this.#drawValues();
  }

  #step() {
    const [first, second] = this.#data.points;
    return second ? second.at - first.at : 0;
  }

  #lines(points, x, y) {
    return this.series.flatMap(({ tone }, i) => {
      const runs = runsOf(points, i);
      const line = runs.map((run) => `M${run.map(({ at, values }) => `${x(at).toFixed(1)} ${y(values[i]).toFixed(2)}`).join('L')}`).join('');
      if (!line) return [];
      const area = runs.map((run) => `M${x(run[0].at).toFixed(1)} ${HEIGHT}L${run.map(({ at, values }) =>
        `${x(at).toFixed(1)} ${y(values[i]).toFixed(2)}`).join('L')}L${x(run.at(-1).at).toFixed(1)} ${HEIGHT}Z`).join('');
      return [...(i ? [] : [shape('path', { class: `area ${tone}`, d: area })]), shape('path', { class: `line ${tone}`, d: line })];
    });
  }

  #bars(points, x, y) {
    const width = x(points[0].at + this.#step()) - x(points[0].at);
    return this.series.map(({ tone }, i) => {
      const path = points.map(({ at, values }) => {
        if (!values[i]) return '';
        const base = y(sum(values.slice(0, i)));
        const left = Math.max(0, x(at)) + 1;
        return `M${left.toFixed(1)} ${base.toFixed(2)}V${y(sum(values.slice(0, i + 1))).toFixed(2)}H${(x(at) + width - 1).toFixed(1)}V${base.toFixed(2)}Z`;
      }).join('');
      return shape('path', { class: `bar ${tone}`, d: path });
    });
  }

  // -- the pointer

  #point(event, plot) {
    const { left, width } = plot.getBoundingClientRect();
    this.#hover = Math.min(1, Math.max(0, (event.clientX - left) / width));
    if (this.#data) this.draw(this.#data);
  }

  #leave() {
    this.#hover = null;
    if (this.#data) this.draw(this.#data);
  }

  #cursor() {
    return this.#hover === null ? [] : [shape('path', { class: 'cursor', d: `M${(this.#hover * WIDTH).toFixed(1)} 0V${HEIGHT}` })];
  }

  #drawValues() {
    const { points, span } = this.#data;
    const end = points.at(-1).at + (this.kind === 'bars' ? this.#step() : 0);
    const wanted = this.#hover === null ? end : end - (1 - this.#hover) * span;
    const shown = points.findLast(({ at }) => at <= wanted) ?? points[0];
    const latest = this.#hover === null;
    this.series.forEach(({ latest: own }, i) => {
      const value = latest && own ? own() : shown.values[i];
      this.values[i].textContent = value === null || value === undefined ? '–' : this.format(value);
    });
    this.when.textContent = latest ? '' : `−${age(end - shown.at)}`;
    this.svg.setAttribute('aria-label', [...this.legend.children].map((item) => item.textContent).join(', '));
  }
}

const sum = (values) => values.reduce((all, value) => all + (value ?? 0), 0);

// The runs of consecutive points that have a value.
function runsOf(points, i) {
  const runs = [];
  let open = false;
  for (const point of points) {
    const known = point.values[i] !== null && point.values[i] !== undefined;
    if (known && open) runs.at(-1).push(point);
    else if (known) runs.push([point]);
    open = known;
  }
  return runs;
}
