"""``coread pretrain``, ``coread train --head`` and ``coread dataset suggest``: steps for those who have few labels."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coread.app.cli.flags import command_with
from coread.app.cli.output import answer_json, say, show_table
from coread.domain.errors import Misconfigured

if TYPE_CHECKING:
    from types import ModuleType

AS_JSON = typer.Option("--json", help="answer as one JSON document")


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of ``coread pretrain``."""

    sources: Annotated[list[Path], typer.Argument(help="folders, zip archives or .npz files of pictures")]
    out: Annotated[Path, typer.Option(help="folder of the encoder; the same folder goes on where it was stopped")]
    side: Annotated[int, typer.Option(min=32, help="rows and columns of the pictures; a multiple of 16")] = 96
    most: Annotated[int, typer.Option(min=0, help="pictures of a source at most, drawn at random; 0: all")] = 0
    leave_out: Annotated[
        Path | None, typer.Option(help="text file, a line for each part of a name of pictures to leave out")
    ] = None
    epochs: Annotated[int, typer.Option(min=1)] = 10
    batch: Annotated[int, typer.Option(min=2)] = 64
    method: Annotated[str, typer.Option(help="masked, distilled or both")] = "both"
    json: Annotated[bool, AS_JSON] = False


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(command_with(Flags, pretrain))


def pretrain(_: typer.Context, flags: Flags) -> None:
    """Teach an encoder on pictures without labels; fits start from it and heads stand on it."""
    room = _room()
    from coread.train.selfsupervised import SelfPlan

    plan = SelfPlan(method=flags.method, epochs=flags.epochs, batch=flags.batch)  # type: ignore[arg-type]  # it checks
    without = flags.leave_out.read_text(encoding="utf-8").split("\n") if flags.leave_out is not None else []
    with shown_progress() as tell:
        taught = room.pretrain(
            flags.sources, flags.out, plan, side=flags.side, most=flags.most,
            leave_out=[one for one in without if one], progress=tell,
        )  # fmt: skip
    document = {"encoder": str(flags.out), "side": taught.network.shape[0], "history": list(taught.history)}
    if flags.json:
        answer_json(document)
        return
    rows = [(str(n), *(f"{value:.4f}" for value in row.values())) for n, row in enumerate(taught.history, start=1)]
    show_table(("epoch", *(taught.history[0] if taught.history else ())), rows, "Losses")
    say(f"encoder in {flags.out}")


def fit_head(dataset: Path, label: str, out: Path, encoder: Path | None, *, json: bool) -> None:
    """Do ``coread train DATASET --head LABEL``."""
    room = _room()
    with shown_progress() as tell:
        run = room.make_head(dataset, label, out, encoder, tell)
    if json:
        answer_json(run.document())
        return
    auc = run.head.auc
    say(f"{label}: {run.head.positives} positive and {run.head.negatives} negative examples")
    say(f"AUC out of fold over patients {auc.value:.3f} (95 % interval {auc.low:.3f} to {auc.high:.3f}, n = {auc.n})")
    for image, reason in run.left_out.items():
        say(f"left out: {image}: {reason}")
    say(f"graph, calibration and predictions in {out}; validate it before anybody relies on it")


def suggest(
    folder: Annotated[Path, typer.Argument(help="folder of a data set, some rows labelled")],
    label: Annotated[str, typer.Option(help="the finding to label")],
    count: Annotated[int, typer.Option(min=1, help="how many images, one per patient")] = 50,
    encoder: Annotated[Path | None, typer.Option(help="folder of a taught encoder; default: the one of Coread")] = None,
    out: Annotated[Path | None, typer.Option(help="also write the list as CSV")] = None,
    json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Say which images to label next: those that a head on the encoder is least sure of, no two alike."""
    room = _room()
    with shown_progress() as tell:
        index, chosen = room.suggest_next(folder, label, count=count, encoder=encoder, progress=tell)
    rows = [
        {
            "image_id": index.rows[one.row].image_id, "patient_id": index.rows[one.row].patient_id,
            "study_id": index.rows[one.row].study_id, "path": index.rows[one.row].path,
            "uncertainty": round(one.uncertainty, 4), "distance": round(one.distance, 4),
        }
        for one in chosen
    ]  # fmt: skip
    if out is not None:
        _write_csv(out, rows)
    if json:
        answer_json(rows)
        return
    show_table(
        ("image", "patient", "unsure", "unlike others"),
        [(r["image_id"], r["patient_id"], f"{r['uncertainty']:.2f}", f"{r['distance']:.2f}") for r in rows],
        f"Label next for {label}",
    )


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    import csv

    beside = path.with_name(f".{path.name}.part")
    with beside.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["image_id", "patient_id", "study_id", "path", "uncertainty", "distance"])
        writer.writeheader()
        writer.writerows(rows)
    beside.replace(path)


@contextmanager
def shown_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show what is being done on standard error; yields the function to tell it to."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield tell


def _room() -> "ModuleType":
    """Return the room's work, or say which extra is missing."""
    try:
        from coread.train import heading
    except ImportError as problem:
        raise Misconfigured(f"this needs {problem.name}: pip install 'coread[train]'") from problem
    return heading
