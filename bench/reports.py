"""Reports and sentences per second of the report labeler, beside a plain loop over regular expressions.

``python -m bench.reports``. The reports are composed with a seed (no patient's text): "new words" joins clauses so that
hardly any sequence of words comes twice and nothing can be remembered; "new numbers" says the same sentences with
another number each time; "as reports are" repeats stock sentences as dictation does. Two plain loops for comparison,
both of which do less (negation before, nothing else): one of 58 expressions as one writes them by hand, one with an
expression for each phrase of our rules for the same findings. Processor time, because other work only ever slows.
"""

import random
import re
import sys
import time
from collections.abc import Callable, Sequence

from coread.reports import label_report
from coread.reports.lexicon import finding_phrases
from coread.reports.reading import forget as forget_all
from coread.reports.sentences import lowered, sentences

REPORTS = 2000
ROUNDS = 3
PLAIN_REPORTS = 40
STOCK = (
    "No pleural effusion or pneumothorax.",
    "The lungs are clear.",
    "Heart size is normal.",
    "The cardiomediastinal silhouette is within normal limits.",
    "There is no focal consolidation.",
    "Visualized osseous structures are unremarkable.",
    "No acute cardiopulmonary process.",
    "Endotracheal tube is in standard position.",
    "Mild bibasilar atelectasis.",
    "Moderate cardiomegaly is stable.",
)
MADE = (
    "Endotracheal tube tip is {n} mm above the carina, and an enteric tube courses below the diaphragm.",
    "There is a {n} mm nodule in the right upper lobe, previously {m} mm, for which follow-up is recommended.",
    "Small left pleural effusion has increased since image {n}, with adjacent compressive atelectasis.",
    "No focal consolidation, edema, or pneumothorax is seen on image {n}.",
    "Patchy opacity on image {n} may represent atelectasis, although pneumonia cannot be excluded.",
    "The heart is mildly enlarged with a cardiothoracic ratio of {n} percent; pulmonary vasculature is congested.",
    "Old fracture of rib number {n} is noted, without new displaced fracture.",
)


def composed(*, fresh: bool) -> list[str]:
    """Reports of about 90 words in two sections; ``fresh``: a number of its own in every sentence."""
    draw = random.Random(1)
    made = []
    for number in range(REPORTS):
        pool = [text.format(n=number * 7 + k, m=number * 7 + k - 1) for k, text in enumerate(MADE)]
        body = draw.sample(pool, 5) if fresh else [*draw.sample(pool, 2), *draw.sample(STOCK, 4)]
        draw.shuffle(body)
        head = "INDICATION: Shortness of breath, rule out pneumonia."
        made.append(f"{head}\n\nFINDINGS:\n{' '.join(body)}\n\nIMPRESSION:\n{body[0]}\n")
    return made


FINDING = (
    *("pleural effusion", "pneumothorax", "consolidation", "interstitial edema", "atelectasis", "airspace opacity"),
    *("rib fracture", "pulmonary nodule", "pleural thickening", "cardiomegaly"),
)
SIZE = ("small", "moderate", "large", "tiny", "mild", "extensive")
PLACE = (
    *("in the right upper lobe", "at the left base", "in both lungs", "on the right", "in the lingula"),
    *("at the left apex", "in the right lower lobe", "along the lateral chest wall"),
)
CHANGE = ("unchanged", "increased", "decreased", "new", "stable", "improved")
CLAUSES = (
    "there is {size} {finding} {place} which is {change}",
    "no {finding} or {other} is seen {place}",
    "{size} {finding} may represent {other}",
    "{change} {size} {finding} {place} without {other}",
    "the previously described {finding} {place} has {change}",
    "{finding} cannot be excluded {place}, although {other} is more likely",
)


def of_new_words() -> list[str]:
    """Reports of two-clause sentences out of some billions: hardly a sentence has the words of another."""
    draw = random.Random(2)

    def clause() -> str:
        return draw.choice(CLAUSES).format(
            size=draw.choice(SIZE), finding=draw.choice(FINDING), other=draw.choice(FINDING),
            place=draw.choice(PLACE), change=draw.choice(CHANGE),
        )  # fmt: skip

    made = []
    for _ in range(REPORTS):
        body = [f"{clause()}, and {clause()}.".capitalize() for _ in range(5)]
        made.append(f"FINDINGS:\n{' '.join(body[:4])}\n\nIMPRESSION:\n{body[4]}\n")
    return made


HAND_WRITTEN = {
    "pneumothorax": ("pneumothora(?:x|ces)", "ptx", "hydropneumothorax"),
    "pleural_effusion": ("effusions?", "pleural fluid", "hemothorax", "hydropneumothorax", "blunting"),
    "consolidation": ("consolidations?", "air bronchograms?"),
    "pneumonia": ("pneumonias?", "infection", "infectious process", "bronchopneumonia"),
    "edema": ("(?:pulmonary|interstitial) edema", "heart failure", "chf", "vascular congestion", "fluid overload"),
    "atelectasis": ("atelecta(?:sis|ses|tic)", "collapse", "volume loss"),
    "cardiomegaly": ("cardiomegaly", "enlarged heart", "heart is (?:mildly )?enlarged", "cardiac enlargement"),
    "lung_opacity": ("opacit(?:y|ies)", "opacification", "infiltrates?", "airspace disease", "ground glass"),
    "lung_lesion": ("nodules?", "mass(?:es)?", "lesions?", "tumou?r", "carcinoma"),
    "fracture": ("fractures?", "fractured"),
    "pleural_other": ("pleural thickening", "pleural plaques?", "fibrothorax", "pleural scarring"),
    "enlarged_cardiomediastinum": ("widened mediastinum", "mediastinal widening"),
    "support_devices": (
        *("endotracheal tube", "ett", "picc", "catheters?", "pacemaker", "central line", "chest tube", "ng tube"),
        *("enteric tube", "tracheostomy", "icd", "port", "drain", "stent"),
    ),
}
NEGATIONS = [
    re.compile(rf"\b{text}\b[^.;]*$")
    for text in (
        "no",
        "not",
        "without",
        "no evidence of",
        "negative for",
        "free of",
        "absence of",
        "denies",
        "rule out",
    )
]


def plain_loop(phrases: Sequence[tuple[str, str]]) -> Callable[[str], dict[str, bool]]:
    """What one writes first: one expression after another, and a few negations looked for before each match."""
    compiled = [(key, re.compile(rf"\b{text}\b")) for key, text in phrases]

    def label(text: str) -> dict[str, bool]:
        found: dict[str, bool] = {}
        for sentence in re.split(r"(?<=[.;])\s+", text.lower()):
            for key, phrase in compiled:
                for match in phrase.finditer(sentence):
                    before = sentence[: match.start()]
                    found[key] = found.get(key, False) or not any(cue.search(before) for cue in NEGATIONS)
        return found

    return label


def by_hand() -> Callable[[str], dict[str, bool]]:
    return plain_loop([(key, text) for key, texts in HAND_WRITTEN.items() for text in texts])


def by_our_phrases() -> Callable[[str], dict[str, bool]]:
    return plain_loop(
        [(rule.keys[0], re.escape(text)) for rule, text in finding_phrases() if rule.keys[0] in HAND_WRITTEN]
    )


def spoken(text: str) -> int:
    """Sentences of more than two words: headings and empty lines are none."""
    return sum(len(text[one.start : one.end].split()) > 2 for one in sentences(text, lowered(text)))


def per_second(label: Callable[[str], object], reports: Sequence[str], *, forget: bool) -> float:
    """Best of a few rounds: other load only ever slows."""
    best = 0.0
    for _ in range(ROUNDS):
        if forget:
            forget_all()
        began = time.process_time()
        for report in reports:
            label(report)
        best = max(best, len(reports) / (time.process_time() - began))
    return best


def main() -> None:
    label_report("No effusion.")
    hand, ours_spelled_out = by_hand(), by_our_phrases()
    sys.stdout.write("sentences/s                         labeler   58 expressions   every phrase\n")
    corpora = {
        "new words": of_new_words(),
        "new numbers": composed(fresh=True),
        "as reports are": composed(fresh=False),
    }
    for name, reports in corpora.items():
        count = sum(spoken(text) for text in reports) / len(reports)
        words = sum(len(text.split()) for text in reports) / len(reports)
        ours = per_second(label_report, reports, forget=True)
        plain = per_second(hand, reports[:500], forget=False)
        slow = per_second(ours_spelled_out, reports[:20], forget=False)
        sys.stdout.write(
            f"{name:15s} {words:3.0f} words {count:4.1f} sentences {ours * count:8.0f} {plain * count:16.0f}"
            f" {slow * count:14.0f}   = {ours:.0f} reports/s, {ours / plain:.2f} and {ours / slow:.0f} times as fast\n"
        )
    again = per_second(label_report, corpora["as reports are"][:500], forget=False)
    sys.stdout.write(f"every sentence seen before: {again:.0f} reports/s (goal 10000)\n")


if __name__ == "__main__":
    main()
