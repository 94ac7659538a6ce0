"""Brain MR on two dates: T1 (and FLAIR) with known tissue volumes, a known loss between the dates, a head that moved.

The loss is an exact deformation: everything in the skull shrinks evenly about the middle of the brain, the ventricles
widen and the hippocampi shrink by their own stated shares, and fluid takes the room.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry
from coread.phantoms.reference import head_anatomy as head
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.finishing import mr_image
from coread.phantoms.reference.made import Made, Visit, digest_for, rounded_rows
from coread.phantoms.reference.measures import surface_points
from coread.phantoms.reference.objects import Examination, ReferenceSeries, examination
from coread.phantoms.reference.scan import FIRST_DATE, Grid, Setup, day_of, grid_over
from coread.phantoms.reference.scene import Extent, Measured, Part, Pose, Scene, measured, render
from coread.phantoms.reference.shapes import (
    Blob,
    Bounds,
    HalfSpace,
    Overlap,
    Superellipsoid,
    Triple,
    Tube,
    Union,
    Without,
    mirrored,
    rotation_matrix,
)
from coread.phantoms.reference.texture import Waves
from coread.phantoms.reference.truth import Structure, checked, stated

NAME = "mr-brain"
SECOND_DATE = "20270102"
FIELD: Bounds = ((-94.0, -120.0, -88.0), (94.0, 112.0, 92.0))
T1_SPACING_MM: Triple = (1.2, 1.0, 1.0)
FLAIR_SPACING_MM: Triple = (3.0, 1.0, 1.0)
GREY = ("cortex", "deep grey matter", "hippocampus left", "hippocampus right", "cerebellar cortex")
WHITE = ("white matter", "cerebellar white matter", "brainstem")
SMALL = ("ventricles", "hippocampus left", "hippocampus right")
FLUID = ("cerebrospinal fluid", "sulcal fluid", "hippocampal fluid", "ventricles")
_SIGNAL: dict[str, tuple[float, float]] = {
    "face": (330, 300), "scalp": (820, 560), "facial bones": (160, 120), "skull": (60, 45), "diploe": (300, 200),
    "eyes": (190, 120), "air spaces": (8, 8), "cord": (640, 420), "fluid": (150, 70), "cortex": (500, 520),
    "deep grey matter": (545, 480), "hippocampus": (505, 540), "cerebellar cortex": (510, 500),
    "white matter": (720, 410), "brainstem": (690, 420), "lesion": (560, 860),
}  # fmt: skip
"""Signal in T1 and in FLAIR: plausible contrasts, not simulated relaxation."""
_LESION_SITES: tuple[Triple, ...] = (
    (24.0, -34.0, 21.0), (-24.0, 12.0, 29.0), (33.0, 26.0, 20.0), (-27.0, -30.0, 22.0), (23.0, 4.0, 31.0),
    (-34.0, 28.0, 19.0), (-36.0, -6.0, 22.0), (38.0, 0.0, 21.0),
)  # fmt: skip
_DEEP_WHITE = Superellipsoid((0.0, 0.0, 0.0), (45.0, 62.0, 51.0), 2.2, 2.2)


@dataclass(frozen=True, slots=True)
class BrainTruth:
    """What is known of the brain and of its change."""

    loss_percent: float = stated(1.0, "loss of brain tissue (grey and white) by the second date", low=0, high=8)
    ventricle_growth_ratio: float = stated(
        5.0, "growth of the ventricles by the second date, per cent for each per cent of loss", low=0, high=40
    )
    hippocampus_loss_ratio: float = stated(
        3.0, "loss of both hippocampi by the second date, per cent for each per cent of loss", low=1, high=20
    )
    ventricle_scale: float = stated(1.0, "width of the ventricles on the first date, 1 is usual", low=0.8, high=1.5)
    lesions_ml: tuple[float, ...] = stated(
        (0.6, 0.35, 0.2), "white-matter lesions on the first date, up to 6; leave empty for none", low=0.02, high=6
    )
    lesion_growth_percent: float = stated(0.0, "growth of these lesions by the second date", low=-90, high=100)
    new_lesions_ml: tuple[float, ...] = stated((0.25,), "lesions that are new on the second date, up to 2",
                                               low=0.02, high=0.8)  # fmt: skip
    flair: bool = stated(True, "write FLAIR series too")
    nonuniformity_percent: float = stated(12.0, "slow change of the signal over the head", low=0, high=60)
    move_mm: tuple[float, ...] = stated(
        (2.0, -3.0, 4.0), "how far the head lies off on the second date", low=-15, high=15
    )
    turn_degrees: tuple[float, ...] = stated((3.0, -2.0, 4.0), "turn about x, then y, then z", low=-15, high=15)

    def __post_init__(self) -> None:
        checked(self)
        if len(self.lesions_ml) > 6 or len(self.new_lesions_ml) > 2:
            raise BadTruth("lesions_ml has up to 6 values, new_lesions_ml up to 2")
        if len(self.move_mm) != 3 or len(self.turn_degrees) != 3:
            raise BadTruth("move_mm and turn_degrees have three values each")
        if self.hippocampus_loss_percent > 60 or self.ventricle_growth_percent > 120:
            raise BadTruth(
                f"hippocampi lose {self.hippocampus_loss_percent:g} and ventricles grow by "
                f"{self.ventricle_growth_percent:g} per cent: at most 60 and 120"
            )

    @property
    def ventricle_growth_percent(self) -> float:
        """Return the growth of the ventricles by the second date."""
        return self.ventricle_growth_ratio * self.loss_percent

    @property
    def hippocampus_loss_percent(self) -> float:
        """Return the loss of both hippocampi by the second date."""
        return self.hippocampus_loss_ratio * self.loss_percent

    def pose(self, date: int) -> Pose:
        """Return the rigid map from anatomy to patient on date 0 or 1."""
        rotation = rotation_matrix((self.turn_degrees[0], self.turn_degrees[1], self.turn_degrees[2]))
        rows = np.hstack([rotation, np.asarray(self.move_mm)[:, np.newaxis]]) if date else np.eye(4)[:3]
        a, b, c = ((float(r[0]), float(r[1]), float(r[2]), float(r[3])) for r in rows)
        return (a, b, c)


def forms(truth: BrainTruth) -> tuple[head.BrainForm, head.BrainForm]:
    """Return the brain on both dates; the second is scaled so that exactly the stated tissue is lost.

    With everything scaled by s, tissue is s cubed times what it was without scaling. The fluid spaces that change on
    their own (ventricles, hippocampal clefts) are measured in a box around them, the same way on both dates.
    """
    before = head.BrainForm(ventricle_scale=truth.ventricle_scale)
    tissue, fluid = tissue_mm3(before), _fluid_mm3(before)
    scale = (1 - truth.loss_percent / 100) ** (1 / 3)
    for _ in range(2):  # ventricles and hippocampi shrink with the brain: their own scales make up for it
        wider = truth.ventricle_scale * (1 + truth.ventricle_growth_percent / 100) ** (1 / 3) / scale
        smaller = (1 - truth.hippocampus_loss_percent / 100) ** (1 / 3) / scale
        gained = _fluid_mm3(head.BrainForm(1.0, wider, smaller)) - fluid
        scale = (tissue * (1 - truth.loss_percent / 100) / (tissue - gained)) ** (1 / 3)
    if scale > 1:
        raise BadTruth(
            f"loss_percent={truth.loss_percent:g} is less than what ventricles and hippocampi alone take: "
            f"{100 * gained / tissue:.2f} per cent"
        )
    return before, head.BrainForm(scale, wider, smaller)


@lru_cache(maxsize=16)
def volumes_of(form: head.BrainForm) -> Mapping[str, Measured]:
    """Return the volume of every part inside the skull, without lesions (they lie within the white matter)."""
    scene = Scene(0.0, tuple(_brain(form)))
    found = measured(scene, [*GREY, *WHITE, *FLUID], 2.0)
    return MappingProxyType(found | measured(scene, list(SMALL), 0.8))


def tissue_mm3(form: head.BrainForm) -> float:
    """Return grey and white matter in the skull."""
    found = volumes_of(form)
    return sum(found[name].volume_mm3 for name in (*GREY, *WHITE))


@lru_cache(maxsize=16)
def _fluid_mm3(form: head.BrainForm) -> float:
    parts = [p for p in _brain(form) if p.name not in ("cerebrospinal fluid",)]
    names = ["ventricles", "hippocampal fluid"]
    return sum(one.volume_mm3 for one in measured(Scene(0.0, tuple(parts)), names, 0.9).values())


def _brain(form: head.BrainForm) -> list[Part]:
    """Return everything inside the skull; the values are T1."""
    placed, t1 = form.placed, {name: value[0] for name, value in _SIGNAL.items()}
    cleft, part = head.hippocampus(), head.hippocampus(form.hippocampus_scale)
    stem = Overlap((head.brainstem(), HalfSpace((0.0, 0.0, -1.0), 62.0)))
    gaps = Union((head.fissure(), head.cisterns()))
    return [
        Part("cerebrospinal fluid", head.INTRACRANIAL, t1["fluid"]),
        Part("cortex", placed(head.cerebrum()), t1["cortex"]),
        Part("white matter", placed(head.cerebral_white()), t1["white matter"]),
        Part("deep grey matter", placed(head.deep_grey()), t1["deep grey matter"]),
        Part("sulcal fluid", placed(Union((gaps, head.cerebellar_cistern()))), t1["fluid"]),
        Part("brainstem", placed(stem), t1["brainstem"]),
        Part("cerebellar cortex", placed(head.cerebellum()), t1["cerebellar cortex"]),
        Part("cerebellar white matter", placed(head.cerebellum(1.0)), t1["white matter"]),
        Part("ventricles", placed(head.ventricles(form.ventricle_scale)), t1["fluid"]),
        Part("hippocampal fluid", placed(head.both_sides(cleft)), t1["fluid"]),
        Part("hippocampus left", placed(part), t1["hippocampus"]),
        Part("hippocampus right", placed(mirrored(part)), t1["hippocampus"]),
    ]


def _outside() -> list[Part]:
    soft, bones, air, _ = head.face()
    t1 = {name: value[0] for name, value in _SIGNAL.items()}
    outer, inner = head.SKULL.half_axes_mm, head.INTRACRANIAL.half_axes_mm
    shells = []
    for share in (0.72, 0.3):
        a, b, c = (i + share * (o - i) for o, i in zip(outer, inner, strict=True))
        shells.append(Superellipsoid((0, 0, 0), (a, b, c), 2.2, 2.2))
    cord = Tube(((0.0, 28.0, -62.0), (0.0, 33.0, -85.0), (0.0, 34.0, -260.0)), (7.0,))
    return [
        Part("face", soft, t1["face"], Waves(3, 40.0, 12.0)),
        Part("scalp", head.SCALP, t1["scalp"], Waves(4, 50.0, 9.0)),
        Part("facial bones", bones, t1["facial bones"]),
        Part("skull", head.SKULL, t1["skull"]),
        Part("diploe", Without(shells[0], shells[1]), t1["diploe"]),
        Part("eyes", head.eyes(), t1["eyes"]),
        Part("air spaces", Without(air, head.INTRACRANIAL), t1["air spaces"]),
        Part("cord", cord, t1["cord"]),
    ]


@dataclass(frozen=True, slots=True)
class Lesion:
    """A white-matter lesion on one date."""

    name: str
    lump: Blob
    """Before the brain's scale; its volume makes up for it."""
    volume_mm3: float


def lesions_on(truth: BrainTruth, form: head.BrainForm, date: int, seed: int) -> tuple[Lesion, ...]:
    """Return the lesions of date 0 or 1; refuses those that reach out of the deep white matter."""
    growth = 1 + truth.lesion_growth_percent / 100 if date else 1.0
    wanted = [(f"lesion {k}", volume * growth) for k, volume in enumerate(truth.lesions_ml, start=1)]
    sites = list(_LESION_SITES[: len(wanted)])
    if date:
        wanted += [(f"lesion new {k}", volume) for k, volume in enumerate(truth.new_lesions_ml, start=1)]
        sites += _LESION_SITES[6 : 6 + len(truth.new_lesions_ml)]
    region = Without(_DEEP_WHITE, Union((head.ventricles(form.ventricle_scale), head.deep_grey(), head.fissure(2.0))))
    found = []
    for number, ((name, volume), site) in enumerate(zip(wanted, sites, strict=True)):
        lump = Blob(site, (1.0, 1.15, 0.9), 0.15, seed * 50 + number).with_volume(volume * 1000 / form.brain_scale**3)
        if float(region.distance(surface_points(lump)).max()) >= 0:
            raise BadTruth(f"{name}: {volume:g} ml do not fit into the white matter there; make it smaller")
        found.append(Lesion(name, lump, volume * 1000))
    return tuple(found)


def brain_scene(truth: BrainTruth, form: head.BrainForm, lesions: tuple[Lesion, ...], date: int, seed: int) -> Scene:
    """Return the whole head in T1 signal."""
    grain = {"cortex": Waves(seed, 12.0, 8.0), "white matter": Waves(seed + 1, 9.0, 12.0)}
    brain = [Part(p.name, p.shape, p.value, grain.get(p.name)) for p in _brain(form)]
    marks = [Part(one.name, form.placed(one.lump), _SIGNAL["lesion"][0]) for one in lesions]
    return Scene(8.0, (*_outside(), *brain, *marks), truth.pose(date))


def flair_of(scene: Scene) -> Scene:
    """Return the same scene in FLAIR signal."""
    parts = []
    for part in scene.parts:
        key = "lesion" if part.name.startswith("lesion") else part.name
        key = "fluid" if key in FLUID else "hippocampus" if key.startswith("hippocampus") else key
        key = "white matter" if key == "cerebellar white matter" else key
        parts.append(Part(part.name, part.shape, _SIGNAL[key][1], part.texture))
    return Scene(scene.background, tuple(parts), scene.pose)


def make(truth: BrainTruth, setup: Setup) -> Made:
    """Compute both examinations and what was lost between them."""
    dates = setup.dates_or((FIRST_DATE, SECOND_DATE))
    digest = digest_for(NAME, truth, setup)
    both = forms(truth)
    tissue = tissue_mm3(both[0])
    visits = []
    for date, form in enumerate(both):
        who = examination(NAME, digest, dates[date], age="052Y")
        lesions = lesions_on(truth, form, date, setup.seed)
        exact = tissue * (1 - truth.loss_percent / 100 * date)
        scene = brain_scene(truth, form, lesions, date, setup.seed)
        visits.append(_visit(truth, setup, scene, _Date(date, who, form, lesions, exact)))
    first, second = (np.vstack([truth.pose(k), [0, 0, 0, 1]]) for k in (0, 1))
    voxels = [visit.structure("brain").voxel_volume_mm3 for visit in visits]
    changes = {
        "days": (day_of(dates[1]) - day_of(dates[0])).days,
        "first_to_second_mm": rounded_rows(second @ np.linalg.inv(first)),
        "brain_volume_change_percent": -truth.loss_percent,
        "brain_volume_change_from_voxels_percent": 100 * (voxels[1] / voxels[0] - 1),
        "ventricle_growth_percent": truth.ventricle_growth_percent,
        "hippocampus_loss_percent": truth.hippocampus_loss_percent,
        "brain_scale": both[1].brain_scale,
        "new_lesions_ml": list(truth.new_lesions_ml),
    }
    return Made(NAME, truth, setup, tuple(visits), changes)


@dataclass(frozen=True, slots=True)
class _Date:
    number: int
    who: Examination
    form: head.BrainForm
    lesions: tuple[Lesion, ...]
    tissue_mm3: float


def _visit(truth: BrainTruth, setup: Setup, scene: Scene, date: _Date) -> Visit:
    names = [*GREY, *WHITE, *FLUID, *(one.name for one in date.lesions)]
    grid = grid_over(FIELD, setup, T1_SPACING_MM, date.who.frame_of_reference_uid)
    drawn = render(scene, grid.geometry, measure=names)
    shown = tuple(part.name for part in scene.parts)
    series = [
        ReferenceSeries(
            date.who, "MR", 2, "SYNTHETIC T1 3D", "BRAIN", grid, _signal(truth, setup, drawn.values, grid, date.number),
            attributes=_T1, labels=drawn.labels, label_names=shown,
        )
    ]  # fmt: skip
    if truth.flair:
        wide = grid_over(FIELD, setup, FLAIR_SPACING_MM, date.who.frame_of_reference_uid)
        flair = render(flair_of(scene), wide.geometry)
        series.append(
            ReferenceSeries(
                date.who, "MR", 3, "SYNTHETIC FLAIR", "BRAIN", wide,
                _signal(truth, setup, flair.values, wide, date.number + 10), attributes=_FLAIR,
                labels=flair.labels, label_names=shown,
            )
        )  # fmt: skip
    facts = {"anatomy_to_patient_mm": rounded_rows(scene.pose_matrix())}
    return Visit(date.who, tuple(series), tuple(_structures(scene, drawn.extents, date)), facts)


_T1: dict[str, Any] = {
    "ScanningSequence": ["GR", "IR"], "SequenceVariant": ["SP", "MP"], "ScanOptions": "", "MRAcquisitionType": "3D",
    "RepetitionTime": 2300, "EchoTime": 2.9, "InversionTime": 900, "FlipAngle": 9, "EchoTrainLength": 1,
    "MagneticFieldStrength": 3, "ImageType": ["ORIGINAL", "PRIMARY", "OTHER"], "SequenceName": "SYNTHETIC",
}  # fmt: skip
_FLAIR: dict[str, Any] = {
    "ScanningSequence": ["SE", "IR"], "SequenceVariant": "SK", "ScanOptions": "", "MRAcquisitionType": "2D",
    "RepetitionTime": 9000, "EchoTime": 120, "InversionTime": 2500, "FlipAngle": 150, "EchoTrainLength": 16,
    "MagneticFieldStrength": 3, "ImageType": ["ORIGINAL", "PRIMARY", "OTHER"], "SequenceName": "SYNTHETIC",
}  # fmt: skip


def _signal(
    truth: BrainTruth, setup: Setup, values: NDArray[np.float32], grid: Grid, stream: int
) -> NDArray[np.float32]:
    """Return the image: receive field, blur, Rician noise."""
    shaded = values * _receive_field(grid.geometry, truth.nonuniformity_percent / 100, setup.seed + stream % 10)
    return mr_image(shaded, grid, setup, noise_percent=1.5, kernel_mm=1.0, stream=stream)


def _receive_field(geometry: Geometry, share: float, seed: int) -> NDArray[np.float32]:
    """Return (slices, rows, columns): a slow cosine along a direction of its own for each examination."""
    direction = np.random.default_rng([seed, 17]).normal(size=3)
    along = (direction / np.linalg.norm(direction)) @ geometry.matrix()[:3] / 150.0
    k, r, c = np.ogrid[: geometry.shape[0], : geometry.shape[1], : geometry.shape[2]]
    phase = along[0] * k + along[1] * r + along[2] * c + along[3]
    return np.asarray(1 + share * np.cos(np.pi * phase + 0.7), dtype=np.float32)


def _structures(scene: Scene, extents: dict[str, Extent], date: _Date) -> list[Structure]:
    found = volumes_of(date.form)
    marks = {one.name: Measured(one.volume_mm3, 0.0, "quadrature") for one in date.lesions}
    brain = _sum("brain", (*GREY, *WHITE), found, _seen((*GREY, *WHITE, *marks), extents))
    exact = Measured(date.tissue_mm3, brain.exact.uncertainty_mm3, "sampled; the loss as stated")
    out = [
        _sum("grey matter", GREY, found, _seen(GREY, extents)),
        _sum("white matter total", WHITE, found, _seen((*WHITE, *marks), extents)),
        replace(brain, exact=exact),
        _sum("cerebrospinal fluid total", FLUID, found, _seen(FLUID, extents)),
    ]
    for name in (*SMALL, *marks):
        one = extents[name]
        known = marks.get(name) or found[name]
        out.append(Structure(name, known, one.volume_mm3, one.center_mm, scene.part(name).value))
    return out


def _seen(members: tuple[str, ...], extents: dict[str, Extent]) -> Extent:
    """Return several parts of the voxels as one; lesions are part of the white matter."""
    volumes = np.asarray([extents[member].volume_mm3 for member in members])
    center = volumes @ np.asarray([extents[member].center_mm for member in members]) / max(float(volumes.sum()), 1e-9)
    return Extent(float(volumes.sum()), (float(center[0]), float(center[1]), float(center[2])))


def _sum(name: str, members: tuple[str, ...], found: Mapping[str, Measured], seen: Extent) -> Structure:
    """Return several measured parts as one structure."""
    volume = sum(found[member].volume_mm3 for member in members)
    uncertainty = sum(found[member].uncertainty_mm3 for member in members)
    return Structure(name, Measured(volume, uncertainty, "sum of its parts"), seen.volume_mm3, seen.center_mm, 0.0)
