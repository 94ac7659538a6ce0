"""The same lesion or place over the dates of one patient, as plots that can be read."""

from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coread.app.trends import DatedResult, Numbers, Trend, TrendPoint, documents, plot_of, trends_of
from coread.app.verdicts import kept_regions, owners
from coread.domain.codes import Code
from coread.domain.findings import Finding, ImageReference, Measurement, Presence, Region, TrackingId
from coread.domain.identifiers import derived_uid
from coread.domain.results import ReadResult
from coread.engine.samples import study_of
from tests.route.studies import header

VOLUME, ML = Code("118565006", "SCT", "Volume"), Code("ml", "UCUM", "milliliter")
L1 = Code("66794005", "SCT", "L1 vertebra")
LESION = TrackingId("lesion 1", "1.2.3")


def said(day: str, *measurements: Measurement, reader: str = "follow_up") -> DatedResult:
    study = replace(study_of([header(1)], datetime(2026, 1, 1, tzinfo=UTC)), study_date=day, study_instance_uid=day)
    return DatedResult(study, reader, Numbers(f"{reader} 0.1.0", measurements, {}))


def volume(value: float, tracking: TrackingId | None = LESION, site: Code | None = None) -> Measurement:
    return Measurement(VOLUME, value, ML, 0.5, tracking=tracking, site=site)


def test_a_lesion_is_followed_by_its_tracking_uid_whoever_measured_it() -> None:
    results = [
        said("20260401", volume(12.0)),
        said("20260101", volume(8.0), reader="tumor_volume"),
        said("20260701", volume(20.0)),
        said("20260701", volume(3.0, TrackingId("lesion 2", "1.2.4")), reader="tumor_volume"),
    ]
    (trend,) = trends_of(results)
    assert trend.title == "lesion 1: Volume"
    assert [(point.day.isoformat(), point.value) for point in trend.points] == [
        ("2026-01-01", 8.0), ("2026-04-01", 12.0), ("2026-07-01", 20.0)
    ]  # fmt: skip
    assert trend.points[0].measured_by == "tumor_volume 0.1.0"


def test_a_place_is_followed_by_one_reader_only() -> None:
    here = [said(day, volume(1.0, TrackingId("ROI", day), L1), reader="bone") for day in ("20260101", "20260401")]
    other = said("20260601", volume(9.0, None, L1), reader="another")
    (trend,) = trends_of([*here, other])
    assert len(trend.points) == 2


def test_what_stands_twice_in_one_result_or_has_no_date_is_not_plotted() -> None:
    twice = said("20260101", volume(1.0), volume(2.0))
    assert trends_of([twice, said("20260401", volume(3.0)), said("", volume(4.0))]) == ()


def test_a_rejected_value_is_shown_struck_through_and_lies_on_no_line() -> None:
    rejected = replace(said("20260401", volume(12.0)), rejected={"1.2.3": "rejected by dr, 2026-04-02"})
    results = [said("20260101", volume(8.0)), rejected, said("20260701", volume(20.0))]
    plot = plot_of(trends_of(results)[0])
    assert [mark.rejected for mark in plot.marks] == [False, True, False]
    assert len(plot.line.split()) == 2
    assert "2026-04-01 12 \u00b1 0.5 (rejected by dr, 2026-04-02)" in plot.summary
    (document,) = documents([plot])
    points = document["points"]
    assert isinstance(points, list)
    assert [point["rejected"] for point in points] == [None, "rejected by dr, 2026-04-02", None]
    again = said("20260401", volume(11.0), reader="another")
    for both in ([rejected, again], [again, rejected]):
        (trend,) = trends_of([*results[::2], *both])
        assert trend.points[1].value == 11.0
    assert trends_of([rejected, replace(rejected, study=replace(rejected.study, study_date="20260501"))]) == ()


def test_what_a_finding_owns_is_known_by_tracking_uid_or_kind() -> None:
    grid = np.zeros((2, 2), dtype=np.bool_)
    image = ImageReference("1.2", "1.2.1", "1.2.2")
    nodule, matter = Code("N", "99T", "Nodule"), Code("W", "99T", "White matter lesion")

    def region(uid: str, kind: Code) -> Region:
        return Region(uid, kind, kind, grid, (image,), TrackingId(uid, uid))

    result = ReadResult(
        (
            Finding("nodule", nodule, Presence.PRESENT, tracking=LESION),
            Finding("lesions", matter, Presence.PRESENT),
            Finding("growth", ML, Presence.ABSENT),
        ),
        regions=(
            region("1.2.3", nodule), region(derived_uid("1.2.3", "outline"), nodule), region("1.9", matter),
            region("1.8", L1), region("1.7", nodule),
        ),
    )  # fmt: skip
    of = owners(result)
    assert of == {"1.2.3": "nodule", derived_uid("1.2.3", "outline"): "nodule", "1.9": "lesions"}
    assert [one.label for one in kept_regions(result, ["nodule"])] == ["1.9", "1.8", "1.7"]


def test_a_region_that_names_its_finding_goes_with_it_also_where_that_is_indeterminate() -> None:
    image, kind = ImageReference("1.2", "1.2.1", "1.2.2"), Code("52988006", "SCT", "Lesion")

    def region(uid: str, finding: str) -> Region:
        return Region(uid, kind, kind, np.zeros((2, 2), dtype=np.bool_), (image,), TrackingId(uid, uid),
                      finding_key=finding)  # fmt: skip

    result = ReadResult(
        (
            Finding("new_ct_lesion", ML, Presence.INDETERMINATE),
            Finding("new_flair_lesion", L1, Presence.PRESENT),
            Finding("lesion_growth", kind, Presence.PRESENT, tracking=LESION),
        ),
        regions=(region("1.3", "new_ct_lesion"), region("1.4", "new_flair_lesion"), region("1.5", "")),
    )
    assert [one.label for one in kept_regions(result, ["new_ct_lesion"])] == ["1.4", "1.5"]
    assert [one.label for one in kept_regions(result, ["new_flair_lesion"])] == ["1.3", "1.5"]
    assert [one.label for one in kept_regions(result, ["lesion_growth"])] == ["1.3", "1.4", "1.5"]


@pytest.mark.parametrize("concept", ["VOLUME_CHANGE", "NEW_VOLUME", "GONE_VOLUME", "NEW_COUNT"])
def test_what_compares_dates_itself_is_not_plotted(concept: str) -> None:
    change = Measurement(Code(concept, "99COREAD", "Change"), 12.0, ML, tracking=LESION)
    assert trends_of([said("20260101", change), said("20260401", change)]) == ()


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3000), st.integers(-10**6, 10**6).map(lambda v: v / 100), st.none() | st.floats(0, 100)
        ),
        min_size=2, max_size=9, unique_by=lambda item: item[0],
    )
)  # fmt: skip
def test_every_point_lies_inside_the_plot_and_no_label_over_another(
    rows: list[tuple[int, float, float | None]],
) -> None:
    points = tuple(
        TrendPoint(date.fromordinal(738000 + day), value, half, "1.2", "reader") for day, value, half in sorted(rows)
    )
    plot = plot_of(Trend("Volume", "ml", points))
    for mark in plot.marks:
        assert plot.left <= mark.x <= plot.right
        for y in (mark.y, mark.low_y, mark.high_y):
            assert y is None or 0 < y <= plot.base + 0.1
    labelled = [mark.x for mark in plot.marks if mark.date_label]
    assert labelled[-1] == plot.marks[-1].x
    assert all(later - earlier >= 70 for earlier, later in pairwise(labelled))
    heights = [y for y, _ in plot.ticks]
    assert all(earlier - later >= 14 for earlier, later in pairwise(heights))
    assert len({label for _, label in plot.ticks}) == len(plot.ticks)


def test_the_plot_says_its_values_in_words_and_as_json() -> None:
    plot = plot_of(trends_of([said("20260101", volume(8.0)), said("20260401", volume(12.0))])[0])
    assert plot.summary == "lesion 1: Volume, ml: 2026-01-01 8 \u00b1 0.5; 2026-04-01 12 \u00b1 0.5"
    (document,) = documents([plot])
    assert document["unit"] == "ml"


@pytest.mark.parametrize(("low", "first"), [(8.0, "0"), (11.5, "11.0")])
def test_the_axis_begins_at_zero_unless_the_values_are_far_from_it(low: float, first: str) -> None:
    trend = trends_of([said("20260101", volume(low)), said("20260401", volume(12.5 if low > 10 else 40.0))])[0]
    assert plot_of(trend).ticks[0][1] == first
