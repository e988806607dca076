// Checks structure, accessible names, contrast and layout of the page; returns a list of faults. The driver runs this as a function body.

const faults = [];
const shown = (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest('.visually-hidden, .skip');
const named = (element) => `${element.localName}${element.id ? `#${element.id}` : ''}.${element.className} "${element.textContent.trim().slice(0, 40)}"`;

// -- structure

if (!['en', 'zh-CN'].includes(document.documentElement.lang)) faults.push(`the page's language is ${document.documentElement.lang}`);
if (!document.title) faults.push('no title');
if (document.querySelectorAll('h1').length !== 1) faults.push('not exactly one h1');
if (document.querySelectorAll('main').length !== 1) faults.push('not exactly one main');

let level = 0;
for (const heading of [...document.querySelectorAll('h1, h2, h3, h4')].filter(shown)) {
  const now = Number(heading.localName[1]);
  if (now > level + 1) faults.push(`a heading is skipped before ${named(heading)}`);
  level = now;
}
const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
for (const id of new Set(ids.filter((one, i) => ids.indexOf(one) !== i))) faults.push(`two elements are #${id}`);
for (const name of ['aria-describedby', 'aria-labelledby', 'aria-controls', 'for', 'list']) {
  for (const element of document.querySelectorAll(`[${name}]`)) {
    for (const id of element.getAttribute(name).split(' ')) if (!ids.includes(id)) faults.push(`${named(element)}: ${name} refers to a missing id: ${id}`);
  }
}

// -- names

for (const control of [...document.querySelectorAll('input, select, textarea')].filter(shown)) {
  const name = control.getAttribute('aria-label') || [...control.labels].map((label) => label.textContent).join('');
  if (!name.trim()) faults.push(`without a label: ${named(control)}`);
}
for (const control of [...document.querySelectorAll('button, a')].filter(shown)) {
  if (!(control.getAttribute('aria-label') || control.textContent).trim()) faults.push(`without a name: ${named(control)}`);
}
for (const image of document.querySelectorAll('img')) if (!image.hasAttribute('alt')) faults.push(`without alt: ${image.src}`);
for (const image of document.querySelectorAll('main img')) if (!image.alt) faults.push(`an image with an empty alt: ${image.src}`);

// -- contrast (WCAG 2.2, AA)

function parse(colour) {
  const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
  return { r, g, b, a };
}
function over(top, below) {
  const mix = (name) => top[name] * top.a + below[name] * (1 - top.a);
  return { r: mix('r'), g: mix('g'), b: mix('b'), a: 1 };
}
function backgroundOf(element) {
  const colour = parse(getComputedStyle(element).backgroundColor);
  if (colour.a === 1 || !element.parentElement) return colour.a ? over(colour, { r: 255, g: 255, b: 255 }) : { r: 255, g: 255, b: 255, a: 1 };
  return over(colour, backgroundOf(element.parentElement));
}
function luminance({ r, g, b }) {
  const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}
function contrast(a, b) {
  const [light, dark] = [luminance(a), luminance(b)].sort((one, other) => other - one);
  return (light + 0.05) / (dark + 0.05);
}

const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const judged = new Set();
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.textContent.trim() || judged.has(element) || !shown(element) || element.closest(':disabled')) continue;
  judged.add(element);
  const style = getComputedStyle(element);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const background = backgroundOf(element);
  const ratio = contrast(over(parse(style.color), background), background);
  if (ratio < (large ? 3 : 4.5)) faults.push(`contrast ${ratio.toFixed(2)}: ${named(element)}`);
}
if (judged.size < 10) faults.push(`only ${judged.size} texts were checked`);
for (const control of [...document.querySelectorAll('.input')].filter(shown)) {
  const ratio = contrast(parse(getComputedStyle(control).borderTopColor), backgroundOf(control.parentElement));
  if (ratio < 3) faults.push(`a field's edge has contrast ${ratio.toFixed(2)}: ${named(control)}`);
  const holder = contrast(parse(getComputedStyle(control, '::placeholder').color), backgroundOf(control));
  if (holder < 4.5) faults.push(`a placeholder has contrast ${holder.toFixed(2)}: ${named(control)}`);
}

// -- layout: uses clientWidth, because on a phone innerWidth grows with overflowing content

const room = document.documentElement.clientWidth;

if (document.documentElement.scrollWidth > room) faults.push(`the page is ${document.documentElement.scrollWidth} px wide in ${room}`);
for (const element of [...document.querySelectorAll('body *')].filter(shown)) {
  if (element.closest('.listing, svg')) continue;
  const { right, left } = element.getBoundingClientRect();
  if (right > room + 1 || left < -1) faults.push(`outside of the page: ${named(element)}`);
}
for (const control of [...document.querySelectorAll('button, a, select, input, summary')].filter(shown)) {
  const { width, height } = control.getBoundingClientRect();
  if (Math.min(width, height) < (control.matches('.links *') ? 16 : 24)) faults.push(`too small to hit, ${width}x${height}: ${named(control)}`);
}
return faults;
