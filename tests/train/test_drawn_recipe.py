"""Recipes whose networks learn from drawn pictures alone: every step of one, in seconds, and what is kept of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from coread.models.graphs import load_graph
from coread.readers.drawn.recipe import drawn_set, fast, run
from coread.readers.ejection_fraction.outputs import AREA, CLASSES, SIDE
from coread.readers.ejection_fraction.recipe import RECIPE as SHORT_AXIS
from coread.readers.ejection_fraction_echo.recipe import RECIPE as ECHO


def test_the_recipe_draws_fits_and_writes_a_graph_of_its_areas(tmp_path: Path) -> None:
    graph = run(fast(SHORT_AXIS), tmp_path)
    image = np.zeros((1, 1, SIDE, SIDE), dtype=np.float32)
    said = load_graph("onnxruntime", graph.read_bytes(), 1).run({"image": image})[AREA]
    assert graph.name == f"{SHORT_AXIS.graph}.onnx"
    assert said.shape == (1, 1 + len(CLASSES), SIDE, SIDE)
    assert sorted(path.name for path in tmp_path.glob("*.npz")) == ["learned_16.npz", "tune_4.npz"]


def test_the_same_seed_draws_the_same_pictures_and_another_seed_others(tmp_path: Path) -> None:
    for recipe in (SHORT_AXIS, ECHO):
        first, second = (list(recipe.pictures(2, 5)) for _ in range(2))
        assert all(np.array_equal(a, c) and np.array_equal(b, d) for (a, b), (c, d) in zip(first, second, strict=True))
        assert not np.array_equal(first[0][0], next(recipe.pictures(1, 6))[0])
        assert int(max(labels.max() for _, labels in first)) <= len(recipe.areas.classes)


def test_drawn_pictures_are_read_back_rather_than_drawn_again(tmp_path: Path) -> None:
    kept = tmp_path / "below" / "drawn.npz"
    first = drawn_set(SHORT_AXIS, 2, 3, kept)
    again = drawn_set(replace(SHORT_AXIS, pictures=lambda _count, _seed: iter(())), 2, 3, kept)
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(np.asarray(first.targets[AREA]), np.asarray(again.targets[AREA]))
    assert first.images.dtype == np.uint8
    assert list(again.keys) == ["drawn 3 0", "drawn 3 1"]
