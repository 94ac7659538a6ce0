// The case page: preview with boxes and heat maps, verdicts, readable objects; its parts follow changes by themselves.
import { makeOutlines } from './outlines.js';
import { onChange, post, say, showTimes, typing } from './ui.js';

const data = JSON.parse(document.getElementById('images').textContent);
const SVG = 'http://www.w3.org/2000/svg';
const by = id => document.getElementById(id);
const stage = by('stage');
const view = { series: 0, frame: 0, invert: false, level: 50, window: 100, boxes: true, heat: false, scale: 1, x: 0, y: 0, finding: null };

function shape(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

const outlines = makeOutlines({
  data,
  current: () => current(),
  unit: () => unitOf(current()),
  redraw: () => { if (stage) marks(); },
  refresh: () => refresh(),
  place: event => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(by('scene').getScreenCTM().inverse());
    return [at.x, at.y];
  },
  middle: () => {
    const box = by('stage').getBoundingClientRect();
    const at = new DOMPoint(box.x + box.width / 2, box.y + box.height / 2).matrixTransform(by('scene').getScreenCTM().inverse());
    return [at.x, at.y];
  },
});
const unitOf = image => Math.max(image.rows, image.columns) / 700 / view.scale;
const current = () => data.series[view.series]?.frames[view.frame];
const same = (image, mark) => image && mark.sop === image.sop && mark.frame === image.frame;

function imageUrl(image) {
  const query = new URLSearchParams();
  if (view.level !== 50 || view.window !== 100) { query.set('level', view.level / 100); query.set('window', view.window / 100); }
  if (view.invert) query.set('invert', '1');
  const text = query.toString();
  return `/case/${data.study}/image/${image.sop}/${image.frame}${text ? '?' + text : ''}`;
}

let shownUrl = '';
let asked = 0;
// The next picture is decoded before it replaces the one that is shown: no black flash while windowing or scrolling.
async function showImage() {
  const image = current();
  if (!image) return;
  const url = imageUrl(image);
  if (url === shownUrl) return;
  const mine = ++asked;
  try {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? 'The image could not be drawn.');
    const next = URL.createObjectURL(await answer.blob());
    const decoded = new Image();
    decoded.src = next;
    await decoded.decode();
    if (mine !== asked) { URL.revokeObjectURL(next); return; }
    image.columns ??= decoded.naturalWidth;
    image.rows ??= decoded.naturalHeight;
    const base = by('base');
    const old = base.getAttribute('href');
    base.setAttribute('href', next);
    base.setAttribute('width', image.columns);
    base.setAttribute('height', image.rows);
    by('picture').setAttribute('viewBox', `0 0 ${image.columns} ${image.rows}`);
    if (old) setTimeout(() => URL.revokeObjectURL(old), 500);
    shownUrl = url;
    by('wait').hidden = true;
  } catch (problem) {
    if (mine !== asked) return;
    by('wait').hidden = false;
    by('wait').textContent = problem.message;
    by('base').removeAttribute('href');
    shownUrl = '';
  }
  marks();
}

function marks() {
  const image = current();
  const boxes = by('boxes');
  boxes.replaceChildren();
  by('heat').replaceChildren();
  if (!image) return;
  outlines.draw();
  const unit = unitOf(image);
  for (const finding of data.findings) {
    const active = view.finding === finding.id;
    if (view.boxes) for (const mark of finding.marks.filter(mark => same(image, mark))) {
      const style = active ? 'region active' : 'region';
      if (mark.kind === 'box') boxes.append(shape('rect', { class: style, x: mark.x, y: mark.y, width: mark.width, height: mark.height }));
      else boxes.append(shape('circle', { class: style, cx: mark.x, cy: mark.y, r: 8 * unit }));
      const label = shape('text', { class: 'region-label', transform: `translate(${mark.x} ${Math.max(16 * unit, mark.y - 5 * unit)}) scale(${unit})` }, finding.name);
      boxes.append(label);
    }
    const wanted = view.finding ? active : finding.present;
    if (view.heat && wanted) for (const mark of finding.heat.filter(mark => same(image, mark)))
      by('heat').append(shape('image', { href: mark.url, width: image.columns, height: image.rows, preserveAspectRatio: 'none' }));
  }
  by('corner').textContent = `${image.label}  ${image.columns} × ${image.rows}`;
}

function place() {
  by('scene').setAttribute('transform', `translate(${view.x} ${view.y}) scale(${view.scale})`);
  marks();
}

function zoom(factor) {
  const image = current();
  if (!image) return;
  const next = Math.min(8, Math.max(1, view.scale * factor));
  const change = next / view.scale;
  view.x = next === 1 ? 0 : image.columns / 2 - (image.columns / 2 - view.x) * change;
  view.y = next === 1 ? 0 : image.rows / 2 - (image.rows / 2 - view.y) * change;
  view.scale = next;
  place();
}

function reset() {
  Object.assign(view, { level: 50, window: 100, invert: false, scale: 1, x: 0, y: 0 });
  by('level').value = 50; by('window').value = 100;
  by('invert').setAttribute('aria-pressed', 'false');
  place();
  showImage();
}

function toggle(name, button) {
  view[name] = !view[name];
  by(button).setAttribute('aria-pressed', String(view[name]));
  if (name === 'invert') showImage(); else marks();
}

function chooseSeries(index) {
  if (outlines.busy()) { say('Save or cancel the outline first.'); return; }
  view.series = index;
  view.frame = 0;
  const frames = data.series[index].frames;
  by('frames').hidden = frames.length < 2;
  by('frame').max = frames.length - 1;
  [...by('series').children].forEach((button, at) => button.setAttribute('aria-pressed', String(at === index)));
  chooseFrame(0);
}

function chooseFrame(index) {
  if (outlines.busy()) { by('frame').value = view.frame; return; }
  const frames = data.series[view.series].frames;
  view.frame = Math.min(frames.length - 1, Math.max(0, index));
  by('frame').value = view.frame;
  by('frame-number').textContent = `${view.frame + 1} / ${frames.length}`;
  showImage();
}

function chooseFinding(id, jump = true) {
  view.finding = view.finding === id && !jump ? null : id;
  for (const row of document.querySelectorAll('tr[data-finding]')) {
    row.classList.toggle('selected', row.dataset.finding === view.finding);
    if (jump && row.dataset.finding === view.finding) row.scrollIntoView({ block: 'nearest' });
  }
  const finding = data.findings.find(one => one.id === id);
  const mark = finding && (finding.marks[0] ?? finding.heat[0]);
  if (mark) for (const [at, series] of data.series.entries()) {
    const frame = series.frames.findIndex(image => same(image, mark));
    if (frame >= 0 && (at !== view.series || frame !== view.frame)) { chooseSeries(at); chooseFrame(frame); }
  }
  if (stage) marks();
}

function startImages() {
  startSeries();
  by('show-boxes').addEventListener('click', () => toggle('boxes', 'show-boxes'));
  by('show-heat').addEventListener('click', () => toggle('heat', 'show-heat'));
  by('show-outlines').addEventListener('click', event => outlines.toggle(event.currentTarget));
  by('invert').addEventListener('click', () => toggle('invert', 'invert'));
  by('zoom-in').addEventListener('click', () => zoom(1.4));
  by('zoom-out').addEventListener('click', () => zoom(1 / 1.4));
  by('reset').addEventListener('click', reset);
  by('frame').addEventListener('input', event => chooseFrame(Number(event.target.value)));
  let pause;
  for (const name of ['level', 'window']) by(name).addEventListener('input', event => {
    view[name] = Number(event.target.value);
    clearTimeout(pause);
    pause = setTimeout(showImage, 60);
  });
  stage.addEventListener('wheel', event => {
    event.preventDefault();
    if (event.ctrlKey || data.series[view.series].frames.length < 2) zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15);
    else chooseFrame(view.frame + Math.sign(event.deltaY));
  }, { passive: false });
  let drag = null;
  stage.addEventListener('pointerdown', event => { if (outlines.grab(event)) { stage.setPointerCapture(event.pointerId); return; } drag = { x: event.clientX, y: event.clientY }; stage.setPointerCapture(event.pointerId); stage.classList.add('dragging'); });
  stage.addEventListener('pointermove', event => {
    if (outlines.pull(event) || !drag) return;
    const box = by('picture').getBoundingClientRect();
    const image = current();
    const unit = Math.max(image.columns / box.width, image.rows / box.height);
    view.x += (event.clientX - drag.x) * unit;
    view.y += (event.clientY - drag.y) * unit;
    drag = { x: event.clientX, y: event.clientY };
    place();
  });
  for (const end of ['pointerup', 'pointercancel']) stage.addEventListener(end, () => { outlines.release(); drag = null; stage.classList.remove('dragging'); });
  chooseSeries(0);
}

async function verdict(row, kind, more = {}) {
  try {
    await post(`/case/${data.study}/verdict`, { work_id: row.dataset.work, finding_key: row.dataset.key, kind, ...more });
    await refresh();
  } catch (problem) { say(problem.message, true); }
}

async function undo(id) {
  try {
    await post(`/case/${data.study}/verdict/${id}/undo`);
    await refresh();
    say('The verdict was taken back.');
  } catch (problem) { say(problem.message, true); }
}

let editing = null;
function edit(row) {
  editing = row;
  by('edit-title').textContent = `Edit: ${row.dataset.name}`;
  by('edit-form').reset();
  by('edit').showModal();
}
by('edit').addEventListener('close', () => {
  if (by('edit').returnValue === 'save' && editing) verdict(editing, 'edit', Object.fromEntries(new FormData(by('edit-form'))));
  by('edit').returnValue = '';
});

async function refresh() {
  const answer = await fetch(location.pathname, { headers: { 'x-refresh': '1' } });
  if (answer.redirected || !answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
  const focus = document.activeElement;
  const mark = focus?.getAttribute?.('aria-label');
  for (const part of document.querySelectorAll('[data-live]')) {
    const next = page.getElementById(part.id);
    if (!next || next.innerHTML === part.dataset.html) continue;
    part.dataset.html = next.innerHTML;
    const open = part.querySelector('details')?.open;
    part.innerHTML = next.innerHTML;
    if (open) part.querySelector('details').open = true;
    showTimes(part);
  }
  const images = JSON.parse(page.getElementById('images').textContent);
  if (images.series.length !== data.series.length && !stage) { location.reload(); return; }
  data.findings = images.findings;
  if (JSON.stringify(images.regions) !== JSON.stringify(data.regions)) outlines.forget();
  data.regions = images.regions;
  data.places = images.places;
  if (stage && JSON.stringify(images.series) !== JSON.stringify(data.series)) {
    const kept = [view.series, view.frame];
    data.series = images.series;
    by('series').replaceChildren();
    startSeries();
    chooseSeries(Math.min(kept[0], data.series.length - 1));
    chooseFrame(kept[1]);
  }
  if (view.finding) chooseFinding(view.finding);
  else if (stage) marks();
  if (mark && !document.contains(focus)) document.querySelector(`[aria-label="${CSS.escape(mark)}"]`)?.focus();
}

function startSeries() {
  data.series.forEach((series, index) => {
    const button = document.createElement('button');
    button.textContent = series.label;
    button.addEventListener('click', () => chooseSeries(index));
    by('series').append(button);
  });
}

document.addEventListener('click', async event => {
  const row = event.target.closest('tr[data-finding]');
  const button = event.target.closest('button');
  if (button?.dataset.verdict === 'edit') edit(row);
  else if (button?.dataset.verdict) verdict(row, button.dataset.verdict);
  else if (button?.dataset.undo) undo(button.dataset.undo);
  else if (button?.dataset.tree) {
    by('tree-title').textContent = button.dataset.title;
    by('tree-body').textContent = 'Reading the object ...';
    by('tree').showModal();
    const answer = await fetch(button.dataset.tree);
    if (answer.ok) by('tree-body').innerHTML = await answer.text();
    else by('tree-body').textContent = 'The object could not be read.';
  } else if (row) chooseFinding(row.dataset.finding, false);
});
document.addEventListener('keydown', event => {
  if (outlines.pressed(event) || typing(event)) return;
  const rows = [...document.querySelectorAll('tr[data-finding]')];
  const at = rows.findIndex(row => row.dataset.finding === view.finding);
  const press = name => rows[at]?.querySelector(name)?.click();
  const actions = {
    j: () => rows.length && chooseFinding(rows[Math.min(rows.length - 1, at + 1)].dataset.finding),
    k: () => rows.length && chooseFinding(rows[Math.max(0, at - 1)].dataset.finding),
    a: () => press('[data-verdict="accept"]'), x: () => press('[data-verdict="reject"]'), e: () => press('[data-verdict="edit"]'), u: () => press('[data-undo]'),
    b: () => stage && toggle('boxes', 'show-boxes'), h: () => stage && toggle('heat', 'show-heat'), i: () => stage && toggle('invert', 'invert'), r: () => stage && reset(),
    o: () => stage && outlines.toggle(by('show-outlines')), c: () => stage && by('correct') && outlines.begin(),
    Escape: () => location.assign('/'),
  };
  if (event.target.closest('button, a') && event.key === 'Enter') return;
  if (event.key === 'Enter' && event.target.dataset?.finding) chooseFinding(event.target.dataset.finding, false);
  actions[event.key]?.();
});

if (stage && data.series.length) startImages();
onChange(refresh);
