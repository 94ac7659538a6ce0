"""``coread doctor``, ``coread readers``, ``coread settings``, ``coread viewer``: what is here and how it stands."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.front import Front
from coread.app.cli.output import RESEARCH_USE, answer_json, complain, say, show_table

if TYPE_CHECKING:
    from coread.domain.cards import Estimate
    from coread.readers.registry import InstalledReader


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(doctor)
    app.command()(readers)
    app.command()(settings)
    viewer = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The OHIF viewer.")
    viewer.command("install")(install_viewer)
    viewer.callback()(_viewer)
    app.add_typer(viewer, name="viewer")


def _viewer() -> None:
    """The OHIF viewer."""


def doctor(
    context: typer.Context,
    migrate: Annotated[bool, typer.Option("--migrate", help="first bring an old index up to date")] = False,
    json: Annotated[bool, typer.Option("--json", help="answer as one JSON document")] = False,
) -> None:
    """Check ports, disk, memory, certificates, clock, peers and readers, and say how to mend each."""
    from coread.app.doctor import examine, worst

    front: Front = context.obj
    if migrate:
        with front.open_store(create=True):
            pass  # opening it with the right to migrate is all there is to do
    checks = examine(front.settings())
    level = worst(checks)
    if json:
        rows = [{"name": c.name, "level": c.level.value, "detail": c.detail, "mend": c.mend} for c in checks]
        answer_json({"level": level.value, "checks": rows})
    else:
        show_table(
            ("check", "", "detail", "how to mend it"), [(c.name, c.level.value, c.detail, c.mend) for c in checks]
        )
    if level.value == "problem":
        raise typer.Exit(ExitCode.FAILED)


def readers(
    context: typer.Context,
    reader_id: Annotated[str, typer.Argument(help="show one whole card")] = "",
    check: Annotated[bool, typer.Option("--check", help="run the conformance suite over the readers")] = False,
    json: Annotated[bool, typer.Option("--json", help="answer as one JSON document")] = False,
) -> None:
    """List the readers in the version that is switched on here, or show one card with its measured numbers."""
    from coread.app.site_models import SiteReaders

    front: Front = context.obj
    listing = SiteReaders(front.settings()).listing()
    chosen = [r for r in listing.readers if not reader_id or r.card.reader_id == reader_id]
    if reader_id and not chosen:
        complain(
            f"no reader {reader_id!r}; installed: {', '.join(r.card.reader_id for r in listing.readers) or 'none'}"
        )
        raise typer.Exit(ExitCode.NOT_FOUND)
    if check:
        from coread.app.cli.reader_checks import check_readers

        if not check_readers(chosen, as_json=json):
            raise typer.Exit(ExitCode.FAILED)
        if listing.problems:
            raise typer.Exit(ExitCode.MISCONFIGURED)
        return
    problems = [(p.name, p.problem) for p in listing.problems] + _damaged(chosen)
    if json:
        named = [{"name": name, "problem": problem} for name, problem in problems]
        answer_json({"readers": [_card(r.card, r.package_digest) for r in chosen], "problems": named})
    elif reader_id:
        _show_card(chosen[0].card, chosen[0].package_digest)
    else:
        show_table(
            ("reader", "version", "kind", "what it looks for", "package"),
            [
                (
                    r.card.reader_id,
                    r.card.version,
                    r.card.kind.value,
                    ", ".join(o.name for o in r.card.outputs),
                    r.package_digest[:12],
                )
                for r in chosen
            ],
            "Readers",
        )
        say(RESEARCH_USE)
    if not json:
        for name, problem in problems:
            complain(f"{name}: {problem}")
    if problems:
        raise typer.Exit(ExitCode.MISCONFIGURED)


def _damaged(readers: "Sequence[InstalledReader]") -> list[tuple[str, str]]:
    """Compare every byte of the packages with what was locked; no graph is loaded for it."""
    from coread.domain.errors import Misconfigured
    from coread.models.package import verify_package

    found = []
    for reader in readers:
        try:
            verify_package(reader.model_folder, reader.card_path)
        except Misconfigured as problem:
            found.append((reader.card.reader_id, f"its package is damaged and will not run: {problem}"))
    return found


def _card(card: Any, digest: str) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(card) | {"package_digest": digest}


def _show_card(card: Any, digest: str) -> None:
    say(f"{card.name} {card.version} ({card.kind.value})   package {digest}")
    say(f"For: {card.intended_use}")
    say(f"Not for: {card.not_for}")
    rows = []
    for output in card.outputs:
        auc = (
            f"{output.auc.value:.3f} [{output.auc.low:.3f}, {output.auc.high:.3f}] n={output.auc.n}"
            if output.auc
            else ""
        )
        for point in output.operating_points:
            default = " (default)" if point.name == output.default_operating_point else ""
            rows.append(
                (
                    output.name,
                    auc,
                    point.name + default,
                    f"{point.threshold:.3f}",
                    _estimate(point.sensitivity),
                    _estimate(point.specificity),
                )
            )
    show_table(("finding", "AUC [95 %]", "operating point", "threshold", "sensitivity", "specificity"), rows)
    say(f"Measured: {card.validation}")
    for limit in card.limits:
        say(f"Limit: {limit}")
    say(RESEARCH_USE)


def _estimate(estimate: "Estimate | None") -> str:
    if estimate is None:
        return "not measured"
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def settings(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="answer as one JSON document")] = False,
) -> None:
    """List every setting with its value here, its default and its help."""
    from coread.app.settings import settings_table

    front: Front = context.obj
    current = front.settings().shown()
    if json:
        answer_json(
            [
                {"name": n, "value": current[n], "default": default, "help": text}
                for n, default, text in settings_table()
            ]
        )
    else:
        rows = [(name, str(current[name]), default, text) for name, default, text in settings_table()]
        show_table(("setting", "value", "default", "help"), rows, "Settings")


def install_viewer(
    context: typer.Context,
    folder: Annotated[Path | None, typer.Option(help="where to unpack it; default: viewer/ in Coread's folder")] = None,
) -> None:
    """Fetch the prebuilt OHIF viewer from the npm registry, check its integrity hash and unpack it."""
    from coread.app.viewer import install_viewer as install

    front: Front = context.obj
    target = folder or front.settings().viewer()
    say(f"OHIF is in {install(target, complain)}")
