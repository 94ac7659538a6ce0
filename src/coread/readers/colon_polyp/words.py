"""What card and README of the polyp reader say in words, with the measured numbers put in."""

from collections.abc import Mapping
from typing import Any

from coread.domain.cards import Estimate, InputContract, OperatingPoint, OutputSpec, ReaderCard, ReaderKind, Resources
from coread.domain.codes import Code
from coread.readers.colon_polyp.outputs import POLYP
from coread.readers.pages import clinicians_page, row_of

HEADING = "Written by recipe.py; change the recipe, not this file. Research use only."
VERSION = "0.1.0"
RULE = "largest mean Dice, on the cross-fitted frames, of the marks that are left"
_LIMITS = (
    "Specificity is unmeasured: every frame that was at hand shows a polyp. How often a frame without one, stool, "
    "bubbles, folds or instruments are marked is unknown.",
    "Still frames of one set (Kvasir-SEG), chosen by experts because a polyp is well seen: flat, small, distant or "
    "covered polyps are rare in them, and a film has many frames that no expert would choose.",
    "Frames carry no patient: frames of one patient may stand on both sides of the split, so that the numbers may be "
    "too good.",
    "The probability is that of a mark overlapping an expert's box by half or more; it is not the probability of a "
    "polyp in the frame, nor of a kind of polyp.",
    "The network sees 160 x 160 pixels, stretched to a square: very small polyps are lost.",
    "Touching polyps become one mark.",
    "Whether a frame shows a colon at all is not checked: any colour picture of an endoscope is read.",
    "White light only; narrow-band and dyed images were not looked at apart.",
    "Frames were stored as JPEG, and text beside the picture was blurred out, before they reached this project.",
)


def card_of(*, threshold: float, sensitivity: Estimate | None, measured_on: str, validation: str) -> ReaderCard:
    """Return the card with the numbers that were measured."""
    point = OperatingPoint("marking", threshold, RULE, sensitivity, None, measured_on)
    polyp = OutputSpec(
        key=POLYP,
        name="Polyp of the colon",
        concept=Code("68496003", "SCT", "Polyp of colon"),
        site=Code("71854001", "SCT", "Colon"),
        urgent=False,
        auc=None,
        operating_points=(point,),
        default_operating_point="marking",
    )
    return ReaderCard(
        reader_id="colon_polyp",
        name="Colonoscopy, polyps",
        version=VERSION,
        kind=ReaderKind.DETECTION,
        intended_use="Second look at colonoscopy frames in white light for research: outlines what looks like a polyp, "
        "in stored frames and live on a video stream.",
        not_for="Not a medical device. Not for diagnosis, not for deciding what is removed, and never as proof that a "
        "frame or an examination is free of polyps.",
        research_use=True,
        input=InputContract(
            modalities=("ES",),
            sop_class_uids=(
                "1.2.840.10008.5.1.4.1.1.77.1.1",
                "1.2.840.10008.5.1.4.1.1.7",
                "1.2.840.10008.5.1.4.1.1.7.4",
            ),
            body_parts=("COLON", "RECTUM", "LARGEINTESTINE"),
            views=(),
            min_age_years=16.0,
            max_age_years=None,
            min_rows=128,
            min_columns=128,
            max_pixels=16_000_000,
            min_images=1,
            max_images=32,
        ),
        outputs=(polyp,),
        training_data=(
            "Kvasir-SEG, 610 frames of colonoscopies with outlined polyps (Jha 2020, Vestre Viken, Norway; CC BY 4.0); "
            "four fifths learnt from",
            "ImageNet (ILSVRC 2012): the encoder began with EfficientNet-Lite0 weights (Tan and Le 2019; Apache-2.0)",
        ),
        training_licence="Kvasir-SEG: CC BY 4.0. ImageNet pictures are for non-commercial research and education; the "
        "weights learnt on them are Apache-2.0",
        validation=validation,
        limits=_LIMITS,
        resources=Resources(memory_mb=700, seconds=20.0),
    )


def readme_of(card: ReaderCard, report: Mapping[str, Any]) -> str:
    """Return the page for clinicians."""
    masks, places = report["masks"]["Polyp"], report["boxes"][POLYP]
    rows = (
        row_of("Dice of the outline, mean over frames", masks["dice"]),
        row_of("Dice of the outline, median", masks["dice_median"]),
        row_of("Average precision of the boxes (overlap 0.5)", places["ap50"]),
        row_of("Polyps with a box that overlaps by half or more", places["found_iou50"]),
        row_of("False marks in a frame with a polyp", places["false_marks_per_picture"]),
    )
    return clinicians_page(
        card,
        what="For each frame: every polyp that it sees, with a box, an outline and how likely the mark is right. Live "
        "on a video stream the same outline is drawn over the picture (`coread live colon_polyp`). A frame without a "
        "mark is no evidence against a polyp.",
        rows=rows,
        refuses="Grey images; images whose header states another modality, kind of object, body part or an age under "
        "16; frames smaller than 128 x 128; frames whose pixels are constant or not numbers.",
        cite=("Cite: Jha D et al. Kvasir-SEG: a segmented polyp dataset. MMM 2020.",),
    )
