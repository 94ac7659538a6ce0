"""Echocardiography, apical four- and two-chamber loops of a left ventricle whose volume is known in every frame.

The cavity is an ellipsoid cut off at the mitral plane, with an elliptical cross-section: the four-chamber view shows
one half axis, the two-chamber view the other, so that biplane disc summation is exact in the limit. Simulated pictures.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from coread.domain.identifiers import derived_uid
from coread.phantoms.dx import code_item, file_meta, patient_and_study
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.heart_beat import Beat, cut_length
from coread.phantoms.reference.made import Made, Visit, digest_for
from coread.phantoms.reference.objects import Examination, examination, series_and_equipment
from coread.phantoms.reference.scan import FIRST_DATE, Setup
from coread.phantoms.reference.scene import Measured
from coread.phantoms.reference.truth import Structure, checked, stated
from coread.phantoms.reference.ultrasound_physics import Field, Scatterers, Sector, envelope_db

NAME = "us-echo"
US_MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.3.1"
VIEWS = ("A4C", "A2C")
_VIEW_CODES = {"A4C": ("399214001", "Apical four chamber"), "A2C": ("399232001", "Apical two chamber")}
_ROUNDNESS = 0.9
"""Half axis in the two-chamber view as a share of the one in the four-chamber view."""
_SHAPE = 0.74
"""Half length of the ellipsoid as a share of the cavity's length."""
_DISCS = 20
LABELS = ("left ventricle", "muscle", "left atrium", "right heart")


@dataclass(frozen=True, slots=True)
class EchoTruth:
    """What is known of the left ventricle."""

    edv_ml: float = stated(120.0, "end-diastolic volume", low=30, high=350)
    esv_ml: float = stated(48.0, "end-systolic volume", low=8, high=330)
    heart_rate: float = stated(68.0, "beats per minute", low=35, high=160)
    frame_time_ms: float = stated(30.0, "time from one frame to the next", low=12, high=60)
    beats: int = stated(1, "whole beats in a loop", low=1, high=4)
    depth_mm: float = stated(165.0, "depth of the sector", low=120, high=240)
    quality: float = stated(0.75, "0: haze, dropouts and noise; 1: clear", low=0, high=1)
    lean_degrees: float = stated(4.0, "how far the long axis leans in the sector", low=-12, high=12)

    def __post_init__(self) -> None:
        checked(self)
        if self.esv_ml >= self.edv_ml:
            raise BadTruth(f"esv_ml={self.esv_ml:g} is not below edv_ml={self.edv_ml:g}")
        if self.frames_per_beat < 12:
            raise BadTruth("fewer than 12 frames in a beat: state a shorter frame_time_ms")
        if 22.0 + 1.25 * self.long_axis(0.0) > self.depth_mm:
            raise BadTruth(f"depth_mm={self.depth_mm:g} does not hold a ventricle of {self.edv_ml:g} ml")

    @property
    def frames_per_beat(self) -> int:
        """Return how many frames one beat takes."""
        return round(60000.0 / self.heart_rate / self.frame_time_ms)

    @property
    def beat(self) -> Beat:
        """Return the heart beat, one phase for each frame."""
        return Beat(self.frames_per_beat)

    def long_axis(self, emptied: float) -> float:
        """Return the length of the cavity from apex to mitral plane, mm."""
        return float(88.0 * (self.edv_ml / 120.0) ** (1 / 3) * (1 - 0.14 * emptied))


@dataclass(frozen=True, slots=True)
class Cavity:
    """The ventricle in one frame."""

    volume_ml: float
    length_mm: float
    half_axis_mm: float
    """Largest half width in the four-chamber view."""
    emptied: float
    opening: float
    """How far the mitral valve is open, 0 to 1: closed in systole."""

    def profile(self, along_mm: Field) -> Field:
        """Return the half width as a share of the largest, by the distance from the apex; 0 outside."""
        half = _SHAPE * self.length_mm
        inside = (along_mm >= 0) & (along_mm <= self.length_mm)
        return np.asarray(np.where(inside, np.sqrt(np.clip(1 - ((along_mm - half) / half) ** 2, 0, 1)), 0))

    def half_width(self, view: str) -> float:
        """Return the largest half width in a view."""
        return self.half_axis_mm * (1.0 if view == "A4C" else _ROUNDNESS)

    def disc_summation_ml(self) -> float:
        """Return biplane disc summation with 20 discs (ASE/EACVI 2015), from the exact diameters at their middles."""
        along = np.asarray((np.arange(_DISCS) + 0.5) / _DISCS * self.length_mm, dtype=np.float32)
        diameters = [2 * self.half_width(view) * self.profile(along) for view in VIEWS]
        return float(np.pi / 4 * (diameters[0] * diameters[1]).sum() * self.length_mm / _DISCS / 1000)


def cavity(truth: EchoTruth, frame: int) -> Cavity:
    """Return the ventricle of a frame (from 0)."""
    emptied = truth.beat.emptied(frame)
    volume = truth.edv_ml - (truth.edv_ml - truth.esv_ml) * emptied
    length = truth.long_axis(emptied)
    half = _SHAPE * length
    cross = volume * 1000 / (np.pi * cut_length(half, length - half))
    phase = frame % truth.frames_per_beat
    opening = 0.3 if phase == 0 else 0.0 if phase <= truth.beat.end_systole else min(1.0, (1 - emptied) / 0.4)
    return Cavity(volume, length, float(np.sqrt(cross / _ROUNDNESS)), emptied, opening)


@dataclass(frozen=True, slots=True)
class Plane:
    """The heart of one view: places in the frame of its long axis, x to the side, s from the apex."""

    view: str
    apex_mm: tuple[float, float]
    lean: float
    wall_mm: float

    def local(self, x: Field, depth: Field) -> tuple[Field, Field]:
        """Return places of the sector in the frame of the heart."""
        away_x, away_y = x - np.float32(self.apex_mm[0]), depth - np.float32(self.apex_mm[1])
        cos, sin = np.float32(np.cos(self.lean)), np.float32(np.sin(self.lean))
        return away_x * cos - away_y * sin, away_x * sin + away_y * cos

    def image(self, x: float, s: float) -> tuple[float, float]:
        """Return a place of the heart in the sector: x and depth, mm."""
        cos, sin = np.cos(self.lean), np.sin(self.lean)
        return self.apex_mm[0] + x * cos + s * sin, self.apex_mm[1] - x * sin + s * cos


@dataclass(frozen=True, slots=True, eq=False)
class EchoSeries:
    """One loop before it becomes a file."""

    examination: Examination
    number: int
    view: str
    truth: EchoTruth
    sector: Sector
    plane: Plane
    frames: NDArray[np.uint8]
    """(frames, rows, columns)."""
    labels: NDArray[np.uint8]
    """(frames, rows, columns): from 1 in the order of LABELS; 0 is anything else."""
    modality: str = "US"
    body_part: str = "HEART"

    @property
    def description(self) -> str:
        """Return the series description."""
        return f"SYNTHETIC apical {'four' if self.view == 'A4C' else 'two'} chamber"

    @property
    def series_instance_uid(self) -> str:
        """Return the UID of the series."""
        return derived_uid("phantom-series", self.examination.identity.uid_seed, str(self.number))

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Return the pixels (frames, rows, columns) of a structure."""
        if name not in LABELS:
            raise BadTruth(f"no mask of {name!r}; there are {', '.join(LABELS)}")
        return np.asarray(self.labels == LABELS.index(name) + 1)

    def datasets(self) -> Iterator[Dataset]:
        """Yield the one Ultrasound Multi-frame Image (PS3.3 A.7)."""
        dataset = Dataset()
        patient_and_study(dataset, self.examination.identity)
        series_and_equipment(dataset, self, 1)
        dataset.SOPClassUID = US_MULTI_FRAME
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "TTE", "0001"]
        dataset.PatientOrientation = ""
        dataset.LossyImageCompression = "00"
        dataset.UltrasoundColorDataPresent = 0
        dataset.TransducerType = "SECTOR_PHASED"
        dataset.ViewCodeSequence = Sequence([code_item(_VIEW_CODES[self.view][0], "SCT", _VIEW_CODES[self.view][1])])
        self._cine(dataset)
        dataset.SequenceOfUltrasoundRegions = Sequence([self._region()])
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.Rows, dataset.Columns = self.frames.shape[1:]
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit, dataset.PixelRepresentation = 7, 0
        raw = self.frames.tobytes()
        dataset.PixelData = raw + b"\0" * (len(raw) % 2)
        dataset["PixelData"].VR = "OB"
        dataset.file_meta = file_meta(dataset)
        yield dataset

    def _cine(self, dataset: Dataset) -> None:
        """Fill in the cine and multi-frame modules (PS3.3 C.7.6.5, C.7.6.6)."""
        dataset.NumberOfFrames = self.frames.shape[0]
        dataset.FrameIncrementPointer = Tag(0x0018, 0x1063)
        dataset.FrameTime = self.truth.frame_time_ms
        rate = max(1, round(1000 / self.truth.frame_time_ms))
        dataset.CineRate = dataset.RecommendedDisplayFrameRate = rate
        dataset.HeartRate = round(self.truth.heart_rate)
        dataset.EffectiveDuration = self.frames.shape[0] * self.truth.frame_time_ms / 1000

    def _region(self) -> Dataset:
        """Return the calibration of the sector (PS3.3 C.8.5.5): tissue in two dimensions, centimetres."""
        region, sector = Dataset(), self.sector
        region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
        region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 0
        region.RegionLocationMaxX1, region.RegionLocationMaxY1 = sector.columns - 1, sector.rows - 1
        region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
        region.PhysicalDeltaX = region.PhysicalDeltaY = sector.pixel_mm / 10
        region.ReferencePixelX0, region.ReferencePixelY0 = sector.columns // 2, sector.top
        region.ReferencePixelPhysicalValueX = region.ReferencePixelPhysicalValueY = 0.0
        region.TransducerFrequency = 2500
        return region


def _classes(plane: Plane, cave: Cavity, rest: Cavity, x: Field, s: Field) -> tuple[NDArray[np.uint8], Field, Field]:
    """Return labels and, for the speckle, where each place of the tissue is when the heart is at rest."""
    wall = plane.wall_mm * (1 + 0.45 * cave.emptied)
    width = np.float32(cave.half_width(plane.view))
    inner = width * cave.profile(s)
    lengthened = np.clip((s + wall) / (cave.length_mm + wall), 0, 1) * rest.length_mm
    outer = (width + np.float32(wall)) * rest.profile(np.asarray(lengthened, dtype=np.float32))
    labels = np.zeros(x.shape, dtype=np.uint8)
    above = s <= cave.length_mm
    atrium_s, atrium_x = s - np.float32(cave.length_mm + 21.0), x / np.float32(23 + 4 * cave.emptied)
    atrium = (atrium_x**2 + (atrium_s / np.float32(22 + 3 * cave.emptied)) ** 2 < 1) & ~above
    if plane.view == "A4C":
        # The right ventricle and atrium lie to the left of the picture, behind the septum.
        right = ((x + outer + 17) / 17) ** 2 + ((s - 0.66 * cave.length_mm) / (0.42 * cave.length_mm)) ** 2 < 1
        right_atrium = ((x + 47) / 20) ** 2 + (atrium_s / 22) ** 2 < 1
        labels[(right & above & (x < -outer)) | (right_atrium & ~above)] = 4
    labels[(np.abs(x) < outer) & above] = 2
    labels[atrium] = 3
    labels[(np.abs(x) < inner) & above & (s >= 0)] = 1
    stretched = rest.half_width(plane.view) + (np.abs(x) - inner) * np.float32(plane.wall_mm / wall)
    at_rest = np.where(labels == 1, x, np.sign(x) * stretched)
    return labels, np.asarray(at_rest, dtype=np.float32), s * np.float32(rest.length_mm / cave.length_mm)


def _reflectivity(plane: Plane, cave: Cavity, labels: NDArray[np.uint8], x: Field, s: Field, quality: float) -> Field:
    """Return how strongly each place echoes."""
    haze = 0.004 + 0.04 * (1 - quality)
    table = np.asarray([0.13, haze, 0.42, haze, haze], dtype=np.float32)
    out = table[labels]
    width = np.float32(cave.half_width(plane.view))
    wall = plane.wall_mm * (1 + 0.45 * cave.emptied)
    outer = (width + wall) * np.sqrt(np.clip(1 - ((s - 0.7 * cave.length_mm) / (0.78 * cave.length_mm)) ** 2, 0, 1))
    out = np.where((labels == 0) & (np.abs(x) > outer) & (np.abs(x) < outer + 4) & (s < cave.length_mm), 1.0, out)
    rim = np.float32(cave.half_width(plane.view)) * float(cave.profile(np.asarray([cave.length_mm]))[0])
    for sign in (-1.0, 1.0):
        hinge = np.asarray([sign * rim, cave.length_mm])
        tip = np.asarray([sign * rim * (0.05 + 0.5 * cave.opening), cave.length_mm - 4.0 - 16.0 * cave.opening])
        out = np.where(_near_line(x, s, hinge, tip) < 1.1, 0.75, out)
        out = np.where(np.hypot(x - hinge[0], s - hinge[1]) < 3.0, 0.9, out)
    return np.asarray(out, dtype=np.float32)


def _near_line(x: Field, y: Field, start: NDArray[np.float64], end: NDArray[np.float64]) -> Field:
    along = end - start
    share = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / max(float(along @ along), 1e-6), 0, 1)
    return np.asarray(np.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1]))


def loop(truth: EchoTruth, setup: Setup, who: Examination, view: str, number: int) -> EchoSeries:
    """Compute the loop of one view, frame by frame."""
    random = np.random.default_rng([setup.seed, 71, number])
    sector = Sector(truth.depth_mm)
    lean = np.radians(truth.lean_degrees + random.uniform(-1.5, 1.5))
    plane = Plane(view, (0.0, 19.0), float(lean), 9.5)
    scatterers, rest = Scatterers.drawn(setup.seed * 10 + number), cavity(truth, 0)
    x, depth = sector.beam_places()
    shade = _shadows(sector, truth.quality, random)
    count = truth.frames_per_beat * truth.beats
    frames = np.empty((count, sector.rows, sector.columns), dtype=np.uint8)
    labels = np.empty_like(frames)
    noise = (0.0015 if setup.noise is None else setup.noise / 1000) * (2.0 - truth.quality)
    pixels = plane.local(*sector.pixel_places())
    inside = sector.shown(np.ones((sector.samples, sector.beams), dtype=np.float32)) > 0
    for frame in range(count):
        cave = cavity(truth, frame)
        side, along = plane.local(x, depth)
        kinds, rest_x, rest_s = _classes(plane, cave, rest, side, along)
        echo = _reflectivity(plane, cave, kinds, side, along, truth.quality) * shade
        level = envelope_db(sector, echo, scatterers.at(rest_x, rest_s), noise, random)
        frames[frame] = np.rint(sector.shown(level) * 255)
        labels[frame] = np.where(inside, _classes(plane, cave, rest, *pixels)[0], 0)
    return EchoSeries(who, number, view, truth, sector, plane, frames, labels)


def _shadows(sector: Sector, quality: float, random: np.random.Generator) -> Field:
    """Return what gain, near field and ribs do to the echoes (samples, beams)."""
    share = np.linspace(0, 1, sector.samples, dtype=np.float32)[:, np.newaxis]
    angle = np.linspace(-1, 1, sector.beams, dtype=np.float32)[np.newaxis, :]
    near = 1 + 1.2 * np.exp(-((share / 0.05) ** 2))
    depth = 1 - 0.35 * share
    edges = 1 - (0.15 + 0.55 * (1 - quality)) * np.abs(angle) ** 3
    dropout = np.ones_like(angle)
    for _ in range(round(3 * (1 - quality))):
        dropout = dropout * (1 - 0.6 * np.exp(-(((angle - random.uniform(-1, 1)) / 0.12) ** 2)))
    return np.asarray(near * depth * edges * dropout, dtype=np.float32)


def outline(series: EchoSeries, frame: int) -> list[list[float]]:
    """Return the endocardium of a frame as (column, row) points, from one side of the mitral ring to the other."""
    cave = cavity(series.truth, frame)
    along = np.asarray([*np.linspace(cave.length_mm, 0, 21), *np.linspace(0, cave.length_mm, 21)[1:]], dtype=np.float32)
    sides = np.asarray([-1.0] * 21 + [1.0] * 20)
    widths = cave.half_width(series.view) * cave.profile(along) * sides
    points = [
        series.sector.image_point(*series.plane.image(float(w), float(s))) for w, s in zip(widths, along, strict=True)
    ]
    return [[round(c, 2), round(r, 2)] for c, r in points]


def make(truth: EchoTruth, setup: Setup) -> Made:
    """Compute both loops and the volume of every frame."""
    if setup.spacing_mm is not None or setup.tilt_degrees or setup.orientation != "axial" or setup.kernel_mm:
        raise BadTruth("an echo has no planes in the patient: no spacing, orientation, tilt or kernel; state depth_mm")
    digest = digest_for(NAME, truth, setup)
    who = examination(NAME, digest, setup.dates_or((FIRST_DATE,))[0], age="066Y")
    loops = tuple(loop(truth, setup, who, view, number) for number, view in enumerate(VIEWS, start=2))
    systole = truth.beat.end_systole
    structures = tuple(
        _structure(loops, name, frame) for name, frame in (("end diastole", 0), ("end systole", systole))
    )
    count = truth.frames_per_beat * truth.beats
    facts: dict[str, Any] = {
        "volumes_ml": [cavity(truth, frame).volume_ml for frame in range(count)],
        "ejection_fraction_percent": 100 * (1 - truth.esv_ml / truth.edv_ml),
        "end_diastolic_frames": [1 + k * truth.frames_per_beat for k in range(truth.beats)],
        "end_systolic_frames": [1 + systole + k * truth.frames_per_beat for k in range(truth.beats)],
        "views": list(VIEWS), "pixel_mm": loops[0].sector.pixel_mm,
    }  # fmt: skip
    return Made(NAME, truth, setup, (Visit(who, loops, structures, facts),))


def _structure(loops: tuple[EchoSeries, ...], name: str, frame: int) -> Structure:
    """Return the cavity of one frame; ``from_voxels`` is biplane disc summation with 20 discs."""
    cave = cavity(loops[0].truth, frame)
    areas = {}
    for one in loops:
        pixels = int(one.mask("left ventricle")[frame].sum())
        areas[f"{one.view.lower()}_area_from_pixels_mm2"] = pixels * one.sector.pixel_mm**2
    exact = Measured(cave.volume_ml * 1000, 0.0, "closed form")
    more: dict[str, Any] = {
        "frame": frame + 1, "length_mm": cave.length_mm, "a4c_half_axis_mm": cave.half_width("A4C"),
        "a2c_half_axis_mm": cave.half_width("A2C"), **areas,
        "outlines_column_row": {one.view: outline(one, frame) for one in loops},
    }  # fmt: skip
    return Structure(name, exact, cave.disc_summation_ml() * 1000, (0.0, 0.0, 0.0), 0.0, more)
