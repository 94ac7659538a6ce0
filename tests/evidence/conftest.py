"""What the evidence tests share: a radiograph on disk, and objects as parsed data sets."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from coread.domain.work import EncodedObject, EvidenceKind
from tests.evidence.build_sources import radiograph, save


def parse(item: EncodedObject) -> Dataset:
    return dcmread(BytesIO(item.data))


def of_kind(objects: Sequence[EncodedObject], kind: EvidenceKind) -> Dataset:
    (found,) = [item for item in objects if item.kind is kind]
    return parse(found)


@pytest.fixture
def chest(tmp_path: Path) -> tuple[Dataset, Path]:
    dataset = radiograph()
    return dataset, save(dataset, tmp_path / "chest.dcm")
