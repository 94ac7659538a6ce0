"""What card and README say in words; the numbers are put in by the recipe."""

from coread.domain.cards import InputContract, OperatingPoint, OutputSpec, ReaderCard, ReaderKind, Resources
from coread.domain.codes import COREAD_SCHEME, Code
from coread.readers.lung_nodule.outputs import GROWTH, LUNG, NODULE

THRESHOLD = 0.140549
"""That of the reader of single patches at its point ``sensitive``; not chosen anew on simulated chests."""
POINT = "sensitive"
POINT_RULE = "threshold of lung_nodule_patch 0.1.0, point sensitive, taken over unchanged"
NODULE_OUTPUT = OutputSpec(
    key=NODULE, name="Lung nodule", concept=Code("27925004", "SCT", "Nodule"), site=LUNG, urgent=False, auc=None,
    operating_points=(), default_operating_point=POINT,
)  # fmt: skip
GROWTH_OUTPUT = OutputSpec(
    key=GROWTH, name="A nodule grew since the earlier study",
    concept=Code("NODULE_GROWTH", COREAD_SCHEME, "Growth of a nodule since the earlier study"), site=LUNG, urgent=False,
    auc=None,
    operating_points=(
        OperatingPoint("repeatability", 0.5, "volume grew by more than the repeatability coefficient", None, None,
                       "not measured as a proportion; see the text on repeats"),
    ),
    default_operating_point="repeatability",
)  # fmt: skip
LIMITS = (
    "Measured on simulated chests only. No series of a real chest was at hand, so how many nodules it finds in "
    "patients, and how much else it calls there, is not known. Of real CT, 24 crops of limbs and trunks (ct_sarcoma), "
    "a trunk and a vertebra (ct_spine) were given: it refused all 26. Of the chest there were single slices of ten "
    "scanners: it refuses them; stacked as copies, they showed that the lung mask leaves out room, blankets and table.",
    "Simulated vessels, lungs and nodules are simple solids: no emphysema, scars, consolidation, effusion, "
    "calcified or spiculated nodules. Real lungs will give more false calls.",
    "The network saw LUNA16 patches that state neither Hounsfield units nor millimetres. A window of -1000 to "
    "400 HU and pixels of 0.7 mm are assumed: grey values of lung and soft tissue in the patches fit that window, "
    "the pixel is the usual one of those scans and could not be checked.",
    "The lobe is told from the place in the lung alone, by where fissures usually lie: they are not looked for, so "
    "near a fissure, after surgery or with collapse it is wrong. Side and zone (thirds of its height) are measured. "
    "The fissures of simulated chests are planes about where the rule expects them, so being right there says little.",
    "A nodule that touches a vessel can be drawn with it: one simulated nodule of 113 mm3 became 651 mm3.",
    "What is elongated (middle axis below half of the longest), flat (shortest below 0.35) or ragged is not called: "
    "it keeps forks of vessels out, and perifissural or irregular nodules with them. Ground glass below 5 mm is not "
    "called.",
    "Nodules at the chest wall or the mediastinum wider than about 2 cm, or with a broad base, can be left out "
    "of the lung mask and missed; such nodules were not measured.",
    "Diameters from 3 to 30 mm. Masses, airway nodules and cysts are not looked for.",
    "Solid, part-solid and ground-glass are told by HU; a rim of ground glass thinner than about 1 mm is not seen, and "
    "calcium and fat are not recognised.",
    "Lung-RADS is arithmetic on size and kind: never 0, 4X or S, no perifissural exception, never lowered for "
    "stability. The solid part enters as the diameter of a ball of its volume.",
    "Contrast medium changes HU of vessels and nodules; it was not measured.",
    "One earlier study. Identity is taken from that study read alone; over three dates the name of a nodule is that of "
    "the date just before.",
    "Change below 25 % of the mean volume is never called real: in patients scanned twice 95 % of solid nodules stayed "
    "within 27 % (Marchiano 2009, Radiology 251:919). Simulated repeats leave breath and heart out.",
    "RECIST is not applied: nodules are not target lesions.",
    "Slices above 2.5 mm are read up to 5 mm, but there are more false calls and volumes err by more than their "
    "interval says (see the rows on 4 mm); the result says so.",
    "Most solid nodules of 3 to 4 mm are missed.",
)
CARD = ReaderCard(
    reader_id="lung_nodule",
    name="Lung nodules in whole chest CT, with follow-up",
    version="0.1.0",
    kind=ReaderKind.DETECTION,
    intended_use="Second reading of whole chest CT of adults for research: finds nodules of 3 to 30 mm, outlines and "
    "measures them, says solid, part-solid or ground-glass, side, zone and likely lobe, the Lung-RADS v2022 and "
    "Fleischner 2017 class by size, and with an earlier CT which nodules are new, gone, or really changed, with the "
    "doubling time.",
    not_for="Not a medical device. Not for ruling out nodules or cancer, not for benign or malignant, not for deciding "
    "on follow-up or treatment.",
    research_use=True,
    input=InputContract(
        modalities=("CT",), sop_class_uids=("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"),
        body_parts=("CHEST", "THORAX", "LUNG"), views=(), min_age_years=16.0, max_age_years=None, min_rows=64,
        min_columns=64, max_pixels=1_100_000, min_images=20, max_images=1500, presentation="volume", volumes="one",
        gaps="refuse", max_priors=1, prior_years=5.0,
    ),
    outputs=(NODULE_OUTPUT, GROWTH_OUTPUT),
    training_data=(
        "LUNA16 candidate patches, 4,137 of 50 x 50 pixels (Setio 2017; CT scans of LIDC-IDRI, Armato 2011; CC "
        "BY 4.0): the network of lung_nodule_patch 0.1.0, unchanged; nothing else is learnt",
    ),
    training_licence="CC BY 4.0 (LUNA16, LIDC-IDRI)",
    validation="",
    limits=LIMITS,
    resources=Resources(memory_mb=6000, seconds=600.0),
)  # fmt: skip
WHAT = (
    "For each nodule: an outline, volume with the half width of its 95 % interval on simulated chests, long and "
    "short axis in the axial plane, mean HU, the solid part of part-solid nodules, and in words side, zone, likely "
    "lobe, Lung-RADS v2022 category (Christensen 2024, J Am Coll Radiol 21:473) and Fleischner 2017 size class "
    "(MacMahon 2017, Radiology 284:228). The category of the scan is that of its most suspicious nodule. With one "
    "earlier CT: both are read by the same code, laid over one another rigidly, nodules are matched within 15 mm, and "
    "each keeps the tracking identity of the earlier study; change is called real only beyond the repeatability "
    "coefficient, with the doubling time and its interval."
)
REFUSES = (
    "Other modalities and body parts, patients under 16, fewer than 20 slices, more than 5 mm between voxels, "
    "values that are not HU, not finite or constant, no lungs, or less than 600 ml of aerated lung in the field of "
    "view. Lungs that are cut off, or of which only one was found, are read with a remark, and without a nodule the "
    "answer is then indeterminate, not absent. An earlier study that cannot be read or laid over is left out "
    "with a remark."
)
SPEED = (
    "One simulated scan of 512 x 512 pixels without an earlier one, network and outlines included, on one CPU core: "
    "300 slices 9 s of computing and 1.0 GB at most (of which 0.3 GB are the scan), 600 slices 10 s and 1.3 GB "
    "(0.6 GB). With an earlier scan both are read; that was not timed."
)
CITE = ("Cite: Setio AAA et al. Med Image Anal 2017; 42: 1. Armato SG et al. Med Phys 2011; 38: 915.",)
