"""Studies made of headers alone, for the pure rooms."""

from collections.abc import Sequence
from datetime import UTC, datetime

from coread.domain.cards import Estimate, InputContract, OperatingPoint, OutputSpec, ReaderCard, ReaderKind, Resources
from coread.domain.codes import Code
from coread.domain.study import Instance, InstanceHeader, Origin, Series, Study, StudyState

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
DX_CLASS = "1.2.840.10008.5.1.4.1.1.1.1"


def header(number: int = 1, **changes: object) -> InstanceHeader:
    values: dict[str, object] = {
        "study_instance_uid": "1.2.3",
        "series_instance_uid": "1.2.3.1",
        "sop_instance_uid": f"1.2.3.1.{number}",
        "sop_class_uid": DX_CLASS,
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "patient_id": "P1",
        "patient_name": "Muster^Anna",
        "patient_birth_date": "19700101",
        "study_date": "20260504",
        "modality": "DX",
        "body_part_examined": "CHEST",
        "view_position": "PA",
        "series_number": 1,
        "instance_number": number,
        "rows": 512,
        "columns": 512,
    }
    return InstanceHeader(**(values | changes))  # type: ignore[arg-type]


def study(headers: Sequence[InstanceHeader], door: str = "c-store") -> Study:
    by_series: dict[str, list[InstanceHeader]] = {}
    for item in headers:
        by_series.setdefault(item.series_instance_uid, []).append(item)
    series = tuple(
        Series(
            "1.2.3",
            uid,
            items[0].modality,
            items[0].series_number,
            "",
            items[0].body_part_examined,
            len(items),
            tuple(Instance(item, "", 1, "0" * 64, NOW, Origin(door)) for item in items),
        )
        for uid, items in by_series.items()
    )
    return Study(
        study_instance_uid="1.2.3",
        patient_id="P1",
        issuer_of_patient_id="",
        patient_name="Muster^Anna",
        patient_birth_date="19700101",
        patient_sex="F",
        accession_number="A1",
        study_id="1",
        study_date="20260504",
        study_time="120000",
        study_description="",
        referring_physician_name="",
        modalities=tuple(sorted({item.modality for item in headers})),
        series_count=len(series),
        instance_count=len(headers),
        state=StudyState.SETTLED,
        settled_reason=None,
        generation=1,
        first_received_at=NOW,
        last_received_at=NOW,
        settled_at=NOW,
        series=series,
    )


CHEST_CONTRACT = InputContract(
    modalities=("DX", "CR"),
    sop_class_uids=(),
    body_parts=("CHEST",),
    views=("PA", "AP"),
    min_age_years=18.0,
    max_age_years=None,
    min_rows=128,
    min_columns=128,
    max_pixels=4096 * 4096,
    min_images=1,
    max_images=4,
)


def card(reader_id: str = "chest", contract: InputContract = CHEST_CONTRACT) -> ReaderCard:
    estimate = Estimate(0.9, 0.8, 0.95, 100)
    point = OperatingPoint("balanced", 0.5, "by hand", estimate, estimate, "generated images")
    output = OutputSpec("nodule", "Nodule", Code("27925004", "SCT", "Nodule"), None, True, None, (point,), "balanced")
    return ReaderCard(
        reader_id=reader_id,
        name="Chest",
        version="1.0.0",
        kind=ReaderKind.TRIAGE,
        intended_use="tests",
        not_for="patients",
        research_use=True,
        input=contract,
        outputs=(output,),
        training_data=(),
        training_licence="Apache-2.0",
        validation="none",
        limits=(),
        resources=Resources(512, 20.0),
    )
