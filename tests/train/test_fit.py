"""The fit: it learns, keeps what it should, goes on where it was killed to the same weights, says what went wrong."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from coread.train.arrays import ArraySet
from coread.train.augmenting import NO_AUGMENTATION, AugmentPlan
from coread.train.batches import EpochBatches, drawing_weights
from coread.train.errors import BadPlan, BadTarget, DataMissing, NotFinite, OutOfMemory
from coread.train.exporting import export
from coread.train.fit import FitPlan, Fitted, fit, read_fitted
from coread.train.module import WeightAverage
from coread.train.networks import build_network
from coread.train.tasks import Boxes, Head, MultiClass, MultiLabel, Ordinal, Regression, Segmentation
from tests.train.shapes import CLASSES, TINY, shapes

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:.*weights_only.*")
ALL: tuple[Head, ...] = (MultiClass("type", CLASSES), Boxes("where", CLASSES), Segmentation("region", ("shape",)))
QUICK = FitPlan(epochs=2, batch=8, learning_rate=3e-3, network=TINY, average_decay=0.9)
DATA = shapes(32)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def equal_weights(one: Fitted, other: Fitted) -> bool:
    a, b = one.network.state_dict(), other.network.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_one_network_learns_class_box_mask_grade_and_size_together(tmp_path: Path) -> None:
    data, tune = shapes(96, seed=1), shapes(32, seed=2)
    heads: tuple[Head, ...] = (*ALL, Ordinal("grade", ("s", "m", "l")), Regression("size", ("area",)))
    plan = replace(QUICK, epochs=14, learning_rate=8e-3, keep="best")
    fitted = fit(data, heads, plan, tmp_path, tune=tune)
    scores = fitted.history[fitted.best_epoch]
    assert scores["region/dice"] > 0.85
    assert scores["where/ap50"] > 0.5
    assert scores["grade/kappa"] > 0.6
    assert scores["score"] == max(row["score"] for row in fitted.history)
    raw = fitted.predict(tune, flips=True)
    assert {name: value.shape[0] for name, value in raw.items()} == {head.name: 32 for head in heads}


def test_a_finished_fit_is_read_back_and_another_plan_is_refused(tmp_path: Path) -> None:
    first = fit(DATA, ALL, QUICK, tmp_path)
    again = fit(DATA, ALL, QUICK, tmp_path)
    assert equal_weights(first, again)
    assert equal_weights(first, read_fitted(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["environment.json", "fitted.json", "network.pt"]
    with pytest.raises(BadPlan, match="another plan"):
        fit(DATA, ALL, replace(QUICK, epochs=3), tmp_path)
    with pytest.raises(BadPlan, match="another heads"):
        fit(DATA, ALL[:1], QUICK, tmp_path)
    with pytest.raises(DataMissing, match=r"network\.pt|fitted\.json"):
        read_fitted(tmp_path / "nothing")


def test_the_same_plan_gives_the_same_weights_and_another_seed_gives_others(tmp_path: Path) -> None:
    one, two = (fit(DATA, ALL, QUICK, tmp_path / name) for name in ("a", "b"))
    assert equal_weights(one, two)
    assert not equal_weights(one, fit(DATA, ALL, replace(QUICK, seed=1), tmp_path / "c"))


ACCUMULATE = 2
KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from dataclasses import replace
from lightning.pytorch.callbacks import Callback
from coread.train import fit as room
from tests.train.test_fit import ACCUMULATE, ALL, DATA, QUICK
from tests.train.shapes import shapes

class Killer(Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

torch.set_num_threads(1)
if sys.argv[2] == "saving":
    keep = os.replace
    def replaced(self, target):
        if target.name == "last.ckpt" and target.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return keep(self, target)
    Path.replace = replaced
if sys.argv[2] == "finishing":
    def finish(self):
        os.kill(os.getpid(), signal.SIGKILL)
    room._Keeper.finish = finish
watchers = [Killer()] if sys.argv[2].isdigit() else []
plan = replace(QUICK, epochs=3, patience=2, accumulate=ACCUMULATE)
room.fit(DATA, ALL, plan, Path(sys.argv[1]), tune=shapes(8, seed=9), watchers=watchers)
"""


@pytest.mark.parametrize(
    "moment",
    ["3", *(pytest.param(m, marks=pytest.mark.slow) for m in ("1", "2", "4", "5", "6", "saving", "finishing"))],
)
def test_a_fit_that_was_killed_goes_on_to_the_same_weights(moment: str, tmp_path: Path) -> None:
    plan, tune = replace(QUICK, epochs=3, patience=2, accumulate=ACCUMULATE), shapes(8, seed=9)
    whole = fit(DATA, ALL, plan, tmp_path / "whole", tune=tune)
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path / "killed"), moment]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -9, done.stderr
    assert not (tmp_path / "killed" / "network.pt").exists()
    started: list[int] = []

    class Note(Callback):
        def on_train_epoch_start(self, _: Any, pl_module: Any) -> None:
            started.append(pl_module.current_epoch)

    resumed = fit(DATA, ALL, plan, tmp_path / "killed", tune=tune, watchers=[Note()])
    assert equal_weights(whole, resumed)
    assert started == {"3": [1, 2]}.get(moment, started), "what was done is not done again"
    assert [dict(row) for row in whole.history] == [dict(row) for row in resumed.history]


def test_a_fit_that_is_stopped_by_hand_says_so_and_can_be_stopped_again(tmp_path: Path) -> None:
    class Impatient(Callback):
        def on_train_epoch_start(self, _: Any, pl_module: Any) -> None:
            if pl_module.current_epoch == 1:
                raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(DATA, ALL[:1], QUICK, tmp_path, watchers=[Impatient()])
    assert signal.getsignal(signal.SIGINT) is before
    assert (tmp_path / "last.ckpt").is_file()


def test_an_interrupted_fit_with_another_plan_is_refused(tmp_path: Path) -> None:
    class Stop(Callback):
        def on_train_epoch_start(self, _: Any, pl_module: Any) -> None:
            if pl_module.current_epoch == 1:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(DATA, ALL, QUICK, tmp_path, watchers=[Stop()])
    with pytest.raises(BadPlan, match="another plan"):
        fit(DATA, ALL, replace(QUICK, epochs=5), tmp_path)
    assert equal_weights(fit(DATA, ALL, QUICK, tmp_path), fit(DATA, ALL, QUICK, tmp_path.with_name("whole")))


def test_added_gradients_are_those_of_a_larger_batch(tmp_path: Path) -> None:
    network = replace(TINY, norm="group")
    plan = replace(QUICK, network=network, augment=NO_AUGMENTATION, clip=0.0, average_decay=0.0, batch=16)
    heads = ALL[:1]
    whole = fit(DATA, heads, plan, tmp_path / "whole")
    # Each half of a batch sees the same class weights only when every row is known, as it is here.
    parts = fit(DATA, (replace(heads[0], balance=False),), replace(plan, batch=8, accumulate=2), tmp_path / "parts")  # type: ignore[type-var]
    whole = fit(DATA, (replace(heads[0], balance=False),), plan, tmp_path / "plain")  # type: ignore[type-var]
    for name, value in whole.network.state_dict().items():
        assert torch.allclose(value, parts.network.state_dict()[name], atol=2e-4), name


def test_the_average_follows_by_its_decay() -> None:
    network = build_network(replace(TINY, channels=1, shape=(32, 32)), ALL)
    average = WeightAverage(network, 0.5)
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    for count in range(1, 4):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(1.0)
        average.follow(network)
        decay = min(0.5, count / (count + 9))
        for name, value in network.state_dict().items():
            expected[name] = expected[name] * decay + value * (1 - decay) if value.is_floating_point() else value
    for name, value in average.network.state_dict().items():
        assert torch.allclose(value.float(), expected[name].float(), atol=1e-5), name


def test_a_fit_stops_when_the_tune_part_gets_no_better(tmp_path: Path) -> None:
    plan = replace(QUICK, epochs=30, patience=2, learning_rate=1e-7)
    fitted = fit(DATA, ALL[:1], plan, tmp_path, tune=shapes(16, seed=5))
    assert len(fitted.history) < 30
    assert len(fitted.history) - 1 - fitted.best_epoch == 2


def test_predictions_with_flips_are_the_same_for_the_mirrored_image(tmp_path: Path) -> None:
    fitted = fit(DATA, ALL, QUICK, tmp_path)
    one = fitted.predict(DATA.images[:4], flips=True)
    other = fitted.predict(DATA.images[:4, :, :, ::-1], flips=True)
    assert np.allclose(one["type"], other["type"], atol=1e-4)
    assert np.allclose(one["region"], other["region"][..., ::-1], atol=1e-3)
    assert not np.allclose(fitted.predict(DATA.images[:4])["type"], one["type"], atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_several_fits_are_exported_as_their_mean(tmp_path: Path) -> None:
    from coread.models.graphs import load_graph

    members = [fit(DATA.subset(np.arange(16) + 16 * i), ALL, QUICK, tmp_path / str(i)) for i in range(2)]
    for storage in ("float32", "float16", "int8"):
        path = tmp_path / f"{storage}.onnx"
        report = export(members, path, flips=True, storage=storage)
        assert report.difference < 1e-4
        images = DATA.images[:3].astype(np.float32) / 255
        found = load_graph("onnxruntime", path.read_bytes(), 1).run({"image": images})
        wanted = [member.predict(images, flips=True) for member in members]
        mean = (wanted[0]["type"] + wanted[1]["type"]) / 2
        assert np.allclose(found["type"], mean, atol={"float32": 1e-4, "float16": 5e-3, "int8": 0.2}[storage])
    sizes = [(tmp_path / f"{storage}.onnx").stat().st_size for storage in ("float32", "float16", "int8")]
    assert sizes == sorted(sizes, reverse=True)


def test_clinical_values_beside_the_image_are_learned_from(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 96)
    values = np.column_stack([truth * 2.0 - 1 + random.normal(0, 0.3, 96), random.normal(size=96)]).astype(np.float32)
    values[random.random(values.shape) < 0.1] = np.nan
    blank = ArraySet(
        random.integers(0, 255, (96, 1, 32, 32)).astype(np.uint8), {"type": truth}, [str(i) for i in range(96)],
        [str(i) for i in range(96)], covariates=values,
    )  # fmt: skip
    plan = replace(QUICK, epochs=12, learning_rate=1e-2)
    fitted = fit(blank.subset(np.arange(64)), ALL[:1], plan, tmp_path, tune=blank.subset(np.arange(64, 96)))
    assert fitted.history[-1]["type/auc"] > 0.85
    assert fitted.predict(blank)["type"].shape == (96, 2)


def test_a_frozen_encoder_stays_as_it_was_given(tmp_path: Path) -> None:
    donor = fit(DATA, ALL, QUICK, tmp_path / "donor")
    plan = replace(QUICK, freeze_encoder=True)
    fitted = fit(DATA, ALL[:1], plan, tmp_path / "head", encoder=donor.network.encoder.state_dict())
    for name, value in donor.network.encoder.state_dict().items():
        if value.is_floating_point():
            assert torch.allclose(fitted.network.encoder.state_dict()[name], value, atol=1e-6), name


def test_an_infinite_loss_names_epoch_and_step(tmp_path: Path) -> None:
    with pytest.raises(NotFinite, match=r"epoch \d+, step \d+"):
        fit(DATA, ALL, replace(QUICK, learning_rate=1e12, clip=0.0, warm_up=0.0, epochs=9), tmp_path)
    assert not (tmp_path / "network.pt").exists()


def test_a_step_that_does_not_fit_into_memory_names_the_knobs(tmp_path: Path) -> None:
    class Full(Callback):
        def on_train_batch_start(self, *_: object) -> None:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 GB")

    with pytest.raises(OutOfMemory, match=r"batch.*accumulate.*side.*precision"):
        fit(DATA, ALL, QUICK, tmp_path, watchers=[Full()])


def test_what_cannot_be_fitted_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "none"
    with pytest.raises(BadTarget, match="no target 'other'"):
        fit(DATA, [MultiClass("other", CLASSES)], QUICK, folder)
    wrong = replace(DATA, targets={"type": np.where(np.arange(32) == 3, 2, 0)})
    with pytest.raises(BadTarget, match="image 3 has class 2"):
        fit(wrong, ALL[:1], QUICK, folder)
    with pytest.raises(BadPlan, match="mixup"):
        fit(DATA, ALL, replace(QUICK, augment=AugmentPlan(mixup=0.2)), folder)
    with pytest.raises(BadPlan, match="tune"):
        fit(DATA, ALL, replace(QUICK, patience=3), folder)
    with pytest.raises(BadPlan, match="see accelerator"):
        fit(DATA, ALL, replace(QUICK, strategy="unheard"), tmp_path / "strategy")
    with pytest.raises(BadPlan, match="precision"):
        replace(QUICK, precision="64")  # type: ignore[arg-type]
    assert not folder.exists()


def test_mixed_images_and_mixed_precision_still_learn(tmp_path: Path) -> None:
    plan = replace(QUICK, augment=AugmentPlan(mixup=0.3), precision="bf16-mixed", draw="balanced")
    fitted = fit(DATA, [MultiLabel("finding", CLASSES, smoothing=0.02)], plan, tmp_path)
    assert all(np.isfinite(row["loss"]) for row in fitted.history)


def test_balanced_drawing_gives_classes_and_patients_the_same_chance() -> None:
    truth = np.array([0] * 90 + [1] * 10)
    patients = ["many"] * 45 + [f"p{i}" for i in range(45)] + ["q0"] * 5 + [f"q{i}" for i in range(1, 6)]
    data = ArraySet(np.zeros((100, 1, 8, 8), np.uint8), {"type": truth}, patients, [str(i) for i in range(100)])
    weights = drawing_weights(data, ALL[:1], "balanced")
    assert weights is not None
    assert weights[truth == 1].sum() == pytest.approx(0.5)
    assert weights[:45].sum() == pytest.approx(weights[45]), "a patient with many images is drawn like any other"
    by_patient = drawing_weights(data, ALL[:1], "patients")
    assert by_patient is not None
    assert by_patient[:45].sum() == pytest.approx(by_patient[45])
    assert drawing_weights(data, ALL[:1], "all") is None


def test_batches_are_shared_out_over_processes_without_overlap() -> None:
    def epoch(rank: int, ranks: int, number: int = 0) -> list[list[int]]:
        batches = EpochBatches(40, None, batch=8, steps=5, seed=3, rank=rank, ranks=ranks)
        batches.set_epoch(number)
        return [rows.tolist() for _, rows in batches]

    whole = epoch(0, 1)
    assert sorted(row for batch in whole for row in batch) == list(range(40))
    for batch, *shares in zip(whole, *(epoch(rank, 2) for rank in range(2)), strict=True):
        assert sorted(batch) == sorted(row for share in shares for row in share)
    assert epoch(0, 1) == whole != epoch(0, 1, 1)


def test_memory_mapped_images_are_read_from_disk_row_by_row(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", DATA.images)
    mapped = replace(DATA, images=np.load(tmp_path / "images.npy", mmap_mode="r"))
    part = mapped.subset(np.arange(4, 20)).subset([1, 3])
    assert np.array_equal(np.asarray(part.images), DATA.images[[5, 7]])
    assert part.keys == ["image 5", "image 7"]
    one, other = (fit(d.subset(np.arange(16)), ALL, QUICK, tmp_path / n) for d, n in ((DATA, "a"), (mapped, "b")))
    assert equal_weights(one, other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"groups": ["a"]}, "groups has 1 rows"),
        ({"images": np.zeros((32, 8, 8), np.uint8)}, "axes"),
        ({"images": np.zeros((32, 1, 8, 8), np.int16)}, "uint8 or float32"),
        ({"targets": {"type": np.zeros(3)}}, "'type' has 3 rows"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(BadTarget, match=words):
        replace(DATA, **changes)  # type: ignore[arg-type]
