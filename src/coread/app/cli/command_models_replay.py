"""``coread models replay``: what would change if another version were switched on."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.flags import command_with
from coread.app.cli.front import Front
from coread.app.cli.output import RESEARCH_USE, answer_json, say, show_table

if TYPE_CHECKING:
    from coread.app.replaying import Replay, ReplayPlan
    from coread.engine.comparing import ChangedFinding


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of the command."""

    old: Annotated[str, typer.Argument(help="reader (its active version), reader@version, reader@digest or folder")]
    new: Annotated[str, typer.Argument(help="the version to compare with, named in the same way")]
    out: Annotated[Path, typer.Option(help="folder for the answers, the report and the record")]
    last: Annotated[int, typer.Option(help="how many of the last studies of the store", min=1)] = 100
    cohort: Annotated[Path | None, typer.Option(help="a folder of DICOM files instead of the store")] = None
    limits: Annotated[Path | None, typer.Option(help="TOML file with the acceptance limits, written before")] = None
    json: Annotated[bool, typer.Option("--json", help="answer as one JSON document")] = False


def register(models: typer.Typer) -> None:
    """Add the command below ``coread models``."""
    models.command("replay")(command_with(Flags, replay))


def replay(context: typer.Context, flags: Flags) -> None:
    """Read the last studies with both versions and list every changed answer; with --limits accept or reject."""
    from rich.console import Console
    from rich.progress import Progress

    from coread.app.replaying import folder_store, last_studies, replay_document
    from coread.app.replaying import replay as run_replay

    front: Front = context.obj
    plan = _plan(front, flags)
    with ExitStack() as stack:
        bar = stack.enter_context(Progress(console=Console(stderr=True), disable=flags.json, transient=True))
        task = bar.add_task("replaying", total=None)

        def tell(done: int, of: int, what: str) -> None:
            bar.update(task, completed=done, total=of, description=what)

        if flags.cohort is None:
            store = stack.enter_context(front.open_store())
            uids = last_studies(store, plan, flags.last)
        else:
            store, uids = stack.enter_context(folder_store([flags.cohort], tell))
        found = run_replay(store, uids, plan, flags.out, tell)
    if flags.json:
        answer_json(replay_document(found) | {"folder": str(flags.out)})
    else:
        _tell(found, flags.out)
    if found.accepted is False:
        raise typer.Exit(ExitCode.NOT_MET)


def _plan(front: Front, flags: Flags) -> "ReplayPlan":
    from coread.app.replay_limits import read_limits
    from coread.app.replaying import ReplayPlan
    from coread.app.site_models import site_models
    from coread.app.switching import reader_with, release_of

    settings = front.settings()
    models = site_models(settings)
    before, after = (reader_with(release_of(models, name)) for name in (flags.old, flags.new))
    limits, sha256 = read_limits(flags.limits) if flags.limits is not None else (None, "")
    source = f"the last {flags.last} studies of the store" if flags.cohort is None else f"folder {flags.cohort}"
    return ReplayPlan(before, after, source, limits, sha256, settings.reader_threads, settings.allowed_programs)


def _words(item: "ChangedFinding") -> str:
    if item.presence_changed:
        return f"{item.key}: {item.presence_before or '-'} -> {item.presence_after or '-'}"
    if item.probability_before is None or item.probability_after is None:
        return f"{item.key}: other places"
    return f"{item.key}: {item.probability_before:.3f} -> {item.probability_after:.3f}"


def _tell(found: "Replay", out: Path) -> None:
    numbers = found.measured
    if found.checks:
        show_table(
            ("limit", "allowed", "measured", ""),
            [(c.name, f"{c.limit:g}", f"{c.measured:.4g}", "kept" if c.kept else "NOT KEPT") for c in found.checks],
            "Limits",
        )
    rows = []
    for change in (item for item in found.changes if item.changed):
        words = [_words(item) for item in change.findings]
        rows.append((change.study_instance_uid, f"{change.outcome_before} -> {change.outcome_after}", "; ".join(words)))
    show_table(("study", "outcome", "findings"), rows[:50], "Changed answers")
    if len(rows) > 50:
        say(f"... and {len(rows) - 50} more in {out / 'report.html'}")
    verdict = {True: "accepted", False: "REJECTED", None: "not judged (no --limits)"}[found.accepted]
    say(f"{numbers.changed_studies} of {numbers.studies} studies changed; {verdict}. Report and record are in {out}")
    say(RESEARCH_USE)
