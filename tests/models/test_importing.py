"""Imported packages run, say that nothing was validated, and never execute what came with them."""

import json
import os
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from torch.nn import functional

from coread.domain.errors import Misconfigured
from coread.engine.conformance import CheckStatus, check_reader
from coread.engine.conformance.card import is_snomed_identifier
from coread.engine.sessions import SessionSettings, open_reader
from coread.imaging.plan import (
    BadPlan,
    PlanarPlan,
    PlannedOutput,
    PlannedRegion,
    VolumePlan,
    plan_from_json,
    plan_to_json,
)
from coread.models.errors import BadImport, GoldenMismatch, ProcessFailed, UnloadableGraph
from coread.models.importing import NOT_VALIDATED, Described, ImportedOutput, import_onnx, import_process
from coread.models.lineage import read_record
from coread.models.package import verify_package
from coread.models.process import ProcessGraph, ProcessPlan, process_from_json, process_to_json
from coread.models.session import open_session
from coread.readers.registry import planned_reader
from coread.train.importing import XRV_CONCEPTS, XRV_LABELS, densenet, import_torchxrayvision, key_of, read_weights
from tests.acceptance.conftest import coread
from tests.models.outside_program import write_program
from tests.models.tiny_reader import SIDE, tiny_graph

ABOUT = Described("foreign", "Foreign finder", "0.1.0", "DX", "CHEST", licence="MIT", source="a test")
PLAN = PlanarPlan((PlannedOutput("square", "logit", 0),), SIDE, SIDE)
OUTPUTS = (ImportedOutput("square", "Bright square"),)


def graph_file(folder: Path) -> Path:
    path = folder / "foreign.onnx"
    path.write_bytes(tiny_graph())
    return path


def test_an_imported_graph_is_a_reader_that_keeps_the_contract(tmp_path: Path) -> None:
    """The tiny graph's second output is a map: the plan takes the logit alone."""
    locked = import_onnx(graph_file(tmp_path), tmp_path / "package", PLAN, ABOUT, OUTPUTS)
    installed = planned_reader(tmp_path / "package")
    assert installed.package_digest == locked.package.digest
    failed = [item for item in check_reader(installed) if item.status is CheckStatus.FAILED]
    assert not failed
    card = installed.card
    assert card.validation == NOT_VALIDATED
    assert NOT_VALIDATED in card.limits
    point = card.output("square").operating_point()
    assert (point.sensitivity, point.specificity) == (None, None)
    assert NOT_VALIDATED in (tmp_path / "package/card.toml").read_text()
    assert "MIT" in (tmp_path / "package/model/LICENCE.txt").read_text()


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (PlanarPlan((PlannedOutput("square", "score", 0),), SIDE, SIDE), "has no 'score'; it has logit, map"),
        (PlanarPlan((PlannedOutput("square", "logit", 3),), SIDE, SIDE), "index 3 is not in it"),
        (PlanarPlan((PlannedOutput("square", "map", 0),), SIDE, SIDE), "has shape"),
        (PlanarPlan((PlannedOutput("square", "logit", 0),), SIDE, SIDE, channels=3), "does not take"),
        (PlanarPlan((PlannedOutput("square", "logit", 0),), SIDE, SIDE, input="pixels"), "does not take"),
    ],
)
def test_a_plan_that_does_not_fit_the_graph_leaves_nothing(tmp_path: Path, plan: PlanarPlan, said: str) -> None:
    with pytest.raises(BadImport, match=said):
        import_onnx(graph_file(tmp_path), tmp_path / "package", plan, ABOUT, OUTPUTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["foreign.onnx"]


def test_a_package_is_never_overwritten_and_junk_is_no_graph(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(Misconfigured, match="never overwritten"):
        import_onnx(graph_file(tmp_path), tmp_path / "there", PLAN, ABOUT, OUTPUTS)
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(UnloadableGraph):
        import_onnx(tmp_path / "junk.onnx", tmp_path / "package", PLAN, ABOUT, OUTPUTS)
    with pytest.raises(BadImport, match="cannot be read"):
        import_onnx(tmp_path / "absent.onnx", tmp_path / "package", PLAN, ABOUT, OUTPUTS)


def broken_graph() -> bytes:
    """Its answer is a number; a second output, which no plan asks for, is none."""
    nodes = [
        helper.make_node("ReduceMax", ["image"], ["logit"], axes=[2, 3], keepdims=0),
        helper.make_node("Neg", ["image"], ["negative"]),
        helper.make_node("Log", ["negative"], ["none"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, SIDE, SIDE])
    logit = helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["n", 1])
    none = helper.make_tensor_value_info("none", TensorProto.FLOAT, ["n", 1, SIDE, SIDE])
    graph = helper.make_graph(nodes, "broken", [image], [logit, none])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


def test_a_graph_that_its_golden_cases_do_not_prove_leaves_nothing_to_install(tmp_path: Path) -> None:
    (tmp_path / "foreign.onnx").write_bytes(broken_graph())
    with pytest.raises(GoldenMismatch, match="golden cases differ"):
        import_onnx(tmp_path / "foreign.onnx", tmp_path / "package", PLAN, ABOUT, OUTPUTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["foreign.onnx"]


def test_what_is_told_of_an_import_is_what_lies_there(tmp_path: Path) -> None:
    locked = import_onnx(graph_file(tmp_path), tmp_path / "package", PLAN, ABOUT, OUTPUTS)
    assert locked.package == verify_package(tmp_path / "package/model", tmp_path / "package/card.toml")
    assert locked.record == read_record(tmp_path / "package")
    assert locked.record.inputs == {"package": locked.package.digest}


def test_plans_survive_the_file_and_nonsense_is_refused() -> None:
    plans = (
        PLAN,
        VolumePlan((PlannedRegion("liver", 5, 0.5),)),
        PlanarPlan(PLAN.outputs, 8, 9, 3, "pad", -1, 1, (0, 0, 0)),
    )
    for plan in plans:
        assert plan_from_json(plan_to_json(plan)) == plan
    good = json.loads(plan_to_json(PLAN))
    wrong: tuple[dict[str, Any], ...] = (
        {"fit": "magic"},
        {"kind": "code"},
        {"eval": "1"},
        {"schema": 2},
        {"low": 2.0},
        {"mean": [1, 2]},
        {"outputs": []},
        {"rows": "many"},
        {"outputs": [{"key": "a"}]},
        {"channels": True},
    )
    for change in wrong:
        with pytest.raises(BadPlan):
            plan_from_json(json.dumps(good | change))


def xrv_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights under the names of torchxrayvision's DenseNet-121, with its buffer of thresholds."""
    generator = torch.Generator().manual_seed(seed)

    def norm(name: str, size: int) -> dict[str, torch.Tensor]:
        return {
            f"{name}.weight": torch.rand(size, generator=generator) * 0.2 + 0.9,
            f"{name}.bias": torch.randn(size, generator=generator) * 0.1,
            f"{name}.running_mean": torch.randn(size, generator=generator) * 0.1,
            f"{name}.running_var": torch.rand(size, generator=generator) + 0.5,
            f"{name}.num_batches_tracked": torch.tensor(0),
        }

    def kernel(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * (2.0 / np.prod(shape[1:])) ** 0.5

    state = {"features.conv0.weight": kernel(64, 1, 7, 7) / 500} | norm("features.norm0", 64)
    width = 64
    for block, layers in enumerate((6, 12, 24, 16), start=1):
        for layer in range(1, layers + 1):
            place = f"features.denseblock{block}.denselayer{layer}"
            state |= norm(f"{place}.norm1", width) | {f"{place}.conv1.weight": kernel(128, width, 1, 1)}
            state |= norm(f"{place}.norm2", 128) | {f"{place}.conv2.weight": kernel(32, 128, 3, 3) * 0.5}
            width += 32
        if block < 4:
            place = f"features.transition{block}"
            state |= norm(f"{place}.norm", width) | {f"{place}.conv.weight": kernel(width // 2, width, 1, 1)}
            width //= 2
    state |= norm("features.norm5", width)
    state |= {"classifier.weight": kernel(18, width), "classifier.bias": torch.randn(18, generator=generator)}
    return state | {"op_threshs": torch.linspace(0.02, 0.2, 18)}


def by_hand(state: dict[str, torch.Tensor], image: torch.Tensor) -> torch.Tensor:
    """DenseNet-121 (Huang et al. 2017) written out with functions alone, from the names of the weights."""

    def normed(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        found = functional.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"])
        return functional.relu(found)

    x = functional.conv2d(image, state["features.conv0.weight"], stride=2, padding=3)
    x = functional.max_pool2d(normed(x, "features.norm0"), 3, 2, 1)
    for block, layers in enumerate((6, 12, 24, 16), start=1):
        for layer in range(1, layers + 1):
            place = f"features.denseblock{block}.denselayer{layer}"
            new = functional.conv2d(normed(x, f"{place}.norm1"), state[f"{place}.conv1.weight"])
            new = functional.conv2d(normed(new, f"{place}.norm2"), state[f"{place}.conv2.weight"], padding=1)
            x = torch.cat([x, new], dim=1)
        if block < 4:
            place = f"features.transition{block}"
            x = functional.avg_pool2d(functional.conv2d(normed(x, f"{place}.norm"), state[f"{place}.conv.weight"]), 2)
    pooled = normed(x, "features.norm5").mean(dim=(2, 3))
    return functional.linear(pooled, state["classifier.weight"], state["classifier.bias"])


def safetensors(state: dict[str, torch.Tensor]) -> bytes:
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, value in state.items():
        array = value.numpy()
        kind = {"float32": "F32", "int64": "I64"}[str(array.dtype)]
        table[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(body), len(body) + array.nbytes]}
        body += array.tobytes()
    head = json.dumps(table).encode()
    return len(head).to_bytes(8, "little") + head + body


def test_torchxrayvision_weights_give_the_numbers_of_the_network_written_by_hand(tmp_path: Path) -> None:
    """The weights are random in the published layout: the published files themselves are not here."""
    state = xrv_state()
    torch.save(state, tmp_path / "weights.pt")
    (tmp_path / "weights.safetensors").write_bytes(safetensors(state))
    image = torch.from_numpy(np.random.default_rng(1).uniform(-1024, 1024, (1, 1, 64, 64)).astype(np.float32))
    wanted = by_hand(state, image).numpy()
    for name in ("weights.pt", "weights.safetensors"):
        read = read_weights(tmp_path / name)
        assert all(torch.equal(read[key], value) for key, value in state.items())
        read.pop("op_threshs")
        with torch.inference_mode():
            assert densenet(read, 18)(image).numpy() == pytest.approx(wanted, rel=1e-3, abs=1e-3)


@pytest.mark.slow
def test_torchxrayvision_weights_become_a_package_that_gives_the_same_numbers(tmp_path: Path) -> None:
    state = xrv_state()
    path = tmp_path / "weights.safetensors"
    path.write_bytes(safetensors(state))
    import_torchxrayvision(path, tmp_path / "package", ABOUT)
    session = open_session(tmp_path / "package/model", tmp_path / "package/card.toml")
    image = np.random.default_rng(1).uniform(-1024, 1024, (1, 1, 224, 224)).astype(np.float32)
    with torch.inference_mode():
        wanted = by_hand(state, torch.from_numpy(image)).numpy()
    found = session.run("network", {"image": image})["logits"]
    assert found == pytest.approx(wanted, rel=2e-3, abs=2e-3)
    card = planned_reader(tmp_path / "package").card
    assert [output.name for output in card.outputs] == [label.replace("_", " ") for label in XRV_LABELS]
    assert card.output("atelectasis").operating_point().threshold == pytest.approx(0.02, abs=1e-5)
    assert "op_threshs" in card.output("atelectasis").operating_point().rule
    plan = plan_from_json((tmp_path / "package/model/preprocessing.json").read_bytes())
    assert isinstance(plan, PlanarPlan)
    assert (plan.low, plan.high, plan.fit) == (-1024.0, 1024.0, "centre crop")


def test_a_pickled_model_is_refused_and_its_code_never_runs(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save({"a": Bomb()}, tmp_path / "bomb.pt")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Bomb()))
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pt")
    for name in ("bomb.pt", "plain.pkl", "whole.pt"):
        with pytest.raises(BadImport):
            import_torchxrayvision(tmp_path / name, tmp_path / "package", ABOUT)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "package").exists()


def test_weights_that_are_none_are_refused(tmp_path: Path) -> None:
    state = xrv_state()
    del state["features.norm5.weight"]
    torch.save(state, tmp_path / "lacking.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "short.safetensors").write_bytes(b"\x10")
    (tmp_path / "lying.safetensors").write_bytes(
        safetensors({"a": torch.ones(3)}).replace(b'"shape": [3]', b'"shape": [9]')
    )
    refused = {
        "lacking.pt": "not the weights",
        "list.pt": "no state dict",
        "short.safetensors": "no weights",
        "lying.safetensors": "does not lie",
        "absent.pt": "cannot be read",
    }
    for name, said in refused.items():
        with pytest.raises(BadImport, match=said):
            import_torchxrayvision(tmp_path / name, tmp_path / "package", ABOUT)
    torch.save({"state_dict": {"module.a": torch.ones(2)}}, tmp_path / "nested.pt")
    assert list(read_weights(tmp_path / "nested.pt")) == ["a"]


def test_labels_become_keys_and_codes_are_identifiers() -> None:
    assert key_of("Enlarged Cardiomediastinum") == "enlarged_cardiomediastinum"
    assert key_of("3rd rib") == "output_3rd_rib"
    assert all(is_snomed_identifier(code.value) for code in XRV_CONCEPTS.values())
    assert set(XRV_CONCEPTS) <= set(XRV_LABELS)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return write_program(tmp_path / "brightness")


def plan_of(program: Path, mode: str = "", **more: Any) -> ProcessPlan:
    words = (str(program), "{input}", "{output}", *([mode] if mode else []))
    return ProcessPlan(words, (str(program), "--version"), **({"version": "2.5.0"} | more))


def test_an_outside_program_segments_on_the_grid_that_it_was_given(program: Path) -> None:
    affine = np.array([[0, 0, 1.5, -10], [0, 1.5, 0, -20], [3.0, 0, 0, 5], [0, 0, 0, 1]])
    values = np.random.default_rng(0).normal(size=(6, 7, 8)).astype(np.float32)
    for mode in ("", "turned"):
        graph = ProcessGraph(plan_of(program, mode), [program])
        labels = graph.run({"volume": values, "affine": affine})["labels"]
        assert np.array_equal(labels, values > 0)
    assert graph.name == "process brightness 2.5.0"


@pytest.mark.parametrize(
    ("mode", "said"), [("fail", "CUDA out of memory"), ("silent", "wrote no"), ("moved", "another place")]
)
def test_a_program_that_fails_says_why(program: Path, mode: str, said: str) -> None:
    graph = ProcessGraph(plan_of(program, mode), [program])
    with pytest.raises(ProcessFailed, match=said):
        graph.run({"volume": np.zeros((3, 4, 5), dtype=np.float32), "affine": np.eye(4)[[2, 1, 0, 3]]})


def test_a_program_that_hangs_is_ended_with_its_children(program: Path) -> None:
    graph = ProcessGraph(plan_of(program, "hang", timeout_seconds=1.5), [program])
    began = time.monotonic()
    with pytest.raises(ProcessFailed, match="longer than"):
        graph.run({"volume": np.zeros((3, 4, 5), dtype=np.float32), "affine": np.eye(4)[[2, 1, 0, 3]]})
    assert time.monotonic() - began < 20


def test_only_allowed_programs_of_the_validated_version_run(program: Path, tmp_path: Path) -> None:
    with pytest.raises(UnloadableGraph, match="allowed_programs"):
        ProcessGraph(plan_of(program), [])
    with pytest.raises(UnloadableGraph, match="is not version 9"):
        ProcessGraph(plan_of(program, version="9"), [program])
    with pytest.raises(UnloadableGraph, match="not installed"):
        ProcessGraph(plan_of(tmp_path / "absent"), [program])
    good = json.loads(process_to_json(plan_of(program)))
    assert process_from_json(json.dumps(good)) == plan_of(program)
    for change in ({"command": ["rm"]}, {"version": ""}, {"schema": 3}, {"output_name": "../x"}, {"shell": True}):
        with pytest.raises(UnloadableGraph):
            process_from_json(json.dumps(good | change))


def test_a_process_package_is_proved_by_golden_cases_that_go_through_the_program(program: Path, tmp_path: Path) -> None:
    outputs = (ImportedOutput("liver", "Liver"),)
    plan = VolumePlan((PlannedRegion("liver", 1, 0.5),))
    about = Described("foreign_liver", "Foreign liver", "0.1.0", "CT", source="a stand-in program")
    import_process(plan_of(program), tmp_path / "package", plan, about, outputs, program)
    installed = planned_reader(tmp_path / "package")
    ready = open_reader(installed, SessionSettings(programs=(program,)).open)
    assert ready.session.runtime.startswith("process ")
    with pytest.raises(UnloadableGraph, match="allowed_programs"):
        open_reader(installed, SessionSettings().open)
    program.write_text(program.read_text().replace("values > 0", "values > 500"))
    with pytest.raises(GoldenMismatch, match="golden cases differ"):
        open_reader(installed, SessionSettings(programs=(program,)).open)


def test_the_command_imports_and_says_what_is_missing(tmp_path: Path, program: Path) -> None:
    (tmp_path / "plan.json").write_text(plan_to_json(PLAN))
    words = ("models", "import", "onnx", graph_file(tmp_path), "--out", tmp_path / "p", "--reader-id", "foreign")
    assert coread(*words).code == 2
    done = coread(*words, "--plan", tmp_path / "plan.json", "--label", "square=Bright square", "--json")
    assert done.code == 0, done.err
    assert coread("models", "verify", tmp_path / "p").code == 0
    called = coread(
        "models", "import", "process", program, "--out", tmp_path / "q", "--reader-id", "foreign_liver",
        "--modality", "CT", "--argument", "{input}", "--argument", "{output}", "--version-argument=--version",
        "--program-version", "2.5.0", "--label", "liver=1=Liver",
    )  # fmt: skip
    assert called.code == 0, called.err
    assert coread("models", "import", "magic", program, "--out", tmp_path / "r", "--reader-id", "x").code == 2
