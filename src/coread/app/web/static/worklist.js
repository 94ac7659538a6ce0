// The live worklist: rows are exchanged one by one, so that nothing jumps, the selection stays, and focus is kept.
import { csrf, onChange, say, showTimes, typing } from './ui.js';

const form = document.getElementById('filters');
const rows = document.getElementById('rows');
const search = document.getElementById('search');
const KEPT = 'coread-worklist';
let limit = 100;
let selected = null;
let running = false;
let again = false;

function values() {
  return new URLSearchParams([...new FormData(form), ['limit', limit]]);
}

async function refresh(fresh = true) {
  if (running) { again = true; return; }
  running = true;
  try {
    const answer = await fetch('/worklist/rows', { method: 'POST', headers: { 'x-csrf-token': csrf }, body: values() });
    if (answer.status === 401) { location.assign('/login?next=/'); return; }
    if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
    exchange(await answer.text(), fresh);
  } catch (problem) {
    say(`The worklist could not be refreshed: ${problem.message}`, true);
  } finally {
    running = false;
    if (again) { again = false; setTimeout(refresh, 150); }
  }
}

function exchange(html, fresh) {
  const holder = document.createElement('div');
  holder.innerHTML = html;
  const before = rows.querySelector('tbody');
  const after = holder.querySelector('tbody');
  if (!before || !after) {
    rows.replaceChildren(...holder.childNodes);
  } else {
    const known = new Map([...before.children].map(row => [row.dataset.key, row]));
    let place = before.firstElementChild;
    for (const row of [...after.children]) {
      const old = known.get(row.dataset.key);
      known.delete(row.dataset.key);
      const same = old && old.dataset.mark === mark(row);
      const use = same ? old : row;
      if (!same) {
        row.dataset.mark = mark(row);
        if (fresh) row.classList.add('fresh');
        if (old) { if (old === place) place = row; old.replaceWith(row); }
      }
      if (use === place) place = place.nextElementSibling;
      else before.insertBefore(use, place);
    }
    for (const gone of known.values()) gone.remove();
    rows.querySelector('.foot').replaceWith(holder.querySelector('.foot'));
  }
  remember();
  showTimes(rows);
  select(selected, false);
}

// What a row looks like, without what the script itself changes in it (times, selection).
function mark(row) {
  return row.innerHTML.replace(/<time[^>]*>[^<]*<\/time>/g, '');
}

function remember() {
  for (const row of rows.querySelectorAll('tbody tr')) row.dataset.mark ??= mark(row);
}

function select(key, scroll = true) {
  selected = key;
  for (const row of rows.querySelectorAll('tbody tr')) {
    const on = row.dataset.key === key;
    row.classList.toggle('selected', on);
    if (on && scroll) row.scrollIntoView({ block: 'nearest' });
  }
}

function step(by) {
  const all = [...rows.querySelectorAll('tbody tr')];
  if (!all.length) return;
  const at = all.findIndex(row => row.dataset.key === selected);
  const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by));
  select(all[next].dataset.key);
}

function choose(outcome) {
  form.elements.outcome.value = outcome;
  for (const button of form.querySelectorAll('[data-outcome]')) button.setAttribute('aria-pressed', String(button.dataset.outcome === outcome));
  changed();
}

function changed() {
  sessionStorage.setItem(KEPT, new URLSearchParams([...new FormData(form)].filter(([name]) => name !== 'text')).toString());
  refresh(false);
}

form.addEventListener('submit', event => { event.preventDefault(); changed(); });
let pause;
form.addEventListener('input', event => { clearTimeout(pause); pause = setTimeout(changed, event.target === search ? 180 : 0); });
form.addEventListener('click', event => {
  const button = event.target.closest('[data-outcome]');
  if (button) choose(button.dataset.outcome);
});
rows.addEventListener('click', event => {
  const more = event.target.closest('[data-more]');
  if (more) { limit = Number(more.dataset.more); refresh(false); }
  if (event.target.closest('[data-clear]')) { form.reset(); choose(''); }
});
document.addEventListener('keydown', event => {
  if (event.key === 'Escape' && event.target === search) { search.blur(); return; }
  if (event.key === 'Enter' && event.target === search) { event.preventDefault(); search.blur(); step(1); return; }
  if (typing(event)) return;
  const outcomes = ['', 'positive', 'negative', 'not_analysed', 'failed'];
  if (event.key === 'j' || event.key === 'ArrowDown') { event.preventDefault(); step(1); }
  else if (event.key === 'k' || event.key === 'ArrowUp') { event.preventDefault(); step(-1); }
  else if (event.key === '/') { event.preventDefault(); search.focus(); search.select(); }
  else if (event.key === '?') document.getElementById('keys').showModal();
  else if (event.key === 'Enter' && selected && event.target.closest('a, button') === null) location.assign(rows.querySelector('tr.selected').dataset.href);
  else if (/^[0-4]$/.test(event.key)) choose(outcomes[Number(event.key)]);
});

remember();
const kept = sessionStorage.getItem(KEPT);
if (kept) {
  for (const [name, value] of new URLSearchParams(kept)) if (form.elements[name]) form.elements[name].value = value;
  if ([...new URLSearchParams(kept)].some(([, value]) => value)) choose(form.elements.outcome.value);
}
onChange(refresh, 250);
