"""``coread dataset``: indices of labelled images: built from public sets or a PACS, split, checked and shown."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coread.app.cli.output import answer_json, complain, say, show_table

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
    group.command("show")(show)


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
    leave_out: Annotated[bool, typer.Option("--leave-out", help="leave missing or damaged images out")] = False,
    json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Read a set through its adapter, open every image, and write its index. Goes on where it was stopped."""
    from rich.console import Console
    from rich.progress import Progress

    from coread.train.dataset_build import BuildPlan, build_dataset

    name, options = _options(setting or [])
    plan = BuildPlan(adapter, source, out, name=name, options=options, leave_out=leave_out)
    with Progress(console=Console(stderr=True), disable=json, transient=True) as bar:
        task = bar.add_task(f"{adapter}: opening images", total=None)
        index = build_dataset(plan, lambda done, total: bar.update(task, completed=done, total=total))
    _answer(index, json=json)


def show(
    folder: Annotated[Path, typer.Argument(help="folder of a data set")],
    json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Show what a data set holds: images, groups, parts and labels, and where it came from."""
    from coread.train.datasets import read_index

    _answer(read_index(folder), json=json)


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
