"""What card and README of the mammography reader say in words, with the measured numbers put in."""

from collections.abc import Mapping
from typing import Any

from coread.domain.cards import Estimate, InputContract, OperatingPoint, OutputSpec, ReaderCard, ReaderKind, Resources
from coread.domain.codes import Code
from coread.readers.mammography.outputs import SUSPICIOUS
from coread.readers.pages import clinicians_page, row_of

HEADING = "Written by recipe.py; change the recipe, not this file. Research use only."
VERSION = "0.1.0"
BALANCED, SENSITIVE = "balanced", "sensitive"
RULES = {
    BALANCED: "largest sum of sensitivity and specificity (Youden) on the cross-fitted pictures",
    SENSITIVE: "highest threshold with sensitivity >= 0.90 on the cross-fitted pictures",
}
_LIMITS = (
    "Its AUC stands on 20 abnormal pictures; on the cross-fitted pictures it was lower (see how it was measured), so "
    "expect less than the number on this card.",
    "Learnt from 204 pictures and measured on 58: every number has a wide interval, and none of them is good enough to "
    "rely on.",
    "Film mammograms of the early 1990s (MIAS, United Kingdom), scanned and reduced to 0.2 mm: digital mammograms look "
    "different, and it was never measured on one.",
    "It tells pictures with an abnormality from normal ones. Benign and malignant abnormalities count alike; it does "
    "not know cancer.",
    "Calcifications are mostly lost at the size that the network sees (256 x 160 pixels for a breast).",
    "Mediolateral oblique views only; other views are refused when the header says so.",
    "One box for each picture, around the most suspicious spot: several lesions in one picture share it.",
    "The box is coarse and often beside the lesion.",
    "Each picture is read alone: the two breasts of a woman are not compared, earlier pictures are not looked at.",
    "Density classes are those of the MIAS set (fatty, fatty-glandular, dense-glandular), not the four of BI-RADS; "
    "they are given as a measurement, class 1 to 3, so that a dense breast does not count as a positive reading.",
)
Points = Mapping[str, tuple[Estimate | None, Estimate | None]]
"""Sensitivity and specificity by operating point."""


def card_of(
    *,
    thresholds: Mapping[str, float],
    points: Points,
    auc: Estimate | None,
    measured_on: str,
    validation: str,
) -> ReaderCard:
    """Return the card with the numbers that were measured."""
    suspicious = OutputSpec(
        key=SUSPICIOUS,
        name="Suspicious area of the breast",
        concept=Code("52988006", "SCT", "Lesion"),
        site=Code("76752008", "SCT", "Breast"),
        urgent=False,
        auc=auc,
        operating_points=tuple(
            OperatingPoint(name, thresholds[name], RULES[name], *points[name], measured_on) for name in RULES
        ),
        default_operating_point=BALANCED,
    )
    return ReaderCard(
        reader_id="mammography",
        name="Mammography, suspicious area and density",
        version=VERSION,
        kind=ReaderKind.DETECTION,
        intended_use="Second look at scanned film mammograms in the oblique view for research: says whether a picture "
        "looks abnormal, marks the most suspicious spot with a box, and gives a density class.",
        not_for="Not a medical device. Not for screening, diagnosis or recall, not for ruling anything out, not for "
        "digital mammograms or tomosynthesis.",
        research_use=True,
        input=InputContract(
            modalities=("MG",),
            sop_class_uids=(
                "1.2.840.10008.5.1.4.1.1.1.2",
                "1.2.840.10008.5.1.4.1.1.1",
                "1.2.840.10008.5.1.4.1.1.7",
            ),
            body_parts=("BREAST",),
            views=("MLO", "ML", "LMO"),
            min_age_years=18.0,
            max_age_years=None,
            min_rows=512,
            min_columns=256,
            max_pixels=40_000_000,
            min_images=1,
            max_images=8,
        ),
        outputs=(suspicious,),
        training_data=(
            "mini-MIAS, 262 scanned film mammograms of 131 women with circles around abnormalities (Suckling 1994; "
            "research use only); four fifths of the women learnt from",
            "ImageNet (ILSVRC 2012): the encoder began with EfficientNet-Lite0 weights (Tan and Le 2019; Apache-2.0)",
        ),
        training_licence="mini-MIAS: for research only, so this reader is too. ImageNet pictures are for "
        "non-commercial research and education; the weights learnt on them are Apache-2.0",
        validation=validation,
        limits=_LIMITS,
        resources=Resources(memory_mb=900, seconds=30.0),
    )


def readme_of(card: ReaderCard, report: Mapping[str, Any], density: Mapping[str, Any]) -> str:
    """Return the page for clinicians."""
    places, number = report["boxes"].get(SUSPICIOUS, {}), report["numbers"]["density"]
    rows = (
        row_of("Abnormalities with a box that has its centre in them", places.get("found_centre")),
        row_of("Average precision of the boxes (overlap 0.5)", places.get("ap50")),
        row_of("Mean error of the density class (classes 1 to 3)", number["mean_absolute_error"], digits=2),
        row_of("Density class right, cross-fitted", density),
    )
    return clinicians_page(
        card,
        what="For a study: whether any picture looks abnormal, with a box around the most suspicious spot of each "
        "picture that does; and for each picture a density class from 1 (fatty) to 3 (dense).",
        rows=rows,
        refuses="Pictures whose header states another modality, kind of object, body part, view or an age under 18; "
        "pictures below 512 x 256; pictures in which no breast can be told from the background (LOW_QUALITY), whose "
        "pixels are constant or not numbers.",
        cite=("Cite: Suckling J et al. The Mammographic Image Analysis Society digital mammogram database. 1994.",),
    )
