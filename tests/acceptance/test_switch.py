"""A running server follows a switch with the next study, keeps it over a kill, and follows its undoing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from coread.imaging.plan import PlanarPlan, PlannedOutput
from coread.models.importing import Described, ImportedOutput, import_onnx
from tests.acceptance.conftest import Server, radiograph, save
from tests.models.releases import validation
from tests.models.tiny_reader import SIDE, tiny_graph

SETTINGS = 'require_signature = "off"\nsettle_silence_seconds = 1.0\n'


def readers_of(server: Server, folder: Path, number: int) -> dict[str, str]:
    """Send a study and return the version of each reader that read it."""
    assert server.send(save(radiograph(number, "nodule"), folder / f"{number}.dcm")).code == 0
    story = server.outcome(f"TEST-{number:03d}")
    read = [item for item in story["readers"] if item["outcome"] in ("positive", "negative")]
    return {item["reader_id"]: item["version"] for item in read}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_running_server_follows_a_switch_a_kill_and_a_rollback(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "foreign.onnx").write_bytes(tiny_graph())
    plan = PlanarPlan((PlannedOutput("square", "logit", 0),), SIDE, SIDE)
    about = Described("foreign", "Foreign finder", "0.1.0", "DX", "CHEST")
    outputs = (ImportedOutput("square", "Bright square"),)
    locked = import_onnx(tmp_path / "foreign.onnx", tmp_path / "package", plan, about, outputs)
    record = validation(tmp_path / "validation", locked.package.digest)

    server = make_server(SETTINGS)
    assert "foreign" not in readers_of(server, tmp_path, 1)
    assert server.run("models", "install", tmp_path / "package").code == 0
    switched = server.run("models", "switch", "foreign", "0.1.0", "--validation", record)
    assert switched.code == 0, switched.err
    assert readers_of(server, tmp_path, 2)["foreign"] == "0.1.0"
    server.kill()
    server.start()
    assert readers_of(server, tmp_path, 3)["foreign"] == "0.1.0"
    assert server.run("models", "rollback", "foreign", "--yes").code == 0
    assert "foreign" not in readers_of(server, tmp_path, 4)
    assert server.stop() == 0
