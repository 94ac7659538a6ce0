"""What card and README of the breast ultrasound reader say in words; the numbers are put in by the recipe."""

from coread.domain.cards import InputContract, ReaderCard, ReaderKind, Resources
from coread.domain.codes import Code
from coread.readers.breast_ultrasound.outputs import SIDE
from coread.readers.classifying.packaging import OutputPlan
from coread.readers.classifying.words import Page
from coread.statistics.thresholds import Rule

_BREAST = Code("76752008", "SCT", "Breast")
OUTPUT_PLANS = (
    OutputPlan(
        key="malignant",
        name="Lesion that looks malignant",
        concept=Code("254837009", "SCT", "Malignant neoplasm of breast"),
        site=_BREAST,
        rules={"sensitive": Rule.sensitivity(0.95), "balanced": Rule.youden(), "specific": Rule.specificity(0.9)},
        default_point="balanced",
    ),
    OutputPlan(
        key="lesion",
        name="Lesion of the breast, benign or malignant",
        concept=Code("52988006", "SCT", "Lesion"),
        site=_BREAST,
        rules={"sensitive": Rule.sensitivity(0.95), "balanced": Rule.youden()},
        default_point="balanced",
    ),
)
CARD = ReaderCard(
    reader_id="breast_ultrasound",
    name="Breast ultrasound, lesion and malignancy",
    version="0.2.0",
    kind=ReaderKind.DETECTION,
    intended_use="Second reading of single grey-scale (B-mode) ultrasound images of the breast of women for research: "
    "says whether an image shows a lesion (cyst, benign or malignant mass) and whether the lesion looks malignant.",
    not_for="Not a medical device. Not for deciding for or against a biopsy, not for ruling out cancer, not for "
    "screening, men, children, axilla, implants, colour Doppler, elastography or films of a sweep.",
    research_use=True,
    input=InputContract(
        modalities=("US", "OT"),
        sop_class_uids=(
            "1.2.840.10008.5.1.4.1.1.6.1",
            "1.2.840.10008.5.1.4.1.1.3.1",
            "1.2.840.10008.5.1.4.1.1.7",
            "1.2.840.10008.5.1.4.1.1.7.2",
            "1.2.840.10008.5.1.4.1.1.7.4",
        ),
        body_parts=("BREAST",),
        views=(),
        min_age_years=16.0,
        max_age_years=None,
        min_rows=128,
        min_columns=128,
        max_pixels=8_000_000,
        min_images=1,
        max_images=32,
    ),
    outputs=(),
    training_data=(
        "BUSI, 608 ultrasound images of the breast (Al-Dhabyani 2020, Baheya Hospital, Cairo; CC BY 4.0): normal, "
        "benign, malignant; four fifths of the groups learnt from",
        "ImageNet (ILSVRC 2012): the network began with EfficientNet-Lite0 weights, then all layers learnt (Tan and Le "
        "2019; Apache-2.0)",
    ),
    training_licence="BUSI: CC BY 4.0. ImageNet pictures are for non-commercial research and education; the weights "
    "learnt on them are Apache-2.0",
    validation="The locked package, run through the engine on the images of the fixed held-out fifth of the groups of "
    "near-duplicates (coread validate; see validation.json). Version 0.1.0 was measured on the same images; that its "
    "probabilities were too cautious there led to the way of calibration of this one, which was computed without them. "
    "Four networks, each fitted without one third of the other groups, are averaged (three are those of 0.1.0). "
    "Thresholds come from what each said of its third, and calibration from the same, made steeper for the mean by how "
    "far two networks that left out the same third agree.",
    limits=(
        "Taught on some 470 images: do not rely on its mark, and never on its absence. Aimed at was an AUC of 0.97 for "
        "malignant lesions; what was reached stands above.",
        "One hospital in Cairo, GE LOGIQ E9 and LOGIQ E9 Agile, women of 25 to 75 years; expect less elsewhere.",
        "Few images, and no patient numbers: near-duplicates are kept on one side of the split, other images of the "
        "same woman may not be.",
        "Some near-duplicates stand under two classes in the set: a few labels are wrong.",
        "Every image was chosen by a radiologist and shows its lesion well; probabilities assume the shares of the set "
        "(one in four malignant, one in six normal), far from those of a clinic.",
        "Callipers and text are more common on images with lesions. They were painted on a third of the training "
        "images at random so that they tell less; they may still tell something.",
        "Coloured marks are replaced by the grey around them; burnt-in white text and callipers stay.",
        "The network sees the whole picture, stretched to a square of "
        f"{SIDE} x {SIDE} pixels: small lesions are lost, and rulers or logos beside the image are read too.",
        "It names the image, not the place: no mark says which lesion it means.",
        "Ultrasound of other organs whose header does not say so is read without a warning.",
    ),
    resources=Resources(memory_mb=1000, seconds=30.0),
)
PAGE = Page(
    reader_id="breast_ultrasound",
    answers="Two answers for a study: is there a lesion in any image, and does any image look malignant; each with a "
    "calibrated probability, the highest of the images. Colour Doppler, elastography and drawings (more than 5 % "
    "coloured pixels), other modalities and body parts, patients under 16 years, and constant or damaged pixels are "
    "refused with a coded reason.",
    pixels="Coloured marks become the grey around them; stated padding is cut off; the rest is stretched to a square "
    f"of {SIDE} x {SIDE} pixels by area averaging. The network reads image and mirror image and gives the mean.",
)
