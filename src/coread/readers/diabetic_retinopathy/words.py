"""What card and README of the retinopathy reader say in words; the numbers are put in by the recipe."""

from coread.domain.cards import InputContract, ReaderCard, ReaderKind, Resources
from coread.domain.codes import Code
from coread.readers.classifying.packaging import OutputPlan
from coread.readers.classifying.words import Page
from coread.readers.diabetic_retinopathy.outputs import COLUMNS, REFERABLE, ROWS, RULE_IN, RULE_OUT
from coread.statistics.thresholds import Rule

SURE = 0.94
"""Wanted specificity of ``rule_in`` and sensitivity of ``rule_out`` on the cross-fitted answers."""
OUTPUT = OutputPlan(
    key=REFERABLE,
    name="Referable diabetic retinopathy",
    concept=Code("4855003", "SCT", "Diabetic retinopathy"),
    site=Code("5665001", "SCT", "Retina"),
    rules={RULE_OUT: Rule.sensitivity(SURE), RULE_IN: Rule.specificity(SURE)},
    default_point=RULE_IN,
)
CARD = ReaderCard(
    reader_id="diabetic_retinopathy",
    name="Fundus photograph, referable diabetic retinopathy",
    version="0.1.0",
    kind=ReaderKind.SCREENING,
    intended_use="Screening of colour fundus photographs of adults with diabetes for research: says whether diabetic "
    "retinopathy is referable (moderate or worse, grade 2 or more of 4), without a radiologist or ophthalmologist, "
    "and says nothing when a photograph cannot be graded or when it is not sure.",
    not_for="Not a medical device. Not a diagnosis, not for macular oedema, glaucoma or any other disease of the eye, "
    "not for grading, not for children, pregnancy, or eyes that were operated or lasered. Refused means: have a person "
    "look.",
    research_use=True,
    input=InputContract(
        modalities=("OP", "XC", "OT"),
        sop_class_uids=(
            "1.2.840.10008.5.1.4.1.1.77.1.5.1",
            "1.2.840.10008.5.1.4.1.1.77.1.5.2",
            "1.2.840.10008.5.1.4.1.1.77.1.4",
            "1.2.840.10008.5.1.4.1.1.7",
            "1.2.840.10008.5.1.4.1.1.7.4",
        ),
        body_parts=("EYE", "RETINA"),
        views=(),
        min_age_years=18.0,
        max_age_years=None,
        min_rows=256,
        min_columns=256,
        max_pixels=40_000_000,
        min_images=1,
        max_images=8,
    ),
    outputs=(),
    training_data=(
        "IDRiD, 413 colour fundus photographs with grades (Porwal 2018, Nanded, India; CC BY 4.0); four fifths learnt "
        "from",
        "ImageNet (ILSVRC 2012): the network began with EfficientNet-Lite0 weights, then all layers learnt (Tan and Le "
        "2019; Apache-2.0)",
    ),
    training_licence="IDRiD: CC BY 4.0. ImageNet pictures are for non-commercial research and education; the weights "
    "learnt on them are Apache-2.0",
    validation="The locked package, run through the engine on the fixed held-out fifth of the groups of duplicates "
    "(coread validate; see validation.json); sensitivity and specificity are of the photographs that were answered, "
    "refusals apart. One network was taught on all other groups; calibration and thresholds come from three that "
    "were taught in the same way, each without one third of these groups, and what they said of it.",
    limits=(
        "One clinic in India, one camera (Kowa VX-10 alpha, 50 degrees, centred on the macula), pupils widened; other "
        "cameras, fields, and eyes of other people may look different.",
        "Few photographs: the held-out part has some eighty, of which about a quarter are not referable, so the "
        "specificity has a wide interval.",
        "AUC, sensitivity and specificity are of the photographs that were answered; over all of them, doubtful ones "
        "included, and over the larger cross-fitted part the AUC is lower (training.json).",
        "Three in five photographs are referable, in screening far fewer are: probabilities and predictive values "
        "assume the share of the set.",
        "The set has duplicates with different grades; the grades are of single experts and carry their error.",
        "Grade 1 (microaneurysms only) is rare in the set and often called either way or refused.",
        "One photograph an eye; the other eye, the far periphery and depth are not seen.",
        "What cannot be graded was learnt from photographs spoilt by a program (blur, dark, glare, shade, haze): real "
        "cataract, small pupils and smeared lenses were not at hand.",
        "The photographs were reduced to 512 pixels and compressed as JPEG before they reached this project: single "
        "small microaneurysms may be lost.",
        "A refusal takes place when any photograph of the study cannot be graded and no other one is referable.",
    ),
    resources=Resources(memory_mb=1500, seconds=60.0),
)
PAGE = Page(
    reader_id="diabetic_retinopathy",
    answers="**Present**: at least one photograph is surely referable (probability at or above `rule_in`). **Absent**: "
    "every photograph of the study could be graded and lies below `rule_out`. **Not analysed** (a person has to look): "
    "a photograph is blurred, dark, too bright or covered, shows no round field of view, has no colour, or the highest "
    "probability lies between the two thresholds (`INDETERMINATE`). Headers that state another body part, modality or "
    "a patient under 18 years are refused.",
    pixels=f"The lit field of view, its width brought to {COLUMNS} pixels and cut to {ROWS} rows around the middle, "
    "in colour. The network reads the photograph and its mirror image and gives the mean.",
)
