"""Real objects of every kind and syntax: each has one stated ending, over the decoder and over the network."""

import sqlite3
import subprocess
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coread.app.why import study_story
from coread.deliver.association import echo
from coread.deliver.peer import Peer
from coread.domain.reasons import MEANINGS
from coread.domain.results import Outcome
from coread.imaging.codecs import DECODERS
from coread.imaging.decode import NATIVE, decode_frames
from coread.imaging.header import scan_header
from coread.store import Store, StoreSettings
from tests.acceptance.conftest import Server

SYNTAXES = "dcm_one_ct_16_transfer_syntaxes.zip"
ARCHIVES = (
    "dcm_chest_ct_10_scanners.zip",
    "dcm_ge_head_tilt_gaps.zip",
    SYNTAXES,
    "dcm_seg_sr_objects.zip",
    "mr_brain_siemens_2_series.zip",
)
NOT_KEPT: dict[str, dict[int | None, int]] = {"dcm_seg_sr_objects.zip": {None: 20, 0xA900: 4}}
"""Files by the status they end with. None: pictures, label maps and a text, which no C-STORE client can send;
A900: objects whose File Meta Information names another SOP Instance UID than their data set (PS3.4 B.2.3)."""
READ = {"dcm_ge_head_tilt_gaps.zip": Outcome.NEGATIVE}
"""What a reader says of an archive that one reads: a head without blood. All others read none."""
DEFAULT = (SYNTAXES, "dcm_seg_sr_objects.zip")
"""Sent in the default suite; the others, all of them plain images, in the full one."""
REFERENCE = "CTImage.dcm"


@dataclass(frozen=True, slots=True)
class Decoded:
    """What becomes of one file: its syntax (after 1.2.840.10008.1.2), its codec, and how far values may be off."""

    syntax: str
    codec: str
    worst: float = 0
    """Largest difference of one modality value (HU) from the reference; 0 = every value is equal."""
    mean: float = 0
    against: str = REFERENCE


ENDINGS: dict[str, Decoded] = {
    "CTImage.dcm": Decoded("", "native"),
    "CTImage.dcm_LittleEndianImplicitTransferSyntax_1.2.840.10008.1.2.dcm": Decoded("", "native"),
    "CTImage.dcm_LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1.dcm": Decoded(".1", "native"),
    "CTImage.dcm_BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2.dcm": Decoded(".2", "native"),
    "CTImage.dcm_DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99.dcm": Decoded(".1.99", "native"),
    "CTImage.dcm_RLELosslessTransferSyntax_1.2.840.10008.1.2.5.dcm": Decoded(".5", "_rle"),
    "CTImage.dcm_JPEGProcess14TransferSyntax_1.2.840.10008.1.2.4.57.dcm": Decoded(".4.57", "_lossless_jpeg"),
    "CTImage.dcm_JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70.dcm": Decoded(".4.70", "_lossless_jpeg"),
    "CTImage.dcm_JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80.dcm": Decoded(".4.80", "_jpeg_ls"),
    "CTImage.dcm_JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90.dcm": Decoded(".4.90", "_jpeg2000"),
    # Lossy: NEAR=1 bounds every value; the others are as far off as their encoder's quantisation of this image.
    "CTImage.dcm_JPEGLSLossyTransferSyntax_1.2.840.10008.1.2.4.81.dcm": Decoded(".4.81", "_jpeg_ls", 1, 1),
    "CTImage.dcm_JPEG2000TransferSyntax_1.2.840.10008.1.2.4.91.dcm": Decoded(".4.91", "_jpeg2000", 5, 0.6),
    "CTImage.dcm_JPEGProcess1TransferSyntax_1.2.840.10008.1.2.4.50.dcm": Decoded(".4.50", "_jpeg", 65, 20),
    "CTImage.dcm_JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51.dcm": Decoded(".4.51", "_jpeg", 36, 4),
    "CTImage.dcm_JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53.dcm": Decoded(".4.53", "_jpeg", 36, 4),
    "CTImage.dcm_JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55.dcm": Decoded(".4.55", "_jpeg", 36, 4),
    # Other images, without an uncompressed original here: an independent decoder gives the reference.
    "CT1_J2KR": Decoded(".4.90", "_jpeg2000", against="gdcm"),
    "CT2_J2KR": Decoded(".4.90", "_jpeg2000", against="gdcm"),
    "CT0012.fragmented_no_bot_jpeg_baseline.51.dcm": Decoded(".4.51", "_jpeg", against="dcmdjpeg"),
}
"""Every file of the archive is decoded; none is refused."""


def unpack(archive: Path, folder: Path) -> list[Path]:
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def syntaxes(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("syntaxes")
    unpack(shared_data / "dicom" / SYNTAXES, folder)
    return folder


def codec_of(transfer_syntax_uid: str) -> str:
    """Name the decoder that coread uses for a syntax."""
    if transfer_syntax_uid in NATIVE:
        return "native"
    return str(getattr(DECODERS[transfer_syntax_uid], "__name__", ""))


def modality_values(path: Path) -> Any:
    """Stored values by the file's own rescale (PS3.3 section C.11.1), decoded by coread."""
    from pydicom import dcmread

    head = dcmread(path, stop_before_pixels=True)
    slope, intercept = float(head.get("RescaleSlope", 1)), float(head.get("RescaleIntercept", 0))
    return decode_frames(path).astype(np.float64) * slope + intercept


@pytest.mark.shared
def test_the_table_names_every_file_of_the_archive(syntaxes: Path) -> None:
    assert {path.name for path in syntaxes.iterdir()} == set(ENDINGS)
    assert len(ENDINGS) == 19


@pytest.mark.shared
@pytest.mark.parametrize("name", sorted(ENDINGS))
def test_a_file_of_each_syntax_is_decoded_as_the_table_says(
    syntaxes: Path, tmp_path: Path, need_program: Callable[[str], str], name: str
) -> None:
    path, ending = syntaxes / name, ENDINGS[name]
    header = scan_header(path)
    assert header.transfer_syntax_uid == f"1.2.840.10008.1.2{ending.syntax}"
    assert codec_of(header.transfer_syntax_uid) == ending.codec
    values = modality_values(path)
    if ending.against == "gdcm":
        pytest.importorskip("gdcm", reason="python-gdcm, the independent decoder, is not installed")
        from pydicom.pixels.utils import pixel_array

        assert np.array_equal(decode_frames(path)[0], pixel_array(path, decoding_plugin="gdcm"))
        return
    reference = syntaxes / ending.against
    if ending.against == "dcmdjpeg":
        reference = tmp_path / "plain.dcm"
        subprocess.run([need_program("dcmdjpeg"), path, reference], check=True, timeout=60)
    away = np.abs(values - modality_values(reference))
    assert away.shape == values.shape
    assert away.max() <= ending.worst
    assert away.mean() <= ending.mean


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for every archive."""
    running = Server(tmp_path_factory.mktemp("server") / "server", extra="settle_silence_seconds = 1\n")
    try:
        yield running.start()
    finally:
        running.kill()


@pytest.fixture(scope="module")
def store(server: Server) -> Iterator[Store]:
    """What the server keeps, read beside it."""
    with Store.open(StoreSettings(server.folder / "data")) as opened:
        yield opened


def held(server: Server) -> tuple[int, int, int]:
    """Return how many received objects are indexed, kept aside, and in quarantine."""
    with sqlite3.connect(f"file:{server.folder / 'data' / 'index.sqlite3'}?mode=ro", uri=True) as index:
        [stored] = index.execute("SELECT count(*) FROM instances WHERE door <> 'own'").fetchone()
        [aside] = index.execute("SELECT count(*) FROM conflicts").fetchone()
        [refused] = index.execute("SELECT count(*) FROM quarantine").fetchone()
    index.close()
    return int(stored), int(aside), int(refused)


def distinct_objects(paths: list[Path]) -> tuple[dict[str, set[str]], int]:
    """Return the objects of each study, and how many files repeat another byte for byte."""
    studies: dict[str, set[str]] = {}
    for path in paths:
        header = scan_header(path)
        studies.setdefault(header.study_instance_uid, set()).add(header.sop_instance_uid)
    return studies, sum(len(group) - 1 for group in same_bytes(paths).values())


def same_bytes(paths: list[Path]) -> dict[tuple[str, bytes], list[Path]]:
    """Group files that hold one object: same UID, same data set."""
    groups: dict[tuple[str, bytes], list[Path]] = {}
    for path in paths:
        raw = path.read_bytes()
        end = 144 + int.from_bytes(raw[140:144], "little")
        header = scan_header(path)
        groups.setdefault((header.sop_instance_uid + header.transfer_syntax_uid, raw[end:]), []).append(path)
    return groups


def endings_of(store: Store, study_uid: str) -> list[tuple[Outcome, str]] | None:
    """Return what each reader said of a study, or None while one is under way."""
    if store.study(study_uid) is None:
        return None
    readers = study_story(store, study_uid).readers
    said = [(reader.outcome, reader.explanation) for reader in readers if reader.outcome is not None]
    return said if said and len(said) == len(readers) else None


@pytest.mark.shared
@pytest.mark.parametrize(
    "archive", [name if name in DEFAULT else pytest.param(name, marks=pytest.mark.slow) for name in ARCHIVES]
)
def test_every_file_of_an_archive_has_an_ending_over_c_store(
    server: Server, store: Store, shared_data: Path, tmp_path: Path, archive: str
) -> None:
    files = unpack(shared_data / "dicom" / archive, tmp_path / "in")
    before = held(server)
    answer = server.send(tmp_path / "in").json()["files"]
    assert sorted(row["path"] for row in answer) == [str(path) for path in files]
    assert all(row["ok"] == (row["status"] == 0) for row in answer)
    assert all(row["message"] for row in answer if not row["ok"])
    kept = [Path(row["path"]) for row in answer if row["ok"]]
    refused = Counter(row["status"] for row in answer if not row["ok"])
    assert refused == NOT_KEPT.get(archive, {})
    studies, copies = distinct_objects(kept)
    for uid in sorted(studies):
        for outcome, text in server.wait(partial(endings_of, store, uid), f"no outcome for {uid}"):
            if outcome is READ.get(archive):
                continue
            assert outcome is Outcome.NOT_ANALYSED, (uid, text)
            assert any(meaning[1:] in text for meaning in MEANINGS.values()), (uid, text)
    stored, aside, quarantined = (now - then for now, then in zip(held(server), before, strict=True))
    assert stored == sum(len(objects) for objects in studies.values())
    assert stored + aside + copies == len(kept)
    assert quarantined == refused[0xA900]
    echo(Peer("127.0.0.1", server.dicom_port, "COREAD", "TEST", 10))
