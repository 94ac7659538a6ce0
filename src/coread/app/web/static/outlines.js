// Outlines of regions on the preview, and their correction: drag points, or use the keyboard; saving asks for a reason.
import { post, say } from './ui.js';

const SVG = 'http://www.w3.org/2000/svg';
const by = id => document.getElementById(id);
const make = (name, attributes) => {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};
const path = polygons => polygons.map(points => 'M' + points.map(point => point.join(' ')).join('L') + 'Z').join('');

// `page` knows the study: { data, current, unit, redraw, refresh }.
export function makeOutlines(page) {
  const shown = new Map();
  const asked = new Map();
  const chosen = new Map();
  let visible = true;
  let editing = null;
  let drag = null;

  const key = image => page.data.places.findIndex(place => place[0] === image.sop && place[1] === image.frame);
  const versionOf = region => chosen.get(region.work) ?? region.version;
  const here = (image, list) => image ? page.data.regions.filter(region => region[list].includes(key(image))) : [];
  const url = (work, version, image) => `/case/${page.data.study}/outlines/${work}/${version}/${image.sop}/${image.frame}`;

  // Every frame is asked for once; whoever asks while the answer is on its way gets the same answer.
  function load(work, version, image) {
    const at = url(work, version, image);
    if (!asked.has(at)) asked.set(at, fetch(at).then(async answer => {
      if (!answer.ok) throw new Error('The outlines could not be read.');
      shown.set(at, (await answer.json()).outlines);
      page.redraw();
      return shown.get(at);
    }).catch(problem => { asked.delete(at); say(problem.message, true); return null; }));
    return asked.get(at);
  }

  function forget() { shown.clear(); asked.clear(); chosen.clear(); }

  function draw() {
    const image = page.current();
    const group = by('outlines');
    group.replaceChildren();
    by('show-outlines').hidden = !page.data.regions.length;
    const button = by('correct');
    if (button) button.hidden = editing !== null || !here(image, 'at').some(region => region.editable);
    if (!image) return;
    if (editing) { drawEditing(group); return; }
    if (!visible) return;
    const works = new Map(here(image, 'at').map(region => [region.work, versionOf(region)]));
    for (const [work, version] of works) {
      const known = shown.get(url(work, version, image));
      if (!known) { if (!asked.has(url(work, version, image))) load(work, version, image); continue; }
      for (const outline of known) {
        const region = page.data.regions.find(one => one.work === work && one.uid === outline.region);
        const stale = region && version !== region.version;
        const line = make('path', { d: path(outline.polygons), class: stale ? 'outline earlier' : 'outline', stroke: region?.colour ?? '#fff' });
        const title = make('title', {});
        title.textContent = stale ? `${outline.label}, version ${version}` : outline.label;
        line.append(title);
        group.append(line);
      }
    }
  }

  function drawEditing(group) {
    const unit = page.unit();
    group.append(make('path', { d: path(editing.polygons), class: 'outline editing', stroke: editing.region.colour }));
    editing.polygons.forEach((points, part) => points.forEach(([x, y], index) => {
      const active = editing.at[0] === part && editing.at[1] === index;
      const point = make('circle', { cx: x, cy: y, r: (active ? 7 : 4.5) * unit, class: active ? 'handle active' : 'handle', fill: editing.region.colour });
      point.dataset.part = part;
      point.dataset.index = index;
      group.append(point);
    }));
  }

  async function begin(uid) {
    const image = page.current();
    if (editing && JSON.stringify(editing.polygons) !== editing.first) {
      by('correct-region').value = editing.region.uid;
      say('Save or cancel the outline first.', true);
      return;
    }
    const choices = here(image, 'at').filter(region => region.editable);
    if (!choices.length) { say('No region of a result can be corrected on this image.', true); return; }
    const region = choices.find(one => one.uid === uid) ?? choices.find(one => one.on.includes(key(image))) ?? choices[0];
    chosen.delete(region.work);
    const outlines = await load(region.work, region.version, image);
    // An outline that could not be read is not an empty one, and must not be drawn on an image chosen meanwhile.
    const now = page.current();
    if (!outlines || now?.sop !== image.sop || now?.frame !== image.frame) {
      if (editing) by('correct-region').value = editing.region.uid;
      return;
    }
    const polygons = (outlines.find(one => one.region === region.uid)?.polygons ?? []).map(points => points.map(point => [...point]));
    editing = { region, image, polygons, at: [0, 0], steps: [], first: JSON.stringify(polygons) };
    const list = by('correct-region');
    list.replaceChildren(...choices.map(one => new Option(one.label, one.uid, false, one === region)));
    by('correcting').hidden = false;
    by('stage').classList.add('correcting');
    list.focus();
    draw();
  }

  function end() {
    editing = null;
    drag = null;
    by('correcting').hidden = true;
    by('stage').classList.remove('correcting');
    page.redraw();
    by('correct')?.focus();
  }

  const inside = (value, most) => Math.round(Math.min(most, Math.max(0, value)) * 100) / 100;
  const remember = () => { editing.steps.push(JSON.stringify([editing.polygons, editing.at])); if (editing.steps.length > 200) editing.steps.shift(); };
  const point = () => editing.polygons[editing.at[0]]?.[editing.at[1]];

  function move(x, y) {
    const found = point();
    if (!found) return;
    found[0] = inside(x, editing.image.columns);
    found[1] = inside(y, editing.image.rows);
    draw();
  }

  function choose(step) {
    const all = editing.polygons.flatMap((points, part) => points.map((_, index) => [part, index]));
    if (!all.length) return;
    const at = all.findIndex(([part, index]) => part === editing.at[0] && index === editing.at[1]);
    editing.at = all[(at + step + all.length) % all.length];
    draw();
  }

  const actions = {
    add() {
      const points = editing.polygons[editing.at[0]];
      if (!points) return actions.part();
      remember();
      const [x, y] = points[editing.at[1]];
      const [u, v] = points[(editing.at[1] + 1) % points.length];
      points.splice(editing.at[1] + 1, 0, [(x + u) / 2, (y + v) / 2]);
      editing.at = [editing.at[0], editing.at[1] + 1];
    },
    remove() {
      const points = editing.polygons[editing.at[0]];
      if (!points) return;
      remember();
      if (points.length > 3) points.splice(editing.at[1], 1);
      else editing.polygons.splice(editing.at[0], 1);
      editing.at = editing.polygons[editing.at[0]] ? [editing.at[0], Math.min(editing.at[1], editing.polygons[editing.at[0]].length - 1)] : [0, 0];
    },
    part() {
      remember();
      const { rows, columns } = editing.image;
      const half = Math.max(2, Math.round(Math.min(rows, columns) / 20));
      const [x, y] = page.middle();
      const corners = [[-half, -half], [half, -half], [half, half], [-half, half]];
      editing.polygons.push(corners.map(([dx, dy]) => [inside(x + dx, columns), inside(y + dy, rows)]));
      editing.at = [editing.polygons.length - 1, 0];
    },
    clear() { remember(); editing.polygons = []; editing.at = [0, 0]; },
    undo() {
      const before = editing.steps.pop();
      if (before) [editing.polygons, editing.at] = JSON.parse(before);
    },
    cancel: end,
    save() {
      if (JSON.stringify(editing.polygons) === editing.first) { say('Nothing was changed yet.', true); return; }
      const { region, image, polygons } = editing;
      ask(`Correct the outline: ${region.label}`, null, reason => post(`/case/${page.data.study}/correct/outline`, {
        work_id: region.work, version: region.version, region: region.uid, sop: image.sop, frame: image.frame, polygons: JSON.stringify(polygons), reason,
      }).then(end));
    },
  };

  function act(name) {
    if (!editing || !actions[name]) return;
    actions[name]();
    if (editing) draw();
  }

  // Returns whether the key was used up.
  function pressed(event) {
    if (!editing) return false;
    if (event.target.closest('dialog[open], textarea, input, select') || event.ctrlKey || event.metaKey || event.altKey) return true;
    const far = event.shiftKey ? 5 : 1;
    const arrows = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] };
    const names = { '+': 'add', Delete: 'remove', Backspace: 'remove', n: 'part', z: 'undo', Escape: 'cancel', Enter: 'save' };
    if (event.target.closest('button') && event.key === 'Enter') return true;
    if (arrows[event.key] && point()) { remember(); move(point()[0] + arrows[event.key][0], point()[1] + arrows[event.key][1]); }
    else if (event.key === '[' || event.key === ']') choose(event.key === '[' ? -1 : 1);
    else if (names[event.key]) act(names[event.key]);
    else return true;
    event.preventDefault();
    return true;
  }

  // Returns whether the pointer took a point of the outline.
  function grab(event) {
    const handle = editing && event.target.closest?.('circle.handle');
    if (!handle) return false;
    remember();
    editing.at = [Number(handle.dataset.part), Number(handle.dataset.index)];
    drag = true;
    draw();
    return true;
  }

  function pull(event) {
    if (!drag) return false;
    move(...page.place(event));
    return true;
  }

  let saving = null;
  function ask(title, value, save, unit = '') {
    saving = save;
    by('correction-title').textContent = title;
    by('correction-form').reset();
    by('correction-value').hidden = value === null;
    by('correction-form').value.value = value ?? '';
    by('correction-unit').textContent = unit;
    by('correction').showModal();
  }
  by('correction').addEventListener('close', async () => {
    if (by('correction').returnValue === 'save' && saving) {
      const form = new FormData(by('correction-form'));
      try {
        say('Writing the new version ...');
        await saving(form.get('reason'), form.get('value'));
        forget();
        await page.refresh();
        say('Saved as a new version.');
      } catch (problem) { say(problem.message, true); }
    }
    by('correction').returnValue = '';
    saving = null;
  });

  document.addEventListener('click', event => {
    const button = event.target.closest('button');
    if (!button) return;
    const { work, version } = button.dataset;
    const study = `/case/${page.data.study}/correct`;
    if (button.dataset.correct) act(button.dataset.correct);
    else if (button.id === 'correct') begin();
    else if (button.dataset.number !== undefined) ask(`Correct: ${button.dataset.name}`, button.dataset.value, (reason, value) =>
      post(`${study}/number`, { work_id: work, version, index: button.dataset.number, value, reason }), button.dataset.unit);
    else if (button.dataset.back) ask(`Back to version ${button.dataset.back}`, null, reason =>
      post(`${study}/back`, { work_id: work, version, earlier: button.dataset.back, reason }));
    else if (button.dataset.showVersion) {
      chosen.set(Number(work), Number(button.dataset.showVersion));
      visible = true;
      by('show-outlines')?.setAttribute('aria-pressed', 'true');
      page.redraw();
      say(`Outlines of version ${button.dataset.showVersion}.`);
    }
  });
  by('correct-region')?.addEventListener('change', event => begin(event.target.value));

  return {
    draw, pressed, grab, pull, begin,
    release: () => { drag = null; },
    busy: () => editing !== null,
    forget: () => { if (!editing) forget(); },
    toggle(button) { visible = !visible; button.setAttribute('aria-pressed', String(visible)); draw(); },
  };
}
