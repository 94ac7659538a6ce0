"""Inputs that fit a reader's card, computed with known content, for checking any reader without its author's help."""

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from coread.domain.cards import ReaderCard
from coread.domain.errors import Misconfigured
from coread.domain.images import PlanarImage
from coread.domain.reading import ReaderInputs
from coread.domain.study import InstanceHeader, Study, StudyState

_RADIOGRAPHS = frozenset({"DX", "CR"})
_CHEST = frozenset({"CHEST", "THORAX"})
_ROWS = 512
_PICTURES: tuple[tuple[int, tuple[str, ...]], ...] = (
    (11, ("effusion", "cardiomegaly")),
    (12, ("pneumothorax",)),
    (13, ("opacity", "nodule")),
    (14, ()),
)
"""Seed and findings of each generated chest."""


def sample_inputs(card: ReaderCard) -> tuple[ReaderInputs, ...]:
    """Return inputs that the card accepts; raises Misconfigured where nothing generated fits it."""
    contract = card.input
    modalities = [name for name in contract.modalities if name in _RADIOGRAPHS]
    chest = not contract.body_parts or _CHEST.intersection(contract.body_parts)
    if contract.presentation == "planar" and modalities and chest:
        rows = max(_ROWS, contract.min_rows, contract.min_columns)
        return tuple(_chest(modalities[0], seed, findings, rows) for seed, findings in _PICTURES)
    raise Misconfigured(
        f"no generated image fits the input contract of {card.reader_id}. Give samples of your own to check_reader."
    )


def inputs_of(images: Sequence[PlanarImage]) -> ReaderInputs:
    """Make planar images the whole of a study."""
    return ReaderInputs(study_of([image.header for image in images]), images=tuple(images))


def study_of(headers: Sequence[InstanceHeader], now: datetime | None = None) -> Study:
    """Return the record of a study that was never stored, from the headers of its images."""
    first, at = headers[0], now or datetime.now(UTC)
    return Study(
        study_instance_uid=first.study_instance_uid,
        patient_id=first.patient_id,
        issuer_of_patient_id=first.issuer_of_patient_id,
        patient_name=first.patient_name,
        patient_birth_date=first.patient_birth_date,
        patient_sex=first.patient_sex,
        accession_number=first.accession_number,
        study_id=first.study_id,
        study_date=first.study_date,
        study_time=first.study_time,
        study_description=first.study_description,
        referring_physician_name=first.referring_physician_name,
        modalities=tuple(sorted({header.modality for header in headers} - {""})),
        series_count=len({header.series_instance_uid for header in headers}),
        instance_count=len(headers),
        state=StudyState.SETTLED,
        settled_reason=None,
        generation=1,
        first_received_at=at,
        last_received_at=at,
        settled_at=at,
    )


def _chest(modality: str, seed: int, findings: tuple[str, ...], rows: int) -> ReaderInputs:
    from coread.imaging.header import scan_header
    from coread.imaging.planar import load_planar
    from coread.phantoms.chest import ChestRecipe, chest_radiograph

    recipe = ChestRecipe(seed=seed, findings=findings, side="R", size=0.9, rows=rows, modality=modality)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.dcm"
        chest_radiograph(recipe).dataset.save_as(path, enforce_file_format=True)
        return inputs_of([load_planar(path, scan_header(path))])
