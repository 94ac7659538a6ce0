"""The page of a replay for people: verdict, limits, and every changed answer."""

import html
from typing import TYPE_CHECKING

from coread.engine.comparing import ChangedFinding, StudyChange

if TYPE_CHECKING:
    from coread.app.replaying import Replay

_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em}table{border-collapse:collapse}"
    "td,th{border-bottom:1px solid #ccc;padding:.2em .7em;text-align:left;vertical-align:top}.no{color:#a00}"
)


def replay_page(found: "Replay") -> str:
    """Return one self-contained HTML page; studies are named by UID only."""
    before, after, numbers = found.plan.before, found.plan.after, found.measured
    verdict = {True: "accepted", False: "rejected", None: "not judged: no limits were written down before"}
    changed = [item for item in found.changes if item.changed]
    parts = [
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>Replay</title><style>{_STYLE}</style>",
        f"<h1>{html.escape(before.card.name)}: {html.escape(before.card.version)} to {html.escape(after.card.version)}"
        f"</h1><p>Research use only. Source: {html.escape(found.plan.source)}. Packages "
        f"{before.package_digest[:16]} and {after.package_digest[:16]}.</p>",
        f"<p><b>Change {verdict[found.accepted]}.</b> {numbers.changed_studies} of {numbers.studies} studies have a "
        f"different answer; {numbers.answers} answers were compared.</p>",
    ]
    if not numbers.studies:
        parts.append("<p><b>Nothing was compared: no study was read by either version.</b></p>")
    if found.checks:
        rows = "".join(
            f"<tr class='{'' if c.kept else 'no'}'><td>{c.name}<td>{c.limit:g}<td>{c.measured:.4g}"
            f"<td>{'kept' if c.kept else 'NOT kept'}</tr>"
            for c in found.checks
        )
        parts.append(f"<table><tr><th>limit<th>allowed<th>measured<th></tr>{rows}</table>")
    parts.append("<h2>Changed answers</h2>")
    if not changed:
        parts.append("<p>None.</p>")
    else:
        parts.append("<table><tr><th>study<th>outcome<th>changed findings</tr>")
        parts += [_row(item) for item in changed]
        parts.append("</table>")
    return "\n".join(parts) + "\n</html>\n"


def _row(change: StudyChange) -> str:
    before = " ".join(filter(None, (change.outcome_before, change.detail_before)))
    after = " ".join(filter(None, (change.outcome_after, change.detail_after)))
    outcome = before if before == after else f"{before} &rarr; {after}"
    findings = "<br>".join(_finding(item) for item in change.findings)
    return f"<tr><td>{html.escape(change.study_instance_uid)}<td>{outcome}<td>{findings}</tr>"


def _finding(item: ChangedFinding) -> str:
    words = [f"<b>{html.escape(item.key)}</b>"]
    if item.presence_changed:
        words.append(f"{item.presence_before or 'no answer'} &rarr; {item.presence_after or 'no answer'}")
    if item.urgent_lost:
        words.append("<span class='no'>urgent finding lost</span>")
    if item.probability_before is not None and item.probability_after is not None:
        words.append(f"probability {item.probability_before:.3f} &rarr; {item.probability_after:.3f}")
    if item.least_overlap < 1.0:
        words.append(f"boxes {item.boxes_before} &rarr; {item.boxes_after}, least overlap {item.least_overlap:.2f}")
    return ", ".join(words)
