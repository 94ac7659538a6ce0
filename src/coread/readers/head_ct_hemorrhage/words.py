"""What card and README of the head CT reader say in words; the numbers are put in by the recipe."""

from collections.abc import Sequence
from dataclasses import replace

from coread.domain.cards import InputContract, ReaderCard, ReaderKind, Resources
from coread.domain.codes import Code
from coread.readers.classifying.packaging import OutputPlan
from coread.readers.classifying.words import Page
from coread.readers.head_ct_hemorrhage.outputs import ANY, SIDE, SKULL
from coread.readers.head_ct_hemorrhage.scores import TOP
from coread.statistics.thresholds import Rule

OUTPUT_PLANS = (
    OutputPlan(
        key=ANY,
        name="Intracranial haemorrhage",
        concept=Code("1386000", "SCT", "Intracranial hemorrhage (disorder)"),
        site=SKULL,
        rules={"sensitive": Rule.sensitivity(0.95), "balanced": Rule.youden(), "specific": Rule.specificity(0.9)},
        default_point="balanced",
        urgent=True,
    ),
)
_CARD = ReaderCard(
    reader_id="head_ct_hemorrhage",
    name="Head CT, intracranial haemorrhage (triage)",
    version="0.1.0",
    kind=ReaderKind.TRIAGE,
    intended_use="Worklist triage of non-contrast CT of the head after injury, for research: moves a study up the list "
    "when intracranial haemorrhage is suspected. It marks nothing on diagnostic images; every study is read in full by "
    "a radiologist.",
    not_for="Not a medical device. Not for ruling out haemorrhage, not for diagnosis, not for deciding on treatment, "
    "not for CT with contrast medium, CT angiography or perfusion, infants under six months, follow-up after surgery, "
    "or MR.",
    research_use=True,
    input=InputContract(
        modalities=("CT",),
        sop_class_uids=("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"),
        body_parts=("HEAD", "BRAIN", "SKULL"),
        views=(),
        min_age_years=0.5,
        max_age_years=None,
        min_rows=128,
        min_columns=128,
        max_pixels=1_100_000,
        min_images=12,
        max_images=1200,
        presentation="volume",
        gaps="resample",
    ),
    outputs=(),
    training_data=(
        "CT-ICH 1.3.0, 2,023 slices of 66 patients after head injury (Hssayeni 2020, Al Hilla, Iraq; PhysioNet, "
        "CC BY 4.0); four fifths of the patients learnt from",
        "The same slices, of all ages and of patients with and without haemorrhage, once more with blood of one type "
        "drawn in over several slices, its place known (simulated)",
        "Heads computed from the tissue maps of the ICBM 2009a average brain, shapes, densities and noise by lot, with "
        "and without drawn blood (simulated)",
    ),
    training_licence="CT-ICH: CC BY 4.0. ICBM 2009a: free to use, copy, modify and distribute with its notice",
    validation="The locked package, run through the engine on the held-out fifth of the patients, fixed before "
    "anything was learnt (coread validate; see validation.json). The set holds pictures in a brain window, no HU: each "
    "patient was made a CT series by turning the window (level 40, width 120) back to HU, with slices assumed 5 mm "
    "apart and pixels of 0.9 mm, which only its volumes and shifts use. Three networks, each fitted without one third "
    "of the other patients, are averaged; calibration and thresholds come from what each said of its third.",
    limits=(),
    resources=Resources(memory_mb=3000, seconds=60.0),
)
_LIMITS = (
    "Aimed at were an AUC of 0.90 over patients and 0.92 over slices; what was reached stands above. How the maps are "
    "smoothed and how many slices and pixels count was chosen among some forty ways on the cross-fitted patients, so "
    "their figures are a little too good; the held-out ones were looked at once, afterwards.",
    "Thresholds were chosen on what single networks said; the mean of the three is more cautious: at the default point "
    "it called 3 of 5 held-out patients who bleed. Where missing one weighs more, switch on the point named sensitive.",
    "Time to notification, measured once: 24 and 38 s from the last image to the flag on the worklist, 5 s of it until "
    "the study counted as complete, for two generated heads sent over C-STORE to a server on two cores that were busy "
    "with other work (load 14; python -m bench.head_ct --studies 2).",
    "The slices' labels were joined to the pictures afterwards: one or two patients may be labelled wrongly.",
    "One hospital, 5 mm slices, head injury, young patients (median 26 years): strokes, aneurysms, old people and "
    "other scanners are hardly or not in the set. Expect less elsewhere.",
    "Few patients bleed by type: epidural 16, intraparenchymal 12, subarachnoid 5, intraventricular 4, subdural 3. "
    "Blood in one or two slices, at the base of the skull or a few millimetres thick is often missed. The likeliest "
    "type is written as a hint, never as a finding.",
    "Never measured on real HU from a bleeding patient: series for the measurement were made from windowed pictures.",
    "Volume of blood and midline shift were checked on generated heads only, which are simpler than patients. They are "
    "for sorting, not for deciding on treatment. Where ventricles or the middle of the skull are not clear the shift "
    "is not given.",
    "Contrast medium is recognised by the words of Series Description and Protocol Name only; where they do not say "
    "it, an enhanced head is read, and bright vessels may be called blood.",
    "A scan that stops inside the brain is never negative: blood that is seen is called, and where none is seen the "
    "study is refused (INDETERMINATE). Of 65 patients of the set, slices in the order of the body, a real head under a "
    "tilted gantry and 19 generated heads none is taken for cut. Without their uppermost 15 mm 49 of 65 patients are "
    "told, without 20 mm 58 of 62; of those that begin where the head is 90 % of its widest 56 of 65. A missing vertex "
    "or part of the posterior fossa is not noticed.",
    "A skull that is not closed in the slice (after craniectomy, wide open sutures) is taken for no head and refused.",
    "Slices at uneven distances (blocks of 4 and 7 mm, as for the base and the vault) are interpolated to even ones "
    "between the real positions; the result says so. Thin slices are averaged to about 5 mm. A tilted gantry is read "
    "as acquired.",
    "Calcification, metal, beam hardening at the base, and movement look like blood at times.",
    "Patients of half a year to 16 years are 18 of the 66; younger ones are refused.",
    "The probability is that of a set in which 29 of 66 patients bleed; where fewer do, it is too high.",
)
_ANSWERS = (
    "One answer for a study: intracranial haemorrhage suspected or not, with a calibrated probability, from the mean "
    f"of the {TOP} highest slices. A suspected one is urgent and moves the study up the worklist. Notes name the "
    "images that carry the score, the side, the likeliest type, the volume of blood and the midline shift, as text and "
    "numbers: nothing is drawn on the images. Refused with a coded reason: other modalities and body parts, series "
    "described as with contrast, fewer than 12 slices, slices more than 8 mm apart, slices that are not axial, pixels "
    "that are not square, series without HU, series in which no closed skull around brain is seen, scans that stop "
    "inside the brain and show no blood, infants under six months."
)
_PIXELS = (
    "HU in the window level 40, width 120. Slices thinner than about 5 mm are averaged; all are cut to one square "
    f"around the head, brought to {SIDE} x {SIDE} pixels by area averaging, and turned so that the head stands upright "
    "about its plane of symmetry. The network reads each slice with the one below, the one above and its own mirror "
    "image, says for every pixel how likely it is blood, and gives the mean over the picture and its mirror image. "
    "These maps are smoothed over neighbouring slices; the brightest pixels of each slice make its score. Patient "
    "coordinates decide which way is up: series whose axes run the other way give the same answer."
)


def card(measured: Sequence[str]) -> ReaderCard:
    """Return the card without outputs; ``measured`` are sentences about what was measured beside them."""
    return replace(_CARD, limits=(*measured, *_LIMITS))


PAGE = Page(reader_id="head_ct_hemorrhage", answers=_ANSWERS, pixels=_PIXELS, unit="studies")
