"""Non-contrast CT of the head: blood of each kind with known volume, density and place, and a known midline shift."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from coread.phantoms.reference import head_anatomy as head
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.finishing import ct_image
from coread.phantoms.reference.made import Made, Visit, digest_for
from coread.phantoms.reference.measures import surface_points
from coread.phantoms.reference.objects import ReferenceSeries, examination
from coread.phantoms.reference.scan import FIRST_DATE, Setup, grid_over
from coread.phantoms.reference.scene import Measured, Part, Pose, Scene, measured, render
from coread.phantoms.reference.shapes import (
    Blob,
    Bounds,
    HalfSpace,
    Overlap,
    Shape,
    Superellipsoid,
    Triple,
    Union,
    Without,
    ball,
    rotation_matrix,
)
from coread.phantoms.reference.texture import Waves
from coread.phantoms.reference.truth import Structure, checked, stated

NAME = "ct-head"
KINDS = ("epidural", "subdural", "subarachnoid", "intraparenchymal", "intraventricular")
FIELD: Bounds = ((-96.0, -122.0, -86.0), (96.0, 112.0, 92.0))
SPACING_MM: Triple = (3.0, 0.7, 0.7)
_CLOSE = 0.004
"""How near a solid must come to its stated volume before it is measured finely."""
_HIDDEN = 0.03


@dataclass(frozen=True, slots=True)
class HeadTruth:
    """What is known of the head; volumes of 0 mean that this kind is absent, and a head without any is a negative."""

    epidural_ml: float = stated(0.0, "blood between skull and dura, lens-shaped", low=0, high=150)
    subdural_ml: float = stated(0.0, "blood below the dura, crescent-shaped", low=0, high=200)
    subarachnoid_ml: float = stated(0.0, "blood in furrows and cisterns of one side", low=0, high=30)
    intraparenchymal_ml: float = stated(25.0, "blood in the region of the basal ganglia", low=0, high=300)
    intraventricular_ml: float = stated(0.0, "blood that has settled in the ventricles", low=0, high=18)
    side: str = stated("R", "the patient's side of all blood but the subdural", choices=("R", "L"))
    subdural_side: str = stated("L", "the patient's side of the subdural blood", choices=("R", "L"))
    blood_hu: float = stated(68.0, "density of the blood", low=30, high=100)
    midline_shift_mm: float = stated(0.0, "shift of the septum, positive to the patient's left", low=-20, high=20)
    turn_degrees: tuple[float, ...] = stated((0.0, 0.0, 0.0), "how the head lies: turn about x, y, z", low=-25, high=25)

    def __post_init__(self) -> None:
        checked(self)
        if len(self.turn_degrees) != 3:
            raise BadTruth("turn_degrees has three values")
        for kind in KINDS:
            if 0 < self.volume_ml(kind) < 0.05:
                raise BadTruth(f"{kind}_ml={self.volume_ml(kind):g}: 0, or 0.05 and more")

    def volume_ml(self, kind: str) -> float:
        """Return the stated volume of a kind."""
        return float(getattr(self, f"{kind}_ml"))

    def sign(self, kind: str) -> float:
        """Return the side of a kind as the sign of x: the patient's left is positive."""
        side = self.subdural_side if kind == "subdural" else self.side
        return 1.0 if side == "L" else -1.0

    def pose(self) -> Pose:
        """Return how the head lies, a turn about the middle of the brain."""
        rotation = rotation_matrix((self.turn_degrees[0], self.turn_degrees[1], self.turn_degrees[2]))
        a, b, c = ((float(r[0]), float(r[1]), float(r[2]), 0.0) for r in rotation)
        return (a, b, c)


def solved(build: Callable[[float], Shape], volume_mm3: float, low: float, high: float, name: str) -> Shape:
    """Return the solid of a family, growing with its parameter, that has a volume (bisection on a sampled volume)."""
    if sampled_volume(build(high)) < volume_mm3:
        raise BadTruth(f"{name}: {volume_mm3 / 1000:g} ml do not fit; at most {sampled_volume(build(high)) / 1000:.0f}")
    for _ in range(40):
        middle = (low + high) / 2
        found = sampled_volume(build(middle))
        if abs(found / volume_mm3 - 1) < _CLOSE:
            return build(middle)
        low, high = (middle, high) if found < volume_mm3 else (low, middle)
    raise BadTruth(f"{name}: {volume_mm3 / 1000:g} ml cannot be reached; choose another volume")


def sampled_volume(shape: Shape) -> float:
    """Return the volume of a solid from 200,000 places spread evenly over its box (Roberts' R3 sequence), mm3."""
    low, high = (np.asarray(corner) for corner in shape.bounds())
    root = 1.22074408460575947536
    steps = np.asarray([root**-1, root**-2, root**-3])
    share = (0.5 + np.outer(steps, np.arange(1, 200_001))) % 1
    points = (low[:, np.newaxis] + share * (high - low)[:, np.newaxis]).astype(np.float32)
    return float((shape.distance(points) < 0).mean() * np.prod(high - low))


def all_blood(truth: HeadTruth, form: head.BrainForm, seed: int) -> dict[str, Shape]:
    """Return the blood of each kind that is there, in its stated volume.

    What flows (subarachnoid, intraventricular) takes the place that lumps have left it.
    """
    found: dict[str, Shape] = {}
    for kind in ("epidural", "subdural", "intraparenchymal"):
        if truth.volume_ml(kind) > 0:
            found[kind] = _lump(truth, kind, seed)
    for kind in ("subarachnoid", "intraventricular"):
        if truth.volume_ml(kind) > 0:
            found[kind] = _fluid(truth, kind, form, tuple(found.values()))
    return found


def _lump(truth: HeadTruth, kind: str, seed: int) -> Shape:
    sign, volume = truth.sign(kind), truth.volume_ml(kind) * 1000
    if kind == "intraparenchymal":
        return Blob((sign * 27.0, -4.0, 6.0), (1.0, 1.35, 1.1), 0.16, seed).with_volume(volume)
    if kind == "epidural":
        outward = np.asarray([sign * 0.93, 0.05, 0.36])
        surface = outward / float(head.INTRACRANIAL.gauge(outward.astype(np.float32)))

        def lens(depth: float) -> Shape:
            # A sphere whose near side lies in the skull: its cap inside is a lens of this depth.
            radius = 38.0
            x, y, z = (float(v) for v in surface + outward * (radius - depth))
            return Overlap((head.INTRACRANIAL, ball((x, y, z), radius)))

        return solved(lens, volume, 0.5, 60.0, kind)

    def crescent(thickness: float) -> Shape:
        inner = Superellipsoid((-sign * thickness, 0.0, -0.12 * thickness), head.INTRACRANIAL.half_axes_mm, 2.2, 2.2)
        above_base, one_side = HalfSpace((0.0, 0.0, -1.0), 22.0), HalfSpace((-sign, 0.0, 0.0), 0.0)
        return Overlap((Without(head.INTRACRANIAL, inner), above_base, one_side))

    return solved(crescent, volume, 0.3, 60.0, kind)


def _fluid(truth: HeadTruth, kind: str, form: head.BrainForm, others: tuple[Shape, ...]) -> Shape:
    sign, volume = truth.sign(kind), truth.volume_ml(kind) * 1000
    if kind == "subarachnoid":
        space: Shape = Overlap((subarachnoid_space(form), HalfSpace((-sign, 0.0, 0.0), 6.0)))
    else:
        space = form.placed(head.ventricles(form.ventricle_scale))
    if others:
        space = Without(space, Union(others))

    def filled(reach: float) -> Shape:
        if kind == "subarachnoid":
            return Overlap((space, ball((sign * 42.0, -14.0, -8.0), reach)))
        # The patient lies on the back: blood settles behind, up to a level.
        return Overlap((space, HalfSpace((0.0, -1.0, 0.0), reach)))

    low, high = (2.0, 75.0) if kind == "subarachnoid" else (-60.0, 60.0)
    return solved(filled, volume, low, high, kind)


def subarachnoid_space(form: head.BrainForm) -> Shape:
    """Return what is inside the skull and outside the brain, and the cisterns."""
    return Union((
        Without(head.INTRACRANIAL, Union((form.placed(head.cerebrum()), head.cerebellar_cistern(), head.brainstem()))),
        form.placed(head.cisterns()),
    ))  # fmt: skip


def head_scene(truth: HeadTruth, seed: int) -> Scene:
    """Return the whole head in Hounsfield units, blood painted last."""
    form = head.BrainForm(push=head.Push(truth.midline_shift_mm))
    parts = [*_outside(), *_inside(form, seed)]
    found = all_blood(truth, form, seed)
    lump = found.get("intraparenchymal")
    if isinstance(lump, Blob):
        parts.append(_oedema(lump))
    for number, (kind, shape) in enumerate(found.items()):
        parts.append(Part(kind, shape, truth.blood_hu, Waves(seed + 50 + number, 2.0, 6.0)))
    return Scene(-1000.0, tuple(parts), truth.pose())


def _oedema(lump: Blob) -> Part:
    """Return the darker rim around blood in the brain."""
    wider = tuple(axis + 4.0 for axis in lump.half_axes_mm)
    return Part("oedema", Blob(lump.center_mm, (wider[0], wider[1], wider[2]), lump.irregularity, lump.seed), 20.0)


def _outside() -> list[Part]:
    soft, bones, air, orbits = head.face()
    outer, inner = head.SKULL.half_axes_mm, head.INTRACRANIAL.half_axes_mm
    thirds = [tuple(i + share * (o - i) for o, i in zip(outer, inner, strict=True)) for share in (0.3, 0.72)]
    diploe = Without(*(Superellipsoid((0, 0, 0), (a[0], a[1], a[2]), 2.2, 2.2) for a in reversed(thirds)))
    return [
        Part(
            "headrest", Without(Superellipsoid((0, 15, 20), (86, 100, 900), 2.2, 8), HalfSpace((0, 1, 0), 78.0)), -780
        ),
        Part("face", soft, 30, Waves(3, 12.0, 12.0)),
        Part("scalp", head.SCALP, 5, Waves(4, 18.0, 9.0)),
        Part("facial bones", bones, 620, Waves(5, 120.0, 9.0)),
        Part("skull", head.SKULL, 1250),
        Part("diploe", diploe, 650, Waves(6, 60.0, 4.0)),
        Part("orbits", Without(orbits, head.SKULL), -70),
        Part("eyes", head.eyes(), 20),
        Part("air spaces", Without(air, head.INTRACRANIAL), -900),
    ]


def _inside(form: head.BrainForm, seed: int) -> list[Part]:
    placed = form.placed
    plexus = head.both_sides(ball((19.0, 28.0, 11.0), 2.4))
    falx = Overlap((head.fissure(), Superellipsoid((0, 0, 0), (0.9, 79.0, 68.0))))
    return [
        Part("cerebrospinal fluid", head.INTRACRANIAL, 9),
        Part("grey matter", placed(head.cerebrum()), 38, Waves(seed + 1, 1.2, 9.0)),
        Part("white matter", placed(head.cerebral_white()), 29.5, Waves(seed + 2, 1.0, 12.0)),
        Part("falx", placed(falx), 48),
        Part("deep grey matter", placed(head.deep_grey()), 38),
        Part("cisterns", placed(head.cisterns()), 9),
        Part("cerebellar cistern", head.cerebellar_cistern(), 9),
        Part("brainstem", head.brainstem(), 31),
        Part("cerebellum", head.cerebellum(), 37, Waves(seed + 3, 1.2, 7.0)),
        Part("cerebellar white matter", head.cerebellum(1.0), 31),
        Part("ventricles", placed(head.ventricles(form.ventricle_scale)), 7),
        Part("choroid plexus", placed(plexus), 110),
    ]


def make(truth: HeadTruth, setup: Setup) -> Made:
    """Compute the series and its truth."""
    digest = digest_for(NAME, truth, setup)
    who = examination(NAME, digest, setup.dates_or((FIRST_DATE,))[0], age="070Y")
    scene = head_scene(truth, setup.seed)
    kinds = [kind for kind in KINDS if truth.volume_ml(kind) > 0]
    exact = _checked_blood(truth, scene, kinds)
    grid = grid_over(FIELD, setup, SPACING_MM, who.frame_of_reference_uid)
    drawn = render(scene, grid.geometry, measure=[*kinds, "ventricles"])
    series = ReferenceSeries(
        who, "CT", 2, "SYNTHETIC head without contrast", "HEAD", grid,
        ct_image(drawn.values, grid, setup, noise_hu=3.5, kernel_mm=0.9),
        attributes={"KVP": 120, "ConvolutionKernel": "SYNTHETIC", "WindowCenter": 40, "WindowWidth": 80},
        labels=drawn.labels, label_names=tuple(part.name for part in scene.parts),
    )  # fmt: skip
    structures = []
    for kind in kinds:
        extent = drawn.extents[kind]
        more: dict[str, Any] = {"stated_ml": truth.volume_ml(kind), "side": "L" if truth.sign(kind) > 0 else "R"}
        structures.append(Structure(kind, exact[kind], extent.volume_mm3, extent.center_mm, truth.blood_hu, more))
    facts: dict[str, Any] = {
        "haemorrhage": bool(kinds),
        "kinds": kinds,
        "total_blood_ml": sum(one.volume_mm3 for one in exact.values()) / 1000,
        "midline_shift_mm": truth.midline_shift_mm,
        "slices_with_blood": _slices_with(drawn.labels, series.label_names, kinds),
    }
    return Made(NAME, truth, setup, (Visit(who, (series,), tuple(structures), facts),))


def _slices_with(labels: "np.ndarray[Any, Any]", names: tuple[str, ...], kinds: list[str]) -> dict[str, list[int]]:
    """Return the instance numbers (from 1) that show each kind at the centre of any voxel."""
    found = {}
    for kind in kinds:
        hit = (labels == names.index(kind) + 1).any(axis=(1, 2))
        found[kind] = [int(k) + 1 for k in np.flatnonzero(hit)]
    return found


def _checked_blood(truth: HeadTruth, scene: Scene, kinds: list[str]) -> dict[str, Measured]:
    """Measure what is visible of each kind, and refuse where one kind hides another or leaves the skull."""
    exact = {}
    for kind in kinds:
        step = min(0.9, max(0.3, (truth.volume_ml(kind) * 1000) ** (1 / 3) / 25))
        exact[kind] = measured(scene, [kind], step)[kind]
        share = exact[kind].volume_mm3 / (truth.volume_ml(kind) * 1000)
        if abs(share - 1) > _HIDDEN:
            raise BadTruth(
                f"{kind}: {exact[kind].volume_mm3 / 1000:.3g} of {truth.volume_ml(kind):g} ml can be seen, "
                "another kind of blood lies over it: make one smaller or put them on different sides"
            )
        shape = scene.part(kind).shape
        if isinstance(shape, Blob) and not _within_skull(shape):
            raise BadTruth(f"{kind}: {truth.volume_ml(kind):g} ml reach through the skull: make it smaller")
    return exact


def _within_skull(lump: Blob) -> bool:
    return float(head.INTRACRANIAL.distance(surface_points(lump)).max()) < 0
