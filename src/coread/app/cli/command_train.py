"""``coread train``: a recipe file and labelled data sets to a run folder with a network and what it said."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coread.app.cli.command_pretrain import fit_head
from coread.app.cli.output import answer_json, say, show_table

if TYPE_CHECKING:
    from coread.train.running import RunSummary

    Run = Callable[[Path, Path, Callable[[str, int, int], None]], RunSummary | None]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def train(
        recipe: Annotated[Path, typer.Argument(help="recipe file (TOML); with --head: the folder of a data set")],
        out: Annotated[Path, typer.Option(help="folder of the run; the same folder goes on where it was stopped")],
        head: Annotated[
            str, typer.Option(help="fit only a head for this label, on a taught encoder that stays as it is")
        ] = "",
        encoder: Annotated[
            Path | None, typer.Option(help="with --head: folder of the encoder; default: the one of Coread")
        ] = None,
        ablation: Annotated[
            bool,
            typer.Option("--ablation", help="also without the recipe's covariates and with each kind: what each adds"),
        ] = False,
        threads: Annotated[int, typer.Option(help="processor threads; 0: as many as torch takes")] = 0,
        json: Annotated[bool, typer.Option("--json", help="answer as one JSON document")] = False,
    ) -> None:
        """Fit the network of a recipe; under torchrun on several GPUs or machines. Needs the extra `train`."""
        if head:
            fit_head(recipe, head, out, encoder, json=json)
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        run_recipe = _room(threads)
        if ablation:
            _ablate(recipe, out, json=json)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            tasks: dict[str, int] = {}

            def tell(words: str, done: int, total: int) -> None:
                title = words.split(" loss ", maxsplit=1)[0]
                if title not in tasks:
                    tasks[title] = int(bar.add_task(words, total=total))
                bar.update(tasks[title], description=words, completed=done, total=total)  # type: ignore[arg-type]

            summary = run_recipe(recipe, out, tell)
        if summary is None:
            return
        if json:
            answer_json(summary.document())
            return
        counts = ", ".join(f"{count} {part or 'undivided'}" for part, count in summary.images.items())
        say(f"{summary.name}: {counts} images; {summary.left_out} left out -> {out}")
        rows = [
            (fit, str(summary.epochs[fit]), name, f"{value:.4f}")
            for fit, values in summary.scores.items()
            for name, value in values.items()
        ]
        show_table(
            ("fit", "epochs", "measure", "value"), rows, "Scores on the tune part, of the weights that were kept"
        )


def _ablate(recipe: Path, out: Path, *, json: bool) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from coread.train.ablation import run_ablation

    with Progress(console=Console(stderr=True), disable=json, transient=True) as bar:
        task = bar.add_task("", total=None)
        found = run_ablation(
            recipe, out, lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
        )
    if found is None:
        return
    if json:
        answer_json(found.document())
        return
    rows = [
        (
            one.output, one.variant, f"{one.image_auc:.3f}", f"{one.auc:.3f}",
            f"{one.difference:+.3f} ({one.low:+.3f} to {one.high:+.3f})", f"{one.p_value:.3f}",
        )
        for one in found.gains
    ]  # fmt: skip
    columns = ("output", "variant", "AUC of the image", "AUC", "difference (95 % interval)", "p")
    show_table(columns, rows, f"What clinical data add, on part {found.part}")
    for output, why in found.left_out.items():
        say(f"{output}: not compared: {why}")


def _room(threads: int) -> "Run":
    """Return the room's work, or say which extra is missing."""
    from coread.domain.errors import Misconfigured

    try:
        from coread.train.fitting import use_threads
        from coread.train.running import run_recipe
    except ImportError as problem:
        raise Misconfigured(f"training needs {problem.name}: pip install 'coread[train]'") from problem
    if threads > 0:
        use_threads(threads)
    return run_recipe
