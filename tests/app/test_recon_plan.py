import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from typer.testing import CliRunner

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.main import app
from coread.app.errors import NothingFound
from coread.app.recon_plan import EXAMPLE, BadProtocol, mask_lines, plan, read_protocol, sequence_named, write_mask
from coread.app.recon_quality import BadMeasurements, expected_quality
from coread.domain.errors import InvalidRecord
from coread.imaging.mr.masks import MaskKind, MaskPlan
from coread.imaging.mr.planning import SequenceTiming, planned
from coread.models.lineage import sha256_of
from coread.readers.registry import InstalledReader, installed_readers

FOUR = MaskPlan(MaskKind.EQUISPACED, 4.0)


def test_the_arithmetic_of_a_turbo_spin_echo() -> None:
    timing = SequenceTiming("T2", 256, 4000, echo_train=16, averages=2, packages=2, fixed_seconds=8)
    assert timing.seconds(256) == 8 + 4 * 16 * 2 * 2
    assert timing.seconds(60) == 8 + 4 * 4 * 2 * 2


def test_half_an_hour_fits_in_ten_minutes_at_fourfold_acceleration() -> None:
    made = plan(read_protocol(EXAMPLE), FOUR)
    assert made.seconds_now > 30 * 60
    assert made.seconds_planned < 10 * 60


@given(
    st.integers(8, 600), st.floats(1, 20), st.floats(1, 16), st.sampled_from([k for k in MaskKind if k != "poisson"])
)
def test_a_plan_never_makes_an_examination_longer(lines: int, now: float, wanted: float, kind: MaskKind) -> None:
    timing = SequenceTiming("any", lines, 500, acceleration=now)
    measured = mask_lines(timing, MaskPlan(kind, wanted), 3)
    made = planned(timing, max(len(measured), 1))
    assert made.seconds_saved >= 0
    assert made.kept == (made.seconds_saved == 0)
    assert all(0 <= line < lines for line in measured)


def test_lines_that_cannot_be_measured_are_refused() -> None:
    with pytest.raises(InvalidRecord, match="cannot be measured"):
        planned(SequenceTiming("T1", 100, 500), 101)
    with pytest.raises(InvalidRecord, match="below 1"):
        SequenceTiming("T1", 100, 500, acceleration=0.5)
    with pytest.raises(BadProtocol, match="two phase encodings"):
        mask_lines(SequenceTiming("T1", 100, 500), MaskPlan(MaskKind.POISSON, 4.0))


def test_the_mask_file_lists_the_lines_and_says_what_they_are(tmp_path: Path) -> None:
    timing = SequenceTiming("T1", 128, 500)
    count = write_mask(tmp_path / "mask.csv", timing, FOUR, 7)
    rows = (tmp_path / "mask.csv").read_text(encoding="utf-8").splitlines()
    listed = [int(row) for row in rows if not row.startswith("#") and row != "line"]
    assert listed == list(mask_lines(timing, FOUR, 7))
    assert len(listed) == count
    assert "line 64" in rows[0]
    assert {59, 64, 68} <= set(listed), "the middle is measured whole"


def test_a_protocol_file_is_read_and_its_mistakes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "knee.toml"
    path.write_text(
        'name = "Knee"\n[[sequences]]\nname = "PD"\nlines = 320\nrepetition_time_ms = 3000\necho_train = 8\n'
    )
    protocol = read_protocol(str(path))
    assert (protocol.name, protocol.sequences[0].echo_train) == ("Knee", 8)
    assert sequence_named(protocol, "pd").lines == 320
    with pytest.raises(NothingFound, match="PD"):
        sequence_named(protocol, "T1")
    for text, said in (
        ("name = 1", "1 to 100 tables"),
        ('[[sequences]]\nname = "PD"\nlines = 320', "repetition_time_ms"),
        ('[[sequences]]\nname = "PD"\nlines = 3.5\nrepetition_time_ms = 3000', "no whole number"),
        ('[[sequences]]\nname = "PD"\nlines = 0\nrepetition_time_ms = 3000', "above 0"),
        ('[[sequences]]\nname = "PD"\nflip = 3', "unknown flip; known: name"),
        ("[[sequences", "knee.toml"),
    ):
        path.write_text(text)
        with pytest.raises(BadProtocol, match=said):
            read_protocol(str(path))
    with pytest.raises(NothingFound, match=EXAMPLE):
        read_protocol(str(tmp_path / "none.toml"))


def _image(folder: Path, **values: object) -> None:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", generate_uid()
    dataset.SeriesInstanceUID, dataset.Modality = generate_uid(), "MR"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    pydicom.dcmwrite(folder / f"{dataset.SOPInstanceUID}.dcm", dataset, enforce_file_format=True)


def test_series_of_a_scanner_are_a_protocol(tmp_path: Path) -> None:
    common = {"RepetitionTime": 500, "NumberOfPhaseEncodingSteps": 200, "EchoTrainLength": 1}
    _image(tmp_path, SeriesDescription="T1", **common, AcquisitionDuration=210.0)
    _image(tmp_path, SeriesDescription="3D", **common, MRAcquisitionType="3D")
    (tmp_path / "notes.txt").write_text("no image")
    protocol = read_protocol(str(tmp_path))
    assert [(item.name, item.packages) for item in protocol.sequences] == [("T1", 2)]
    assert protocol.sequences[0].seconds(200) == pytest.approx(210)
    assert protocol.left_out[0][0] == "3D"
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(NothingFound, match="no MR series"):
        read_protocol(str(empty))


def test_the_command_plans_and_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    run = CliRunner()
    to = tmp_path / "lines.csv"
    told = run.invoke(app, ["recon", "plan", "--protocol", EXAMPLE, "--sequence", "T2*", "--to", str(to), "--json"])
    assert told.exit_code == ExitCode.OK, told.output
    assert '"minutes_saved": 22' in told.output
    assert to.is_file()
    assert run.invoke(app, ["recon", "plan", "--protocol", EXAMPLE, "--mask", "spiral"]).exit_code == ExitCode.USAGE
    assert json.loads(told.stdout)["expected_quality"]["measured"] in (True, False)
    shown = run.invoke(app, ["recon", "plan", "--protocol", EXAMPLE, "--acceleration", "40"])
    assert "Expected quality: not measured" in shown.output
    assert run.invoke(app, ["recon", "plan", "--protocol", EXAMPLE, "--reader", "none"]).exit_code != ExitCode.OK


def _measured(folder: Path, **changes: Any) -> InstalledReader:
    """A reader with the measurements of its networks, as the bench keeps them."""
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "lines.onnx").write_bytes(b"network")

    def row(speed: int, source: str, psnr: float, **more: float) -> dict[str, Any]:
        about = {"mask": "equispaced", "acceleration": speed, "method": "learned", "source": source}
        return about | {"slices": 12, "patients": 9, "psnr": {"mean": psnr} | more, "ssim": {"mean": 0.9}}

    rows = [row(4, "knees", 33.0), row(4, "all", 34.0, low=33.5, high=34.5), row(8, "all", 30.0)]
    rows += [rows[0] | {"method": "l1-wavelet"}, rows[0] | {"mask": "random", "source": "other"}]
    document = {
        "graphs_sha256": {"lines": sha256_of(folder / "model" / "lines.onnx")},
        "quality": {"scanner": {"coils": 8}, "groups": rows, "command": "python -m bench"},
    }
    (folder / "network_measurements.json").write_text(json.dumps(document | changes))
    installed = next(one for one in installed_readers() if one.card.reader_id == "mr_reconstruction")
    return replace(installed, folder=folder)


def test_the_expected_quality_is_what_was_measured_nearest(tmp_path: Path) -> None:
    reader = _measured(tmp_path)
    near = expected_quality(reader, MaskPlan(MaskKind.EQUISPACED, 5)).document()
    assert (near["measured_acceleration"], near["acquisitions"], near["command"]) == (4, "simulated", "python -m bench")
    assert [(one["source"], one["psnr_db"]) for one in near["sources"]] == [
        ("knees", {"mean": 33.0}),
        ("all", {"mean": 34.0, "low": 33.5, "high": 34.5}),
    ]
    assert expected_quality(reader, MaskPlan(MaskKind.EQUISPACED, 10)).acceleration == 8
    assert expected_quality(reader, MaskPlan(MaskKind.RANDOM, 4)).sources[0].source == "other"


def test_where_nothing_fits_no_quality_is_promised(tmp_path: Path) -> None:
    reader = _measured(tmp_path)
    for plan_, said in (
        (MaskPlan(MaskKind.EQUISPACED, 16), "at accelerations 4, 8 only"),
        (MaskPlan(MaskKind.EQUISPACED, 2), "at accelerations 4, 8 only"),
        (MaskPlan(MaskKind.MAGIC, 4), "no figures of magic lines"),
    ):
        found = expected_quality(reader, plan_)
        assert (found.document()["measured"], found.sources) == (False, ())
        assert said in found.not_measured
    (tmp_path / "model" / "lines.onnx").write_bytes(b"another network")
    assert "other networks" in expected_quality(reader, FOUR).not_measured
    (tmp_path / "network_measurements.json").unlink()
    assert "without measurements" in expected_quality(reader, FOUR).not_measured


def test_damaged_measurements_are_named(tmp_path: Path) -> None:
    reader = _measured(tmp_path, quality={"groups": [{"mask": "equispaced"}]})
    with pytest.raises(BadMeasurements, match="network_measurements"):
        expected_quality(reader, FOUR)
    (tmp_path / "network_measurements.json").write_text("[")
    with pytest.raises(BadMeasurements, match="cannot be read"):
        expected_quality(reader, FOUR)
