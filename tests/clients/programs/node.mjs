// node.mjs CASE BASE TASK: sends requests with Node.js and packages from npm. `node.mjs versions` prints their versions.
import http from 'node:http';
import { createRequire } from 'node:module';
import { Readable } from 'node:stream';

const [, , name, base, task] = process.argv;
const POST = `${base}/api/v1/faceflip/generate/stream`;
const FOLLOW = `${base}/api/v1/faceflip/tasks/${task}/stream`;
const QUEUE = `${base}/api/v1/faceflip/queue`;
const JSON_TYPE = { 'Content-Type': 'application/json' };
const LAST = { 'Last-Event-ID': '1700000000000-2' };

const request = { urls: ['https://example.com/a.jpg', 'https://example.com/b.jpg'], task_id: task, prompt: '换脸' };
const body = JSON.stringify(request);

// The body in two pieces, as a program that produces it while it sends.
async function* pieces() {
  yield Buffer.from(body.slice(0, 20));
  await new Promise(setImmediate);
  yield Buffer.from(body.slice(20));
}

const webStream = () => Readable.toWeb(Readable.from(pieces()));

function nodeHttp(url, options, send) {
  return new Promise((resolve, reject) => {
    const call = http.request(url, options, (answer) => answer.resume().on('end', resolve).on('error', reject));
    call.on('error', reject);
    send(call);
  });
}

// A connection is returned to its pool only a moment after the end of the answer was read.
const returned = () => new Promise((resolve) => { setTimeout(resolve, 100); });

async function twice(get) {
  await get();
  await returned();
  await get();
}

// Both event sources reconnect by themselves: the recorder cuts their first answer.
async function eventSource() {
  const { EventSource } = await import('eventsource');
  const source = new EventSource(FOLLOW);
  await new Promise((resolve) => source.addEventListener('done', resolve));
  source.close();
}

// The package is written for browsers and asks for these two objects.
async function fetchEventSource(method) {
  globalThis.window = globalThis;
  globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
  const { fetchEventSource: follow } = await import('@microsoft/fetch-event-source');
  const more = method === 'POST' ? { method, headers: JSON_TYPE, body } : {};
  await follow(method === 'POST' ? POST : FOLLOW, { ...more, openWhenHidden: true });
}

const keepAlive = () => new http.Agent({ keepAlive: true, maxSockets: 1 });

const cases = {
  versions: async () => {
    const require = createRequire(import.meta.url);
    const version = (name) => require(`./node_modules/${name}/package.json`).version;
    const names = ['@microsoft/fetch-event-source', 'axios', 'eventsource', 'got', 'node-fetch', 'undici'];
    console.log(JSON.stringify({ node: process.version.slice(1), ...Object.fromEntries(names.map((one) => [one, version(one)])) }));
  },

  'fetch-post': async () => (await fetch(POST, { method: 'POST', headers: JSON_TYPE, body })).text(),
  'fetch-post-without-type': async () => (await fetch(POST, { method: 'POST', body })).text(),
  'fetch-chunked': async () => (await fetch(POST, { method: 'POST', headers: JSON_TYPE, body: webStream(), duplex: 'half' })).text(),
  'fetch-blob': async () => (await fetch(POST, { method: 'POST', body: new Blob([body], { type: 'application/json' }) })).text(),
  'fetch-resume': async () => (await fetch(FOLLOW, { headers: LAST })).text(),
  'fetch-twice': () => twice(async () => (await fetch(QUEUE)).text()),
  'fetch-post-then-get': async () => {
    await (await fetch(POST, { method: 'POST', headers: JSON_TYPE, body })).text();
    await returned();
    await (await fetch(QUEUE)).text();
  },

  'http-post': () => nodeHttp(POST, { method: 'POST', headers: { ...JSON_TYPE, 'Content-Length': Buffer.byteLength(body) } }, (call) => call.end(body)),
  'http-post-end': () => nodeHttp(POST, { method: 'POST', headers: JSON_TYPE }, (call) => call.end(body)),
  'http-chunked': () => nodeHttp(POST, { method: 'POST', headers: JSON_TYPE }, (call) => {
    call.write(body.slice(0, 20));
    call.end(body.slice(20));
  }),
  'http-pipe': () => nodeHttp(POST, { method: 'POST', headers: JSON_TYPE }, (call) => Readable.from(pieces()).pipe(call)),
  'http-resume': () => nodeHttp(FOLLOW, { headers: LAST }, (call) => call.end()),
  'http-twice': () => {
    const agent = keepAlive();
    return twice(() => nodeHttp(QUEUE, { agent }, (call) => call.end())).finally(() => agent.destroy());
  },

  'undici-post': async () => {
    const { request: call } = await import('undici');
    await (await call(POST, { method: 'POST', headers: JSON_TYPE, body })).body.text();
  },
  'undici-chunked': async () => {
    const { request: call } = await import('undici');
    await (await call(POST, { method: 'POST', headers: JSON_TYPE, body: Readable.from(pieces()) })).body.text();
  },
  'undici-resume': async () => {
    const { request: call } = await import('undici');
    await (await call(FOLLOW, { headers: LAST })).body.text();
  },
  'undici-twice': async () => {
    const { Client } = await import('undici');
    const client = new Client(base);
    await twice(async () => (await client.request({ path: '/api/v1/faceflip/queue', method: 'GET' })).body.text());
    await client.close();
  },
  'undici-pipelined': async () => {
    const { Client } = await import('undici');
    const client = new Client(base, { pipelining: 2 });
    const get = async () => (await client.request({ path: '/api/v1/faceflip/queue', method: 'GET' })).body.text();
    await Promise.all([get(), get()]);
    await client.close();
  },

  'axios-post': async () => (await import('axios')).default.post(POST, request, { responseType: 'stream' }).then(({ data }) => data.resume()),
  'axios-chunked': async () => (await import('axios')).default.post(POST, Readable.from(pieces()), { headers: JSON_TYPE }),
  'axios-fetch-post': async () => (await import('axios')).default.post(POST, request, { adapter: 'fetch' }),
  'axios-resume': async () => (await import('axios')).default.get(FOLLOW, { headers: LAST }),
  'axios-twice': async () => {
    const httpAgent = keepAlive();
    const { default: axios } = await import('axios');
    await twice(() => axios.get(QUEUE, { httpAgent })).finally(() => httpAgent.destroy());
  },

  'node-fetch-post': async () => (await (await import('node-fetch')).default(POST, { method: 'POST', headers: JSON_TYPE, body })).text(),
  'node-fetch-chunked': async () => (await (await import('node-fetch')).default(POST, { method: 'POST', headers: JSON_TYPE, body: Readable.from(pieces()) })).text(),
  'got-post': async () => (await import('got')).default.post(POST, { json: request }).text(),
  'got-chunked': async () => (await import('got')).default.post(POST, { headers: JSON_TYPE, body: Readable.from(pieces()) }).text(),

  'eventsource-first': eventSource,
  'eventsource-resume': eventSource,
  'fetch-event-source-post': () => fetchEventSource('POST'),
  'fetch-event-source-resume': () => fetchEventSource('GET'),
};

await cases[name]();
process.exit(0);
