"""What card and README of the brain tumour reader say in words, with the measured numbers put in."""

from collections.abc import Mapping
from typing import Any

from coread.domain.cards import Estimate, InputContract, OperatingPoint, OutputSpec, ReaderCard, ReaderKind, Resources
from coread.domain.codes import Code
from coread.readers.brain_mr_tumor.outputs import TUMOUR, TYPES
from coread.readers.pages import clinicians_page, row_of

VERSION = "0.2.0"
MARKING, NAMING = "marking", "likeliest"
MARK_RULE = "highest threshold at which at least 97 % of the cross-fitted slices get a mark"
TYPE_RULE = "one half: the type is more likely than the two others together"
NAMES = {"meningioma": "Meningioma", "glioma": "Glioma", "pituitary": "Pituitary tumour"}
_CONCEPTS = {
    TUMOUR: Code("108369006", "SCT", "Neoplasm"),
    "meningioma": Code("302820008", "SCT", "Intracranial meningioma"),
    "glioma": Code("393564001", "SCT", "Glioma"),
    "pituitary": Code("127024001", "SCT", "Neoplasm of pituitary gland"),
}
_SITES = {
    TUMOUR: Code("69536005", "SCT", "Head"),
    "meningioma": Code("12738006", "SCT", "Brain"),
    "glioma": Code("12738006", "SCT", "Brain"),
    "pituitary": Code("56329008", "SCT", "Pituitary"),
}
_LIMITS = (
    "Specificity for a tumour is unmeasured: every slice that was at hand shows one. How often a slice without a "
    "tumour is marked is unknown.",
    "The type is chosen among three, given that there is a tumour. Metastases, lymphoma, abscess, infarct and all "
    "else are called one of the three. The specificity of a type is measured among tumours of the two other types.",
    "Learnt and measured on contrast-enhanced T1 slices only. Whether contrast was given is not read from the header: "
    "other sequences are read without a word and wrongly.",
    "Slices of two hospitals in China (Guangzhou and Tianjin, 2005 to 2010); axial, sagittal and coronal mixed.",
    "The split is by blocks of neighbouring files, which hold the same patients; patients themselves are not named.",
    "Gliomas that take up little contrast have vague borders: their boxes are often missed or too small.",
    "Whether an image shows a head at all is not checked: an MR image of another part that states none is read.",
    "One box for each slice: a second tumour in the same slice is not marked.",
    "The probability is that of the box overlapping the radiologist's by half or more; it is not the probability of a "
    "tumour.",
    "The network sees 144 x 144 pixels, once of the whole slice and once of the head, which is cut out by its "
    "brightness; both are stretched to a square. Tumours below about 4 mm are lost.",
)
Points = Mapping[str, tuple[Estimate | None, Estimate | None]]
"""Sensitivity and specificity by output, at its one operating point."""


def card_of(
    *, thresholds: Mapping[str, float], points: Points, aucs: Mapping[str, Estimate | None], measured_on: str,
    validation: str,
) -> ReaderCard:  # fmt: skip
    """Return the card with the numbers that were measured."""
    outputs = []
    for key in (TUMOUR, *TYPES):
        name, rule = (MARKING, MARK_RULE) if key == TUMOUR else (NAMING, TYPE_RULE)
        sensitivity, specificity = points[key]
        outputs.append(
            OutputSpec(
                key=key,
                name=NAMES.get(key, "Tumour inside the head"),
                concept=_CONCEPTS[key],
                site=_SITES[key],
                urgent=False,
                auc=aucs.get(key),
                operating_points=(OperatingPoint(name, thresholds[key], rule, sensitivity, specificity, measured_on),),
                default_operating_point=name,
            )
        )
    return ReaderCard(
        reader_id="brain_mr_tumor",
        name="Brain MR, tumour with its likely type",
        version=VERSION,
        kind=ReaderKind.DETECTION,
        intended_use="Second look at contrast-enhanced T1 slices of the head of adults for research: marks the tumour "
        "with a box and says which of meningioma, glioma and pituitary tumour it looks most like.",
        not_for="Not a medical device. Not for diagnosis, not for ruling a tumour out, not in place of histology, not "
        "for other sequences, children, or follow-up after surgery.",
        research_use=True,
        input=InputContract(
            modalities=("MR",),
            sop_class_uids=(
                "1.2.840.10008.5.1.4.1.1.4",
                "1.2.840.10008.5.1.4.1.1.4.1",
                "1.2.840.10008.5.1.4.1.1.7",
            ),
            body_parts=("BRAIN", "HEAD", "SKULL", "PITUITARY"),
            views=(),
            min_age_years=16.0,
            max_age_years=None,
            min_rows=128,
            min_columns=128,
            max_pixels=4_194_304,
            min_images=1,
            max_images=64,
        ),
        outputs=tuple(outputs),
        training_data=(
            "Brain tumour slices of Cheng 2015 (Guangzhou and Tianjin, CC BY 4.0), 1,818 contrast-enhanced T1 slices "
            "with a box and one of three types; four fifths of the blocks learnt from",
            "ImageNet (ILSVRC 2012): the encoder began with EfficientNet-Lite0 weights (Tan and Le 2019; Apache-2.0)",
        ),
        training_licence="Cheng 2015: CC BY 4.0. ImageNet pictures are for non-commercial research and education; the "
        "weights learnt on them are Apache-2.0",
        validation=validation,
        limits=_LIMITS,
        resources=Resources(memory_mb=700, seconds=20.0),
    )


def readme_of(card: ReaderCard, report: Mapping[str, Any]) -> str:
    """Return the page for clinicians."""
    places, types = report["boxes"][TUMOUR], report["types"]["type"]
    rows = (
        row_of("Average precision of the boxes (overlap 0.5)", places["ap50"]),
        row_of("Tumours with a box that overlaps by half or more", places["found_iou50"]),
        row_of("Tumours with a box that has its centre in them", places["found_centre"]),
        row_of("Type right (highest of three)", types["accuracy"]),
    )
    return clinicians_page(
        card,
        what="For a study: whether a tumour was marked, with a box on every slice that shows one, and for each of the "
        "three types whether it is the likely one. A slice that is not marked is no evidence against a tumour.",
        rows=rows,
        refuses="Images whose header states another modality, kind of object, body part or an age under 16; images "
        "smaller than 128 x 128; images whose pixels are constant or not numbers.",
        cite=("Cite: Cheng J et al. PLoS ONE 2015; 10(10): e0140381.",),
    )
