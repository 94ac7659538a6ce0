"""From an indexed study to the facts that settling rests on."""

from datetime import datetime

from coread.domain.study import Series, Study
from coread.imaging.completeness import series_is_complete
from coread.route.settle import Activity, SeriesFacts, StudyFacts

_OWN_DOOR = "own"


def study_facts(
    study: Study,
    *,
    open_associations: int = 0,
    last_association_closed_at: datetime | None = None,
    expected_instances: int | None = None,
) -> StudyFacts:
    """Return the facts of a study that was indexed with its series and instances; our own evidence does not count.

    What came without an association (STOW-RS, folder) is there as a whole when it is indexed.
    """
    received = [item for series in study.series for item in series.instances if item.origin.door != _OWN_DOOR]
    by_association = any(item.origin.association_id for item in received)
    return StudyFacts(
        modalities=tuple(sorted({item.header.modality for item in received} - {""})),
        instance_count=len(received),
        last_received_at=max((item.received_at for item in received), default=study.last_received_at),
        series=tuple(facts for facts in map(_series_facts, study.series) if facts is not None),
        activity=Activity(open_associations, not by_association or last_association_closed_at is not None),
        expected_instances=expected_instances,
    )


def _series_facts(series: Series) -> SeriesFacts | None:
    headers = [item.header for item in series.instances if item.origin.door != _OWN_DOOR]
    if not headers:
        return None
    verdict = series_is_complete(headers)
    return SeriesFacts(series.series_instance_uid, verdict.complete, "" if verdict.complete else verdict.detail)
