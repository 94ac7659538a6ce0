"""What readers of raw MR data share: the gate of the card. Functions and not a base class."""

from coread.domain.cards import InputContract, ReaderCard
from coread.domain.kspace import KSpace
from coread.domain.reading import ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import Refusal
from coread.domain.study import InstanceHeader
from coread.readers.planar import header_reason


def refused(card: ReaderCard, inputs: ReaderInputs) -> Refusal | None:
    """Return why none of the acquisitions may be read, or ``None`` where one may."""
    if not inputs.kspaces:
        return Refusal(Reason(ReasonCode.NO_ELIGIBLE, "the study has no raw data"))
    pairs = zip(inputs.kspaces, inputs.kspace_headers, strict=True)
    reasons = [reason_against_object(card.input, header, kspace) for kspace, header in pairs]
    found = [reason for reason in reasons if reason is not None]
    return Refusal(found[0]) if len(found) == len(reasons) else None


def reason_against_object(contract: InputContract, header: InstanceHeader, kspace: KSpace) -> Reason | None:
    """Return the first thing that the contract excludes about an object or the images in it, or None."""
    return header_reason(contract, header) or reason_against(contract, kspace)


def reason_against(contract: InputContract, kspace: KSpace) -> Reason | None:
    """Return the first thing that the contract excludes about the images of an acquisition, or None when it fits."""
    slices, rows, columns = kspace.geometry.shape
    images = slices * kspace.frames
    if kspace.coils < contract.min_coils:
        return Reason(ReasonCode.TOO_FEW_COILS, f"{kspace.coils} coils, at least {contract.min_coils} are needed")
    if images < contract.min_images:
        return Reason(ReasonCode.TOO_FEW_IMAGES, f"{images} images, at least {contract.min_images} are needed")
    if images > contract.max_images:
        return Reason(ReasonCode.IMAGE_TOO_LARGE, f"{images} images, at most {contract.max_images}")
    if rows < contract.min_rows or columns < contract.min_columns:
        needed = f"{contract.min_rows} x {contract.min_columns}"
        return Reason(ReasonCode.IMAGE_TOO_SMALL, f"{rows} x {columns}, needs {needed}")
    if rows * columns > contract.max_pixels:
        return Reason(ReasonCode.IMAGE_TOO_LARGE, f"{rows} x {columns} is more than {contract.max_pixels} pixels")
    return None
