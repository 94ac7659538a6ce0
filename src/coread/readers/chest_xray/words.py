"""What card and page of the chest reader say in words; the numbers are put in by the recipe."""

from collections.abc import Mapping, Sequence
from typing import Any

from coread.domain.cards import InputContract, ReaderCard, ReaderKind, Resources
from coread.domain.codes import Code
from coread.readers.chest_xray.cohort import INSIDE
from coread.readers.chest_xray.outputs import SIDE
from coread.readers.classifying.packaging import OutputPlan
from coread.readers.classifying.words import Page
from coread.statistics.thresholds import Rule

VERSION = "0.2.0"
LUNG = Code("39607008", "SCT", "Lung")
PLEURA = Code("3120008", "SCT", "Pleural structure")
HEART = Code("80891009", "SCT", "Heart")
CONCEPTS: Mapping[str, tuple[str, Code, Code]] = {
    "pneumothorax": ("Pneumothorax", Code("36118008", "SCT", "Pneumothorax"), PLEURA),
    "effusion": ("Pleural effusion", Code("60046008", "SCT", "Pleural effusion"), PLEURA),
    "cardiomegaly": ("Enlarged heart", Code("8186001", "SCT", "Cardiomegaly"), HEART),
    "opacity": ("Lung opacity", Code("112001", "DCM", "Opacity"), LUNG),
    "nodule_mass": ("Nodule or mass", Code("27925004", "SCT", "Nodule"), LUNG),
    "atelectasis": ("Atelectasis", Code("46621007", "SCT", "Atelectasis"), LUNG),
}
"""Name, concept and site of each output. Opacity and nodule are of CID 6104 (PS3.16), pneumothorax of CID 6105."""
URGENT = ("pneumothorax",)
DEFAULT_POINT = "specific"
"""Six findings at a point with more false alarms would mark most normal studies; nobody would look any more."""

RULES = {
    "screening": Rule.sensitivity(0.9),
    "balanced": Rule.youden(),
    "specific": Rule.specificity(0.9),
}
OUTPUT_PLANS = tuple(
    OutputPlan(key, name, concept, site, RULES, DEFAULT_POINT, urgent=key in URGENT)
    for key, (name, concept, site) in CONCEPTS.items()
)

INTENDED_USE = (
    "Second reading of frontal chest radiographs of adults for research: marks suspected pneumothorax, pleural "
    "effusion, enlarged heart, lung opacity, nodule or mass, and atelectasis, with a box and a heat map."
)
NOT_FOR = (
    "Not a medical device. Not for diagnosis or for deciding treatment, not for ruling anything out, not for "
    "children, lateral or decubitus views, other body parts, or CT scout images."
)
CONTRACT = InputContract(
    modalities=("CR", "DX", "OT"),
    sop_class_uids=("1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.7"),
    body_parts=("CHEST", "THORAX", "LUNG"),
    views=("PA", "AP"),
    min_age_years=16.0,
    max_age_years=None,
    min_rows=256,
    min_columns=256,
    max_pixels=64_000_000,
    min_images=1,
    max_images=8,
)
LIMITS = (
    "Taught on some 1,190 images: do not rely on its mark, and never on its absence. Aimed at, inside the one source "
    "set in which every image has a finding, were an AUC of 0.85 for pneumothorax, 0.80 for effusion and 0.90 for an "
    "enlarged heart; what was reached stands in README.md.",
    "Taught and measured on one hospital (NIH Clinical Center, before 2017); expect less elsewhere.",
    "Labels were mined from report text and are wrong in about one of ten; the estimates carry that error.",
    "The AUC over all images is helped by differences between the sources of normal and abnormal images; the AUC "
    "inside the set in which every image has a finding is the harder and fairer number, see README.md.",
    f"The network sees {SIDE} x {SIDE} pixels: small pneumothoraces, small nodules and fine lines are lost.",
    "Chest drains and other lines go with pneumothorax in the training images and may cause or hide a mark.",
    "No lateral radiograph was available: a lateral view without View Position in its header may pass the gate.",
    "The image is stretched to a square, as the training images were; very long or wide images are distorted.",
    "The side of a finding assumes the usual frontal display (the patient's right on the left of the image); none is "
    "said when the header states another display.",
    "Boxes come from coarse maps and are marks for the eye, not measurements; those of nodules and of atelectasis "
    "rarely meet the radiologist's box (see README.md).",
    "Probabilities were calibrated on single networks; those of the mean of three are a little cautious.",
    "The gate refuses the look of children, other organs, negatives and turned images; how often is in README.md.",
)
TRAINING_DATA = (
    "NIH ChestX-ray14 subset, 1,493 frontal radiographs (Wang 2017, NIH Clinical Center): findings, boxes, view; four "
    "fifths of the patients learnt from",
    "Guangzhou children's chest radiographs (Kermany 2018, CC BY 4.0): input gate only",
    "MedNIST, CT-ICH, mini-MIAS, BUSI, IDRiD: other body parts, input gate only",
    "ImageNet (ILSVRC 2012): the network began with EfficientNet-Lite0 weights, then all layers learnt (Tan and Le "
    "2019; Apache-2.0)",
)
CARD = ReaderCard(
    reader_id="chest_xray",
    name="Chest radiograph, six findings",
    version=VERSION,
    kind=ReaderKind.DETECTION,
    intended_use=INTENDED_USE,
    not_for=NOT_FOR,
    research_use=True,
    input=CONTRACT,
    outputs=(),
    training_data=TRAINING_DATA,
    training_licence="NIH ChestX-ray14: no restriction on use, cite Wang 2017; gate sets CC BY 4.0, CC BY-SA 4.0 "
    "(MedNIST) and research use (MIAS). ImageNet pictures are for non-commercial research and education; the weights "
    "learnt on them are Apache-2.0",
    validation="The locked package, run through the engine on the images of the fixed held-out fifth of the patients "
    "(coread validate; see validation.json, also for the AUC inside each source set and for the boxes). Three "
    "networks, each fitted without one third of the other patients, are averaged; calibration, thresholds and the "
    "limit of the gate come from what each said of its third.",
    limits=LIMITS,
    resources=Resources(memory_mb=1000, seconds=15.0),
)


def page_with(facts: Mapping[str, Any]) -> Page:
    """Return what the page says beyond card and report; ``facts`` are of the cross-fitted members (training.json)."""
    return Page(reader_id=CARD.reader_id, answers=_ANSWERS, pixels=_PIXELS, more=lambda report: _more(report, facts))


_ANSWERS = (
    "Six answers for a study, each with a calibrated probability, the highest of the images; a finding that is present "
    "has a box and a heat map on every image that shows it, and a side where the box lies clearly on one. The default "
    "operating point is `specific`: six findings at points with more false alarms would mark most studies. The view "
    "(AP or PA) is a note on the result, never a finding. An image is refused when its header breaks the card "
    "(modality, body part, view, age under 16, size), when its pixels are constant or not numbers, or when it does not "
    "look like an upright frontal chest of an adult."
)
_PIXELS = (
    f"Stated padding is cut off; the rest is stretched to a square of {SIDE} x {SIDE} pixels by area averaging, as the "
    "training images were. The network reads the image and its mirror image and gives the mean, so a mirrored image "
    "gives the mirrored answer. Boxes enclose the connected part of the finding's map around its brightest spot."
)


def _more(report: Mapping[str, Any], facts: Mapping[str, Any]) -> Sequence[str]:
    gate = facts["gate"]
    refused = "; ".join(f"{name} {_shown(body)}" for name, body in gate["refused"].items())
    return [
        *_inside(report, facts["inside"]),
        *_places(report, facts["places"]),
        "",
        f"View (AP or PA), cross-fitted: AUC {_shown(facts['view_auc'])}. Gate, cross-fitted: of good images "
        f"{_shown(gate['passed'])} pass at the limit that was set on them; refused: {refused} (part of the images "
        "of each set, enlarged where the set's are smaller than the card allows).",
    ]


def _inside(report: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    lines = [
        "",
        "### Inside the source set in which every image has a finding",
        "",
        "There the difference between normal and abnormal sources cannot help. Held out: this package on the held-out "
        "patients of that set. Cross-fitted: each member on the third that it did not learn from, for more images and "
        "without the gain of averaging (training.json).",
        "",
        "| finding | held out: n, positive | AUC held out | AUC cross-fitted |",
        "|---|---|---|---|",
    ]
    for key, (name, _, _) in CONCEPTS.items():
        row = _source_row(report, key)
        count = f"{row['n']}, {row['positives']}" if row else "none"
        lines.append(f"| {name} | {count} | {_shown(row.get('auc', {}))} | {_shown(facts[key])} |")
    return lines


def _places(report: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    lines = [
        "",
        "### Places",
        "",
        "Of the radiologists' boxes on the held-out images: the share that holds the centre of a mark at the default "
        "operating point, and false marks per image. Cross-fitted: share of images whose brightest spot lies in a "
        "radiologist's box, whether or not the finding was called.",
        "",
        "| finding | boxes | found | false marks per image | brightest spot in a box, cross-fitted |",
        "|---|---|---|---|---|",
    ]
    for key, (name, _, _) in CONCEPTS.items():
        body, spot = report.get("boxes", {}).get(key, {}), facts[key].get("spot_in_box", {})
        found, false = (_shown(body.get(part, {})) for part in ("found_centre", "false_marks_per_picture"))
        lines.append(f"| {name} | {body.get('lesions', 0)} | {found} | {false} | {_shown(spot)} |")
    return lines


def _source_row(report: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    rows = report["outputs"].get(key, {}).get("subgroups", {}).get("rows", ())
    return next((row for row in rows if (row["grouping"], row["level"]) == ("source", INSIDE)), {})


def _shown(body: Mapping[str, Any]) -> str:
    if "value" not in body:
        return "not measured"
    return f"{body['value']:.3f} ({body['low']:.3f} to {body['high']:.3f})"
