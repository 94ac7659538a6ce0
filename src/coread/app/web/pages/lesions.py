"""The API to outline and measure a lesion of a stored series; what a page or a viewer sends when somebody points."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from coread.app.lesions import LesionRefused, Outline, Pointed, Source, StoredMeanwhile, outline_lesion, store_outline
from coread.app.outline_methods import Method
from coread.app.web.api_records import Answer, Document
from coread.app.web.context import WebContext
from coread.app.web.errors import BadInput, Conflict, NotAllowed, NotFound, Occupied
from coread.app.web.guard import Actor, Allow, context_of, note
from coread.app.web.permissions import Permission
from coread.domain.study import Study
from coread.domain.work import EvidenceKind

router = APIRouter(prefix="/api/v1", tags=["Coread"])
MOST_IN_LINE = 4
"""Outlines asked for at once, the one in hand among them."""
_COUNTS = {"point": 3, "line": 6, "box": 6}


class SegmentRequest(BaseModel):
    """What was pointed at: exactly one of point, line and box."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    series_instance_uid: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[0-9.]+$")]
    point: tuple[FiniteFloat, ...] = ()
    line: tuple[FiniteFloat, ...] = ()
    box: tuple[FiniteFloat, ...] = ()
    coordinates: Literal["lps_mm", "voxels"] = "lps_mm"
    method: Method = Method.AUTO
    store: bool = False

    def pointed(self) -> Pointed:
        """Return what was pointed at; raises BadInput for none, several, or another count of numbers."""
        given = {"point": self.point, "line": self.line, "box": self.box}
        chosen = [(kind, numbers) for kind, numbers in given.items() if numbers]
        if len(chosen) != 1:
            raise BadInput("Give exactly one of point, line and box.")
        kind, numbers = chosen[0]
        if len(numbers) != _COUNTS[kind]:
            raise BadInput(f"A {kind} has {_COUNTS[kind]} numbers, not {len(numbers)}.")
        return Pointed(kind, numbers, self.coordinates == "voxels")


class HounsfieldDocument(Document):
    """Attenuation inside the outline, HU."""

    mean: float
    standard_deviation: float
    median: float
    minimum: float
    maximum: float


class StoredObjectDocument(Document):
    """One DICOM object that was stored with the outline."""

    kind: EvidenceKind
    sop_instance_uid: str
    series_instance_uid: str


class SegmentAnswer(Answer):
    """What was outlined and measured."""

    study_instance_uid: str
    series_instance_uid: str
    prompt: str
    volume_ml: float
    volume_ml_half_width: float
    long_axis_mm: float
    short_axis_mm: float
    long_axis_ends_lps_mm: tuple[tuple[float, float, float], tuple[float, float, float]]
    slices: int
    hounsfield: HounsfieldDocument | None
    method: Method
    made_by: str
    package_digest: str
    clearness: float | None
    certainty: float | None
    tracking_uid: str
    notes: tuple[str, ...]
    stored: tuple[StoredObjectDocument, ...] = ()
    work_id: int | None = None


@router.post("/studies/{study_uid}/segment")
def segment(
    request: Request,
    study_uid: str,
    wanted: SegmentRequest,
    actor: Annotated[Actor, Depends(Allow(Permission.CASE))],
) -> SegmentAnswer:
    """Outline and measure the lesion; with ``store`` it becomes a result of the study, which needs case.verdict."""
    context = context_of(request)
    pointed = wanted.pointed()
    if wanted.store and not actor.may(Permission.VERDICT):
        raise NotAllowed(f"Your role ({actor.role}) may not store an outline.")
    study, sources = _series(context, study_uid, wanted.series_instance_uid)
    note(request, actor, "lesion.outlined", study_uid, wanted.series_instance_uid)
    try:
        with _turn(request):
            readers = context.current().readers
            now = context.clock()
            outline = outline_lesion(study, sources, pointed, now, method=wanted.method, readers=readers)
            return _answer(context, actor, request, study, wanted, outline, sources)
    except LesionRefused as problem:
        raise BadInput(str(problem)) from problem
    except StoredMeanwhile as problem:
        raise Conflict(str(problem)) from problem


@contextmanager
def _turn(request: Request) -> Iterator[None]:
    """Outline one lesion at a time: a volume in hand is a gigabyte.

    Few wait for their turn: who waits holds one of the threads that every other page needs too.
    """
    line, outlining = request.app.state.outlining_line, request.app.state.outlining
    if not line.acquire(blocking=False):
        raise Occupied("Other lesions are being outlined. Nothing was done; try again in some seconds.")
    try:
        with outlining:
            yield
    finally:
        line.release()


def _series(context: WebContext, study_uid: str, series_uid: str) -> tuple[Study, list[Source]]:
    store = context.store
    study = store.study(study_uid, with_series=True, with_instances=True)
    if study is None:
        raise NotFound("No study has this UID.")
    found = [one for series in study.series if series.series_instance_uid == series_uid for one in series.instances]
    if not found:
        raise NotFound("This study has no such series.")
    return study, [(store.path_of(one.path), one.header) for one in found]


def _answer(
    context: WebContext, actor: Actor, request: Request, study: Study, wanted: SegmentRequest, outline: Outline,
    sources: list[Source],
) -> SegmentAnswer:  # fmt: skip
    stored = store_outline(context.store, study, outline, sources) if wanted.store else ()
    if stored:
        note(request, actor, "lesion.stored", study.study_instance_uid, outline.reading.provenance.reader_id)
        context.store.add_history(
            study.study_instance_uid, "lesion.outlined", f"{wanted.pointed().text()}: {len(stored)} objects", actor.name
        )
    return SegmentAnswer(
        study_instance_uid=study.study_instance_uid,
        series_instance_uid=wanted.series_instance_uid,
        prompt=wanted.pointed().text(),
        **outline.document(),
        stored=tuple(StoredObjectDocument.model_validate(one) for one in stored),
        work_id=stored[0].work_id if stored else None,
    )
