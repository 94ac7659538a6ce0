"""What card and README say in words; bench/tumor_volume.py puts the measured numbers in."""

from textwrap import fill

from coread.domain.cards import InputContract, OperatingPoint, OutputSpec, ReaderCard, ReaderKind, Resources
from coread.domain.codes import Code

KEY = "soft_tissue_tumor"
WIDEST_MM = 330.0
"""The widest field that it learnt from has 317 mm."""
NEOPLASM = Code("108369006", "SCT", "Neoplasm")
SOFT_TISSUE = Code("87784001", "SCT", "Soft tissue")
LIMITS = (
    "It outlines, it does not find: the field must have been cut around one soft-tissue tumour, with a few centimetres "
    "on each side. A field wider than 330 mm is refused; a field without a tumour is often outlined all the same.",
    "It learnt from 18 patients with soft-tissue sarcoma of one scanner type (CT of PET/CT, 2.9 x 2.9 x 3.3 mm, no "
    "contrast agent) and was measured on six others: the intervals are wide.",
    "As published, every field ends 5 cm beyond the tumour: an ellipsoid placed by that margin alone scores as stated "
    "under validation. The network learnt from fields that were cut anew at random, and is measured on such too.",
    "The automatic outline is poor, worst below about 100 ml: on fields as published it is no better than the margin "
    "alone. Take it as a first outline to correct, or draw a box.",
    "One piece, the largest: satellites are left out.",
    "The outlines that it learnt from and was measured against come from the published set and hold parts that CT "
    "alone does not show.",
)


def card_of(validation: str) -> ReaderCard:
    """Return the card with what was measured, in words."""
    point = OperatingPoint(
        "outlined", 0.5, "no probability: present where the network outlines a piece clearly, else not analysed",
        None, None, "sensitivity and specificity not measured: every field at hand holds a tumour",
    )  # fmt: skip
    output = OutputSpec(KEY, "Soft-tissue tumour, outline", NEOPLASM, SOFT_TISSUE, False, None, (point,), point.name)
    return ReaderCard(
        reader_id="tumor_volume",
        name="Soft-tissue tumour volume in a CT field cut around it",
        version="0.1.0",
        kind=ReaderKind.QUANTIFICATION,
        intended_use="Outlines the soft-tissue tumour in a CT field that was cut around it, and gives volume, "
        "diameters and attenuation, for research.",
        not_for="Not a medical device. Not for finding tumours, not for whole-body or whole-limb CT, not for planning "
        "or judging treatment, not for other kinds of tumour.",
        research_use=True,
        input=InputContract(
            modalities=("CT",), sop_class_uids=("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"),
            body_parts=("EXTREMITY", "LEG", "THIGH", "KNEE", "ARM", "UPPERARM", "SHOULDER", "HIP", "BUTTOCK"),
            views=(), min_age_years=16.0, max_age_years=None, min_rows=16, min_columns=16, max_pixels=300_000,
            min_images=12, max_images=400, presentation="volume",
        ),
        outputs=(output,),
        training_data=(
            "Soft-tissue-Sarcoma (TCIA, McGill; crops of the IBSI reference set): CT and tumour outlines of 18 of 24 "
            "patients, split by patient",
        ),
        training_licence="CC BY 3.0",
        validation=validation,
        limits=LIMITS,
        resources=Resources(memory_mb=1200, seconds=30.0),
    )  # fmt: skip


def readme_of(sentences: str) -> str:
    """Return the clinicians' page."""
    limits = "\n".join(fill(f"- {text}", 118, subsequent_indent="  ") for text in LIMITS)
    measured = fill(f"**Measured.** {sentences}", 118)
    return f"""# Soft-tissue tumour volume, CT

Research use only. Not a medical device.

**What it does.** In a CT field that was cut around one soft-tissue tumour of limb or trunk wall it outlines the tumour
and gives volume (ml), the longest diameter in the plane and the one across it (RECIST 1.1), and Hounsfield units. It
leaves as SEG and as a TID 1411 measurement group.

**It does not find tumours.** Every field that it learnt from holds one and was cut around it. A whole limb, a trunk or
a body is therefore refused, with the advice to outline the lesion from a box: `coread segment` or the case page, which
work in any CT or MR. In a box drawn around a soft-tissue tumour they can ask this network (`--method`; see
docs/how-to/measure-a-lesion.md).

{measured}

**When not to trust it.**

{limits}

Cite: Vallieres M et al. Phys Med Biol 2015; 60: 5471 (patients). Zwanenburg A et al. Radiology 2020; 295: 328 (IBSI).
"""
