"""Several views of one study as the channels of one image: FLAIR, T1, T1 with contrast and T2 of a brain."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from coread.train.arrays import PickedRows, StackedChannels
from coread.train.datasets import ImageIndex
from coread.train.decoded import Decoded
from coread.train.errors import DataMissing


def stacked_cases(index: ImageIndex, decoded: Decoded, channels: Sequence[str]) -> tuple[ImageIndex, Decoded]:
    """Return the studies of an index as its rows, and their images (N, C, *side) with the channels in this order.

    A study is called by its identifier; labels, mask and all else are those of its first channel. A study without one
    of the channels, or with a damaged one, is damaged. Rows of other views are left aside. Raises DataMissing where no
    study has a channel, or where one has two images of it.
    """
    studies: dict[str, dict[str, int]] = defaultdict(dict)
    for number, row in enumerate(index.rows):
        if row.study_id and row.view in channels:
            if row.view in studies[row.study_id]:
                raise DataMissing(f"study {row.study_id} of {index.name} has two images of view {row.view}")
            studies[row.study_id][row.view] = number
    if not studies:
        views = ", ".join(sorted({row.view for row in index.rows if row.view})) or "none"
        raise DataMissing(f"no study of {index.name} has the views {', '.join(channels)}; its views are {views}")
    rows, places, damaged = [], [], {}
    for case, (study, found) in enumerate(studies.items()):
        members = [found.get(channel, next(iter(found.values()))) for channel in channels]
        missing = [channel for channel in channels if channel not in found]
        broken = [decoded.damaged[number] for number in members if number in decoded.damaged]
        if missing or broken:
            damaged[case] = f"the study has no {', '.join(missing)}" if missing else broken[0]
        digest = hashlib.sha256("".join(index.rows[number].sha256 for number in members).encode()).hexdigest()
        known = all(index.rows[number].sha256 for number in members)
        rows.append(replace(index.rows[members[0]], image_id=study, sha256=digest if known else ""))
        places.append(members)
    at = np.array(places, dtype=np.int64)
    first = at[:, 0]
    return replace(index, rows=tuple(rows)), Decoded(
        images=StackedChannels(np.asanyarray(decoded.images), at),
        masks={name: PickedRows(np.asanyarray(mask), first) for name, mask in decoded.masks.items()},
        shapes=decoded.shapes[first],
        damaged=damaged,
    )
