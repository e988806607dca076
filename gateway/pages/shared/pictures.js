// Links of an image, { url, stored_url }: url is ARK's and ends after 24 hours; stored_url, if the server keeps pictures, lasts longer.

import { el } from './dom.js';

const STORED = /\/p\/(\d{4})(\d{2})(\d{2})\/[0-9a-f]{32}$/;
const COPY_TRIES = 8; // a picture that has just been made is copied within moments
const COPY_WAIT_MS = 1000;
const BUCKET_WAIT_MS = 2000;

const storedPath = ({ stored_url: stored }) => STORED.exec(stored ?? '')?.[0] ?? null;
export const isStored = (picture) => storedPath(picture) !== null;

// The link to show and to pass on.
export function linkOf(picture) {
  return isStored(picture) ? new URL(picture.stored_url, location.href).href : picture.url;
}

// The last day on which a stored picture can be read, 2026-12-07.
export function keptUntil(picture) {
  const [, year, month, day] = STORED.exec(picture.stored_url);
  return `${year}-${month}-${day}`;
}

// A link that saves the file. It is on this server even if stored_url has another name of it.
export const downloadOf = (picture) => `${storedPath(picture)}?download=1`;

// Saves stored pictures as `<name>-<n>.<type>`. Returns how many were saved. The others are not copied yet, or are kept on another server.
export async function saveAll(pictures, name) {
  let saved = 0;
  for (const [i, picture] of pictures.entries()) {
    if (picture && isStored(picture) && (await save(picture, `${name}-${i}`))) saved++;
  }
  return saved;
}

async function save(picture, name) {
  if (!(await isCopied(storedPath(picture)))) return false;
  const response = await fetch(storedPath(picture), { redirect: 'manual' });
  if (response.ok) saveBlob(await response.blob(), name);
  else if (response.type === 'opaqueredirect') await saveFromBucket(picture);
  else return false;
  return true;
}

// The server itself answers HEAD about a picture that it has, in a directory or in a bucket. Before, it redirects to ARK.
async function isCopied(path) {
  for (let i = 0; i < COPY_TRIES; i++) {
    const response = await fetch(path, { method: 'HEAD', redirect: 'manual' });
    if (response.type !== 'opaqueredirect') return response.ok;
    await wait(COPY_WAIT_MS);
  }
  return false;
}

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

function saveBlob(blob, name) {
  const url = URL.createObjectURL(blob);
  el('a', { href: url, download: `${name}.${blob.type.replace('image/', '')}`.replaceAll(':', '_') }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // after the browser has begun to write the file
}

// A page cannot read a bucket, but the browser saves a file from a link. A second click would cancel the first one until the bucket has answered.
// Browsers report no event for that answer, so wait.
async function saveFromBucket(picture) {
  el('a', { href: downloadOf(picture) }).click();
  await wait(BUCKET_WAIT_MS);
}
