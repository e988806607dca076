// Images of this device: uploads them, and shows a thumbnail for each upload in the list of references.
//
//   const uploads = new Uploads({ t, urls, add, remove, fail });
//   uploads.allow(bytes); uploads.take(files); uploads.draw();
//
// A reference in the request is the id of the upload, `upload:<sha256>`. Thumbnails are kept in the tab's storage, so that a reload shows them.

import { BASE, Refusal, call, refusal } from '../shared/api.js';
import { $, el } from '../shared/dom.js';
import { tab } from '../shared/storage.js';

const SIDE = 96; // pixels of a thumbnail
const KEPT_MAX = 28;
const MIB = 1 << 20;

export const isUpload = (text) => /^upload:[0-9a-f]{64}$/.test(text);

export class Uploads {
  #max = 0; // bytes of an image; 0: the server takes none, or is not known yet
  #waiting = []; // files that are being uploaded: { name, src }
  #known = JSON.parse(tab.get('uploads') || '{}'); // id -> { name, src }

  constructor({ t, urls, add, remove, fail }) {
    Object.assign(this, { t, urls, add, remove, fail });
    for (const [button, input] of [['files', 'files-input'], ['camera', 'camera-input']]) {
      $(button).addEventListener('click', () => $(input).click());
      $(input).addEventListener('change', () => {
        this.take($(input).files);
        $(input).value = ''; // so that the same file can be chosen again
      });
    }
    this.draw();
  }

  get busy() {
    return this.#waiting.length > 0;
  }

  // The gateway has said how large an image may be.
  allow(bytes) {
    this.#max = bytes;
    $('files-row').hidden = !bytes;
    $('camera').hidden = !matchMedia('(pointer: coarse)').matches;
  }

  async take(files) {
    const images = [...files];
    if (!this.#max) {
      if (images.length) this.fail(this.t('urls_files'));
      return;
    }
    for (const file of images) await this.#upload(file);
  }

  async #upload(file) {
    if (file.size > this.#max) {
      this.fail(this.t('upload_large', { name: file.name, n: Math.floor(this.#max / MIB) }));
      return;
    }
    if (!(await hasBytes(file))) {
      this.fail(this.t('upload_failed', { name: file.name, detail: this.t('upload_unreadable') }));
      return;
    }
    const entry = { name: file.name, src: '' };
    this.#waiting.push(entry);
    this.draw();
    try {
      [entry.src, entry.id] = await Promise.all([thumbnail(file), send(file)]);
      this.#keep(entry);
      this.add(entry.id);
    } catch (error) {
      this.fail(this.#reason(file, error));
    } finally {
      this.#waiting = this.#waiting.filter((one) => one !== entry);
      this.draw();
    }
  }

  #reason(file, error) {
    if (!(error instanceof Refusal)) return this.t('upload_failed', { name: file.name, detail: this.t('upload_unreachable') });
    return this.t('upload_failed', { name: file.name, detail: error.status === 401 ? this.t('key_needed') : error.message });
  }

  // Of many, the oldest are forgotten: their references get a tile without a picture.
  #keep({ id, name, src }) {
    delete this.#known[id];
    this.#known[id] = { name, src };
    for (const old of Object.keys(this.#known).slice(0, -KEPT_MAX)) delete this.#known[old];
    tab.set('uploads', JSON.stringify(this.#known));
  }

  // After a change of the references or of the language.
  draw() {
    const ids = this.urls().filter(isUpload);
    const tiles = ids.map((id, i) => this.#tile(id, i));
    $('uploads').replaceChildren(...tiles, ...this.#waiting.map((entry) => this.#coming(entry)));
    $('uploads').hidden = !ids.length && !this.busy;
  }

  #tile(id, index) {
    const { name = id.slice(0, 15), src = '' } = this.#known[id] || {};
    const text = this.t('upload_remove', { name });
    const picture = src ? el('img', { src, alt: name, width: SIDE, height: SIDE }) : el('span', { class: 'mono' }, name);
    return el('li', {}, picture, el('button', { type: 'button', class: 'button small', 'aria-label': text, title: text,
      onclick: () => this.remove(id, index) }, '×'));
  }

  #coming({ name }) {
    return el('li', { class: 'coming' }, el('span', {}, this.t('uploading', { name })));
  }
}

// A folder that is dropped is a File too. Browsers fail to read it, or read nothing.
async function hasBytes(file) {
  try {
    const first = await file.slice(0, 1).arrayBuffer();
    return first.byteLength > 0;
  } catch {
    return false;
  }
}

// The id of the upload. Throws a Refusal, or fetch's error.
async function send(file) {
  const response = await call('POST', `${BASE}/uploads`, { blob: file });
  if (!response.ok) throw await refusal(response);
  return (await response.json()).id;
}

// A data: URL; '' for an image that this browser cannot read, such as HEIC in many.
async function thumbnail(file) {
  try {
    const bitmap = await createImageBitmap(file);
    const scale = SIDE / Math.min(bitmap.width, bitmap.height);
    const canvas = el('canvas', { width: SIDE, height: SIDE });
    const [width, height] = [bitmap.width * scale, bitmap.height * scale];
    canvas.getContext('2d').drawImage(bitmap, (SIDE - width) / 2, (SIDE - height) / 2, width, height);
    return canvas.toDataURL('image/jpeg', 0.8);
  } catch {
    return '';
  }
}
