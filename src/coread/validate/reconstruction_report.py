"""The report of a validation of reconstructions: quality by mask, and pictures of the case that went worst."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.validate.blocks import (
    Axis,
    Block,
    Cell,
    Document,
    Dots,
    Facts,
    Figures,
    Heading,
    Picture,
    Pictures,
    Plot,
    Table,
    Text,
)
from coread.validate.plain import Plain, is_estimate
from coread.validate.reconstruction_runs import METRICS, PLAIN, READER, Shown
from coread.validate.report_content import about_blocks, case_blocks, provenance_blocks
from coread.validate.report_html import HTML_FILE, write_page
from coread.validate.report_pdf import PDF_FILE, write_paper
from coread.validate.words import NONE, counted, estimate_cell, number

_WORDS = {"psnr": "PSNR, dB", "ssim": "SSIM", "nmse": "NMSE", "hfen": "HFEN"}
_DIGITS = {"psnr": 2, "ssim": 4, "nmse": 5, "hfen": 4}
_SIDE = 300
_ERROR_TIMES = 5


def write_pages(target: Path, report: Plain, examples: Iterable[tuple[str, str, Shown]]) -> list[str]:
    """Write report.html and report.pdf into the folder of a run; returns their names."""
    pictures = [(mask, picture) for mask, case, shown in examples for picture in _pictures(mask, case, shown)]
    document = _document(report, pictures)
    write_page(target / HTML_FILE, document)
    write_paper(target / PDF_FILE, document)
    return [HTML_FILE, PDF_FILE]


def _document(report: Plain, pictures: Sequence[tuple[str, Picture]]) -> Document:
    reader = report["reader"]
    names = ", ".join(item["name"] for item in report["cohorts"])
    blocks: list[Block] = [*_summary(report), *_worst(report, pictures), *case_blocks(report)]
    return Document(
        title=f"{reader['name']} {reader['version']}",
        subtitle=f"Reconstructions of {names}",
        notice=report["notice"],
        blocks=(*blocks, *about_blocks(report), *provenance_blocks(report)),
        footer=f"package {report['package_digest'][:16]} \u00b7 made {report['run']['made_at'][:10]} "
        f"by Coread {report['run']['coread_version']}",
    )


def _summary(report: Plain) -> list[Block]:
    cohort = report["cohorts"][0]
    source = "SIMULATED raw data: these numbers say nothing of patients" if cohort["simulated"] else "measured raw data"
    blocks: list[Block] = [
        Heading("Quality", anchor="quality"),
        Facts((("raw data", source), ("undersampling", "afterwards, of fully sampled data"))),
        Text(
            "Compared with the root-sum-of-squares images of all samples, over the volume of each case, as fastMRI "
            "defines NMSE, PSNR and SSIM; HFEN is the error of the edges. Means over cases, 95 % intervals by "
            "bootstrap over patients. Lower is better for NMSE and HFEN."
        ),
        _table(report),
        Figures(tuple(_plot(report, metric) for metric in ("psnr", "ssim"))),
    ]
    fallbacks = sum(body["fallbacks"] for body in report["masks"].values())
    if fallbacks:
        told = f"{counted(fallbacks, 'reading')} ended outside of what was validated: the reader says so in its result."
        blocks.append(Text(told, "quiet"))
    return blocks


def _table(report: Plain) -> Table:
    rows = []
    for name, body in report["masks"].items():
        for method, measured in body["methods"].items():
            cells = [_cell(measured[metric], metric) for metric in METRICS]
            count = Cell(f"{body['read']:,}", f"{body['patients']:,} patients, {body['slices']:,} slices")
            speed = _seconds(body) if method == READER else Cell(NONE)
            rows.append((Cell(name), Cell(method), count, *cells, speed))
    columns = ("mask", "images", "cases", *(_WORDS[metric] for metric in METRICS), "s a slice")
    return Table(columns, tuple(rows), numeric=frozenset(range(2, 3 + len(METRICS) + 1)))


def _cell(body: Plain, metric: str) -> Cell:
    if not is_estimate(body) and "mean" in body:
        return Cell(number(body["mean"], _DIGITS[metric]), body["not_estimable"])
    return estimate_cell(body, digits=_DIGITS[metric])


def _seconds(body: Plain) -> Cell:
    return Cell(number(body["seconds_per_slice"], 2))


def _plot(report: Plain, metric: str) -> Plot:
    """Draw a metric against acceleration, the reader beside the images without reconstruction."""
    layers, highest, values = [], 1.0, []
    for method in (READER, PLAIN):
        points, intervals = [], []
        for body in report["masks"].values():
            found = body["methods"][method][metric]
            if "mean" not in found:
                continue
            value = found["mean"]
            points.append((body["acceleration"], value))
            intervals.append((found.get("low", value), found.get("high", value)))
        highest = max([highest, *(point[0] for point in points)])
        values += [bound for pair in intervals for bound in pair]
        layers.append(Dots(tuple(points), tuple(intervals), "main" if method == READER else "reference", method))
    y = _axis(_WORDS[metric], values)
    ticks = tuple(float(tick) for tick in range(0, int(highest) + 3, 2))
    return Plot(f"{_WORDS[metric]} by acceleration", Axis("acceleration", 0.0, ticks[-1], ticks), y, tuple(layers))


def _axis(label: str, values: Sequence[float]) -> Axis:
    if not values:
        return Axis(label)
    low, high = min(values), max(values)
    step = _step(max(high - low, 1e-3))
    first, last = np.floor(low / step) * step, np.ceil(high / step) * step
    ticks = tuple(float(round(tick, 6)) for tick in np.arange(first, last + step / 2, step))
    return Axis(label, ticks[0], max(ticks[-1], ticks[0] + step), ticks)


def _step(span: float) -> float:
    """Return a round distance that gives three to six marks."""
    power = 10.0 ** np.floor(np.log10(span))
    return float(next(factor * power for factor in (0.2, 0.5, 1, 2, 5) if span / (factor * power) <= 6))


def _worst(report: Plain, pictures: Sequence[tuple[str, Picture]]) -> list[Block]:
    if not pictures:
        return []
    blocks: list[Block] = [
        Heading("The case that went worst", anchor="worst"),
        Text(
            "For each mask the case with the lowest SSIM, its middle slice on one grey scale; error and uncertainty "
            f"are {_ERROR_TIMES} times as bright."
        ),
    ]
    for name in report["masks"]:
        shown = tuple(picture for mask, picture in pictures if mask == name)
        if shown:
            blocks += [Heading(name, 2), Pictures(shown)]
    return blocks


def _pictures(mask: str, case: str, shown: Shown) -> list[Picture]:
    """Return reference, zero-filled, result, error and uncertainty of the middle slice."""
    middle = len(shown.reference) // 2
    top = float(np.quantile(shown.reference[middle], 0.995)) or 1.0
    error = np.abs(shown.result - shown.reference)[middle]
    parts = [
        ("all samples", shown.reference[middle] / top),
        ("zero-filled", shown.plain[middle] / top),
        ("result", shown.result[middle] / top),
        (f"error x{_ERROR_TIMES}", _ERROR_TIMES * error / top),
    ]
    if shown.uncertainty is not None:
        parts.append((f"uncertainty x{_ERROR_TIMES}", _ERROR_TIMES * shown.uncertainty[middle] / top))
    return [Picture(_jpeg(grey), words, f"{words} of case {case}, {mask}, slice {middle + 1}") for words, grey in parts]


def _jpeg(grey: NDArray[np.floating]) -> bytes:
    from PIL import Image

    image = Image.fromarray(np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8))
    scale = _SIDE / max(image.size)
    sized = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    stream = io.BytesIO()
    sized.save(stream, "JPEG", quality=85)
    return stream.getvalue()
