// Links of an image, { url, stored_url }: url is ARK's and ends after 24 hours; stored_url, if the server keeps pictures, lasts longer.

import { el } from './dom.js';

const STORED = /\/p\/(\d{4})(\d{2})(\d{2})\/[0-9a-f]{32}$/;
const COPY_TRIES = 8; // a picture that has just been made is copied within moments
const COPY_WAIT_MS = 1000;

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

// Saves stored pictures as `<name>-<n>.<type>`. Returns how many were saved. The others are not copied yet, or are kept on another server:
// a page may not read those, so the user saves them one by one.
export async function saveAll(pictures, name) {
  let saved = 0;
  for (const [i, picture] of pictures.entries()) {
    const blob = picture && isStored(picture) ? await read(storedPath(picture)) : null;
    if (!blob) continue;
    saveAs(blob, `${name}-${i}.${blob.type.replace('image/', '')}`);
    saved++;
  }
  return saved;
}

async function read(path) {
  for (let i = 0; i < COPY_TRIES; i++) {
    const response = await fetch(path, { redirect: 'manual' });
    if (response.ok) return response.blob();
    if (response.type !== 'opaqueredirect') return null;
    await new Promise((done) => setTimeout(done, COPY_WAIT_MS));
  }
  return null;
}

function saveAs(blob, name) {
  const url = URL.createObjectURL(blob);
  el('a', { href: url, download: name.replaceAll(':', '_') }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // after the browser has begun to write the file
}
