// The worker: one BullMQ Worker with CONCURRENCY calls at once, over undici's pool of kept connections.
//
//     node worker.js REDIS_URL ARK_BASE_URL CONCURRENCY
'use strict';

const { Worker } = require('bullmq');
const Redis = require('ioredis');
const { Pool } = require('undici');

const KEPT = { age: 24 * 3600 };
const MODEL = 'doubao-seedream-4-0-250828';
const TIMEOUT_MS = 300_000;

async function main([redisUrl, arkUrl, concurrency]) {
  const ark = new URL(`${arkUrl}/images/generations`);
  const pool = new Pool(ark.origin, { connections: null, headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS });

  async function call({ prompt, urls }) {
    const { statusCode, body } = await pool.request({
      method: 'POST',
      path: ark.pathname,
      headers: { 'content-type': 'application/json', authorization: 'Bearer key' },
      body: JSON.stringify({
        model: MODEL, prompt: prompt ?? 'a picture', image: urls, size: '2K', response_format: 'url', watermark: false,
        sequential_image_generation: 'disabled',
      }),
    });
    const answer = await body.json();
    if (statusCode !== 200) throw new Error(answer.error?.message ?? `status ${statusCode}`);
    return answer;
  }

  async function work({ data }) {
    const began = Date.now();
    const answer = await call(data);
    return {
      urls: data.urls,
      generated_images: answer.data.map(({ url, size }) => ({ url, size })),
      usage: answer.usage,
      timing: { ark_ms: Date.now() - began },
    };
  }

  const worker = new Worker('faceflip', work, {
    connection: new Redis(redisUrl, { maxRetriesPerRequest: null }),
    concurrency: Number(concurrency),
    removeOnComplete: KEPT,
    removeOnFail: KEPT,
  });
  worker.on('error', console.error);
  await worker.waitUntilReady();
  console.log('ready');
}

process.on('SIGTERM', () => process.exit(0));
main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
