// How fast the reader is, beside the picture; says so when the stream has ended.
const pace = document.getElementById("pace");

async function tell() {
  try {
    const answer = await fetch("/pace", { headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    const now = await answer.json();
    const parts = [`${now.frames_per_second.toFixed(1)} frames/s`, `${now.reading_ms.toFixed(0)} ms a frame`];
    parts.push(`${now.frames} read, ${now.marked} marked, ${now.refused} not read`);
    pace.textContent = now.running ? parts.join(" - ") : `Ended. ${now.problem || parts.join(" - ")}`;
    if (now.running) setTimeout(tell, 500);
  } catch (problem) {
    pace.textContent = "The live reading does not answer any more.";
  }
}

tell();
