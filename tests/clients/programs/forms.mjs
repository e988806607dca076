// forms.mjs CASE BASE: the multipart forms that clients from npm and Node itself send to /v1/images/edits.
import { openAsBlob, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const [name, base] = process.argv.slice(2);
const prompt = '换脸: "a" & b\r\n--x';
const png = { type: 'image/png' };

function form(blob) {
  const data = new FormData();
  data.append('prompt', prompt);
  data.append('image[]', blob, 'a.png');
  data.append('n', '2');
  data.append('image[]', blob, '图 "b".png');
  return data;
}

async function sdk() {
  const { default: OpenAI, toFile } = await import('openai');
  const client = new OpenAI({ apiKey: 'sk-recorded', baseURL: `${base}/v1`, maxRetries: 0 });
  const file = (called) => toFile(readFileSync('picture.png'), called, png);
  return { client, file };
}

const cases = {
  versions: async () => {
    const require = createRequire(import.meta.url);
    const version = (one) => require(`./node_modules/${one}/package.json`).version;
    console.log(JSON.stringify({ node: process.version.slice(1), openai: version('openai'), axios: version('axios') }));
  },
  'openai-node-edit': async () => {
    const { client, file } = await sdk();
    await client.images.edit({ model: 'gpt-image-1', image: [await file('a.png'), await file('图 b.png')], prompt, n: 2, size: '1024x1024' });
  },
  'openai-node-one': async () => {
    const { client, file } = await sdk();
    await client.images.edit({ image: await file('a.png'), mask: await file('mask.png'), prompt });
  },
  'fetch': async () => (await fetch(`${base}/v1/images/edits`, { method: 'POST', body: form(await openAsBlob('picture.png', png)) })).text(),
  'axios': async () => (await import('axios')).default.post(`${base}/v1/images/edits`, form(await openAsBlob('picture.png', png))),
};

await cases[name]();
