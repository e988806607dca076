// Parses Server-Sent Events from a fetch() body. EventSource can neither POST nor send an Authorization header.
//
//   for await (const frame of frames(response.body)) { frame.id, frame.event, frame.data, frame.retry }
//
// A comment yields an empty frame, which shows that the connection is alive. A chunk may end anywhere, even inside a UTF-8 sequence.

export async function* frames(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  let frame = {};
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split('\n');
      rest = lines.pop();
      for (const line of lines) {
        if (add(frame, line.endsWith('\r') ? line.slice(0, -1) : line)) continue;
        yield frame;
        frame = {};
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // closes the connection if the caller stops early
  }
}

// Adds one line to the frame. Returns false for the empty line that ends a frame.
function add(frame, line) {
  if (line === '') return false;
  const colon = line.indexOf(':');
  if (colon === 0) return true;
  const name = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
  if (name === 'data') frame.data = frame.data === undefined ? value : `${frame.data}\n${value}`;
  else if (name === 'retry') frame.retry = /^\d+$/.test(value) ? Number(value) : undefined;
  else if (name === 'id' || name === 'event') frame[name] = value;
  return true;
}
