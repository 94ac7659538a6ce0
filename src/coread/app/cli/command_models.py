"""``coread models``: lock, sign, verify and list model packages; switch versions and take a switch back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.front import Front
from coread.app.cli.output import answer_json, complain, say, show_table

if TYPE_CHECKING:
    from coread.app.switching import Examined
    from coread.models.versions import Release, SiteModels, Switched

Json = Annotated[bool, typer.Option("--json", help="answer as one JSON document")]


def register(app: typer.Typer) -> None:
    """Add the command group with its subgroups."""
    from coread.app.cli import command_models_import, command_models_pack, command_models_replay, command_models_trust

    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Model packages: lock, verify, switch, undo.")
    app.add_typer(group, name="models")
    for command in (lock, keygen, verify, install, switch, rollback, show):
        group.command()(command)
    group.command("list")(list_models)
    group.command("attach-validation")(attach)
    command_models_trust.register(group)
    command_models_replay.register(group)
    command_models_import.register(group)
    command_models_pack.register(group)


def lock(
    folder: Annotated[Path, typer.Argument(help="folder with card.toml and model/")],
    record: Annotated[
        list[Path] | None, typer.Option(help="folders of the steps that made it, in their order; may be repeated")
    ] = None,
    licence: Annotated[Path | None, typer.Option(help="text file with the licence of the package")] = None,
    data_statement: Annotated[Path | None, typer.Option(help="what data it learnt from and was measured on")] = None,
    key: Annotated[Path | None, typer.Option(help="private key to sign with")] = None,
    signer: Annotated[str, typer.Option(help="who signs, for people")] = "",
    days: Annotated[int | None, typer.Option(help="days until the signature ends; default: never", min=1)] = None,
    json: Json = False,
) -> None:
    """Complete, lock and prove a package; sign it when a key is given. Any other byte afterwards is refused."""
    from coread.models.locking import CARD, LockPlan, lock_release
    from coread.readers.card_file import read_card

    read_card(folder / CARD)
    plan = LockPlan(
        records=tuple(record or ()),
        licence=licence,
        data_statement=data_statement,
        key=key,
        signer=signer,
        signed_days=days,
    )
    locked = lock_release(folder, plan)
    package, signature = locked.package, locked.signature
    if json:
        answer_json(
            {
                "reader_id": package.reader_id,
                "version": package.version,
                "digest": package.digest,
                "files": len(package.files),
                "key_id": signature.key_id if signature else "",
                "record": locked.record.digest,
            }
        )
        return
    say(f"{package.reader_id} {package.version} is locked: {len(package.files)} files, package {package.digest}")
    say(f"signed by {signature.signer} with key {signature.key_id}" if signature else "not signed (no --key)")


def keygen(
    key: Annotated[Path, typer.Argument(help="file for the private key; the public one is FILE.pub")],
    json: Json = False,
) -> None:
    """Make an Ed25519 key pair. Keep the private half off the servers that read studies."""
    from coread.models.signing import make_key

    public, key_id = make_key(key)
    if json:
        answer_json({"private": str(key), "public": str(public), "key_id": key_id})
    else:
        say(f"key {key_id}: private half in {key}, public half in {public}")


def verify(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="reader, reader@version or folder; default: all versions here")] = "",
    json: Json = False,
) -> None:
    """Compare every byte, the card, the golden cases and the signature of packages."""
    from coread.app.site_models import site_models
    from coread.app.switching import examine_release, release_of

    front: Front = context.obj
    settings = front.settings()
    models = site_models(settings)
    releases, problems = ((release_of(models, name),), ()) if name else models.listing()
    found = [examine_release(models, release, settings.allowed_programs) for release in releases]
    if json:
        answer_json({"packages": [item.document() for item in found], "problems": problems})
    else:
        _show(found)
        for text in (
            *problems,
            *(f"{item.reader_id} {item.version}: {item.problem}" for item in found if item.problem),
        ):
            complain(text)
    if problems or not all(item.sound for item in found):
        raise typer.Exit(ExitCode.MISCONFIGURED)


def list_models(context: typer.Context, json: Json = False) -> None:
    """List the installed versions of every reader; the active one is marked. Nothing is proved for it."""
    from coread.app.site_models import site_models

    front: Front = context.obj
    models = site_models(front.settings())
    releases, problems = models.listing()
    rows = [(item, models.active(item.reader_id) == item.name) for item in releases]
    if json:
        answer_json({"versions": [_document(item, active) for item, active in rows], "problems": problems})
    else:
        show_table(
            ("reader", "version", "", "package", "where"),
            [
                (r.reader_id, r.version, "active" if active else "", r.digest[:16], "code" if r.built_in else "site")
                for r, active in rows
            ],
            "Versions",
        )
        for text in problems:
            complain(text)
    if problems:
        raise typer.Exit(ExitCode.MISCONFIGURED)


def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="reader, reader@version or folder")],
    json: Json = False,
) -> None:
    """Show one version: what it holds, where it comes from, its signature, validations and switches."""
    from coread.app.site_models import site_models
    from coread.app.switching import examine_release, release_of
    from coread.models.locking import MODEL, packed_records
    from coread.models.sbom import read_sbom
    from coread.models.validations import validations_of

    front: Front = context.obj
    settings = front.settings()
    models = site_models(settings)
    release = release_of(models, name)
    examined = examine_release(models, release, settings.allowed_programs)
    records = packed_records(release.folder / MODEL)
    validations = validations_of(release.folder, release.digest, built_in=release.built_in)
    switches = [item for item in models.journal.entries() if item.reader_id == release.reader_id]
    if json:
        answer_json(
            examined.document()
            | {
                "records": [{"step": item.step, "digest": item.digest, "made_at": item.made_at} for item in records],
                "made_with": dict(read_sbom(release.folder / MODEL)),
                "validated": [
                    {"cohort": item.cohort, "record": item.digest, "accepted": item.accepted} for item in validations
                ],
                "switches": [item.sentence() for item in switches],
            }
        )
        return
    _show([examined])
    for item in records:
        say(f"  {item.step}: {item.digest[:16]} of {item.made_at}, coread {item.coread_version}")
    for validation in validations:
        met = {True: "criteria met", False: "criteria NOT met", None: "no criteria written down before"}
        say(f"  validated on {validation.cohort or 'an unnamed cohort'}: {met[validation.accepted]}")
    for change in switches:
        say(f"  {change.at[:19]} {change.actor}: {change.sentence()}")
    if examined.problem:
        complain(examined.problem)
        raise typer.Exit(ExitCode.MISCONFIGURED)


def install(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="locked folder with card.toml and model/")],
    json: Json = False,
) -> None:
    """Copy a locked package to this site. It is not used before it is switched on."""
    from coread.app.site_models import site_models

    front: Front = context.obj
    release = site_models(front.settings()).install(folder)
    if json:
        answer_json(_document(release, False))
    else:
        say(f"{release.reader_id} {release.version} is installed as {release.digest[:16]}; it is not active yet")


def attach(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="reader@version or folder")],
    validation: Annotated[Path, typer.Argument(help="folder that `coread validate` wrote")],
    json: Json = False,
) -> None:
    """Keep a validation record with the package that it measured, outside its digest."""
    from coread.app.site_models import site_models
    from coread.app.switching import release_of
    from coread.models.validations import attach_validation

    front: Front = context.obj
    release = release_of(site_models(front.settings()), name)
    if release.built_in:
        complain("a built-in reader brings its own validation.json; name the record with `switch --validation` instead")
        raise typer.Exit(ExitCode.USAGE)
    found = attach_validation(release.folder, release.digest, validation)
    if json:
        answer_json({"record": found.digest, "cohort": found.cohort, "folder": str(found.folder)})
    else:
        say(f"validation {found.digest[:16]} on {found.cohort or 'an unnamed cohort'} is kept in {found.folder}")


def switch(
    context: typer.Context,
    reader_id: Annotated[str, typer.Argument(help="which reader")],
    version: Annotated[str, typer.Argument(help="version, digest (or its first digits), or built-in")],
    validation: Annotated[Path | None, typer.Option(help="folder of its validation, unless it is attached")] = None,
    replay: Annotated[Path | None, typer.Option(help="folder of a replay that must have accepted it")] = None,
    reason: Annotated[str, typer.Option(help="why, for the history")] = "",
    json: Json = False,
) -> None:
    """Make another version of a reader active. A running server uses it from the next work item on."""
    from coread.app.site_models import site_models
    from coread.app.switching import actor_name, code_check
    from coread.models.versions import Request

    front: Front = context.obj
    settings = front.settings()
    models = site_models(settings)
    release = models.find(reader_id, version)
    request = Request(actor_name(), reason, settings.require_signature, validation, replay, code_check(settings))
    _tell(front, models, models.switch(release, request), json)


def rollback(
    context: typer.Context,
    reader_id: Annotated[str, typer.Argument(help="which reader")],
    reason: Annotated[str, typer.Option(help="why, for the history")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="do it; without it, only say what would be done")] = False,
    json: Json = False,
) -> None:
    """Take the last switch back; again for the one before. First without --yes: it says to what it would go back."""
    from coread.app.site_models import site_models
    from coread.app.switching import actor_name
    from coread.models.versions import Request

    front: Front = context.obj
    settings = front.settings()
    models = site_models(settings)
    if not yes:
        undo = models.journal.undo_of(reader_id)
        if json:
            answer_json({"reader_id": reader_id, "active": models.active(reader_id), "would_go_to": undo[:1]})
        elif undo:
            say(
                f"{reader_id}: would go from {models.active(reader_id)[:16]} back to {undo[0][:16]}. Repeat with --yes."
            )
        else:
            say(f"{reader_id} was never switched here: there is nothing to go back to")
        raise typer.Exit(ExitCode.OK if undo else ExitCode.NOT_FOUND)
    request = Request(actor_name(), reason, settings.require_signature)
    _tell(front, models, models.rollback(reader_id, request), json)


def _tell(front: Front, models: "SiteModels", done: "Switched", as_json: bool) -> None:
    from coread.app.switching import tell_history

    in_history = tell_history(front.settings(), models)
    change = done.change
    if as_json:
        answer_json(
            {
                "reader_id": change.reader_id,
                "action": change.action,
                "from": change.from_digest,
                "to": change.to_digest,
                "version": done.release.version,
                "signature": done.standing.status.value,
                "validation": change.validation,
                "replay": change.replay,
                "actor": change.actor,
                "at": change.at,
                "in_history": in_history,
            }
        )
        return
    say(change.sentence())
    say(f"signature: {done.standing.detail}")
    if done.validation is not None:
        say(f"validated on {done.validation.cohort or 'an unnamed cohort'} (record {done.validation.digest[:16]})")
    say("A running server reads the next study with it.")


def _document(release: "Release", active: bool) -> dict[str, object]:
    return {
        "reader_id": release.reader_id,
        "version": release.version,
        "digest": release.digest,
        "active": active,
        "built_in": release.built_in,
        "folder": str(release.folder),
    }


def _show(found: "list[Examined]") -> None:
    show_table(
        ("reader", "version", "", "package", "bytes", "golden", "signature", "validated"),
        [
            (
                item.reader_id,
                item.version,
                "active" if item.active else "",
                item.digest[:8],
                "sound" if item.sound else "REFUSED",
                item.golden.partition(",")[0],
                item.signature,
                f"{item.validations}x",
            )
            for item in found
        ],
        "Packages",
    )
