"""A small hospital in a store: generated studies with every outcome, for the tests of the web front."""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from coread.app.pipeline import evidence_maker
from coread.app.settings import Settings
from coread.app.web.accounts import create_account
from coread.app.web.context import BrokenReader, CheckLevel, DestinationState, HealthCheck, WebContext, WebSettings
from coread.domain.cards import Estimate, InputContract, OperatingPoint, OutputSpec, ReaderCard, ReaderKind, Resources
from coread.domain.codes import CHEST, Code
from coread.domain.findings import Box, Finding, HeatMap, ImageReference, Presence, Region, TrackingId
from coread.domain.identifiers import derived_uid, digest_of
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import Failure, Provenance, Reading, ReadResult, Refusal
from coread.domain.study import Origin, SettledReason
from coread.domain.work import DeliveryProtocol, Destination, Priority, RoutingDecision
from coread.evidence.build import build_evidence
from coread.imaging.header import scan_header
from coread.phantoms.chest import ChestRecipe, chest_radiograph
from coread.phantoms.dx import Identity
from coread.readers.registry import InstalledReader
from coread.store import StagedFile, Store

PACS = Destination("PACS", DeliveryProtocol.C_STORE, "127.0.0.1:4242", "ORTHANC")
RESEARCH = Destination("Research archive", DeliveryProtocol.STOW_RS, "http://127.0.0.1:8042/dicom-web")
DIGEST = sha256(b"a package").hexdigest()
_FINDINGS = (
    ("pneumothorax", "Pneumothorax", Code("36118008", "SCT", "Pneumothorax"), True),
    ("effusion", "Pleural effusion", Code("60046008", "SCT", "Pleural effusion"), False),
    ("cardiomegaly", "Cardiomegaly", Code("8186001", "SCT", "Cardiomegaly"), False),
    ("opacity", "Lung opacity", Code("128309002", "SCT", "Abnormally opaque structure"), False),
)


def _output(key: str, name: str, concept: Code, urgent: bool) -> OutputSpec:
    point = OperatingPoint(
        "balanced", 0.5, "highest Youden index on the calibration patients",
        Estimate(0.86, 0.81, 0.90, 212), Estimate(0.88, 0.86, 0.90, 1040), "test patients, not real numbers",
    )  # fmt: skip
    sensitive = replace(point, name="sensitive", threshold=0.3, rule="sensitivity >= 0.95 on the calibration patients")
    return OutputSpec(
        key, name, concept, CHEST, urgent, Estimate(0.93, 0.91, 0.95, 1252), (point, sensitive), "balanced"
    )


CARD = ReaderCard(
    reader_id="chest_test",
    name="Chest radiograph (test)",
    version="0.1.0",
    kind=ReaderKind.DETECTION,
    intended_use="Draws attention to frontal chest radiographs of adults that may need to be read before their turn.",
    not_for="Ruling anything out, children, lateral views.",
    research_use=True,
    input=InputContract(("CR", "DX"), (), ("CHEST",), ("PA", "AP"), 16, None, 256, 256, 40_000_000, 1, 4),
    outputs=tuple(_output(*item) for item in _FINDINGS),
    training_data=("generated phantoms",),
    training_licence="none needed",
    validation="Invented numbers for tests of the pages.",
    limits=("Small pneumothoraces are missed more often.", "Not measured on portable machines."),
    resources=Resources(512, 10),
)
READER = InstalledReader(CARD, Path("readers/chest_test"), DIGEST, "tests.web.chest_test")
CHECKS = (
    HealthCheck("DICOM port", CheckLevel.OK, "listening on 127.0.0.1:11112"),
    HealthCheck("clock", CheckLevel.OK, "0.02 s from the time server"),
    HealthCheck("PACS", CheckLevel.WARNING, "C-ECHO took 4.1 s", "look at the network between here and the PACS"),
)


@dataclass(frozen=True, slots=True)
class Sent:
    """One generated study and what a reader was made to say of it."""

    study_uid: str
    accession_number: str
    work_id: int = 0


def send(store: Store, dataset: Dataset, *, association_id: str = "a1") -> str:
    """Put one object into the store, as a receiver would; returns its study."""
    path = store.staging_folder() / f"{dataset.SOPInstanceUID}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    data = path.read_bytes()
    origin = Origin("c-store", "SCANNER", "127.0.0.1", association_id)
    store.add_files([StagedFile(path, scan_header(path), len(data), sha256(data).hexdigest(), origin)])
    return str(dataset.StudyInstanceUID)


def chest(
    number: int, findings: tuple[str, ...] = (), *, name: str = "", child: bool = False, rows: int = 384,
    description: str = "SYNTHETIC chest",
) -> Dataset:  # fmt: skip
    """Return a generated chest radiograph."""
    identity = Identity(
        patient_name=name or f"SYNTHETIC^CASE{number:02d}",
        patient_id=f"SYN-{number:04d}",
        patient_birth_date="20220510" if child else "19580304",
        patient_sex="MF"[number % 2],
        accession_number=f"ACC{number:05d}",
        study_date=f"{datetime.now(UTC):%Y%m%d}",
        study_description=description,
        uid_seed=f"web-{number}",
    )
    recipe = ChestRecipe(seed=number, findings=findings, rows=rows, identity=identity, child=child)
    return chest_radiograph(recipe).dataset


def settle(
    store: Store, study_uid: str, *, accepted: bool = True, reason: Reason | None = None, stat: bool = False
) -> int:
    """Settle and route a study; returns the work item, 0 when it was declined."""
    study = store.settle(study_uid, SettledReason.ASSOCIATION_COMPLETE, "1 series complete")
    uids = tuple(one.header.sop_instance_uid for one in store.instances(study_uid=study_uid)) if accepted else ()
    decision = RoutingDecision(
        study_uid, study.generation, CARD.reader_id, CARD.version, accepted, uids, reason, datetime.now(UTC)
    )
    items = store.record_decisions([decision], Priority.STAT if stat else Priority.MEDIUM)
    return items[0].work_id if items else 0


def finish(store: Store, ending: ReadResult | Refusal | Failure, *, evidence: bool = True) -> int:
    """Let a worker take the next item and end it like this; returns the work item."""
    item = store.claim_work("test worker", 60)
    if item is None:
        raise AssertionError("nothing waits for a reader")
    begun = datetime.now(UTC)
    time.sleep(0.03)
    now = datetime.now(UTC)
    provenance = Provenance(
        CARD.reader_id, CARD.version, DIGEST, digest_of(item.sop_instance_uids), "0.1.0",
        "onnxruntime 1.32.0 CPUExecutionProvider", begun, now,
        (("decode", 0.008), ("infer", 0.021), ("interpret", 0.001)),
    )  # fmt: skip
    reading = Reading(ending, provenance)
    paths = [store.path_of(one.path) for one in store.instances(item.sop_instance_uids)]
    objects = build_evidence(reading, CARD, paths) if evidence else ()
    store.finish_work(item.work_id, "test worker", reading, objects, (PACS, RESEARCH))
    return item.work_id


def result(image: ImageReference, probabilities: dict[str, float], size: tuple[int, int] = (384, 320)) -> ReadResult:
    """Return a result with these probabilities; present findings get a box and a heat map."""
    findings = []
    rows, columns = size
    for index, (key, _, concept, urgent) in enumerate(_FINDINGS):
        probability = probabilities.get(key, 0.04)
        present = probability >= 0.5
        box = Box(image, columns * 0.15, rows * (0.18 + 0.1 * index), columns * 0.42, rows * (0.42 + 0.1 * index))
        places = np.mgrid[0:24, 0:24]
        hot = np.exp(-((places[0] - 7 - 2 * index) ** 2 + (places[1] - 7) ** 2) / 14).astype(np.float32)
        findings.append(
            Finding(
                key, concept, Presence.PRESENT if present else Presence.ABSENT, probability, 0.5, "balanced", CHEST,
                tracking=TrackingId(f"{key} 1", derived_uid("test", image.sop_instance_uid, key)),
                images=(image,), locations=(box,) if present else (), urgent=present and urgent,
                heat_maps=(HeatMap(image, hot),) if present else (),
            )
        )  # fmt: skip
    return ReadResult(tuple(findings), regions=_regions(image, size, findings))


def _regions(image: ImageReference, size: tuple[int, int], findings: list[Finding]) -> tuple[Region, ...]:
    """Outline the first present finding, so that there is a segmentation to send."""
    first = next((finding for finding in findings if finding.locations and finding.tracking is not None), None)
    if first is None or first.tracking is None:
        return ()
    rows, columns = size
    mask = np.zeros(size, dtype=np.bool_)
    mask[int(rows * 0.2) : int(rows * 0.4), int(columns * 0.18) : int(columns * 0.4)] = True
    abnormality = Code("49755003", "SCT", "Morphologically abnormal structure")
    return (Region(first.concept.meaning, abnormality, first.concept, mask, (image,), first.tracking),)


def reference(store: Store, study_uid: str) -> ImageReference:
    """Return the first image of a study, not our own objects."""
    header = next(one for one in store.instances(study_uid=study_uid) if one.origin.door != "own").header
    return ImageReference(header.sop_class_uid, header.sop_instance_uid, header.series_instance_uid)


def read_study(store: Store, dataset: Dataset, probabilities: dict[str, float], *, evidence: bool = True) -> Sent:
    """Send, route and read one study to a positive or negative end."""
    uid = send(store, dataset)
    settle(store, uid)
    said = result(reference(store, uid), probabilities, (int(dataset.Rows), int(dataset.Columns)))
    work_id = finish(store, said, evidence=evidence)
    return Sent(uid, str(dataset.AccessionNumber), work_id)


def fill(store: Store, *, rows: int = 384) -> dict[str, Sent]:
    """Fill a store with one study of every kind."""
    sent = {"negative": read_study(store, chest(1, rows=rows), {})}
    sent["failed"] = _other(store, chest(2, rows=rows), Failure("WorkerDied", "the worker ended with signal 11"))
    child = Refusal(Reason(ReasonCode.WRONG_AGE, "the patient is 3 years old"))
    sent["not_analysed"] = _other(store, chest(3, rows=rows, child=True), child)
    sent["effusion"] = read_study(store, chest(4, ("effusion",), rows=rows), {"effusion": 0.81, "opacity": 0.41})
    sent["positive"] = read_study(
        store, chest(5, ("pneumothorax",), rows=rows), {"pneumothorax": 0.93, "effusion": 0.55}
    )
    _deliver(store, sent["positive"].study_uid)
    uid = send(store, chest(6, rows=rows))
    settle(store, uid, accepted=False, reason=Reason(ReasonCode.WRONG_BODY_PART, "HAND"))
    sent["declined"] = Sent(uid, "ACC00006")
    waiting = send(store, chest(7, rows=rows))
    sent["waiting"] = Sent(waiting, "ACC00007", settle(store, waiting, stat=True))
    sent["receiving"] = Sent(send(store, chest(8, rows=rows)), "ACC00008")
    return sent


def _other(store: Store, dataset: Dataset, ending: Refusal | Failure) -> Sent:
    uid = send(store, dataset)
    settle(store, uid)
    return Sent(uid, str(dataset.AccessionNumber), finish(store, ending))


def _deliver(store: Store, study_uid: str) -> None:
    """The PACS takes everything, the research archive never answers."""
    for _ in store.deliveries(study_uid=study_uid, destination=PACS.name):
        pass
    while (delivery := store.claim_delivery(PACS.name, "test", 30)) is not None:
        store.delivery_sent(delivery.delivery_id)
    first = store.claim_delivery(RESEARCH.name, "test", 30)
    if first is not None:
        store.delivery_dead(first.delivery_id, "connection refused after 8 attempts")


def context(store: Store, **settings: object) -> WebContext:
    """Return what the application shows."""
    retry = datetime.now(UTC) + timedelta(seconds=40)
    return WebContext(
        store=store,
        readers=(READER,),
        broken_readers=(BrokenReader("old_reader", "its package was changed after it was locked"),),
        destinations=(PACS, RESEARCH),
        evidence=evidence_maker(Settings.model_validate({})),
        settings=WebSettings(version="0.1.0", **settings),  # type: ignore[arg-type]
        destination_states=lambda: {"Research archive": DestinationState("open", "connection refused", retry)},
        health=lambda: CHECKS,
    )


def add_people(store: Store) -> dict[str, str]:
    """Make one user of each role; returns their passwords."""
    return {
        role: create_account(store, role, role, actor="test") for role in ("radiologist", "administrator", "auditor")
    }
