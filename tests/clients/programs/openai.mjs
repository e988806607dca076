// openai.mjs CASE BASE [KEY]: the openai package and the AI SDK, unchanged, against a gateway. Prints what the program would see, as JSON.
import { createOpenAI } from '@ai-sdk/openai';
import { generateImage } from 'ai';
import OpenAI from 'openai';

const [name, base, apiKey = 'none'] = process.argv.slice(2);
const openai = (options) => new OpenAI({ apiKey, baseURL: `${base}/v1`, ...options });
const events = async (stream) => {
  const seen = [];
  for await (const event of stream) seen.push(event);
  return seen;
};
const said = (error) => ({
  name: error.constructor.name, status: error.status ?? error.statusCode, message: error.message, code: error.code, param: error.param,
  requestID: error.requestID, reason: error.reason,
});

const cases = {
  models: async () => (await openai().models.list()).data.map(({ id }) => id),
  model: async () => openai().models.retrieve('dall-e-3'),
  generate: async () => {
    const { data, response } = await openai().images.generate({ model: 'dall-e-3', prompt: 'a red bicycle', size: '1024x1024', quality: 'hd' }).withResponse();
    return { ...data, ignored: response.headers.get('arkrelay-ignored'), tasks: response.headers.get('arkrelay-tasks') };
  },
  four: async () => openai().images.generate({ prompt: 'four bicycles', n: 4, response_format: 'url' }),
  stream: async () => events(await openai().images.generate({ prompt: 'a bicycle', n: 2, stream: true, response_format: 'url' })),
  slow: async () => openai().images.generate({ prompt: 'slow [[sim: first_latency=1500]]' }),
  'slow-stream': async () => events(await openai().images.generate({ prompt: 'slow [[sim: first_latency=1500]]', stream: true })),
  refused: async () => openai().images.generate({ prompt: 'refused [[sim: status=400]]' }),
  invalid: async () => openai().images.generate({ prompt: 'x', size: 'big', n: 11 }),
  b64: async () => openai().images.generate({ model: 'gpt-image-1', prompt: 'x' }),
  conflict: async () => {
    const options = { headers: { 'Idempotency-Key': 'one' } };
    await openai().images.generate({ prompt: 'first' }, options);
    return openai().images.generate({ prompt: 'second' }, options);
  },
  abort: async () => {
    const controller = new AbortController();
    const asking = openai().images.generate({ prompt: 'abort [[sim: first_latency=4000]]' }, { signal: controller.signal });
    setTimeout(() => controller.abort(), 300);
    return asking;
  },
  'ai-refused': async () => generateImage({ model: createOpenAI({ apiKey, baseURL: `${base}/v1` }).image('dall-e-3'), prompt: 'x' }),
};

// A program that repeats the request until it has an image, and says how often it had to.
const persistent = async (ask) => {
  for (let tries = 1; ; tries++) {
    try {
      return { tries, images: (await ask()).data.length };
    } catch (error) {
      if (error.status || tries === 4) throw error;
    }
  }
};
const red = { prompt: 'a red bicycle [[sim: first_latency=100]]', response_format: 'url' };
Object.assign(cases, {
  persistent: async () => persistent(() => openai().images.generate(red)),
  'persistent-four': async () => persistent(() => openai().images.generate({ ...red, n: 4 })),
  'persistent-alone': async () => persistent(() => openai({ maxRetries: 0 }).images.generate(red)),
  'persistent-stream': async () => persistent(async () => ({ data: await events(await openai().images.generate({ ...red, stream: true })) })),
  deliberate: async () => {
    const one = async () => (await openai().images.generate(red)).data[0].url;
    return [...await Promise.all([one(), one()]), await one(), await one()];
  },
  // Without a storage the gateway has no b64_json, which the AI SDK wants: it fails after a good answer.
  ai: async () => generateImage({ model: createOpenAI({ apiKey, baseURL: `${base}/v1` }).image('gpt-image-1'), prompt: red.prompt }),
  'ai-two': async () => generateImage({ model: createOpenAI({ apiKey, baseURL: `${base}/v1` }).image('gpt-image-1'), prompt: red.prompt, n: 2, maxImagesPerCall: 1 }),
});

try {
  console.log(JSON.stringify({ value: await cases[name]() }));
} catch (error) {
  console.log(JSON.stringify({ error: said(error) }));
}
