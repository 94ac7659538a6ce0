"""The words of the chest reader's card and of its page for clinicians; every number in them comes from measurements."""

from coread.domain.cards import Estimate, InputContract, OutputSpec, ReaderCard, ReaderKind, Resources
from coread.domain.codes import Code
from coread.readers.chest_xray.report import Measured

VERSION = "0.1.0"
HEADING = "Written by recipe.py from measurements.json; change the recipe, not this file. Research use only."
LUNG = Code("39607008", "SCT", "Lung")
PLEURA = Code("3120008", "SCT", "Pleural structure")
HEART = Code("80891009", "SCT", "Heart")
CONCEPTS: dict[str, tuple[str, Code, Code]] = {
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
    "Trained and measured on one hospital (NIH Clinical Center, before 2017); expect less elsewhere.",
    "Labels were mined from report text and are wrong in about one of ten; the estimates carry that error.",
    "The estimates are of single pairs of networks out of fold; the mean of all pairs is shipped and was not measured.",
    "Overall AUC is helped by differences between the sources of normal and abnormal images; the AUC inside the set "
    "in which every image has a finding is the harder and fairer number, see README.md.",
    "The network sees 160 x 160 pixels: small pneumothoraces, small nodules and fine lines are lost.",
    "Chest drains and other lines go with pneumothorax in the training images and may cause or hide a mark.",
    "No lateral radiograph was available: a lateral view without View Position in its header may pass the gate.",
    "The image is stretched to a square, as the training images were; very long or wide images are distorted.",
    "The side of a finding assumes the usual frontal display (the patient's right on the left of the image); none is "
    "said when the header states another display.",
    "Boxes come from coarse maps and are marks for the eye, not measurements; those of nodules and of atelectasis "
    "rarely meet the radiologist's box (see README.md).",
    "The training run was short (20 to 24 passes over the data); pneumothorax inside the harder set is weak: do not "
    "rely on its mark, and never on its absence.",
    "Boxes and heat maps come from the network that was taught with boxes; the probability also from the plain one, "
    "which raised the AUC inside the harder set for pneumothorax only: for opacity, nodule and atelectasis its gain "
    "may be the difference between the sources.",
)
TRAINING_DATA = (
    "NIH ChestX-ray14 subset, 1,493 frontal radiographs (Wang 2017, NIH Clinical Center): findings, boxes, view",
    "Guangzhou children's chest radiographs (Kermany 2018, CC BY 4.0): input gate only",
    "MedNIST, CT-ICH, mini-MIAS, BUSI, IDRiD: other body parts, input gate only",
)


def card_of(measured: Measured) -> ReaderCard:
    """Build the card from what was measured."""
    return ReaderCard(
        reader_id="chest_xray",
        name="Chest radiograph, six findings",
        version=VERSION,
        kind=ReaderKind.DETECTION,
        intended_use=INTENDED_USE,
        not_for=NOT_FOR,
        research_use=True,
        input=CONTRACT,
        outputs=tuple(_output(measured, key) for key in CONCEPTS),
        training_data=TRAINING_DATA,
        training_licence=(
            "NIH ChestX-ray14: no restriction on use, cite Wang 2017; gate sets CC BY 4.0, "
            "CC BY-SA 4.0 (MedNIST) and research use (MIAS)"
        ),
        validation=(
            f"Out-of-fold estimates over {measured.folds} folds of patients ({measured.images} images of "
            f"{measured.patients} patients, seed 20261123): each image is predicted by the pair of networks that never "
            "saw its patient. A pair is one network taught with the radiologists' boxes and one plain network over the "
            "whole image, blended half and half (cardiomegaly: the first alone; that choice was made on these same "
            "estimates). Shipped is the mean of the pairs, made by the same recipe; it was not measured itself. AUC "
            "intervals: patient-level bootstrap; sensitivity and specificity: thresholds chosen on the other folds, "
            "intervals after Clopper and Pearson."
        ),
        limits=LIMITS,
        resources=Resources(memory_mb=600, seconds=10.0),
    )


def readme_of(measured: Measured) -> str:
    """Write the page for clinicians."""
    rows = []
    for output, place in zip(measured.outputs, measured.places, strict=True):
        point = next(point for point in output.points if point.name == DEFAULT_POINT)
        rows.append(
            f"| {CONCEPTS[output.key][0]} | {output.positives} | {_shown(output.auc)} | {_shown(output.auc_inside)} "
            f"| {_shown(point.sensitivity)} | {_shown(point.specificity)} | {output.calibration_error:.3f} "
            f"| {place.hit.value:.2f} of {place.hit.n} |"
        )
    gate = [f"| {name} | {_shown(estimate)} | {estimate.n} |" for name, estimate in measured.gate_refused]
    return _PAGE.format(
        folds=measured.folds,
        images=measured.images,
        patients=measured.patients,
        findings="\n".join(rows),
        gate="\n".join(gate),
        passed=_shown(measured.gate_passed),
        view=_shown(measured.view_auc),
        view_inside=_shown(measured.view_auc_inside),
        limits="\n".join(f"- {limit}" for limit in LIMITS),
        command=measured.command,
        intended=INTENDED_USE,
        not_for=NOT_FOR,
    )


def _output(measured: Measured, key: str) -> OutputSpec:
    found = next(output for output in measured.outputs if output.key == key)
    name, concept, site = CONCEPTS[key]
    return OutputSpec(
        key=key,
        name=name,
        concept=concept,
        site=site,
        urgent=key in URGENT,
        auc=found.auc,
        operating_points=found.points,
        default_operating_point=DEFAULT_POINT,
    )


def _shown(estimate: Estimate | None) -> str:
    if estimate is None:
        return "not measured"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


_PAGE = """# Chest radiograph, six findings

Research use only. This page is written by `recipe.py` from `measurements.json`.

{intended}

{not_for}

## What it was measured to do

Each image was predicted by the one of {folds} pairs of networks that never saw its patient ({images} images of
{patients} patients, NIH Clinical Center). Installed is the mean of these pairs, made by the same recipe; the mean
itself was not measured. Intervals are 95 %. "Inside" counts only the set in which every image has a finding, so that
the difference between normal and abnormal sources cannot help: it is the harder and fairer number. Sensitivity and
specificity are for the operating point `specific`, which is the default: the lowest threshold with a specificity of at
least 0.90, chosen on other patients than those counted. It is the default because six findings at points with more
false alarms would mark most studies. "Spot in box": share of images whose brightest spot lies in a radiologist's box.

| finding | positives | AUC | AUC inside | sensitivity | specificity | calibration error | spot in box |
|---|---|---|---|---|---|---|---|
{findings}

View (AP or PA) is told apart with AUC {view}, inside {view_inside}. It is a note on the result, never a finding.

## What it refuses

An image is refused when its header breaks the card (modality, body part, view, age under 16, size), when its pixels
are constant or not numbers, or when it does not look like an upright frontal chest of an adult. Of good images
{passed} pass. Refused on held-out images:

| image | share refused | n |
|---|---|---|
{gate}

## When not to trust it

{limits}

## Which pixels it sees

Stated padding is cut off; the rest is stretched to a square by area averaging, as the training images were. The
network reads the image and its mirror image and gives the mean, so a mirrored image gives the mirrored answer. Boxes
enclose the connected part of the finding's map around its brightest spot.

## How to make it again

`{command}` with the extra `train`, on the data named on the card.
"""
