"""Pictures that look alike to the encoder: resized and re-windowed copies are found, other pictures are not."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from coread.app.cli.main import app
from coread.train.dataset_split import duplicates_of, split_dataset
from coread.train.datasets import ImageIndex, ImageRow, read_index, write_index
from coread.train.errors import BadTable
from coread.train.leaks import Duplicate
from coread.train.likeness import FEWEST, alike, together, without_accepted, write_pairs
from coread.train.splits import SplitBy, SplitPlan

COUNT = 90


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def picture(number: int) -> Image.Image:
    """Blobs and lines that no other number has."""
    random = np.random.default_rng(number)
    rows, columns = np.mgrid[0:128, 0:128] / 128
    values = np.zeros((128, 128))
    for _ in range(6):
        x, y, wide, high = random.uniform(0.15, 0.85, 2).tolist() + random.uniform(0.03, 0.25, 2).tolist()
        values += random.uniform(-1, 1) * (((columns - x) / wide) ** 2 + ((rows - y) / high) ** 2 < 1)
    values += 0.4 * np.sin(random.uniform(5, 40) * (columns * random.uniform(-1, 1) + rows * random.uniform(-1, 1)))
    values = (values - values.min()) / (values.max() - values.min())
    return Image.fromarray((40 + 180 * values).astype(np.uint8))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 pictures; 90 is 0 at another size, 91 is 1 in other grey levels, 92 is 2 again, 93 and 94 show nothing."""
    folder = tmp_path_factory.mktemp("alike")
    images = folder / "images"
    images.mkdir()
    made = [picture(number) for number in range(COUNT)]
    made.append(made[0].resize((70, 70), Image.Resampling.BOX))
    made.append(Image.fromarray((255 * (np.asarray(made[1]) / 255.0) ** 0.8).astype(np.uint8)))
    made.append(made[2])
    made += [Image.new("L", (128, 128), 7), Image.new("L", (128, 128), 9)]
    rows = []
    for number, one in enumerate(made):
        one.save(images / f"{number}.png")
        part = "test" if number >= COUNT else "train"
        rows.append(ImageRow(image_id=f"i{number}", path=f"{number}.png", group_id=f"g{number}", part=part))
    write_index(ImageIndex("alike", images, tuple(rows), folder / "set"), step="split")
    return folder / "set"


def test_resized_and_brightened_copies_are_found_and_nothing_else(dataset: Path) -> None:
    index = read_index(dataset)
    steps: list[tuple[int, int]] = []
    found = {(pair.one, pair.other): pair for pair in alike(index, lambda *step: steps.append(step))}
    assert {(0, 90), (1, 91), (2, 92)} <= set(found)
    assert len(found) == 3
    assert all(pair.by == "embedding" and pair.cosine >= 0.98 for pair in found.values())
    assert steps[-1] == (95, 95)


def test_what_both_find_is_told_once_and_identical_pixels_come_first(dataset: Path) -> None:
    index = read_index(dataset)
    pairs = duplicates_of(index)
    assert len({(pair.one, pair.other) for pair in pairs}) == len(pairs)
    assert next(pair.by for pair in pairs if (pair.one, pair.other) == (2, 92)) == "pixels"
    assert together([Duplicate(0, 1, True, 1.0, "pixels")], [Duplicate(0, 1, False, 0.99, "embedding")]) == (
        Duplicate(0, 1, True, 1.0, "pixels"),
    )


def test_a_small_set_is_left_to_the_hash(dataset: Path, tmp_path: Path) -> None:
    index = read_index(dataset)
    few = ImageIndex("few", index.root, index.rows[: FEWEST - 1], tmp_path)
    assert alike(few) == ()


def test_a_split_keeps_pictures_that_look_alike_together(dataset: Path, tmp_path: Path) -> None:
    result = split_dataset(dataset, tmp_path / "out", SplitPlan(SplitBy.GROUP, {"a": 50.0, "b": 50.0}))
    part = {row.image_id: row.part for row in result.index.rows}
    assert all(part[f"i{one}"] == part[f"i{other}"] for one, other in ((0, 90), (1, 91), (2, 92)))


def test_the_check_fails_lists_the_pairs_and_lets_accepted_ones_pass(dataset: Path, tmp_path: Path) -> None:
    listed, accepted = tmp_path / "pairs.csv", tmp_path / "accepted.csv"
    words = ["dataset", "check", str(dataset)]
    answer = CliRunner().invoke(app, [*words, "--pairs", str(listed)])
    assert answer.exit_code != 0
    with listed.open(newline="") as stream:
        rows = {(line["image"], line["other"]): line for line in csv.DictReader(stream)}
    assert rows["i0", "i90"]["found_by"] in ("hash", "embedding")
    assert float(rows["i0", "i90"]["similarity"]) >= 0.97
    assert (rows["i0", "i90"]["part"], rows["i0", "i90"]["other_part"]) == ("train", "test")
    index = read_index(dataset)
    accepted.write_text("image,other\ni90,i0\ni1,i91\ni2,i92\n")
    left = without_accepted(duplicates_of(index), index, accepted)
    assert [(pair.one, pair.other, pair.by) for pair in left] == [(2, 92, "pixels")]  # the same pixels stay a leak


def test_a_list_of_accepted_pairs_must_fit_the_set(dataset: Path, tmp_path: Path) -> None:
    index = read_index(dataset)
    pairs = (Duplicate(0, 90, False, 0.99, "embedding"),)
    write_pairs(tmp_path / "all.csv", pairs, index)
    assert without_accepted(pairs, index, tmp_path / "all.csv") == ()
    (tmp_path / "strange.csv").write_text("image,other\ni0,nobody\n")
    with pytest.raises(BadTable, match="'nobody', which is no image"):
        without_accepted(pairs, index, tmp_path / "strange.csv")
    (tmp_path / "headless.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadTable, match="lacks the columns"):
        without_accepted(pairs, index, tmp_path / "headless.csv")
