"""Texts made to hurt: a megabyte of anything takes time in proportion, and what is no report is not judged."""

import time

import pytest

from coread.reports import NotAssessed, label_report

LIMIT_S = 20.0
HURTFUL = [
    "no ",
    "opacity ",
    "opacity, ",
    "opacity or ",
    "1 x ",
    "5 mm nodule ",
    "no.\n",
    "impression:",
    "exam: x ",
    "a:",
    "reason for ",
    "vs. ",
    "no effusion;",
    "effusion is not seen ",
    "not without ",
    "history: x\n ",
    "no history of if ",
]


@pytest.mark.slow
@pytest.mark.parametrize("piece", HURTFUL)
def test_a_long_text_takes_time_in_proportion(piece: str) -> None:
    def seconds(length: int) -> float:
        text = (piece * (length // len(piece) + 1))[:length]
        began = time.process_time()
        label_report(text)
        return time.process_time() - began

    short, long = seconds(40_000), seconds(160_000)
    assert long < LIMIT_S
    assert long < 12 * short + 0.1  # linear is 4; quadratic would be 16


@pytest.mark.slow
@pytest.mark.parametrize("piece", HURTFUL)
def test_a_megabyte_is_read_in_seconds(piece: str) -> None:
    began = time.process_time()
    label_report((piece * 1_000_000)[:1_000_000])
    assert time.process_time() - began < LIMIT_S


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", NotAssessed.EMPTY),
        (" \n\t ", NotAssessed.EMPTY),
        ("\x00\x01\x02\x03abc\x00\x00", NotAssessed.NOT_TEXT),
        ("((((((", NotAssessed.NOT_TEXT),
        ("x " * 2_000_001, NotAssessed.TOO_LONG),
        ("Keine Infiltrate, kein Erguss. Das Herz ist nicht vergrößert.", NotAssessed.NOT_ENGLISH),
        ("Pas d'épanchement pleural. La silhouette cardiaque est normale.", NotAssessed.NOT_ENGLISH),
        ("Sin derrame pleural. La silueta cardíaca es normal y los pulmones están claros.", NotAssessed.NOT_ENGLISH),
        ("Sem derrame pleural. O coração não está aumentado.", NotAssessed.NOT_ENGLISH),
        ("Non versamento pleurico. Il cuore è di dimensioni normali nel complesso.", NotAssessed.NOT_ENGLISH),
        ("Geen pneumothorax. Het hart is niet vergroot.", NotAssessed.NOT_ENGLISH),
        ("胸部に異常陰影を認めません。心拡大なし。", NotAssessed.NOT_ENGLISH),
        ("Плевральный выпот не определяется. Сердце не расширено.", NotAssessed.NOT_ENGLISH),
        ("lorem ipsum dolor sit amet consectetur adipiscing elit", NotAssessed.NOT_ENGLISH),
    ],
)
def test_what_is_no_english_report_is_not_judged(text: str, reason: NotAssessed) -> None:
    report = label_report(text)
    assert report.not_assessed is reason
    assert report.labels == ()


@pytest.mark.parametrize("text", ["No ptx.", "Effusion", "NAD. Clear.", "CHF", "Cardiomegally"])
def test_a_short_english_report_is_judged(text: str) -> None:
    assert label_report(text).assessed
