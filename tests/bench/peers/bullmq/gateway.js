// A typical gateway for such a service on Node.js: Fastify, and a BullMQ queue whose QueueEvents are relayed to the streams.
//
//     node gateway.js HOST:PORT REDIS_URL
//
// It has the requests, events and frames of arkrelay that the scenarios use: POST /generate/stream and POST /generate.
// BullMQ writes `active`, `completed` and `failed` to the queue's event stream anyway. So relaying costs one XREAD for many events, and no
// further command in the worker.
'use strict';

const { Queue, QueueEvents } = require('bullmq');
const Fastify = require('fastify');
const Redis = require('ioredis');

const BASE = '/api/v1/faceflip';
const QUEUE = 'faceflip';
const HEARTBEAT_MS = 15_000;
const KEPT = { age: 24 * 3600 };
const HEAD = { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-store, no-transform', 'X-Accel-Buffering': 'no' };
const SCHEMA = {
  body: {
    type: 'object',
    required: ['urls', 'task_id'],
    properties: {
      urls: { type: 'array', minItems: 1, maxItems: 14, items: { type: 'string', maxLength: 2048, pattern: '^https?://' } },
      task_id: { type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$' },
      prompt: { type: 'string' },
      max_images: { type: 'integer' },
    },
  },
};

class Stream {
  constructor(raw, taskId) {
    this.raw = raw;
    this.taskId = taskId;
    this.epoch = Date.now();
    this.n = 0;
    raw.writeHead(200, HEAD);
  }

  frame(kind, data) {
    const text = JSON.stringify({ event: kind, data: { task_id: this.taskId, ...data } });
    return `id: ${this.epoch}-${++this.n}\nevent: ${kind}\ndata: ${text}\n\n`;
  }

  send(kind, data) {
    this.raw.write(this.frame(kind, data));
  }

  // ARK sends all images of a call in one answer, at the end.
  finish({ generated_images: images, ...rest }) {
    const frames = images.map((image, index) => this.frame('process', { message: '图像已生成', stage: 'image', index, image }));
    this.raw.end(frames.join('') + this.frame('done', { generated_images: images, ...rest }));
  }

  fail(error) {
    this.raw.end(this.frame('error', { error, message: '图像生成失败', code: 'failed', retryable: false }));
  }
}

async function main([listen, redisUrl]) {
  const connect = () => new Redis(redisUrl, { maxRetriesPerRequest: null });
  const redis = connect();
  const queue = new Queue(QUEUE, {
    connection: redis,
    defaultJobOptions: { removeOnComplete: KEPT, removeOnFail: KEPT },
    streams: { events: { maxLen: 100_000 } },       // a slow reader must not miss events of 10,000 tasks
  });
  const events = new QueueEvents(QUEUE, { connection: connect() });
  const streams = new Map();

  events.on('active', ({ jobId }) => streams.get(jobId)?.send('process', { message: '正在调用ARK模型生成图像...', stage: 'calling', attempt: 1 }));
  events.on('completed', ({ jobId, returnvalue }) => streams.get(jobId)?.finish(returnvalue));
  events.on('failed', ({ jobId, failedReason }) => streams.get(jobId)?.fail(failedReason));
  setInterval(() => streams.forEach(({ raw }) => raw.write(': heartbeat\n\n')), HEARTBEAT_MS);

  const submit = (body) => queue.add('generate', body, { jobId: body.task_id });
  const app = Fastify({ logger: false });

  app.get('/readyz', async () => ({ status: await redis.ping() }));

  app.post(`${BASE}/generate`, { schema: SCHEMA }, async ({ body }, reply) => {
    await submit(body);
    return reply.code(202).send({ task_id: body.task_id, status: 'queued' });
  });

  app.post(`${BASE}/generate/stream`, { schema: SCHEMA }, async ({ body }, reply) => {
    reply.hijack();
    const stream = new Stream(reply.raw, body.task_id);
    streams.set(body.task_id, stream);
    reply.raw.on('close', () => streams.delete(body.task_id));
    stream.send('start', { message: '开始生成图像...', position: 1 });
    await submit(body).catch((error) => stream.fail(error.message));
  });

  await Promise.all([queue.waitUntilReady(), events.waitUntilReady()]);
  const [host, port] = listen.split(':');
  await app.listen({ host, port: Number(port), backlog: 4096 });
}

process.on('SIGTERM', () => process.exit(0));
main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
