"""A report's text with what was found in it: ``[left effusion]{+pleural_effusion}``, for people who check the rules."""

from coread.reports.records import ReportLabels, Status

SIGNS = {Status.PRESENT: "+", Status.ABSENT: "-", Status.UNCERTAIN: "?"}


def marked(text: str, report: ReportLabels) -> str:
    """Return the text with every mention marked; a place that says several things carries all of them."""
    places: dict[tuple[int, int], list[str]] = {}
    for mention in report.mentions:
        sign = SIGNS.get(mention.status, "")
        places.setdefault((mention.start, mention.end), []).append(f"{sign}{mention.finding}")
    pieces: list[str] = []
    position = 0
    for (start, end), said in sorted(places.items(), key=lambda item: (item[0][0], -item[0][1])):
        if start < position:
            pieces.append(f"{{{' '.join(said)}}}")
            continue
        pieces += [text[position:start], "[", text[start:end], f"]{{{' '.join(said)}}}"]
        position = end
    return "".join([*pieces, text[position:]])
