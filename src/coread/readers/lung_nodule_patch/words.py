"""What card and README of the nodule patch reader say in words; the numbers are put in by the recipe."""

from coread.domain.cards import InputContract, ReaderCard, ReaderKind, Resources
from coread.domain.codes import Code
from coread.readers.classifying.packaging import OutputPlan
from coread.readers.classifying.words import Page
from coread.readers.lung_nodule_patch.outputs import LARGEST, NODULE, SIDE
from coread.statistics.thresholds import Rule

OUTPUT = OutputPlan(
    key=NODULE,
    name="Lung nodule in the patch",
    concept=Code("27925004", "SCT", "Nodule"),
    site=Code("39607008", "SCT", "Lung"),
    rules={
        "sensitive": Rule.sensitivity(0.95),
        "balanced": Rule.youden(),
        "specific": Rule.specificity(0.98),
    },
    default_point="sensitive",
)
CARD = ReaderCard(
    reader_id="lung_nodule_patch",
    name="Lung nodule candidate, patch of CT",
    version="0.1.0",
    kind=ReaderKind.DETECTION,
    intended_use="Second opinion on a candidate for research: given a small patch of a lung CT slice with the "
    "candidate in its middle (50 x 50 pixels at the scale of the LUNA16 candidate patches, stored as Secondary Capture "
    "or CT image of that size), says how likely it shows a nodule. Thins out a detector's false positives.",
    not_for="Not a medical device. It does not search: a whole CT slice or series is refused, and where no candidate "
    "was given nothing is said of the lung. Not for benign or malignant, not for size, growth or follow-up.",
    research_use=True,
    input=InputContract(
        modalities=("CT", "OT"),
        sop_class_uids=("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.2", "1.2.840.10008.5.1.4.1.1.2"),
        body_parts=("CHEST", "THORAX", "LUNG"),
        views=(),
        min_age_years=16.0,
        max_age_years=None,
        min_rows=SIDE,
        min_columns=SIDE,
        max_pixels=LARGEST * LARGEST,
        min_images=1,
        max_images=64,
    ),
    outputs=(),
    training_data=(
        "LUNA16 candidate patches, 4,952 of 50 x 50 pixels (Setio 2017; CT scans of LIDC-IDRI, Armato 2011; CC BY "
        "4.0): 4,137 learnt from, 815 held out",
    ),
    training_licence="CC BY 4.0 (LUNA16, LIDC-IDRI)",
    validation="The locked package, run through the engine on the 815 patches of the held-out block of the candidate "
    "list (coread validate; see validation.json). Two networks, each fitted without another third of the other "
    "patches, are averaged; calibration and thresholds come from what each said of the third that it did not see.",
    limits=(
        "Candidates of one challenge (LUNA16: slices of 2.5 mm or thinner, adults, seven US sites); what another "
        "detector proposes, or another reconstruction kernel shows, may look different.",
        "One slice, no depth: a vessel that crosses the slice looks like a nodule, and the third dimension that tells "
        "them apart is not read.",
        "The patches carry no patient. Parts are contiguous blocks of the candidate list, so a scan at the edge of a "
        "block may stand on both sides.",
        "The share of nodules is that of the set (23 %), not of a detector's output; probabilities assume it.",
        "The patches came as grey values of a lung window without HU and without millimetres; a patch of another "
        "scale or window (soft tissue) is read without a warning.",
        "Nodules below 3 mm and findings that fewer than three radiologists marked were left out of the challenge.",
        "Ground-glass nodules and nodules at the chest wall were not looked at apart.",
    ),
    resources=Resources(memory_mb=600, seconds=20.0),
)
PAGE = Page(
    reader_id="lung_nodule_patch",
    answers="A patch is a cut-out of one axial CT slice in a lung window (about -1000 to 400 HU) with the candidate in "
    f"its middle, {SIDE} to {LARGEST} pixels a side. The answer is the probability that this candidate is a nodule. "
    "Several patches in one study are read apart, and the study is positive when any of them is. Whole slices "
    f"(more than {LARGEST} pixels a side), patches of other body parts, of patients under 16 years, and constant or "
    "damaged pixels are refused with a coded reason.",
    pixels=f"The middle {SIDE} x {SIDE} pixels, not resampled, as grey values from 0 to 1. The network reads the "
    "patch, its three quarter turns and the mirror image of each, and gives the mean.",
)
