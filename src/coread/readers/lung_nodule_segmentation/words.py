"""What card and README of the nodule outlining reader say in words, with the measured numbers put in."""

from collections.abc import Mapping
from typing import Any

from coread.domain.cards import Estimate, InputContract, OperatingPoint, OutputSpec, ReaderCard, ReaderKind, Resources
from coread.domain.codes import Code
from coread.readers.lung_nodule_segmentation.outputs import LABEL, NODULE
from coread.readers.pages import clinicians_page, row_of

VERSION = "0.1.0"
POINT = "outlining"
RULE = "highest threshold at which at least 99 % of the cross-fitted crops get an outline"
_LIMITS = (
    "It outlines, it does not find: it must be given a crop of about 72 x 72 pixels of a CT slice with one nodule in "
    "its middle. A whole slice is refused.",
    "Specificity is unmeasured: every crop that was at hand holds a nodule. Given a vessel it will often draw one.",
    "Two dimensions only, one slice at a time; volumes must not be computed from it without looking.",
    "The crops it learnt from have their grey scale stretched one by one: no Hounsfield units, and no millimetres. "
    "Sizes in mm come from the Pixel Spacing of the crop that is given and were not measured against anything.",
    "The standard is the pixels that at least two of up to four radiologists have inside; single radiologists differ "
    "from one another by about as much as the reader does from the standard.",
    "Crops on which no two radiologists share a pixel (one in thirty) were neither learnt from nor measured.",
    "Nodules below 3 mm, and crops that cut a nodule off, were rare or absent.",
    "The probability is that of the outline meeting the standard with a Dice of 0.7 or more; nothing of cancer.",
    "One collection (LIDC-IDRI, United States, before 2010).",
)


def card_of(*, threshold: float, sensitivity: Estimate | None, measured_on: str, validation: str) -> ReaderCard:
    """Return the card with the numbers that were measured."""
    nodule = OutputSpec(
        key=NODULE,
        name="Lung nodule, outline",
        concept=Code("27925004", "SCT", "Nodule"),
        site=Code("39607008", "SCT", "Lung"),
        urgent=False,
        auc=None,
        operating_points=(OperatingPoint(POINT, threshold, RULE, sensitivity, None, measured_on),),
        default_operating_point=POINT,
    )
    return ReaderCard(
        reader_id="lung_nodule_segmentation",
        name="Lung nodule, outline in a CT crop",
        version=VERSION,
        kind=ReaderKind.QUANTIFICATION,
        intended_use="Outlines one nodule in a crop of a lung CT slice for research, and gives its area and longest "
        "diameter.",
        not_for="Not a medical device. Not for finding nodules, not for deciding on follow-up or treatment, not for "
        "ruling growth out, not for other organs.",
        research_use=True,
        input=InputContract(
            modalities=("CT",),
            sop_class_uids=("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.7"),
            body_parts=("CHEST", "THORAX", "LUNG"),
            views=(),
            min_age_years=16.0,
            max_age_years=None,
            min_rows=48,
            min_columns=48,
            max_pixels=9216,
            min_images=1,
            max_images=64,
        ),
        outputs=(nodule,),
        training_data=(
            "LIDC-IDRI crops of nodule slices with the masks of two to four radiologists (Armato 2011, CC BY 3.0), "
            "3,075 crops of 685 patients; four fifths of the patients learnt from",
            "ImageNet (ILSVRC 2012): the encoder began with EfficientNet-Lite0 weights (Tan and Le 2019; Apache-2.0)",
        ),
        training_licence="LIDC-IDRI: CC BY 3.0. ImageNet pictures are for non-commercial research and education; the "
        "weights learnt on them are Apache-2.0",
        validation=validation,
        limits=_LIMITS,
        resources=Resources(memory_mb=700, seconds=20.0),
    )


def readme_of(card: ReaderCard, report: Mapping[str, Any]) -> str:
    """Return the page for clinicians."""
    masks = report["masks"][LABEL]
    rows = (
        row_of("Dice against the consensus, mean over crops", masks["dice"]),
        row_of("Dice, median", masks["dice_median"]),
        row_of("95 % surface distance in pixels, mean", masks["hausdorff95"], digits=2),
    )
    return clinicians_page(
        card,
        what="For each crop: the outline of the nodule in its middle, its area, and its longest diameter where the "
        "crop states its pixel spacing.",
        rows=rows,
        refuses="Images above 9,216 pixels (96 x 96) or below 48 x 48: they are no crops of the size it knows. Images "
        "whose header states another modality, kind of object, body part or an age under 16, and images whose pixels "
        "are constant or not numbers.",
        cite=("Cite: Armato SG et al. Med Phys 2011; 38: 915.",),
    )
