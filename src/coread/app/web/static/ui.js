// Shared by every page: times in the reader's own zone, dialogs, messages, copy buttons, the live line to the server.
export const csrf = document.querySelector('meta[name="csrf"]')?.content ?? '';

export function say(text, bad = false) {
  const box = document.createElement('div');
  box.className = bad ? 'message bad' : 'message';
  box.textContent = text;
  document.getElementById('messages').append(box);
  setTimeout(() => box.remove(), bad ? 9000 : 4500);
}

export function ago(then, now = Date.now()) {
  const seconds = Math.max(0, (now - then) / 1000);
  if (seconds < 60) return 'just now';
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' });
const timeOnly = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium', hourCycle: 'h23' });

export function showTimes(root = document) {
  for (const element of root.querySelectorAll('time[data-time]')) {
    const at = Date.parse(element.dateTime);
    if (Number.isNaN(at)) continue;
    const form = element.dataset.time;
    const text = form === 'ago' ? ago(at) : (form === 'time' ? timeOnly : clock).format(at);
    if (element.textContent !== text) element.textContent = text;
    if (!element.title) element.title = clock.format(at);
  }
}

export async function post(url, values = {}) {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'x-csrf-token': csrf, accept: 'application/json' },
    body: new URLSearchParams(values),
  });
  if (answer.status === 401) location.assign('/login?next=' + encodeURIComponent(location.pathname));
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.detail ?? `The server answered ${answer.status}.`);
  }
  return answer;
}

// Calls back whenever anything changed in the store; falls back to asking every 5 seconds when streaming is cut off.
// Bursts of changes are answered once per pause (in ms), the last one always.
export function onChange(callback, pause = 1000) {
  let waiting = null;
  let before = -Infinity;
  const call = () => {
    if (waiting !== null) return;
    waiting = setTimeout(() => { waiting = null; before = performance.now(); callback(); }, Math.max(0, before + pause - performance.now()));
  };
  const sign = document.getElementById('live');
  const show = (state, text) => {
    if (!sign) return;
    sign.hidden = false;
    sign.dataset.state = state;
    sign.querySelector('span').textContent = text;
  };
  let failures = 0;
  let last = null;
  const stream = new EventSource('/events');
  stream.addEventListener('open', () => { failures = 0; show('on', 'Live'); });
  stream.addEventListener('change', event => {
    if (last !== null && event.data !== last) call();
    last = event.data;
  });
  stream.addEventListener('error', () => { failures += 1; show('retry', 'Connecting'); });
  setInterval(() => { if (failures > 1 && stream.readyState !== 1) call(); }, 5000);
  addEventListener('pagehide', () => stream.close());
}

export function typing(event) {
  return event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, select, textarea, dialog[open]') !== null;
}

document.addEventListener('click', event => {
  const opener = event.target.closest('[data-dialog]');
  if (opener) document.getElementById(opener.dataset.dialog)?.showModal();
  if (event.target.closest('[data-close]')) event.target.closest('dialog').close();
  if (event.target instanceof HTMLDialogElement) event.target.close();
  const copy = event.target.closest('[data-copy]');
  if (copy) navigator.clipboard?.writeText(copy.dataset.copy).then(() => say('Copied.'));
});
document.addEventListener('submit', event => {
  const question = event.target.dataset?.confirm;
  if (question && !confirm(question)) event.preventDefault();
});
const menuButton = document.querySelector('.menu-button');
menuButton?.addEventListener('click', () => {
  const open = document.getElementById('menu').classList.toggle('open');
  menuButton.setAttribute('aria-expanded', String(open));
});
showTimes();
setInterval(showTimes, 15000);
