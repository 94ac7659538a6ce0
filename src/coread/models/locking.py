"""Locking a release: the folder with card.toml and model/ that goes to a site, with everything that made it inside.

Inside the digest (model/): graphs, preprocessing, calibration, golden cases, data statement, licence, the records of
the steps before, the list of versions. Outside, beside the card: signature.json, validation/, record.json.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coread.models.errors import BrokenLineage, DamagedPackage
from coread.models.golden import check_golden
from coread.models.lineage import RECORD, StepRecord, read_record, write_record
from coread.models.package import MANIFEST, PROCESS, ModelPackage, identity_of, lock_package, verify_package
from coread.models.sbom import ENVIRONMENT, MadeWith, installed_now, lists, recorded, write_sbom
from coread.models.signing import SIGNATURE, Signature, sign_package
from coread.models.writing import write_whole

CARD = "card.toml"
MODEL = "model"
RECORDS = "records"
LICENCE = "LICENCE.txt"
DATA_STATEMENT = "data_statement.md"


@dataclass(frozen=True, slots=True)
class LockPlan:
    """What goes into a release besides what lies in its model folder already."""

    records: tuple[Path, ...] = ()
    """Folders of the steps that made it; their records are proved and packed. Without any, those that lie in
    ``model/records`` stay and are proved."""
    licence: Path | None = None
    data_statement: Path | None = None
    list_versions: bool = True
    made_with: tuple[MadeWith, ...] = ()
    """Versions of each stage; without any, what the steps under ``records`` left, and what is installed now. Without
    either, a list that lies in ``model`` and is of this version and these graphs stays."""
    prove: bool = True
    """Replay the golden cases before signing: a package without them, or that differs here, is of no use."""
    key: Path | None = None
    signer: str = ""
    signed_days: int | None = None


@dataclass(frozen=True, slots=True)
class Locked:
    """A release that was locked now."""

    package: ModelPackage
    signature: Signature | None
    record: StepRecord


def lock_release(folder: Path, plan: LockPlan | None = None) -> Locked:
    """Complete ``folder/model``, lock it, prove it by reading it again, sign it if there is a key, leave a record.

    An older signature is removed: it was over other bytes. Raises DamagedPackage, BrokenLineage, GoldenMismatch or
    BadSignature.
    """
    plan = plan or LockPlan()
    model, card = folder / MODEL, folder / CARD
    steps = [read_record(step) for step in plan.records]
    parents = steps or list(packed_records(model))
    _require_connected(parents)
    draft = lock_package(model, card)
    _copy(plan.licence, model / LICENCE)
    _copy(plan.data_statement, model / DATA_STATEMENT)
    _pack_records(model / RECORDS, plan.records, steps)
    # A package that was packed whole and is signed now stays the one that was validated, byte for byte.
    told = bool(plan.made_with or plan.records)
    if plan.list_versions and (told or not lists(model, draft.reader_id, draft.version)):
        write_sbom(model, draft.reader_id, draft.version, plan.made_with or (*_left_by(plan.records), installed_now()))
    lock_package(model, card)
    package = verify_package(model, card)
    (folder / SIGNATURE).unlink(missing_ok=True)
    if plan.prove and PROCESS not in package.names():
        from coread.models.session import open_session

        check_golden(open_session(model, card, engine="onnxruntime"), model).require()
    signature = None
    if plan.key is not None:
        signature = sign_package(package, folder, plan.key, signer=plan.signer or "unnamed", days=plan.signed_days)
    made = {"package": package.digest}
    names = (f"{MODEL}/{MANIFEST}", CARD)
    settings = {"reader_id": package.reader_id, "version": package.version}
    record = write_record(folder, "lock", inputs=made, outputs=names, parents=parents, settings=settings)
    return Locked(package, signature, record)


def _left_by(steps: Sequence[Path]) -> tuple[MadeWith, ...]:
    """Return the versions that the steps kept of their own."""
    return tuple(recorded(step / ENVIRONMENT, "fit") for step in steps if (step / ENVIRONMENT).is_file())


def packed_records(model_folder: Path) -> tuple[StepRecord, ...]:
    """Return the records inside a package, in the order of their steps; each is proved against its own digest."""
    found = sorted((model_folder / RECORDS).glob(f"*/{RECORD}"))
    return tuple(read_record(path.parent, check_outputs=False) for path in found)


def _pack_records(target: Path, folders: Sequence[Path], records: Sequence[StepRecord]) -> None:
    if target.exists() and folders:
        shutil.rmtree(target)
    for number, (folder, record) in enumerate(zip(folders, records, strict=True), start=1):
        place = target / f"{number:02d}-{record.step.replace(' ', '-')}"
        place.mkdir(parents=True)
        write_whole(place / RECORD, (folder / RECORD).read_bytes())


def _require_connected(records: Sequence[StepRecord]) -> None:
    """Each record after the first must name one of those before it, or the chain proves nothing."""
    for number, record in enumerate(records[1:], start=1):
        if not {earlier.digest for earlier in records[:number]} & set(record.parents):
            raise BrokenLineage(
                f"the step {record.step!r} ({record.digest[:12]}) does not come from the records before it. "
                "Name the folders in their order: dataset, split, train, calibrate."
            )


def _copy(source: Path | None, target: Path) -> None:
    if source is None:
        return
    try:
        write_whole(target, source.read_bytes())
    except OSError as problem:
        raise DamagedPackage(f"{source} cannot be read: {problem.strerror}.") from problem


def claimed_identity(folder: Path) -> tuple[str, str, str]:
    """Return (reader id, version, digest) that a release claims in its manifest, without proving it."""
    path = folder / MODEL / MANIFEST
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        return identity_of(body)
    except FileNotFoundError as problem:
        raise DamagedPackage(f"{path} is missing: {folder} was never locked. Use `coread models lock`.") from problem
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise DamagedPackage(f"{path} cannot be read: {type(problem).__name__}: {problem}.") from problem
