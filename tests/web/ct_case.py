"""One generated CT study with a measured region, sent, read and stored: what corrections are made on."""

from dataclasses import dataclass

import numpy as np

from coread.domain.codes import Code
from coread.domain.findings import ImageReference, Measurement, Region, TrackingId
from coread.domain.results import ReadResult
from coread.phantoms.ct import CtRecipe, ct_affine, ct_series
from coread.store import Store
from tests.evidence.build_sources import reference
from tests.evidence.build_volumes import NODULE, TISSUE, geometry_of
from tests.web import world

REGION_UID = "2.25.4711"
ML, HU = Code("ml", "UCUM", "milliliter"), Code("[hnsf'U]", "UCUM", "Hounsfield unit")
VOLUME = Code("118565006", "SCT", "Volume")


@dataclass(frozen=True, slots=True, eq=False)
class CtCase:
    """The study, its slices, and the region that the reader outlined on the third and fourth: rows 10 to 15,
    columns 12 to 19."""

    uid: str
    images: tuple[ImageReference, ...]
    region: Region
    work_id: int


def read_ct(store: Store, *, evidence: bool = True, more: tuple[Measurement, ...] = ()) -> CtCase:
    """Send, route and read a study of six slices; ``more`` is measured beside the region."""
    recipe = CtRecipe(slices=6)
    series = ct_series(recipe)
    for dataset in series:
        uid = world.send(store, dataset)
    world.settle(store, uid)
    images = tuple(reference(dataset) for dataset in series)
    mask = np.zeros((6, recipe.rows, recipe.columns), dtype=bool)
    mask[2:4, 10:16, 12:20] = True
    tracking = TrackingId("nodule 1", REGION_UID)
    geometry = geometry_of(ct_affine(recipe), mask.shape, str(series[0].FrameOfReferenceUID))
    region = Region("Nodule", TISSUE, NODULE, mask, images, tracking, geometry)
    measured = (
        Measurement(VOLUME, 0.25, ML, 0.02, tracking=tracking),
        Measurement(
            Code("112031", "DCM", "Attenuation Coefficient"),
            40.0,
            HU,
            tracking=tracking,
            derivation=Code("373098007", "SCT", "Mean"),
        ),
        Measurement(Code("ODD", "99TEST", "Odd number"), 7.0, Code("1", "UCUM", "no units"), tracking=tracking),
        Measurement(Code("410668003", "SCT", "Length"), 12.5, Code("mm", "UCUM", "millimeter"), 0.4),
    )
    work_id = world.finish(store, ReadResult((), (*measured, *more), (region,)), evidence=evidence)
    return CtCase(uid, images, region, work_id)
