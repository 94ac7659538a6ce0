// Pages that only show state: their live parts are exchanged when something changed.
import { onChange, showTimes } from './ui.js';

let running = false;
async function refresh() {
  if (running) return;
  running = true;
  try {
    const answer = await fetch(location.pathname + location.search);
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    for (const part of document.querySelectorAll('[data-live]')) {
      const next = page.getElementById(part.id);
      if (next && next.innerHTML !== part.dataset.html && !part.contains(document.activeElement)) {
        part.dataset.html = next.innerHTML;
        part.innerHTML = next.innerHTML;
        showTimes(part);
      }
    }
  } finally { running = false; }
}
onChange(refresh);
