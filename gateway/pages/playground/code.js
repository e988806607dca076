// Shows the form's request as complete programs in curl, JavaScript and Python.

import { BASE } from '../shared/api.js';

const json = (request, indent) => JSON.stringify(request, null, indent);

// Python spells only true, false and null differently from JSON. The pattern matches them as whole values only.
const python = (request) =>
  JSON.stringify(request, null, 4).replace(/^( *"\w+": )(true|false|null)(,?)$/gm, (_, before, word, comma) =>
    before + { true: 'True', false: 'False', null: 'None' }[word] + comma);

const shellQuoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

export const listings = {
  curl: (origin, request, keyed) => [
    `curl -N ${origin}${BASE}/generate/stream \\`,
    ...(keyed ? ['  -H "Authorization: Bearer $ARKRELAY_KEY" \\'] : []),
    "  -H 'Content-Type: application/json' \\",
    `  -d ${shellQuoted(json(request, 2))}`,
  ].join('\n'),

  javascript: (origin, request, keyed) => `const request = ${json(request, 2)};

const response = await fetch('${origin}${BASE}/generate/stream', {
  method: 'POST',
  headers: { 'Content-Type': 'application/json'${keyed ? ", Authorization: 'Bearer ' + ARKRELAY_KEY" : ''} },
  body: JSON.stringify(request),
});
if (!response.ok) throw new Error(await response.text());

const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
for (let rest = '', piece; !(piece = await reader.read()).done; ) {
  const frames = (rest + piece.value).split('\\n\\n');
  rest = frames.pop();
  for (const frame of frames) {
    const line = frame.split('\\n').find((one) => one.startsWith('data: '));
    if (!line) continue;
    const { event, data } = JSON.parse(line.slice(6));
    console.log(event, data);
  }
}`,

  python: (origin, request, keyed) => `import json
${keyed ? 'import os\n' : ''}import urllib.request

body = ${python(request)}

request = urllib.request.Request(
    "${origin}${BASE}/generate/stream",
    json.dumps(body).encode(),
    {"Content-Type": "application/json"${keyed ? ', "Authorization": "Bearer " + os.environ["ARKRELAY_KEY"]' : ''}},
)
with urllib.request.urlopen(request) as response:
    for line in response:
        if line.startswith(b"data: "):
            message = json.loads(line[6:])
            print(message["event"], message["data"], flush=True)`,
};
