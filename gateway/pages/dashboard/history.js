// The samples of the last 15 minutes, and the rates and quantiles computed from them. Pure; times are Redis's, in ms.

const SPANS_MS = [3 * 60_000, 6 * 60_000, 15 * 60_000]; // the charts use the shortest span that covers all samples
const SPAN_MAX_MS = SPANS_MS.at(-1);
const POINTS = 180;
const BARS = 36;
const RATE_MS = 60_000;
const LATENCY_MS = 120_000; // calls are slow and few: one minute has too few of them
const RATE_MIN_MS = 3000; // shortest time from which a rate is computed
const REPORTED_MIN_MS = 15_000; // the same for values that processes report every five seconds
const REPORTED = ['images', 'unknown'];
const GAP_MS = 12_000; // a longer time without samples is drawn as a gap
const PROCESSES_MAX = 2000;

// Upper bounds of the buckets of `arkrelay_ark_seconds`, in seconds. The last bucket (+Inf) is not in the list.
export const ARK_BOUNDS = [1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600];

// Worker counters start at zero with each process and disappear with it. This adds up their growth while the page is open.
export class Sums {
  #last = new Map(); // name and start time of a process -> its latest counts
  #since = null;
  totals = { images: 0, unknown: 0, ark: new Array(ARK_BOUNDS.length + 1).fill(0) };

  add(processes, nowMs) {
    for (const process of processes) if (process.role === 'worker') this.#addOne(process);
    this.#since ??= nowMs;
    while (this.#last.size > PROCESSES_MAX) this.#last.delete(this.#last.keys().next().value);
    return { ...this.totals, ark: [...this.totals.ark] };
  }

  #addOne({ name, started_at: startedAt, images = 0, unknown = 0, ark_ms: ark = [] }) {
    const life = `${name} ${startedAt}`;
    const isNew = this.#since !== null && Date.parse(startedAt) > this.#since;
    const before = this.#last.get(life) ?? (isNew ? { images: 0, unknown: 0, ark: [] } : { images, unknown, ark });
    this.totals.images += images - before.images;
    this.totals.unknown += unknown - before.unknown;
    this.totals.ark = this.totals.ark.map((sum, i) => sum + (ark[i] ?? 0) - (before.ark[i] ?? 0));
    this.#last.set(life, { images, unknown, ark });
  }
}

export function sampleOf(overview, sums) {
  const { depth, delayed, running, oldest_age_ms: oldest, counters } = overview.queue;
  const { done = 0, failed = 0, cancelled = 0, retried = 0, paid_calls: paid = 0 } = counters;
  const { images, unknown, ark } = sums.add(overview.processes, overview.now_ms);
  return { at: overview.now_ms, depth, delayed, running, oldest, done, failed, cancelled, retried, paid, images, unknown, ark };
}

export class History {
  #samples = [];

  add(sample) {
    const last = this.#samples.at(-1);
    // If counters or the clock go backwards, another Redis answers: drop the samples of the old one.
    if (last && (sample.done < last.done || sample.failed < last.failed || sample.at < last.at - SPAN_MAX_MS)) this.#samples = [];
    else if (last && sample.at <= last.at) return;
    this.#samples.push(sample);
    while (this.#samples[0].at < sample.at - SPAN_MAX_MS - LATENCY_MS) this.#samples.shift();
  }

  get last() {
    return this.#samples.at(-1);
  }

  get span() {
    return SPANS_MS.find((span) => this.last.at - this.#samples[0].at <= span) ?? SPAN_MAX_MS;
  }

  // The latest sample not after `at`; undefined if there is none.
  #upTo(at) {
    let low = 0;
    let high = this.#samples.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#samples[middle].at <= at) low = middle + 1;
      else high = middle;
    }
    return this.#samples[low - 1];
  }

  // The same; undefined if the sample is more than GAP_MS older than `at`.
  #near(at) {
    const sample = this.#upTo(at);
    return sample && at - sample.at <= GAP_MS ? sample : undefined;
  }

  #window(until, ms, least = RATE_MIN_MS) {
    const end = this.#near(until);
    const begin = end && (this.#upTo(until - ms) ?? this.#samples[0]);
    return begin && end.at - begin.at >= least ? { begin, end, ms: end.at - begin.at } : null;
  }

  // The growth of a counter per minute; null if there are not enough samples yet.
  rate(name, until = this.last.at) {
    const window = this.#window(until, RATE_MS, REPORTED.includes(name) ? REPORTED_MIN_MS : RATE_MIN_MS);
    return window && ((window.end[name] - window.begin[name]) * 60_000) / window.ms;
  }

  // A quantile of ARK's latency, in ms; null if no call has ended recently.
  latency(share, until = this.last.at) {
    const window = this.#window(until, LATENCY_MS);
    return window && quantile(window.end.ark.map((sum, i) => sum - window.begin.ark[i]), share);
  }

  // One point per step, { at, values }; values are null in a gap.
  points(values) {
    const end = this.last.at;
    const points = stepStarts(end, this.span, POINTS).map((at) => ({ at, values: values(this.#near(at), at) }));
    points.push({ at: end, values: values(this.last, end) });
    return points;
  }

  // The growth of counters in each step, per minute. The last step is not complete.
  growth(names) {
    const end = this.last.at;
    const step = this.span / BARS;
    return stepStarts(end, this.span, BARS).map((at) => {
      const from = this.#near(at) ?? this.#samples.find((sample) => sample.at > at);
      const to = this.#near(Math.min(at + step, end));
      const known = from && to && to.at > at && to.at >= from.at;
      return { at, values: names.map((name) => (known ? ((to[name] - from[name]) * 60_000) / step : null)) };
    });
  }
}

// Start times of equal steps, aligned to multiples of the step so that the bars do not move between samples.
function stepStarts(end, span, count) {
  const step = span / count;
  const first = Math.ceil((end - span) / step);
  return Array.from({ length: Math.ceil(end / step) - first }, (_, i) => (first + i) * step);
}

// A quantile from cumulative bucket counts, interpolated linearly within a bucket. Above the last bound, the last bound.
export function quantile(counts, share) {
  const all = counts.at(-1);
  if (!(all > 0)) return null;
  const rank = share * all;
  const i = counts.findIndex((count) => count >= rank);
  if (i >= ARK_BOUNDS.length) return ARK_BOUNDS.at(-1) * 1000;
  const low = i ? ARK_BOUNDS[i - 1] : 0;
  const below = i ? counts[i - 1] : 0;
  return (low + ((ARK_BOUNDS[i] - low) * (rank - below)) / (counts[i] - below)) * 1000;
}
