"""Every reference object by name: what it is, what can be stated about it, and the function that makes it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from coread.phantoms import mr_raw
from coread.phantoms.reference import (
    chest_device,
    ct_head,
    ct_lesions,
    ct_nodules,
    ct_spine,
    mr_brain,
    mr_cine,
    us_echo,
)
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.made import Made
from coread.phantoms.reference.scan import Setup
from coread.phantoms.reference.truth import parsed


@dataclass(frozen=True, slots=True)
class Phantom:
    """One kind of reference object."""

    name: str
    summary: str
    truth: type[Any]
    make: Callable[[Any, Setup], Made]


PHANTOMS = {
    one.name: one
    for one in (
        Phantom(
            ct_spine.NAME, "CT of the lumbar spine, T12 to L5, hydroxyapatite of known content, calibration rods",
            ct_spine.SpineTruth, ct_spine.make,
        ),
        Phantom(
            ct_lesions.NAME, "CT of the abdomen on two dates, lesions that grow, appear and vanish, patient moved",
            ct_lesions.LesionsTruth, ct_lesions.make,
        ),
        Phantom(
            ct_head.NAME, "CT of the head with blood of each kind, or without; midline shift",
            ct_head.HeadTruth, ct_head.make,
        ),
        Phantom(
            ct_nodules.NAME, "CT of the chest with nodules of known volume, kind and lobe among vessels",
            ct_nodules.NodulesTruth, ct_nodules.make,
        ),
        Phantom(
            mr_cine.NAME, "cardiac MR, cine short axis: ventricle of known volume in every phase",
            mr_cine.CineTruth, mr_cine.make,
        ),
        Phantom(
            us_echo.NAME, "echocardiography: apical four- and two-chamber loops, volumes known in every frame",
            us_echo.EchoTruth, us_echo.make,
        ),
        Phantom(
            chest_device.NAME, "chest radiograph with tubes, lines and a pacemaker of known tips",
            chest_device.DeviceTruth, chest_device.make,
        ),
        Phantom(
            mr_brain.NAME, "brain MR on two dates: T1 and FLAIR, tissue volumes, loss, lesions, head moved",
            mr_brain.BrainTruth, mr_brain.make,
        ),
        Phantom(
            mr_raw.NAME, "raw MR data of a head: undersampled k-space of several coils, faults on request",
            mr_raw.RawTruth, mr_raw.make,
        ),
    )
}  # fmt: skip


def phantom(name: str) -> Phantom:
    """Return a phantom by name."""
    if name not in PHANTOMS:
        raise BadTruth(f"no phantom {name!r}: {', '.join(PHANTOMS)}")
    return PHANTOMS[name]


def made(name: str, pairs: Sequence[str] = (), setup: Setup | None = None) -> Made:
    """Compute a reference object from ``KEY=VALUE`` texts."""
    kind = phantom(name)
    return kind.make(parsed(kind.truth, pairs), setup or Setup())
