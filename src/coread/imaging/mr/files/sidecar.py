"""What people write beside bare arrays: ``NAME.json`` with the size of the voxels and whose data they are."""

import json
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from coread.domain.geometry import Geometry, affine_of
from coread.domain.identifiers import derived_uid, is_tolerable_uid
from coread.domain.kspace import RawHeader
from coread.imaging.errors import BadHeader
from coread.imaging.mr.files.flexible_header import one_line
from coread.imaging.mr.files.placing import ASSUMED, Grid, placed

MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The document; everything may be left out."""

    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Along slices, rows, columns."""
    affine: tuple[tuple[float, ...], ...] = ()
    """Three rows of four numbers: from (slice, row, column, 1) to LPS mm; instead of ``spacing_mm``."""
    frame_meaning: str = ""
    header: RawHeader = field(default_factory=RawHeader)
    notes: tuple[str, ...] = ()


def sidecar_of(path: Path) -> Sidecar:
    """Read the document beside an array; raises BadHeader when it is wrong. Without one, voxels are called 1 mm."""
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return Sidecar(notes=("no file says how large the voxels are: 1 mm is assumed", ASSUMED))
    if beside.stat().st_size > MOST_BYTES:
        raise BadHeader(f"{beside.name} has more than {MOST_BYTES} bytes")
    try:
        given: dict[str, Any] = dict(json.loads(beside.read_text("utf-8")))
        spacing = [float(v) for v in given.pop("spacing_mm", (1.0, 1.0, 1.0))]
        affine = tuple(tuple(float(v) for v in row) for row in given.pop("affine", ()))
        meaning = str(given.pop("frame_meaning", ""))
        header = _header(given)
    except (ValueError, TypeError, RecursionError) as problem:
        raise BadHeader(f"{beside.name} cannot be read: {problem}") from problem
    if len(spacing) != 3 or not all(0 < v < 1e4 for v in spacing):
        raise BadHeader(f"{beside.name}: spacing_mm is three lengths (slices, rows, columns)")
    if affine and (len(affine) != 3 or any(len(row) != 4 for row in affine) or not np.isfinite(affine).all()):
        raise BadHeader(f"{beside.name}: affine is three rows of four numbers")
    notes = () if affine else (ASSUMED,)
    return Sidecar((spacing[0], spacing[1], spacing[2]), affine, meaning, header, notes)


def _header(given: dict[str, Any]) -> RawHeader:
    """Return the header from the names of its fields; raises ValueError for a name or a type that it does not have."""
    kinds = {item.name: type(item.default) for item in fields(RawHeader)}
    for name, value in given.items():
        kind = kinds.get(name)
        if kind is None:
            raise ValueError(f"no value is called {name!r}")
        allowed = (int, float) if kind is type(None) else (kind,)
        if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{name!r} is not a value of its kind")
        if name.endswith("_uid") and value and not is_tolerable_uid(str(value)):
            raise ValueError(f"{name!r} is no UID")
        if name.endswith("_date") and value and not re.fullmatch(r"\d{8}", str(value)):
            raise ValueError(f"{name!r} is no date like 20260131")
    texts = {name: one_line(value) for name, value in given.items() if isinstance(value, str)}
    return RawHeader(**(given | texts))


def geometry_of(beside: Sidecar, shape: tuple[int, int, int], partitions: int, digest: str) -> Geometry:
    """Return the geometry of images (slices x partitions, rows, columns)."""
    uid = beside.header.frame_of_reference_uid or derived_uid("coread", "raw frame", digest)
    if beside.affine:
        return Geometry(shape, affine_of(np.asarray(beside.affine)), uid)
    slices = max(1, shape[0] // partitions)
    return placed(Grid(shape, beside.spacing_mm), None, np.zeros((slices, 3)), partitions, uid)
