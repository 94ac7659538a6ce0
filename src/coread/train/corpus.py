"""Grey thumbnails of whatever pictures lie in folders and archives, in one memory-mapped array: food for teaching
without labels. Pictures that are equal, unreadable or empty are left out and counted."""

import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from coread.train.errors import DataMissing, is_of_the_machine
from coread.train.fit import write_json

PICTURES, FACTS = "pictures.npy", "corpus.json"
ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".pgm")
_FLAT = 2.0
"""Grey levels of deviation below which a picture shows nothing."""
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Pictures (N, 1, side, side) uint8 on disk, where each came from, and what was left out."""

    pictures: NDArray[np.uint8]
    origins: tuple[str, ...]
    left_out: dict[str, int]


def build_corpus(
    sources: Sequence[Path],
    out: Path,
    *,
    side: int,
    most: int = 0,
    keep: Callable[[str], bool] = lambda _: True,
    progress: Progress = lambda *_: None,
) -> Corpus:
    """Read every picture below ``sources`` (folders, zip archives, ``.npz``) into ``out``; read it back when done.

    Of a source with more than ``most`` pictures that many are drawn at random, always the same (0: all of them).
    ``keep`` decides by name (``folder/archive!member``): leave out the patients that something is to be measured on.
    Raises DataMissing when nothing is left.
    """
    found = [entry for source in sources for entry in _at_most(list(_listed(source, keep)), most)]
    listing = hashlib.sha256("\n".join(name for name, _ in found).encode()).hexdigest()
    named = {"side": side, "listing": listing, "sources": [str(source) for source in sources]}
    facts_path = out / FACTS
    if facts_path.is_file() and (out / PICTURES).is_file():
        facts = json.loads(facts_path.read_text(encoding="utf-8"))
        if {name: facts.get(name) for name in named} == named:
            stored: NDArray[np.uint8] = np.load(out / PICTURES, mmap_mode="r")
            return Corpus(stored, tuple(facts["origins"]), facts["left_out"])
    seen: set[bytes] = set()
    left_out: Counter[str] = Counter()
    pictures, origins = [], []
    for number, (name, read) in enumerate(found, start=1):
        thumbnail = _thumbnail(read, side)
        if thumbnail is None:
            left_out["unreadable"] += 1
        elif thumbnail.std() < _FLAT:
            left_out["empty"] += 1
        elif (digest := hashlib.sha256(thumbnail.tobytes()).digest()) in seen:
            left_out["equal to another"] += 1
        else:
            seen.add(digest)
            pictures.append(thumbnail)
            origins.append(name)
        progress(number, len(found), name)
    if not pictures:
        raise DataMissing(f"no picture could be read below {', '.join(map(str, sources))}")
    out.mkdir(parents=True, exist_ok=True)
    beside = out / f".{PICTURES}"
    with beside.open("wb") as stream:
        np.save(stream, np.stack(pictures)[:, None])
    beside.replace(out / PICTURES)
    write_json(facts_path, named | {"origins": origins, "left_out": dict(left_out)})
    return Corpus(np.load(out / PICTURES, mmap_mode="r"), tuple(origins), dict(left_out))


Opener = Callable[[], "NDArray[np.uint8] | Image.Image"]


def _listed(source: Path, keep: Callable[[str], bool]) -> Iterator[tuple[str, Opener]]:
    if not source.exists():
        raise DataMissing(f"{source} does not exist")
    files = sorted(source.rglob("*")) if source.is_dir() else [source]
    root = source if source.is_dir() else source.parent
    for file in files:
        name = f"{root.name}/{file.relative_to(root).as_posix()}"
        for inner, opener in _inside(file):
            whole = f"{name}{inner}"
            if keep(whole):
                yield whole, opener


def _at_most(entries: list[tuple[str, Opener]], most: int) -> list[tuple[str, Opener]]:
    if not most or len(entries) <= most:
        return entries
    chosen = np.random.default_rng(len(entries)).permutation(len(entries))[:most]
    return [entries[int(number)] for number in np.sort(chosen)]


def _inside(file: Path) -> Iterator[tuple[str, Opener]]:
    ending = file.suffix.lower()
    if ending in ENDINGS and not _is_mask(file.name):
        yield "", lambda: Image.open(file)
    elif ending == ".zip":
        archive = zipfile.ZipFile(file)  # stays open while its pictures are read
        for member in archive.namelist():
            if Path(member).suffix.lower() in ENDINGS and not _is_mask(member):
                yield f"!{member}", lambda member=member: Image.open(archive.open(member))  # type: ignore[misc]
    elif ending == ".npz":
        for array_name, stack in np.load(file).items():
            if stack.dtype == np.uint8 and stack.ndim in (3, 4) and "mask" not in array_name:
                for entry in range(len(stack)):
                    yield f"!{array_name}#{entry}", lambda stack=stack, entry=entry: stack[entry]  # type: ignore[misc]


def _is_mask(name: str) -> bool:
    return "mask" in name.lower() or "label" in name.lower()


def _thumbnail(opener: Opener, side: int) -> NDArray[np.uint8] | None:
    """Return (side, side): the picture fitted into the square, its surroundings black; None when it cannot be read."""
    try:
        opened = opener()
        image = opened if isinstance(opened, Image.Image) else Image.fromarray(opened)
        grey = image.convert("L")
    except (OSError, UnidentifiedImageError, ValueError, zipfile.BadZipFile) as problem:
        if is_of_the_machine(problem):
            raise
        return None
    return fitted_square(grey, side)


def fitted_square(grey: Image.Image, side: int) -> NDArray[np.uint8]:
    """Return a grey picture fitted into (side, side), its surroundings black; the aspect is kept."""
    scale = side / max(grey.size)
    size = (max(1, round(grey.width * scale)), max(1, round(grey.height * scale)))
    placed = Image.new("L", (side, side))
    placed.paste(grey.resize(size, Image.Resampling.BOX), ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(placed, dtype=np.uint8)
