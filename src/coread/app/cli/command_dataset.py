"""``coread dataset``: indices of labelled images: built from public sets or a PACS, split, checked and shown."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coread.app.cli.command_cohort import cohort
from coread.app.cli.command_dataset_clinical import clinical
from coread.app.cli.command_dataset_label import label
from coread.app.cli.command_pretrain import suggest
from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.output import answer_json, complain, say, show_table
from coread.app.cli.shown_progress import shown_progress

if TYPE_CHECKING:
    from coread.train.adapters.contract import ReadOptions
    from coread.train.datasets import ImageIndex

AS_JSON = typer.Option("--json", help="answer as one JSON document")


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Labelled images: build, split, check, show.")
    app.add_typer(group, name="dataset")
    group.command("adapters")(adapters)
    group.command("build")(build)
    group.command("label")(label)
    group.command("clinical")(clinical)
    group.command("split")(split)
    group.command("check")(check)
    group.command("show")(show)
    group.command("suggest")(suggest)
    group.command("cohort")(cohort)


def adapters(json: Annotated[bool, AS_JSON] = False) -> None:
    """List the public sets that can be read as they are distributed."""
    from coread.train.adapters import ADAPTERS

    if json:
        answer_json(
            [
                {
                    "name": name, "title": adapter.title, "licence": adapter.licence,
                    "citation": adapter.citation, "layout": adapter.layout,
                }
                for name, adapter in sorted(ADAPTERS.items())
            ]
        )  # fmt: skip
    else:
        rows = [(name, adapter.title, adapter.licence) for name, adapter in sorted(ADAPTERS.items())]
        show_table(("adapter", "what it reads", "licence"), rows, "Adapters")


def build(
    adapter: Annotated[str, typer.Argument(help="name of an adapter; see `coread dataset adapters`")],
    source: Annotated[Path, typer.Argument(help="folder of the set, as it was unpacked")],
    out: Annotated[Path, typer.Option(help="folder for the index; must be new or empty")],
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="name=NAME, table=FILE.csv, label=COLUMN or FIELD=COLUMN of the table; repeat"),
    ] = None,
    query: Annotated[
        Path | None, typer.Option(help="TOML file: first fetch from an archive (C-MOVE, DICOMweb) into SOURCE")
    ] = None,
    deidentify: Annotated[
        Path | None, typer.Option(help="TOML file of rules: write de-identified copies (PS3.15 annex E) into OUT")
    ] = None,
    leave_out: Annotated[bool, typer.Option("--leave-out", help="leave missing or damaged images out")] = False,
    json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Read a set through its adapter, open every image, and write its index. Goes on where it was stopped."""
    from coread.train.dataset_build import BuildPlan, build_dataset
    from coread.train.deidentified import read_rules

    if query is not None:
        _fetch(query, source, leave_out=leave_out, quiet=json)
    name, options = _options(setting or [])
    rules = read_rules(deidentify) if deidentify is not None else None
    plan = BuildPlan(adapter, source, out, name=name, options=options, leave_out=leave_out, deidentify=rules)
    with shown_progress(f"{adapter}: opening images", quiet=json) as step:
        index = build_dataset(plan, step)
    _answer(index, json=json)


def split(
    folder: Annotated[Path, typer.Argument(help="folder of a data set")],
    out: Annotated[Path, typer.Option(help="folder for the split set; must be new or empty")],
    by: Annotated[str, typer.Option(help="patient, group, site or time")] = "group",
    parts: Annotated[str, typer.Option(help="names and shares, e.g. train=70,tune=15,test=15")] = "",
    folds: Annotated[int, typer.Option(min=2, max=50, help="this many equal parts instead")] = 4,
    seed: Annotated[int, typer.Option(help="another number gives another split")] = 0,
    label: Annotated[list[str] | None, typer.Option(help="spread these labels evenly; repeat; default: all")] = None,
    json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Divide a set by patient, group, site or time; duplicates are found and kept together. Fails on any leak."""
    from coread.train.dataset_split import dates_of_unknown_kind, split_dataset
    from coread.train.splits import SplitBy, SplitPlan
    from coread.train.splits import folds as equal_parts

    if by not in set(SplitBy):
        raise typer.BadParameter(f"{by!r} is none of {', '.join(SplitBy)}", param_hint="--by")
    plan = SplitPlan(SplitBy(by), _shares(parts) or equal_parts(folds), seed, tuple(label or ()))
    with shown_progress("comparing images", quiet=json) as step:
        result = split_dataset(folder, out, plan, progress=step)
    document = _document(result.index) | {
        "duplicate_pairs": result.duplicates,
        "one_class": {part: list(labels) for part, labels in result.one_class.items()},
        "dates_of_unknown_kind": dates_of_unknown_kind(result.index),
    }
    if json:
        answer_json(document)
        return
    _answer(result.index, json=False)
    if plan.by is SplitBy.TIME and document["dates_of_unknown_kind"]:
        complain(
            f"{document['dates_of_unknown_kind']} dates may have been moved before the set was built (column "
            "dates_moved is empty): then the parts are in no order of time"
        )
    say(f"{result.duplicates} pairs of duplicates were kept together")
    for part, labels in result.one_class.items():
        complain(f"part {part!r} has one class only of: {', '.join(labels)}; no AUC can be measured on it there")


def check(
    folder: Annotated[Path, typer.Argument(help="folder of a data set")],
    accept: Annotated[
        Path | None, typer.Option(help="CSV of pairs (image, other) that were looked at and are two pictures")
    ] = None,
    pairs: Annotated[Path | None, typer.Option(help="write every pair that looks alike into this CSV")] = None,
    json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Compare every image with every other; fail when a patient, a group or a picture stands in two parts."""
    from coread.train.dataset_split import duplicates_of
    from coread.train.datasets import read_index
    from coread.train.leaks import find_leaks, require_no_leak
    from coread.train.likeness import write_pairs

    index = read_index(folder)
    with shown_progress("comparing images", quiet=json) as step:
        duplicates = duplicates_of(index, step, accept)
    if pairs is not None:
        write_pairs(pairs, duplicates, index)
    leaks = find_leaks(index.rows, duplicates)
    if json:
        answer_json(
            {
                "images": len(index.rows), "parts": list(index.parts), "leaks": [
                    {"what": leak.what, "name": leak.name, "images": leak.images, "parts": leak.parts}
                    for leak in leaks
                ],
                "duplicates": [
                    {"images": [index.rows[pair.one].image_id, index.rows[pair.other].image_id],
                     "exact": pair.exact, "found_by": pair.by, "cosine": round(pair.cosine, 4)}
                    for pair in duplicates
                ],
            }
        )  # fmt: skip
        if leaks:
            raise typer.Exit(ExitCode.MISCONFIGURED)
        return
    require_no_leak(leaks)
    exact = sum(pair.exact for pair in duplicates)
    say(f"no leak: {len(index.rows)} images in parts {', '.join(repr(part) for part in index.parts)}")
    say(f"{exact} pairs of identical and {len(duplicates) - exact} of nearly identical images, none across parts")


def show(
    folder: Annotated[Path, typer.Argument(help="folder of a data set")],
    json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Show what a data set holds: images, groups, parts and labels, and where it came from."""
    from coread.train.datasets import read_index

    _answer(read_index(folder), json=json)


def _fetch(query: Path, folder: Path, *, leave_out: bool, quiet: bool) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from coread.app.retrieval import fetch, require_complete

    with Progress(console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task("asking the archive", total=None)
        found = fetch(
            query, folder, lambda done, total, note: bar.update(task, completed=done, total=total, description=note)
        )
    if not leave_out:
        require_complete(found)
    if not quiet:
        say(f"{found.received} of {found.expected} objects of {len(found.studies)} studies are in {folder}")


def _shares(text: str) -> dict[str, float]:
    """Return the shares of ``train=70,tune=15,test=15``."""
    shares: dict[str, float] = {}
    for word in text.split(",") if text else ():
        name, _, share = word.strip().partition("=")
        try:
            shares[name] = float(share)
        except ValueError as problem:
            raise typer.BadParameter(f"{word!r} is not name=share", param_hint="--parts") from problem
    return shares


def _options(words: list[str]) -> "tuple[str, ReadOptions]":
    """Return the name of the data set and what the adapter is told, from ``key=value`` words."""
    from coread.train.adapters.contract import ReadOptions

    name, table, labels, columns = "", None, [], {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key or not value:
            raise typer.BadParameter(f"{word!r} is not key=value", param_hint="--set")
        if key == "name":
            name = value
        elif key == "table":
            table = Path(value)
        elif key == "label":
            labels.append(value)
        else:
            columns[key] = value
    return name, ReadOptions(table, tuple(labels), columns)


def _answer(index: "ImageIndex", *, json: bool) -> None:
    document = _document(index)
    if json:
        answer_json(document)
        return
    say(f"{index.name}: {document['images']} images of {document['groups']} groups -> {index.folder}")
    say(f"images below {index.root}; licence: {index.licence}; digest {index.digest[:16]}")
    rows = [
        (label, part or "-", str(n["present"]), str(n["absent"]), str(n["unknown"]), str(n["graded"]))
        for label, parts in document["labels"].items()
        for part, n in parts.items()
    ]
    show_table(("label", "part", "present", "absent", "unknown", "other number"), rows)
    if index.left_out:
        complain(f"{len(index.left_out)} images were left out:")
        for image, reason in index.left_out[:10]:
            complain(f"  {image}: {reason}")


def _document(index: "ImageIndex") -> dict[str, Any]:
    parts = index.parts
    labels = {name: {part: dict.fromkeys(("present", "absent", "unknown", "graded"), 0) for part in parts}
              for name in index.labels}  # fmt: skip
    for row in index.rows:
        for name, counts in labels.items():
            value = row.labels.get(name)
            kind = "unknown" if value is None else {0.0: "absent", 1.0: "present"}.get(value, "graded")
            counts[row.part][kind] += 1
    return {
        "name": index.name, "folder": str(index.folder), "root": str(index.root), "adapter": index.adapter,
        "licence": index.licence, "citation": index.citation, "digest": index.digest,
        "images": len(index.rows), "groups": len({row.group for row in index.rows}),
        "patients": len({row.patient_id for row in index.rows if row.patient_id}),
        "parts": {part: sum(row.part == part for row in index.rows) for part in parts},
        "masks": sum(bool(row.mask) for row in index.rows), "boxes": sum(len(row.boxes) for row in index.rows),
        "texts": sum(bool(row.text) for row in index.rows), "labels": labels,
        "left_out": [{"image": image, "reason": reason} for image, reason in index.left_out],
    }  # fmt: skip
