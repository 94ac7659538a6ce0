"""The tutorial from labelled images to a reader that reads, executed as it stands but with few drawn pictures."""

import csv
import io
import re
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coread.models.lineage import read_record
from coread.phantoms.dx import Identity
from coread.phantoms.wrap import radiograph_from_image
from tests.acceptance.conftest import Server, coread, save

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "from-images-to-a-reader.md"
SHORTER = (
    ("epochs = 20", "epochs = 2"), ("patience = 6", "patience = 0"), ("side = 128", "side = 32"),
    ("widths = [16, 32, 64, 96]", "widths = [8, 16]"), ("depths = [1, 1, 1, 1]", "depths = [1, 1]\nstem_stride = 2"),
)  # fmt: skip


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def commands() -> list[list[str]]:
    """The words after ``coread`` of every line up to the server's start."""
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("coread ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


def draw_subset(folder: Path, count: int = 120) -> None:
    """Write pictures laid out as the subset of the tutorial: a bar low down is an effusion, a block a large heart."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    columns = ["image", "patient_id", "age", "sex", "view", "labels", "boxes_xywh_448", "source_set", "rsna_class"]
    table = io.StringIO()
    writer = csv.DictWriter(table, columns)
    writer.writeheader()
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for number in range(count):
            labels = [name for name in ("Effusion", "Cardiomegaly") if random.random() < 0.5]
            pixels = picture(random, labels)
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "png")
            name = f"{number:08d}_000.png"
            archive.writestr(name, stream.getvalue())
            row = dict.fromkeys(columns, "") | {"image": name, "patient_id": f"{number // 2:08d}", "age": "60"}
            row |= {"sex": "MF"[number % 2], "view": "PA", "labels": "|".join(labels) or "No Finding"}
            writer.writerow(row | {"boxes_xywh_448": "[]", "source_set": "drawn"})
    (folder / "index.csv").write_text(table.getvalue(), encoding="utf-8")


def picture(random: np.random.Generator, labels: list[str]) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    pixels = random.integers(20, 90, (128, 128)).astype(np.uint8)
    if "Effusion" in labels:
        pixels[96:] += 120
    if "Cardiomegaly" in labels:
        pixels[40:80, 40:90] += 120
    return pixels


@pytest.mark.timeout(600)
def test_every_command_of_the_tutorial_works_and_the_reader_reads(tmp_path: Path) -> None:
    draw_subset(tmp_path / "shared" / "data" / "cxr_nih")
    work = tmp_path / "work"
    work.mkdir()
    (recipe,) = blocks("toml")
    for long, short in SHORTER:
        assert long in recipe
        recipe = recipe.replace(long, short)
    (work / "recipe.toml").write_text(recipe, encoding="utf-8")
    listed = commands()
    steps = [words for words in listed if not {"serve", "send", "why"} & set(words)]
    assert len(steps) == 16
    assert len(listed) == 19
    for words in steps:
        answer = coread(*words, timeout=300, cwd=work)
        assert answer.code == 0, f"coread {shlex.join(words)}\n{answer.out}\n{answer.err}"
    assert read_record(work / "validation").step == "validate"
    card = (work / "release" / "card.toml").read_text(encoding="utf-8")
    assert "auc = {" in card
    pixels = picture(np.random.default_rng(9), ["Effusion"])
    chest = radiograph_from_image(_png(pixels), Identity(accession_number="TUTORIAL"))
    server = make_server_at(work / "hospital", work / "site")
    try:
        server.start()
        assert server.send(save(chest, work / "chest.dcm")).code == 0
        story = server.outcome("TUTORIAL")
    finally:
        server.kill()
    (mine,) = [reader for reader in story["readers"] if reader["reader_id"] == "my_effusion"]
    assert mine["outcome"] in ("positive", "negative")


def make_server_at(folder: Path, site: Path) -> Server:
    """Let a server take over the folder that the tutorial made."""
    folder.mkdir()
    site.rename(folder / "data")
    return Server(folder)


def _png(pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()
