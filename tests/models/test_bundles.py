"""MONAI bundles become packages that give MONAI's numbers; what would have to be evaluated ends the import."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets.unet import UNet

from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.domain.reading import ReaderInputs
from coread.domain.reasons import ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.domain.study import InstanceHeader
from coread.engine.checks import check_ending
from coread.engine.samples import study_of
from coread.engine.sessions import SessionSettings, open_reader
from coread.imaging.header import scan_header
from coread.models.errors import BadImport
from coread.models.importing import NOT_VALIDATED, Described
from coread.readers.registry import planned_reader
from coread.train.bundles import import_bundle
from tests.engine.inputs import radiograph, square_at

ABOUT = Described("spleen", "spleen", "0.1.0", "CT", licence="Apache-2.0", source="a test")
NETWORK: dict[str, Any] = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 2,
    "channels": [4, 8],
    "strides": [2],
    "num_res_units": 1,
    "norm": "batch",
}
METADATA: dict[str, Any] = {
    "name": "Tiny spleen",
    "version": "0.3.1",
    "intended_use": "This is an example, not to be used for diagnostic purposes",
    "network_data_format": {
        "inputs": {"image": {"num_channels": 1, "spatial_shape": [16, 16, 16]}},
        "outputs": {"pred": {"num_channels": 2, "channel_def": {"0": "background", "1": "spleen"}}},
    },
}
INFERENCE: dict[str, Any] = {
    "spacing": [1.5, 1.5, 2.0],
    "network_def": NETWORK,
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "EnsureChannelFirstd", "keys": "image"},
            {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
            {"_target_": "Spacingd", "keys": "image", "pixdim": "@spacing", "mode": "bilinear"},
            {
                "_target_": "ScaleIntensityRanged",
                "keys": "image",
                "a_min": -57,
                "a_max": 164,
                "b_min": 0,
                "b_max": 1,
                "clip": True,
            },
            {"_target_": "EnsureTyped", "keys": "image"},
        ],
    },
    "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], "sw_batch_size": 4, "overlap": 0.5},
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "Activationsd", "keys": "pred", "softmax": True},
            {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing"},
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {"_target_": "SaveImaged", "keys": "pred", "output_dir": "$import os; os.system('touch ran')"},
        ],
    },
}


def bundle(folder: Path, change: Callable[[dict[str, Any], dict[str, Any]], None] | None = None) -> Path:
    metadata, inference = json.loads(json.dumps(METADATA)), json.loads(json.dumps(INFERENCE))
    if change is not None:
        change(metadata, inference)
    for name in ("configs", "models"):
        (folder / name).mkdir(parents=True)
    (folder / "configs/metadata.json").write_text(json.dumps(metadata))
    (folder / "configs/inference.json").write_text(json.dumps(inference))
    torch.manual_seed(0)
    torch.save(tiny_network().state_dict(), folder / "models/model.pt")
    return folder


def tiny_network() -> torch.nn.Module:
    torch.manual_seed(0)
    return UNet(**{key: value for key, value in NETWORK.items() if key != "_target_"}).eval()


def header_of(path: Path) -> InstanceHeader:
    return scan_header(radiograph(path, square_at(3, 3, 2, (40, 40)), Modality="CT"))


def test_a_bundle_becomes_a_reader_with_the_numbers_of_its_network(tmp_path: Path) -> None:
    import_bundle(bundle(tmp_path / "bundle"), tmp_path / "package", ABOUT)
    installed = planned_reader(tmp_path / "package")
    ready = open_reader(installed, SessionSettings().open)
    window = np.random.default_rng(0).random((1, 1, 16, 16, 16), dtype=np.float32)
    with torch.inference_mode():
        expected = tiny_network()(torch.from_numpy(window)).numpy()
    assert ready.session.run("network", {"image": window})["scores"] == pytest.approx(expected, abs=1e-4)
    card = installed.card
    assert card.name == "Tiny spleen"
    assert NOT_VALIDATED in card.limits
    assert any("not to be used for diagnostic" in limit for limit in card.limits)
    header = header_of(tmp_path / "a.dcm")
    affine = affine_of(np.array([[0, 0, 1.5, 0], [0, 1.5, 0, 0], [2.0, 0, 0, 0], [0, 0, 0, 1]]))
    values = np.random.default_rng(0).normal(50, 100, (1, 40, 40)).astype(np.float32)
    volume = Volume(values, Quantity.HOUNSFIELD, Geometry(values.shape, affine, "1.2"), (header,))
    inputs = ReaderInputs(study_of([header]), volumes=(volume,))
    prepared = ready.reader.prepare(inputs)
    assert not isinstance(prepared, Refusal)
    ending = ready.reader.interpret(ready.session, prepared, ready.reader.infer(ready.session, prepared))
    assert isinstance(ending, ReadResult)
    check_ending(card, ending, [header])
    assert ending.findings[0].key == "spleen"
    flat = Volume(np.zeros_like(values), volume.quantity, volume.geometry, (header,))
    refused = ready.reader.prepare(ReaderInputs(inputs.study, volumes=(flat,)))
    assert isinstance(refused, Refusal)
    assert refused.reason.code is ReasonCode.PIXELS_CONSTANT
    assert not Path("ran").exists()


def test_a_scripted_bundle_needs_no_definition(tmp_path: Path) -> None:
    def without(_: dict[str, Any], inference: dict[str, Any]) -> None:
        inference["network_def"] = "$torch.load('x')"

    folder = bundle(tmp_path / "bundle", without)
    (folder / "models/model.pt").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trace: Any = torch.jit.trace
        trace(tiny_network(), torch.zeros(1, 1, 16, 16, 16)).save(str(folder / "models/model.ts"))
    import_bundle(folder, tmp_path / "package", ABOUT)
    ready = open_reader(planned_reader(tmp_path / "package"), SessionSettings().open)
    window = np.ones((1, 1, 16, 16, 16), dtype=np.float32)
    with torch.inference_mode():
        expected = tiny_network()(torch.from_numpy(window)).numpy()
    assert ready.session.run("network", {"image": window})["scores"] == pytest.approx(expected, abs=1e-4)


def changed(place: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(metadata: dict[str, Any], inference: dict[str, Any]) -> None:
        target: Any = {"metadata": metadata, "inference": inference}
        *way, last = place.split(".")
        for part in way:
            target = target[int(part)] if part.isdigit() else target[part]
        target[int(last) if last.isdigit() else last] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed("inference.network_def", "$exec('x')"), "is an expression"),
        (changed("inference.network_def.channels", "$[4, 8]"), "is an expression"),
        (changed("inference.network_def._target_", "os.system"), "'system' is not one of"),
        (changed("inference.network_def.channels", [4, 16]), "cannot be built"),
        (changed("inference.network_def.magic", 1), "cannot be built"),
        (changed("inference.preprocessing.transforms.2", {"_target_": "CropForegroundd"}), "CropForegroundd"),
        (changed("inference.preprocessing.transforms.3.pixdim", "@nowhere"), "leads nowhere"),
        (changed("inference.spacing", "@spacing"), "circle"),
        (changed("inference.preprocessing", "$x"), "no list preprocessing"),
        (changed("inference.postprocessing.transforms.0", {"_target_": "KeepLargestConnectedComponentd"}), "Largest"),
        (changed("inference.inferer.mode", "gaussian"), "equal weights"),
        (changed("inference.inferer.roi_size", 16), "three numbers"),
        (changed("metadata.network_data_format.inputs.image.num_channels", 4), "4 series at once"),
        (changed("metadata.network_data_format.outputs.pred.channel_def", {}), "name each output channel"),
        (changed("metadata.network_data_format", {}), "names no output channels"),
        (changed("metadata.network_data_format.outputs.pred.channel_def", {"1": "a", "9": "b"}), "too few classes"),
    ],
)
def test_what_cannot_be_followed_ends_the_import_and_leaves_nothing(
    tmp_path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None], said: str
) -> None:
    with pytest.raises(BadImport, match=said):
        import_bundle(bundle(tmp_path / "bundle", change), tmp_path / "package", ABOUT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle"]


def test_a_folder_that_is_no_bundle_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadImport, match=r"metadata\.json cannot be read"):
        import_bundle(tmp_path, tmp_path / "package", ABOUT)
    folder = bundle(tmp_path / "bundle")
    (folder / "models/model.pt").unlink()
    with pytest.raises(BadImport, match="neither"):
        import_bundle(folder, tmp_path / "package", ABOUT)
    (folder / "models/model.ts").write_bytes(b"junk")
    with pytest.raises(BadImport, match="no TorchScript"):
        import_bundle(folder, tmp_path / "package", ABOUT)
