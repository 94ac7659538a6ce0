"""Moving received bytes from the staging folder to their place, so that no crash loses or doubles them.

1. the bytes get their final name beside the staging name (a hard link),
2. the index commits,
3. the staging name goes.

A crash before 2 leaves the staging file: recovery indexes it again and finds the final name taken by the same
bytes. A crash before 3 leaves both: recovery sees a duplicate and removes the staging name.
"""

from collections.abc import Sequence
from pathlib import Path

from coread.store import files
from coread.store.database import Transaction
from coread.store.records import StagedFile


def keep_bytes(tx: Transaction, placements: Sequence[tuple[Path, str]]) -> None:
    """Give staged files their final names; with ``durable`` the names are on the disk when this returns."""
    durable = tx.settings.durable
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
