"""A locked package is the bytes that were validated, or it is refused with the name of the file."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coread.models.errors import DamagedPackage
from coread.models.locking import claimed_identity
from coread.models.package import PackagedFile, lock_package, package_digest, verify_package
from tests.models.tiny_reader import write_tiny_reader


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_reader(tmp_path / "tiny_square")


def test_a_locked_package_verifies_to_the_same_digest(tiny: Path) -> None:
    locked = lock_package(tiny / "model", tiny / "card.toml")
    assert verify_package(tiny / "model", tiny / "card.toml") == locked
    assert locked.reader_id == "tiny_square"
    assert locked.names(".onnx") == ("network.onnx",)


def test_locking_twice_writes_the_same_bytes(tiny: Path) -> None:
    before = (tiny / "model/manifest.json").read_bytes()
    lock_package(tiny / "model", tiny / "card.toml")
    assert (tiny / "model/manifest.json").read_bytes() == before


@pytest.mark.parametrize("name", ["network.onnx", "calibration.json", "golden/noise.npz"])
def test_one_flipped_bit_is_found_and_named(tiny: Path, name: str) -> None:
    path = tiny / "model" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DamagedPackage, match=Path(name).name):
        verify_package(tiny / "model", tiny / "card.toml")


def test_a_missing_file_is_named(tiny: Path) -> None:
    (tiny / "model/calibration.json").unlink()
    with pytest.raises(DamagedPackage, match=r"calibration\.json is missing"):
        verify_package(tiny / "model", tiny / "card.toml")


def test_an_extra_file_is_named(tiny: Path) -> None:
    (tiny / "model/extra.bin").write_bytes(b"x")
    with pytest.raises(DamagedPackage, match=r"extra\.bin is not in the manifest"):
        verify_package(tiny / "model", tiny / "card.toml")


def test_a_changed_card_is_refused(tiny: Path) -> None:
    card = tiny / "card.toml"
    card.write_text(card.read_text().replace("threshold = 0.5", "threshold = 0.1"))
    with pytest.raises(DamagedPackage, match=r"card\.toml"):
        verify_package(tiny / "model", card)


def test_a_link_out_of_the_package_is_refused(tiny: Path, tmp_path: Path) -> None:
    network = tiny / "model/network.onnx"
    network.rename(tmp_path / "elsewhere.onnx")
    network.symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(DamagedPackage, match="link"):
        verify_package(tiny / "model", tiny / "card.toml")


def test_a_manifest_that_was_edited_to_fit_is_refused(tiny: Path) -> None:
    path = tiny / "model/manifest.json"
    body = json.loads(path.read_text())
    body["files"]["network.onnx"] = "0" * 64
    path.write_text(json.dumps(body))
    with pytest.raises(DamagedPackage, match="digest does not fit"):
        verify_package(tiny / "model", tiny / "card.toml")


@pytest.mark.parametrize("name", ["../card.toml", "/etc/passwd", "a\\b", "a//b", "./a"])
def test_a_manifest_that_points_outside_is_refused(tiny: Path, name: str) -> None:
    path = tiny / "model/manifest.json"
    body = json.loads(path.read_text())
    body["files"][name] = "0" * 64
    path.write_text(json.dumps(body))
    with pytest.raises(DamagedPackage, match=r"manifest\.json"):
        verify_package(tiny / "model", tiny / "card.toml")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("reader_id", "../../outside"), ("reader_id", "a/b"), ("reader_id", "a\nversion 9"), ("reader_id", "A"),
        ("reader_id", ""), ("version", "1\ncard 0"), ("version", "../1"), ("version", ""), ("card_sha256", "0\n1"),
        ("digest", ".."),
    ],
)  # fmt: skip
def test_a_manifest_of_no_plain_identity_is_refused_before_anything_is_compared(
    tiny: Path, key: str, value: str
) -> None:
    path = tiny / "model/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(DamagedPackage, match=r"cannot be read: ValueError"):
        verify_package(tiny / "model", tiny / "card.toml")
    if key != "card_sha256":
        with pytest.raises(DamagedPackage, match=r"cannot be read: ValueError"):
            claimed_identity(tiny)


@pytest.mark.parametrize("edit", ['reader_id = "../../outside"', 'reader_id = "a\\nb"', 'reader_id = "Tiny"'])
def test_a_card_of_no_plain_identity_is_not_locked(tiny: Path, edit: str) -> None:
    card = tiny / "card.toml"
    card.write_text(card.read_text().replace('reader_id = "tiny_square"', edit))
    with pytest.raises(DamagedPackage, match="reader_id"):
        lock_package(tiny / "model", card)


def test_one_digest_never_names_two_packages(tiny: Path) -> None:
    """Two files and one whose name spells the line of the other have the same listing."""
    package = verify_package(tiny / "model", tiny / "card.toml")
    first, second, *rest = package.files
    joined = PackagedFile(f"{first.name}\n{second.sha256}  {second.name}", first.sha256)
    assert package_digest("tiny_square", "1.0.0", package.card_sha256, (joined, *rest)) == package.digest
    place = tiny / "model" / joined.name
    place.parent.mkdir(parents=True, exist_ok=True)
    (tiny / "model" / first.name).rename(place)
    (tiny / "model" / second.name).unlink()
    path = tiny / "model/manifest.json"
    body = json.loads(path.read_text())
    path.write_text(json.dumps(body | {"files": {item.name: item.sha256 for item in (joined, *rest)}}))
    with pytest.raises(DamagedPackage, match="control characters"):
        verify_package(tiny / "model", tiny / "card.toml")
    with pytest.raises(DamagedPackage, match="control characters"):
        lock_package(tiny / "model", tiny / "card.toml")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 2}', "null", '{"schema": 1, "files": 3}'])
def test_an_unreadable_manifest_is_refused(tiny: Path, text: str) -> None:
    (tiny / "model/manifest.json").write_text(text)
    with pytest.raises(DamagedPackage, match=r"manifest\.json"):
        verify_package(tiny / "model", tiny / "card.toml")


def test_a_package_that_was_never_locked_says_so(tmp_path: Path) -> None:
    folder = write_tiny_reader(tmp_path / "open", lock=False)
    with pytest.raises(DamagedPackage, match="never locked"):
        verify_package(folder / "model", folder / "card.toml")


def test_a_folder_without_a_graph_cannot_be_locked(tmp_path: Path) -> None:
    folder = write_tiny_reader(tmp_path / "empty", lock=False)
    (folder / "model/network.onnx").unlink()
    with pytest.raises(DamagedPackage, match=r"no \.onnx graph"):
        lock_package(folder / "model", folder / "card.toml")


def test_a_file_changed_after_verification_is_not_used(tiny: Path) -> None:
    package = verify_package(tiny / "model", tiny / "card.toml")
    (tiny / "model/network.onnx").write_bytes(b"another")
    with pytest.raises(DamagedPackage, match=r"network\.onnx"):
        package.read("network.onnx")


def test_a_package_over_the_limits_is_refused(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coread.models.package.MAX_FILE_BYTES", 100)
    with pytest.raises(DamagedPackage, match="larger than the limits"):
        verify_package(tiny / "model", tiny / "card.toml")


NAMES = st.text(alphabet="abc/.", min_size=1, max_size=8)
FILES = st.dictionaries(NAMES, st.sampled_from(["0" * 64, "1" * 64, "f" * 64]), min_size=1, max_size=5)


@given(FILES, FILES)
@settings(max_examples=60)
def test_the_digest_is_free_of_order_and_differs_for_other_listings(one: dict[str, str], other: dict[str, str]) -> None:
    files = tuple(PackagedFile(name, sha) for name, sha in one.items())
    digest = package_digest("r", "1", "c", files)
    assert package_digest("r", "1", "c", tuple(reversed(files))) == digest
    others = tuple(PackagedFile(name, sha) for name, sha in other.items())
    assert (package_digest("r", "1", "c", others) == digest) == (one == other)
    assert package_digest("r", "2", "c", files) != digest
