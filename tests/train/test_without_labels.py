"""Teaching without labels: masks and targets as stated, runs that can be repeated, heads on a frozen encoder."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from coread.train.arrays import ArraySet
from coread.train.augmenting import NO_AUGMENTATION
from coread.train.corpus import build_corpus
from coread.train.errors import BadPlan, DataMissing, OneClass
from coread.train.fit import FitPlan, fit
from coread.train.frozen_heads import embed, export_heads, fit_head
from coread.train.networks import NetworkPlan
from coread.train.next_labels import entropy, suggest
from coread.train.selfsupervised import SelfPlan, hidden_patches, patch_targets, read_encoder, teach_encoder
from coread.train.semisupervised import SemiPlan, Unlabelled
from coread.train.tasks import Boxes, MultiClass, MultiLabel

SMALL = NetworkPlan(widths=(4, 8), depths=(1, 1), stem_stride=2)
PLAN = SelfPlan(network=SMALL, epochs=2, batch=8, patch=8, width=16)


def bars(count: int, side: int = 32, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Noise with an upright (True) or a lying bar."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 60, (count, 1, side, side), dtype=np.uint8)
    upright = random.random(count) < 0.5
    for image, is_upright in zip(images, upright, strict=True):
        start = int(random.integers(2, side - 8))
        part = image[0, :, start : start + 6] if is_upright else image[0, start : start + 6]
        part += 150
    return images, upright


@given(share=st.floats(0.05, 0.95), rows=st.integers(1, 4), columns=st.integers(1, 4))
@settings(max_examples=30)
def test_as_many_whole_patches_are_hidden_as_stated(share: float, rows: int, columns: int) -> None:
    hidden = hidden_patches(3, (rows * 8, columns * 8), 8, share)
    assert hidden.shape == (3, 1, rows * 8, columns * 8)
    cells = hidden.view(3, rows, 8, columns, 8).float().mean(dim=(2, 4))
    assert set(cells.flatten().tolist()) <= {0.0, 1.0}
    assert (cells.flatten(1).sum(dim=1) == max(1, round(share * rows * columns))).all()


def test_targets_have_mean_0_and_deviation_1_in_every_patch() -> None:
    targets = patch_targets(torch.rand(2, 1, 16, 24), 8).unfold(2, 8, 8).unfold(3, 8, 8).flatten(4)
    assert targets.mean(dim=-1).abs().max() < 1e-4
    assert (targets.std(dim=-1, unbiased=False) - 1).abs().max() < 0.02


def test_the_same_plan_teaches_the_same_encoder_and_another_is_refused(tmp_path: Path) -> None:
    images, _ = bars(24)
    first = teach_encoder(images, PLAN, tmp_path / "a")
    second = teach_encoder(images, PLAN, tmp_path / "b")
    assert all(torch.equal(value, second.weights[name]) for name, value in first.weights.items())
    assert [set(row) for row in first.history] == [{"painted", "agreed", "loss"}] * 2
    again = read_encoder(tmp_path / "a")
    assert all(torch.equal(value, again.weights[name]) for name, value in first.weights.items())
    with pytest.raises(BadPlan, match="another plan"):
        teach_encoder(images, SelfPlan(network=SMALL, epochs=3, batch=8, patch=8), tmp_path / "a")


@pytest.mark.parametrize("method", ["masked", "distilled"])
def test_each_method_alone_lowers_its_loss(tmp_path: Path, method: str) -> None:
    plan = SelfPlan(method=method, network=SMALL, epochs=6, batch=8, patch=8, width=16)  # type: ignore[arg-type]
    history = teach_encoder(bars(48)[0], plan, tmp_path).history
    assert history[-1]["loss"] < history[0]["loss"]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((4, 1, 32, 32), np.uint8), "at least 16"),
        (np.zeros((20, 3, 32, 32), np.uint8), "grey"),
        (np.zeros((20, 1, 30, 32), np.uint8), "multiples"),
    ],
)
def test_images_that_do_not_fit_are_refused(tmp_path: Path, images: NDArray[np.uint8], words: str) -> None:
    with pytest.raises(BadPlan, match=words):
        teach_encoder(images, PLAN, tmp_path)
    with pytest.raises(BadPlan, match="no taught encoder"):
        read_encoder(tmp_path)


def test_a_corpus_leaves_out_what_is_equal_empty_or_unreadable(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    source = tmp_path / "source"
    source.mkdir()
    wide = Image.fromarray(random.integers(0, 255, (20, 40), dtype=np.uint8))
    wide.save(source / "one.png")
    wide.save(source / "same.png")
    wide.save(source / "one_mask.png")
    Image.new("L", (20, 20)).save(source / "empty.png")
    (source / "broken.png").write_bytes(b"not a picture")
    with zipfile.ZipFile(source / "more.zip", "w") as archive:
        archive.write(source / "one.png", "inside/test_7.png")
    np.savez(source / "stack.npz", images=random.integers(0, 255, (3, 28, 28), dtype=np.uint8), labels=np.arange(3))
    corpus = build_corpus([source], tmp_path / "out", side=32)
    assert corpus.pictures.shape == (4, 1, 32, 32)
    assert corpus.left_out == {"equal to another": 2, "empty": 1, "unreadable": 1}
    assert (corpus.pictures[0, 0, :8] == 0).all(), "a wide picture stands in the middle of its square"
    again = build_corpus([source], tmp_path / "out", side=32)
    assert again.origins == corpus.origins
    kept = build_corpus([source], tmp_path / "less", side=32, keep=lambda name: "stack" not in name)
    assert kept.origins == ("source/more.zip!inside/test_7.png",)
    few = build_corpus([source / "stack.npz", source / "one.png"], tmp_path / "few", side=32, most=2)
    assert [name.split("!")[0] for name in few.origins] == ["source/stack.npz"] * 2 + ["source/one.png"]
    with pytest.raises(DataMissing, match="no picture"):
        build_corpus([source / "broken.png"], tmp_path / "none", side=32)
    with pytest.raises(DataMissing, match="does not exist"):
        build_corpus([tmp_path / "nowhere"], tmp_path / "none", side=32)


def test_a_head_on_a_frozen_encoder_reads_as_its_graph_does(tmp_path: Path) -> None:
    images, upright = bars(120)
    taught = teach_encoder(images, PLAN, tmp_path / "encoder")
    features = embed(taught, images)
    head = fit_head("upright", features, upright, [f"p{i // 2}" for i in range(120)])
    assert head.auc.value > 0.9
    assert (head.positives, head.negatives) == (int(upright.sum()), int((~upright).sum()))
    assert export_heads(taught, [head, head], tmp_path / "head.onnx") < 1e-3
    with pytest.raises(OneClass, match="at least 10"):
        fit_head("rare", features, np.arange(120) < 4, [str(i) for i in range(120)])


def test_next_are_the_unsure_ones_one_per_patient_and_no_two_alike() -> None:
    features = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0)
    patients = [f"p{i}" for i in range(20)]
    unsure = np.where(np.arange(20) < 15, 0.5, 0.999)
    chosen = suggest(features, patients, count=3, probabilities=unsure)
    assert {one.row // 5 for one in chosen} == {0, 1, 2}
    assert all(one.uncertainty == pytest.approx(1.0) for one in chosen)
    after = suggest(features, patients, count=3, labelled=np.array([0, 5]))
    assert {one.row // 5 for one in after[:2]} == {2, 3}
    assert len(suggest(features, ["same"] * 20, count=3)) == 1
    assert suggest(features, ["same"] * 20, count=3, labelled=np.array([1])) == ()
    with pytest.raises(BadPlan):
        suggest(features, patients, count=0)


@given(st.floats(0, 1))
def test_entropy_is_symmetric_and_largest_at_one_half(p: float) -> None:
    value = float(entropy(np.array([p]))[0])
    assert value == pytest.approx(float(entropy(np.array([1 - p]))[0]), abs=1e-6)
    assert 0 <= value <= 1 + 1e-9


@pytest.mark.parametrize("method", ["fixmatch", "mean_teacher"])
def test_images_without_labels_change_the_fit_and_the_fit_can_be_repeated(tmp_path: Path, method: str) -> None:
    images, upright = bars(40)
    data = ArraySet(
        images[:16], {"lies": upright[:16].astype(np.int64)}, [str(i) for i in range(16)], list("abcdefghijklmnop")
    )
    heads = [MultiClass("lies", ("no", "yes"))]
    plan = FitPlan(epochs=3, batch=8, network=SMALL, augment=NO_AUGMENTATION)
    semi = Unlabelled(images[16:], SemiPlan(method=method, batch=8, sure=0.5, ramp=0.0))  # type: ignore[arg-type]
    plain = fit(data, heads, plan, tmp_path / "plain").predict(images)["lies"]
    first = fit(data, heads, plan, tmp_path / "first", unlabelled=semi).predict(images)["lies"]
    second = fit(data, heads, plan, tmp_path / "second", unlabelled=semi).predict(images)["lies"]
    assert np.array_equal(first, second)
    assert not np.allclose(first, plain)
    with pytest.raises(BadPlan, match="another unlabelled"):
        fit(data, heads, plan, tmp_path / "first")


def test_what_cannot_be_learned_without_labels_is_refused() -> None:
    images = np.zeros((4, 1, 32, 32), np.uint8)
    with pytest.raises(BadPlan, match="boxes"):
        Unlabelled(images).check([Boxes("where", ("a",))], 1, (32, 32))
    with pytest.raises(BadPlan, match="those with are"):
        Unlabelled(images).check([MultiLabel("a", ("a",))], 3, (32, 32))
    with pytest.raises(BadPlan, match="sure"):
        SemiPlan(sure=0.2)
