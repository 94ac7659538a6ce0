"""Moving received bytes from the staging folder to their place, so that no crash loses or doubles them.

1. the bytes get their final name beside the staging name (a hard link),
2. the index commits,
3. the staging name goes.

A crash before 2 leaves the staging file: recovery indexes it again and finds the final name taken by the same
bytes. A crash before 3 leaves both: recovery sees that it is the same file and removes the staging name.

Each of these steps costs a sync, which the next object of the sender would wait for. The receiver therefore
lets many batches pass before it syncs (``sync_intake``): until then the staging names stay, which the sync of
the object itself brought to the disk, and a power cut at any moment leaves what recovery needs.
"""

from collections.abc import Sequence
from pathlib import Path

from coread.store import files
from coread.store.database import Transaction
from coread.store.records import StagedFile


def keep_bytes(tx: Transaction, placements: Sequence[tuple[Path, str]], *, synced: bool = True) -> None:
    """Give staged files their final names; when ``synced`` the names are on the disk when this returns."""
    durable = tx.settings.durable and synced
    folders: set[Path] = set()
    for source, relative in placements:
        target = files.safe_join(tx.folder, relative)
        if target.parent not in folders:
            files.make_folder(target.parent, durable=durable)
            folders.add(target.parent)
        files.link_or_copy(source, target, durable=durable)
    if durable:
        files.sync_folders(folders)


def remove_staged(items: Sequence[StagedFile]) -> None:
    """Remove the staging names of indexed files."""
    for item in items:
        item.path.unlink(missing_ok=True)


def is_in_place(tx: Transaction, source: Path, relative: str) -> bool:
    """Say whether the final name already stands for this very file: it is no second copy."""
    target = files.safe_join(tx.folder, relative)
    try:
        return target.samefile(source)
    except FileNotFoundError:
        return False


def sync_names(folder: Path, items: Sequence[StagedFile]) -> None:
    """Bring the final names of indexed files to the disk, with the folders that were made for them."""
    folders: set[Path] = set()
    for study_uid in {item.header.study_instance_uid for item in items}:
        instances = files.safe_join(folder, files.instance_path(study_uid, "")).parent
        conflicts = files.safe_join(folder, files.conflict_path(study_uid, "", "")).parent
        folders |= {instances, *list(instances.parents)[:3], conflicts, conflicts.parent}
    files.sync_folders(sorted(path for path in folders if path.is_dir()))
