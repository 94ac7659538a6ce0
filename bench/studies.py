"""Fills a store's index with many made-up studies, quickly: rows only, no files."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import insert

from coread.domain.identifiers import derived_uid
from coread.domain.study import InstanceHeader
from coread.store import Store, schema
from coread.store.database import Database, Transaction
from coread.store.rows import folded, header_document

FAMILIES = ("Smith", "Garcia", "Müller", "Okafor", "Tanaka", "Nguyen", "Rossi", "Kowalska", "Haddad", "Lindqvist")
MODALITIES = (("DX", 50), ("CT", 25), ("MR", 15), ("US", 8), ("MG", 2))
CHUNK = 5000


def fill(store: Store, count: int, seed: int = 1) -> None:
    """Insert ``count`` studies of one series and one instance, with outcomes for every third."""
    database = Database(store.settings)
    for start in range(0, count, CHUNK):
        rows = list(_studies(random.Random(seed + start), start, min(count, start + CHUNK)))
        database.write(partial(_insert, rows))
    database.close()


def _studies(source: random.Random, first: int, last: int) -> Iterator[dict[str, Any]]:
    names, weights = [name for name, _ in MODALITIES], [weight for _, weight in MODALITIES]
    for number in range(first, last):
        family = f"{source.choice(FAMILIES)}{source.randrange(2000)}"
        day = date(2020, 1, 1) + timedelta(days=source.randrange(2200))
        received = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(seconds=60 * number)
        name = f"{family}^{source.choice('ABCDEFGH')}nna"
        yield {
            "id": number + 1,
            "study_uid": derived_uid("bench", str(number)),
            "patient_id": f"P{source.randrange(50_000):06d}",
            "issuer_of_patient_id": "",
            "patient_name": name,
            "patient_name_folded": folded(name),
            "patient_birth_date": f"{1930 + source.randrange(90)}0{1 + source.randrange(9)}15",
            "patient_sex": source.choice("MF"),
            "accession_number": f"A{number:08d}",
            "study_id": str(number),
            "study_date": f"{day:%Y%m%d}",
            "study_time": f"{source.randrange(24):02d}3000",
            "study_description": source.choice(("Chest PA", "Head", "Abdomen", "Knee left")),
            "referring_physician_name": "Dr^House",
            "referring_folded": "dr^house",
            "search_text": f"{name}\nA{number:08d}".casefold(),
            "modalities": source.choices(names, weights)[0],
            "series_count": 1,
            "instance_count": 1,
            "state": "settled",
            "settled_reason": "silence",
            "generation": 1,
            "first_received_at": received,
            "last_received_at": received,
            "settled_at": received,
            "stat": source.random() < 0.02,
            "urgent": False,
            "urgent_unread": source.random() < 0.01,
            "two_patients": False,
        }


def _insert(rows: list[dict[str, Any]], tx: Transaction) -> None:
    tx.run(insert(schema.studies), rows)
    keys = ({"modality": r["modalities"], "study_date": r["study_date"], "study_key": r["id"]} for r in rows)
    tx.run(insert(schema.study_modalities), list(keys))
    tx.run(insert(schema.series), [_series(row) for row in rows])
    tx.run(insert(schema.instances), [_instance(row) for row in rows])
    tx.run(insert(schema.outcomes), [_outcome(row) for row in rows if row["id"] % 3 == 0])


def _series(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "study_uid": row["study_uid"],
        "series_uid": f"{row['study_uid']}.1",
        "modality": row["modalities"],
        "series_number": 1,
        "instance_count": 1,
        "own": False,
    }


def _instance(row: dict[str, Any]) -> dict[str, Any]:
    uid = row["study_uid"]
    head = InstanceHeader(uid, f"{uid}.1", f"{uid}.1.1", "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.1.2.1")
    return {
        "sop_uid": f"{uid}.1.1",
        "study_uid": uid,
        "series_uid": f"{uid}.1",
        "sop_class_uid": head.sop_class_uid,
        "instance_number": 1,
        "header": header_document(head),
        "path": "studies/none.dcm",
        "size": 1,
        "sha256": "0" * 64,
        "received_at": row["last_received_at"],
        "door": "c-store",
    }


def _outcome(row: dict[str, Any]) -> dict[str, Any]:
    number = row["id"]
    outcome = "failed" if number % 3000 == 0 else "positive" if number % 9 == 0 else "negative"
    return {
        "study_uid": row["study_uid"],
        "reader_id": "chest_xray",
        "reader_version": "1.0",
        "generation": 1,
        "outcome": outcome,
        "headline": "Pneumothorax (suspected)",
        "urgent": row["urgent_unread"],
    }
