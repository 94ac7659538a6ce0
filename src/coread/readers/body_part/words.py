"""What card and README of the router say in words; the numbers are put in by the recipe."""

from coread.domain.cards import InputContract, ReaderCard, ReaderKind, Resources
from coread.domain.codes import Code
from coread.readers.body_part.outputs import KINDS, SIDE
from coread.readers.classifying.packaging import OutputPlan
from coread.readers.classifying.words import Page
from coread.statistics.thresholds import Rule

_CHEST, _ABDOMEN = Code("816094009", "SCT", "Chest"), Code("818981001", "SCT", "Abdomen")
_HEAD, _BRAIN = Code("69536005", "SCT", "Head"), Code("12738006", "SCT", "Brain")
_BREAST, _HAND = Code("76752008", "SCT", "Breast"), Code("85562004", "SCT", "Hand")
_RETINA, _COLON = Code("5665001", "SCT", "Retina"), Code("71854001", "SCT", "Colon")
_WORDS: dict[str, tuple[str, Code, Code]] = {
    "chest_radiograph": ("Chest radiograph", Code("399208008", "SCT", "Plain X-ray of chest"), _CHEST),
    "chest_ct": ("CT of the chest", Code("169069000", "SCT", "Computed tomography of chest"), _CHEST),
    "abdomen_ct": ("CT of the abdomen", Code("169070004", "SCT", "Computed tomography of abdomen"), _ABDOMEN),
    "head_ct": ("CT of the head", Code("303653007", "SCT", "Computed tomography of head (procedure)"), _HEAD),
    "head_mr": ("MR of the brain", Code("816077007", "SCT", "Magnetic resonance imaging of brain"), _BRAIN),
    "breast_mr": ("MR of the breast", Code("241615005", "SCT", "MRI of breast"), _BREAST),
    "breast_ultrasound": ("Ultrasound of the breast", Code("47079000", "SCT", "Ultrasonography of breast"), _BREAST),
    "mammogram": ("Mammogram", Code("71651007", "SCT", "Mammography"), _BREAST),
    "hand_radiograph": ("Radiograph of a hand", _HAND, _HAND),
    "fundus": ("Fundus photograph", _RETINA, _RETINA),
    "colonoscopy": ("Colonoscopy frame", Code("73761001", "SCT", "Colonoscopy"), _COLON),
}
"""Name, concept and site of each kind."""
OUTPUT_PLANS = tuple(
    OutputPlan(key, *_WORDS[key], rules={"sure": Rule.sensitivity(0.95)}, default_point="sure") for key in KINDS
)
CARD = ReaderCard(
    reader_id="body_part",
    name="What a picture shows",
    version="0.1.0",
    kind=ReaderKind.QUALITY,
    intended_use="Sorts secondary captures and pictures of unknown origin for research: says which of eleven kinds of "
    "examination a picture shows (chest radiograph, CT of chest, abdomen or head, MR of brain or breast, ultrasound of "
    "the breast, mammogram, radiograph of a hand, fundus photograph, colonoscopy), so that it reaches the right reader "
    "or the right person. An answer is about the picture, not about the patient.",
    not_for="Not a medical device. It looks for no disease. Not for objects whose header says what they are: images "
    "other than Secondary Capture are left alone.",
    research_use=True,
    input=InputContract(
        modalities=("OT", "CR", "DX", "CT", "MR", "MG", "US", "OP", "XC", "ES"),
        sop_class_uids=(
            "1.2.840.10008.5.1.4.1.1.7",
            "1.2.840.10008.5.1.4.1.1.7.2",
            "1.2.840.10008.5.1.4.1.1.7.4",
        ),
        body_parts=(),
        views=(),
        min_age_years=None,
        max_age_years=None,
        min_rows=48,
        min_columns=48,
        max_pixels=64_000_000,
        min_images=1,
        max_images=16,
    ),
    outputs=(),
    training_data=(
        "MedNIST (CC BY-SA 4.0), NIH ChestX-ray14 (Wang 2017), Guangzhou children's chests (CC BY 4.0), CT-ICH (CC BY "
        "4.0), brain tumours (Cheng 2015, CC BY 4.0), BUSI (CC BY 4.0), mini-MIAS (research use), IDRiD (CC BY 4.0), "
        "Kvasir-SEG (CC BY 4.0): at most 170 pictures of each source learnt from",
    ),
    training_licence="CC BY 4.0, CC BY-SA 4.0 (MedNIST), research use (mini-MIAS, NIH)",
    validation="The locked package, run through the engine on pictures of the fixed held-out fifth of the patients or "
    "groups of each set, at most 40 a source (coread validate; see validation.json). Two networks, each fitted "
    "without one quarter of the other groups, are averaged; calibration and thresholds come from "
    "what each said of its quarter.",
    limits=(
        "It knows eleven kinds and no others; a picture of another kind may be given the name of the nearest one. "
        "Small patches of lung CT were tried as strangers, see README.md for how many were turned away.",
        "Most kinds come from one source each: size, compression and frame of the source may tell it as much as the "
        "anatomy does. Only chest radiographs and CT of the head were measured on more than one source.",
        "MedNIST names no patients: slices of one volume may stand on both sides of the split.",
        "One plane for most kinds (axial CT and MR of the breast; brain MR in three planes, always with a tumour).",
        "Negatives, pictures turned by a quarter, collages and screenshots with text around the image: not measured.",
        f"The network sees {SIDE} x {SIDE} pixels, stretched to a square.",
        "Present means that a picture shows this kind: a study with pictures of two kinds has two findings.",
    ),
    resources=Resources(memory_mb=1000, seconds=20.0),
)
PAGE = Page(
    reader_id="body_part",
    answers="For each picture the likeliest kind, when its probability reaches that kind's threshold; otherwise the "
    "picture is not analysed (`INDETERMINATE`). In the result a kind is present when some picture shows it; a note "
    "names each picture's kind. Only Secondary Capture objects are read: other objects say themselves what they are.",
    pixels=f"The picture without stated padding, stretched to {SIDE} x {SIDE} pixels by area averaging, in colour "
    "where it has any. The network reads the picture and its mirror image and gives the mean.",
)
