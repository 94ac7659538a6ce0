"""Inputs that fit a reader's card, computed with known content, for checking any reader without its author's help.

A new kind of image is one line in ``MAKERS``: for which cards it fits, and the function that draws it.
"""

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from coread.domain.cards import ReaderCard
from coread.domain.errors import Misconfigured
from coread.domain.images import PlanarImage, Volume
from coread.domain.reading import Prior, ReaderInputs
from coread.domain.study import InstanceHeader, Study, StudyState

_ROWS = 512
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_PICTURES: tuple[tuple[int, tuple[str, ...]], ...] = (
    (11, ("effusion", "cardiomegaly")),
    (12, ("pneumothorax",)),
    (13, ("opacity", "nodule")),
    (14, ()),
)
"""Seed and findings of each generated chest."""


class Savable(Protocol):
    """A data set that can be written as a DICOM file (pydicom's, which this room does not import)."""

    def save_as(self, filename: Path, /, *, enforce_file_format: bool) -> None:
        """Write the file."""
        ...


Drawn = Callable[[ReaderCard, str], Iterable[Savable]]
"""From the card and the modality to choose to data sets, one study each."""
Visits = Sequence[Sequence[Savable]]
"""The images of one series on each date, oldest first."""


@dataclass(frozen=True, slots=True)
class SampleMaker:
    """Draws inputs for cards that accept one of its modalities and body parts."""

    modalities: tuple[str, ...]
    """In the order of preference."""
    body_parts: tuple[str, ...]
    """Empty: pictures of any part, for cards that ask for none."""
    draw: Drawn
    presentation: str = "planar"

    def modality_for(self, card: ReaderCard) -> str:
        """Return the modality to draw for this card, or the empty string when these pictures do not fit it."""
        contract = card.input
        accepted = {name.upper() for name in contract.body_parts}
        if contract.presentation != self.presentation or (accepted and accepted.isdisjoint(self.body_parts)):
            return ""
        return next((name for name in contract.modalities if name in self.modalities), "")


@dataclass(frozen=True, slots=True)
class VolumeMaker:
    """Draws volumes for cards that accept its modality and one of its body parts."""

    modality: str
    body_parts: tuple[str, ...]
    sites: tuple[str, ...]
    """SNOMED CT codes of finding sites; the card has an output at one of them."""
    draw: Callable[[], Iterable[Visits]]

    def fits(self, card: ReaderCard) -> bool:
        """Say whether these volumes fit a card."""
        contract = card.input
        accepted = {name.upper() for name in contract.body_parts}
        sites = {output.site.value for output in card.outputs if output.site is not None}
        return (
            contract.presentation == "volume"
            and self.modality in contract.modalities
            and (not accepted or not accepted.isdisjoint(self.body_parts))
            and not sites.isdisjoint(self.sites)
        )


@dataclass(frozen=True, slots=True)
class LoopMaker:
    """Draws the loops of a study for cards that accept its modality and one of its views."""

    modality: str
    views: tuple[str, ...]
    draw: Callable[[], Iterable[Sequence[Savable]]]

    def fits(self, card: ReaderCard) -> bool:
        """Say whether these loops fit a card."""
        contract = card.input
        wanted = not contract.views or not set(contract.views).isdisjoint(self.views)
        return contract.presentation == "loop" and self.modality in contract.modalities and wanted


@dataclass(frozen=True, slots=True)
class RawMaker:
    """Draws raw data objects for cards that accept its modality."""

    modality: str
    draw: Callable[[ReaderCard], Iterable[Sequence[Savable]]]

    def fits(self, card: ReaderCard) -> bool:
        """Say whether these acquisitions fit a card."""
        return card.input.presentation == "kspace" and self.modality in card.input.modalities


def sample_inputs(card: ReaderCard) -> tuple[ReaderInputs, ...]:
    """Return inputs that the card accepts; raises Misconfigured where nothing generated fits it."""
    for volumes in VOLUME_MAKERS:
        if volumes.fits(card):
            return tuple(_loaded_visits(card, visits) for visits in volumes.draw())
    for moving in LOOP_MAKERS:
        if moving.fits(card):
            return tuple(_loaded_loops(datasets) for datasets in moving.draw())
    for raw in RAW_MAKERS:
        if raw.fits(card):
            return tuple(_loaded_raw(datasets) for datasets in raw.draw(card))
    for maker in MAKERS:
        if modality := maker.modality_for(card):
            return tuple(_loaded(dataset) for dataset in maker.draw(card, modality))
    raise Misconfigured(
        f"no generated image fits the input contract of {card.reader_id}. Give samples of your own to check_reader."
    )


def inputs_of(images: Sequence[PlanarImage]) -> ReaderInputs:
    """Make planar images the whole of a study."""
    return ReaderInputs(study_of([image.header for image in images]), images=tuple(images))


def study_of(headers: Sequence[InstanceHeader], now: datetime | None = None) -> Study:
    """Return the record of a study that was never stored, from the headers of its images."""
    first, at = headers[0], now or datetime.now(UTC)
    return Study(
        study_instance_uid=first.study_instance_uid,
        patient_id=first.patient_id,
        issuer_of_patient_id=first.issuer_of_patient_id,
        patient_name=first.patient_name,
        patient_birth_date=first.patient_birth_date,
        patient_sex=first.patient_sex,
        accession_number=first.accession_number,
        study_id=first.study_id,
        study_date=first.study_date,
        study_time=first.study_time,
        study_description=first.study_description,
        referring_physician_name=first.referring_physician_name,
        modalities=tuple(sorted({header.modality for header in headers} - {""})),
        series_count=len({header.series_instance_uid for header in headers}),
        instance_count=len(headers),
        state=StudyState.SETTLED,
        settled_reason=None,
        generation=1,
        first_received_at=at,
        last_received_at=at,
        settled_at=at,
    )


def _loaded(dataset: Savable) -> ReaderInputs:
    from coread.imaging.header import scan_header
    from coread.imaging.planar import load_planar

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.dcm"
        dataset.save_as(path, enforce_file_format=True)
        return inputs_of([load_planar(path, scan_header(path))])


def _loaded_visits(card: ReaderCard, visits: Visits) -> ReaderInputs:
    """Return the last date as the current study and those before it as priors, as many as the card asks for."""
    from coread.imaging.series import load, open_series
    from coread.imaging.volume import load_volume

    loaded: list[tuple[Volume, ...]] = []
    for datasets in visits:
        with _saved(datasets) as sources:
            if card.input.volumes == "all":
                loaded.append(tuple(load(stack) for stack in open_series(sources).volumes()))
            else:
                loaded.append((load_volume(sources),))
    *earlier, now = loaded
    priors = [Prior(study_of(volumes[0].headers), volumes=volumes) for volumes in reversed(earlier)]
    return ReaderInputs(study_of(now[0].headers), volumes=now, priors=tuple(priors[: card.input.max_priors]))


def _loaded_loops(datasets: Iterable[Savable]) -> ReaderInputs:
    from coread.imaging.loops import load_loop, open_loop

    with _saved(datasets) as sources:
        loops = tuple(load_loop(open_loop(path, header)) for path, header in sources)
    return ReaderInputs(study_of([loop.header for loop in loops]), loops=loops)


def _loaded_raw(datasets: Iterable[Savable]) -> ReaderInputs:
    from coread.imaging.mr.files.raw_object import unwrapped

    with _saved(datasets) as sources:
        acquisitions = tuple(unwrapped(path) for path, _ in sources)
    headers = tuple(header for _, header in sources)
    return ReaderInputs(study_of(headers), kspaces=acquisitions, kspace_headers=headers)


@contextmanager
def _saved(datasets: Iterable[Savable]) -> Iterator[list[tuple[Path, InstanceHeader]]]:
    """Write the data sets into a folder that lasts as long as the block."""
    from coread.imaging.header import scan_header

    with tempfile.TemporaryDirectory() as folder:
        sources = []
        for number, dataset in enumerate(datasets):
            path = Path(folder) / f"{number:04d}.dcm"
            dataset.save_as(path, enforce_file_format=True)
            sources.append((path, scan_header(path)))
        yield sources


def _reference(
    name: str, *truths: Sequence[str], spacing_mm: tuple[float, float, float] | None = None, series: int = 0
) -> Iterable[Visits]:
    """Draw one reference object for each truth, coarse enough to be quick; ``series`` counts within each date."""
    from coread.phantoms.reference.registry import made
    from coread.phantoms.reference.scan import Setup

    for seed, truth in enumerate(truths, start=1):
        visits = made(name, truth, Setup(seed=seed, spacing_mm=spacing_mm)).visits
        yield [list(visit.series[series].datasets()) for visit in visits]


def _echoes(*truths: Sequence[str]) -> Iterable[Sequence[Savable]]:
    """Draw the loops of one study for each truth."""
    from coread.phantoms.reference.registry import made
    from coread.phantoms.reference.scan import Setup

    for seed, truth in enumerate(truths, start=1):
        visit = made("us-echo", truth, Setup(seed=seed)).visits[0]
        yield [dataset for series in visit.series for dataset in series.datasets()]


def _one_date(name: str, truth: Sequence[str]) -> Iterable[Visits]:
    """Draw the first date of a reference object with two: one volume and no prior."""
    for visits in _reference(name, truth, spacing_mm=(3.0, 2.0, 2.0)):
        yield visits[:1]


def _limbs() -> Iterable[Visits]:
    """Draw CT fields cut around a tumour in the muscle of a limb, beside bone."""
    from coread.phantoms.ct import CT_IDENTITY, Ball, CtRecipe, ct_series

    middle = (10.0, -20.0, 35.0)
    for seed, place in ((1, (16.0, -14.0, 35.0)), (2, (4.0, -26.0, 38.0))):
        balls = (Ball(middle, 66.0, 55), Ball((42.0, -46.0, 35.0), 11.0, 700), Ball(place, 40.0, 30))
        recipe = CtRecipe(
            seed, rows=50, columns=50, slices=46, spacing_mm=(3.0, 3.0), gap_mm=3.0, balls=balls,
            identity=replace(CT_IDENTITY, uid_seed=f"limb-{seed}"),
        )  # fmt: skip
        series = ct_series(recipe)
        for dataset in series:
            dataset.BodyPartExamined = "EXTREMITY"
        yield [series]


def _raw_heads(card: ReaderCard) -> Iterable[Sequence[Savable]]:
    """Draw raw data of one slice of a head: one line in three in one study, one in five in another."""
    from coread.phantoms.reference.registry import made
    from coread.phantoms.reference.scan import Setup

    matrix = max(96, card.input.min_rows, card.input.min_columns)
    common = (f"matrix={matrix}", "slices=1", f"coils={max(6, card.input.min_coils)}", "centre_percent=12", "images=no")
    for seed, acceleration in ((1, 3), (2, 5)):
        visit = made("mr-raw", (*common, f"acceleration={acceleration}"), Setup(seed=seed)).visits[0]
        yield [dataset for series in visit.series for dataset in series.datasets()]


def _chests(card: ReaderCard, modality: str) -> Iterable[Savable]:
    from coread.phantoms.chest import ChestRecipe, chest_radiograph

    rows = max(_ROWS, card.input.min_rows, card.input.min_columns)
    for seed, findings in _PICTURES:
        recipe = ChestRecipe(seed=seed, findings=findings, side="R", size=0.9, rows=rows, modality=modality)
        yield chest_radiograph(recipe).dataset


def _breast_ultrasound(card: ReaderCard, _: str) -> Iterable[Savable]:
    from coread.phantoms.breast_us import BreastUsRecipe, breast_ultrasound

    rows, columns = max(320, card.input.min_rows), max(400, card.input.min_columns)
    for seed, lesion in ((31, "spiky"), (32, "round"), (33, "none")):
        yield breast_ultrasound(BreastUsRecipe(seed, lesion, rows, columns)).dataset


def _fundus(card: ReaderCard, modality: str) -> Iterable[Savable]:
    from coread.phantoms.fundus import FundusRecipe, fundus_photograph

    rows = max(480, card.input.min_rows, card.input.min_columns)
    for seed, haemorrhages, exudates, laterality in ((41, 16, 24, "R"), (42, 0, 0, "L"), (43, 25, 8, "L")):
        recipe = FundusRecipe(seed, haemorrhages, exudates, rows, laterality=laterality, modality=modality)
        yield fundus_photograph(recipe).dataset


def _brains(card: ReaderCard, _: str) -> Iterable[Savable]:
    from coread.phantoms.brain_mr import KINDS, BrainRecipe, brain_slice

    rows = max(256, card.input.min_rows, card.input.min_columns)
    for seed, kind in enumerate(KINDS, start=51):
        yield brain_slice(BrainRecipe(seed, kind, rows=rows)).dataset


def _colons(card: ReaderCard, _: str) -> Iterable[Savable]:
    from coread.phantoms.colon import ColonRecipe, colon_frame

    rows = max(320, card.input.min_rows, card.input.min_columns)
    for seed, centre in ((61, (0.35, 0.4)), (62, (0.6, 0.45)), (63, (0.45, 0.6))):
        yield colon_frame(ColonRecipe(seed, rows, rows + 32, centre)).dataset()


def _mammograms(card: ReaderCard, _: str) -> Iterable[Savable]:
    from coread.phantoms.mammogram import MammogramRecipe, mammogram

    rows = 512 * -(-max(1024, card.input.min_rows, card.input.min_columns) // 512)
    for seed, density, mass in ((71, "fatty", True), (72, "glandular", False), (73, "dense", True)):
        yield mammogram(MammogramRecipe(seed, density, mass, rows=rows)).dataset


def _nodules(card: ReaderCard, _: str) -> Iterable[Savable]:
    from coread.phantoms.nodule_slice import NoduleSliceRecipe, nodule_slice

    side = max(min(72, math.isqrt(card.input.max_pixels)), card.input.min_rows, card.input.min_columns)
    for seed, radius in ((81, 0.09), (82, 0.13), (83, 0.17)):
        yield nodule_slice(NoduleSliceRecipe(seed, side, radius * side)).dataset


def _captures(_card: ReaderCard, _: str) -> Iterable[Savable]:
    """Secondary captures of several kinds whose headers say neither modality nor body part."""
    from coread.phantoms.breast_us import BreastUsRecipe, breast_ultrasound
    from coread.phantoms.colon import ColonRecipe, colon_frame
    from coread.phantoms.dx import file_meta
    from coread.phantoms.fundus import FundusRecipe, fundus_photograph

    drawn = (
        fundus_photograph(FundusRecipe(91)).dataset,
        breast_ultrasound(BreastUsRecipe(92)).dataset,
        colon_frame(ColonRecipe(93)).dataset(),
    )
    for dataset in drawn:
        dataset.Modality, dataset.BodyPartExamined, dataset.SOPClassUID = "OT", "", _SECONDARY_CAPTURE
        dataset.file_meta = file_meta(dataset)
        yield dataset


MAKERS: tuple[SampleMaker, ...] = (
    SampleMaker(("OT",), (), _captures),
    SampleMaker(("DX", "CR"), ("CHEST", "THORAX"), _chests),
    SampleMaker(("US",), ("BREAST",), _breast_ultrasound),
    SampleMaker(("OP", "XC"), ("EYE",), _fundus),
    SampleMaker(("MR",), ("BRAIN", "HEAD"), _brains),
    SampleMaker(("ES",), ("COLON",), _colons),
    SampleMaker(("MG",), ("BREAST",), _mammograms),
    SampleMaker(("CT",), ("CHEST", "THORAX", "LUNG"), _nodules),
)
"""The first that fits draws; narrower ones stand first."""

_STILL = ("new_lesions_ml=0.4", "loss_percent=0", "move_mm=0,0,0", "turn_degrees=0,0,0")
"""A head that lies as it did, so that laying its dates over one another is quick."""
VOLUME_MAKERS: tuple[VolumeMaker, ...] = (
    VolumeMaker(
        "CT",
        ("CHEST", "THORAX", "LUNG"),
        ("39607008",),
        partial(_reference, "ct-nodules", (), spacing_mm=(3.0, 1.5, 1.5)),
    ),
    VolumeMaker(
        "CT",
        ("SPINE", "LSPINE", "ABDOMEN"),
        ("421060004", "51282000"),
        partial(_reference, "ct-spine", (), (), spacing_mm=(3.0, 1.5, 1.5)),
    ),
    VolumeMaker(
        "CT", ("ABDOMEN",), ("87784001", "10200004"), partial(_reference, "ct-lesions", (), spacing_mm=(4.0, 1.5, 1.5))
    ),
    VolumeMaker("CT", ("EXTREMITY", "THIGH"), ("87784001",), _limbs),
    VolumeMaker(
        "CT",
        ("HEAD",),
        ("128319008",),
        partial(_reference, "ct-head", (), ("intraparenchymal_ml=0",), spacing_mm=(5.0, 1.4, 1.4)),
    ),
    VolumeMaker("MR", ("BRAIN", "HEAD"), ("12738006",), partial(_one_date, "mr-brain", ("flair=no",))),
    VolumeMaker(
        "MR",
        ("BRAIN", "HEAD"),
        ("68523003",),
        partial(_reference, "mr-brain", _STILL, spacing_mm=(5.0, 2.5, 2.5), series=1),
    ),
    VolumeMaker("MR", ("HEART",), ("80891009",), partial(_reference, "mr-cine", ("phases=8",), spacing_mm=(10, 2, 2))),
)
"""The first that fits draws."""

LOOP_MAKERS: tuple[LoopMaker, ...] = (
    LoopMaker("US", ("A4C", "A2C"), partial(_echoes, ("frame_time_ms=60", "heart_rate=80"))),
)
"""The first that fits draws."""

RAW_MAKERS: tuple[RawMaker, ...] = (RawMaker("MR", _raw_heads),)
"""The first that fits draws."""
