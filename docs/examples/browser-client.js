// arkrelay in a browser: fetch() with a POST, and an incremental SSE parser.
//
//   for await (const { event, data } of generate({ urls: [...], task_id: "t1" })) { ... }
//
// EventSource cannot POST, so the first request is a fetch(). When the connection is lost, the stream is resumed after the last event,
// by GET with Last-Event-ID. After TRIES connections in a row without an event, an error is thrown.
//
// If the gateway has API keys, pass one: { key: '...' }. Every visitor can read a key in a page. For a public page, let your server add
// the header instead.

const BASE = '/api/v1/faceflip';
const TRIES = 30;

export async function* generate(request, { base = BASE, signal, key } = {}) {
  const { task_id } = request;
  const known = key ? { Authorization: `Bearer ${key}` } : {};
  let lastId = '';
  let wait = 2000;
  const tries = { left: TRIES };
  let response = await fetch(`${base}/generate/stream`, {
    method: 'POST',
    headers: { ...known, 'Content-Type': 'application/json' },
    body: JSON.stringify(request),
    signal,
  });

  for (;;) {
    if (response.status === 204) return; // everything was delivered before
    if (!response.ok) throw await problem(response);
    try {
      for await (const frame of frames(response.body)) {
        if (frame.retry) wait = frame.retry;
        if (frame.id) lastId = frame.id;
        if (!frame.data) continue;
        const { event, data } = JSON.parse(frame.data);
        tries.left = TRIES;
        yield { event, data };
        if (event === 'done' || event === 'error') return;
      }
    } catch (error) {
      if (signal?.aborted) throw error;
    }
    response = await resume(`${base}/tasks/${task_id}/stream`, known, lastId, wait, tries, signal);
  }
}

async function resume(url, known, lastId, wait, tries, signal) {
  let failure = new Error('the stream was cut');
  while (tries.left-- > 0) {
    await new Promise((done) => setTimeout(done, wait));
    try {
      const response = await fetch(url, { headers: lastId ? { ...known, 'Last-Event-ID': lastId } : known, signal });
      if (response.status < 500 && response.status !== 429) return response;
      failure = await problem(response);
    } catch (error) {
      if (signal?.aborted) throw error;
      failure = error;
    }
  }
  throw failure;
}

async function problem(response) {
  const body = await response.json().catch(() => ({}));
  return Object.assign(new Error(body.detail || response.statusText), { status: response.status, problem: body });
}

// Parses Server-Sent Events: a frame ends at an empty line. A line is split at its first colon, and the value is the text
// after it, without one leading space. A chunk may end anywhere, also inside of a character.
async function* frames(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  let frame = {};
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line === '') {
        yield frame;
        frame = {};
        continue;
      }
      const colon = line.indexOf(':');
      if (colon === 0) continue; // a comment: the connection is alive
      const name = colon < 0 ? line : line.slice(0, colon);
      const text = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (name === 'data') frame.data = frame.data === undefined ? text : `${frame.data}\n${text}`;
      else if (name === 'retry') frame.retry = Number(text);
      else frame[name] = text;
    }
  }
}
