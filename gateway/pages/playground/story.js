// Builds the state of a task (its steps, images and outcome) from records. Pure: the same records give the same state, so a reloaded page
// restores it from the stored records.
//
// Records: { kind, at } with at in ms of this device's clock, and by kind
//   sent | joined | reload | cancel
//   event    id, type, data, late: replayed after a reconnect, so the time at which it happened is unknown
//   cut      byHand
//   resumed  after: number of the last event received before
//   reset    the events that follow are the complete log

export const FINAL = ['done', 'error'];
export const numberOf = (id) => Number(id.slice(id.indexOf('-') + 1));
export const epochOf = (id) => Number(id.slice(0, id.indexOf('-')));

export function newStory() {
  return { began: 0, state: 'sending', steps: [], pictures: [], failed: [], outcome: null, waiting: {}, last: 0, cancelling: false };
}

export function applyRecord(story, record) {
  handlers[record.kind](story, record);
}

// Applies a hint: the position in the queue and the reason for waiting. Not a record, because it is outdated soon. The log has no event for
// some deferrals, so a task may be waiting although its last event is a call to ARK.
export function applyHint(story, { position, eta_ms, waiting_for: holds = [] }) {
  if (!(['waiting', 'retrying'].includes(story.state) || (story.state === 'calling' && holds.length))) return;
  story.state = position ? 'waiting' : 'retrying';
  story.waiting = { position, etaMs: eta_ms, held: holds[0]?.code };
}

const handlers = {
  sent: (story, { at }) => {
    story.began = at;
    add(story, 'sent', at);
  },
  joined: (story, { at }) => {
    story.began = at;
    add(story, 'joined', at);
  },
  reload: (story, { at }) => add(story, 'reload', at, { tone: 'net' }),
  cancel: (story, { at }) => {
    story.cancelling = true;
    add(story, 'cancel_asked', at);
  },
  cut: (story, { at, byHand }) => add(story, byHand ? 'cut_by_hand' : 'cut', at, { tone: 'net', open: 'net' }),
  resumed: (story, { at, after }) => {
    close(story, 'net', at);
    add(story, 'resumed', at, { tone: 'net', values: { n: after }, after });
  },
  reset: (story, { at }) => {
    const { began, steps } = story;
    const kept = steps.filter((step) => !step.ofTask).map((step) => ({ ...step, settled: true }));
    Object.assign(story, newStory(), { began, steps: kept });
    add(story, 'reset', at, { tone: 'net' });
  },
  event: (story, record) => {
    const { id, type, data, at, late } = record;
    judgeResume(story, numberOf(id));
    story.last = numberOf(id);
    if (!story.steps.some((step) => step.kind === 'sent')) story.began = Math.min(story.began, epochOf(id));
    const handler = type === 'process' ? stages[data.stage] : events[type];
    handler?.(story, data, late ? null : at, record);
  },
};

const events = {
  start: (story, data, at) => {
    story.state = 'waiting';
    story.waiting = { position: data.position };
    phase(story, data.position ? 'start_at' : 'start', at, { position: data.position });
  },
  done: (story, data, at) => {
    end(story, 'done', data, at);
    data.generated_images.forEach((image, i) => {
      if (!story.pictures.some((picture) => picture?.url === image.url)) story.pictures[free(story, image.index ?? i)] = image;
    });
    story.failed = [];
    for (const failure of data.failed_images || []) story.failed[failure.index] = failure;
    measure(story, data.timing);
    add(story, 'done', at, { tone: 'good', ofTask: true });
  },
  error: (story, data, at) => {
    end(story, data.code === 'cancelled' ? 'cancelled' : 'failed', data, at);
    add(story, data.code === 'cancelled' ? 'cancelled' : 'error', at, { tone: data.code === 'cancelled' ? 'warn' : 'bad', ofTask: true });
  },
};

const stages = {
  calling: (story, { attempt }, at) => {
    story.state = 'calling';
    story.waiting = {};
    phase(story, attempt > 1 ? 'calling_again' : 'calling', at, { attempt });
  },
  image: (story, { index, image }, at) => {
    story.pictures[index] = image;
    add(story, 'image', at, { tone: 'good', values: { number: index + 1 }, ofTask: true });
  },
  image_failed: (story, failure, at) => {
    story.failed[failure.index] = failure;
    add(story, 'image_failed', at, { tone: 'bad', values: { number: failure.index + 1 }, code: failure.code, ofTask: true });
  },
  retrying: (story, { delay_ms, code }, at) => {
    story.state = 'retrying';
    story.waiting = {};
    story.failed = []; // the next call generates all images again
    phase(story, 'retrying', at, { delayMs: delay_ms }, code);
  },
  requeued: (story, data, at) => {
    story.state = 'waiting';
    story.waiting = {};
    phase(story, 'requeued', at);
  },
};

function add(story, kind, at, more = {}) {
  story.steps.push({ kind, at, values: {}, ...more });
}

// Adds a step that lasts until the next phase begins.
function phase(story, kind, at, values = {}, code = undefined) {
  close(story, 'task', at);
  add(story, kind, at, { open: 'task', values, code, tone: code ? 'warn' : undefined, ofTask: true });
}

function close(story, lane, at) {
  for (const step of story.steps) {
    if (step.open !== lane) continue;
    step.open = null;
    step.ms = at === null || step.at === null ? null : at - step.at;
  }
}

function end(story, state, data, at) {
  close(story, 'task', at);
  story.state = state;
  story.outcome = { ...data, at };
  story.waiting = {};
}

// Uses the times measured by the server: they cover events that this page did not receive.
function measure(story, timing) {
  const last = (...kinds) => story.steps.filter((step) => kinds.includes(step.kind)).at(-1);
  const first = story.steps.find((step) => ['start', 'start_at'].includes(step.kind));
  const call = last('calling', 'calling_again');
  if (first) first.ms = timing.queued_ms;
  if (call) call.ms = timing.ark_ms;
}

function free(story, at) {
  while (story.pictures[at] || story.failed[at]) at++;
  return at;
}

// Events are numbered without gaps, so the first event after a reconnect shows whether events are missing.
function judgeResume(story, n) {
  const step = story.steps.find((one) => one.kind === 'resumed' && !one.settled);
  if (step) step.kind = n === step.after + 1 ? 'resumed_whole' : 'resumed_gap';
}
