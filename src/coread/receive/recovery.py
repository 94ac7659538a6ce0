"""After a crash: index what was acknowledged, remove what never was."""

import logging
from pathlib import Path

from coread.domain.study import InstanceHeader, Origin, ReceiveStatus
from coread.imaging.errors import ImagingRefused, Truncated
from coread.imaging.header import scan_header
from coread.receive.staging import abandoned_areas, sha256_of, size_in_name
from coread.store import StagedFile, Store

_LOG = logging.getLogger(__name__)
_BATCH = 256
_ORIGIN = Origin("c-store", peer="", address="", association_id="recovered")


def recover(store: Store) -> int:
    """Index sealed files of processes that are gone and remove their partial ones; return how many were indexed."""
    folder = store.staging_folder()
    count = 0
    for owner, lock_path in abandoned_areas(folder):
        for part in folder.glob(f"{owner}-*.part"):
            part.unlink(missing_ok=True)
        count += _index_sealed(store, sorted(folder.glob(f"{owner}-*.ready")))
        lock_path.unlink(missing_ok=True)
    if count:
        _LOG.warning("%d objects of an earlier run were indexed from the staging folder", count)
    return count


def _index_sealed(store: Store, paths: list[Path]) -> int:
    count = 0
    for start in range(0, len(paths), _BATCH):
        items = [item for path in paths[start : start + _BATCH] if (item := _staged(store, path)) is not None]
        # Those that an index commit outlived are known already: only their staging names were left.
        count += sum(receipt.status is not ReceiveStatus.DUPLICATE for receipt in store.add_files(items))
    return count


def _staged(store: Store, path: Path) -> StagedFile | None:
    try:
        header = scan_sealed(path)
    except ImagingRefused as refusal:
        store.quarantine(path, refusal.reason, _ORIGIN)
        return None
    return StagedFile(path, header, path.stat().st_size, sha256_of(path), _ORIGIN)


def scan_sealed(path: Path) -> InstanceHeader:
    """Read the header of a sealed file, refusing one that a power cut made shorter than it was."""
    size = size_in_name(path)
    if size is not None and path.stat().st_size != size:
        raise Truncated(f"{path.stat().st_size} of {size} bytes survived")
    return scan_header(path)
