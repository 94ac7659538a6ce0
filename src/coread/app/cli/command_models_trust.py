"""``coread models trust``: whose signatures this site accepts."""

from pathlib import Path
from typing import Annotated

import typer

from coread.app.cli.front import Front
from coread.app.cli.output import answer_json, say, show_table


def register(models: typer.Typer) -> None:
    """Add the command group below ``coread models``."""
    trust = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Whose signatures this site accepts.")
    models.add_typer(trust, name="trust")

    @trust.command("list")
    def list_keys(context: typer.Context, json: Annotated[bool, typer.Option("--json")] = False) -> None:
        """List the keys, removed ones too."""
        from dataclasses import asdict

        from coread.models.trust import FOLDER, TrustStore

        front: Front = context.obj
        keys = TrustStore(front.settings().folder / FOLDER).listed()
        if json:
            answer_json([asdict(key) for key in keys])
            return
        show_table(
            ("key", "name", "added", "by", "valid until", "removed"),
            [
                (k.key_id, k.name, k.added_at[:10], k.added_by, k.not_after[:10] or "no end", k.removed_at[:10])
                for k in keys
            ],
            "Trusted keys",
        )

    @trust.command("add")
    def add_key(
        context: typer.Context,
        public_key: Annotated[Path, typer.Argument(help="the .pub file")],
        name: Annotated[str, typer.Option(help="whose key it is, for people")],
        until: Annotated[str, typer.Option(help="ISO 8601 moment with zone after which it is not trusted")] = "",
        again: Annotated[bool, typer.Option("--again", help="even if it was removed before")] = False,
        json: Annotated[bool, typer.Option("--json")] = False,
    ) -> None:
        """Trust a public key: packages signed with it may be switched on here."""
        from coread.app.switching import actor_name
        from coread.models.trust import FOLDER, TrustStore

        front: Front = context.obj
        key = TrustStore(front.settings().folder / FOLDER).add(
            public_key, name, actor_name(), not_after=until, again=again
        )
        if json:
            answer_json({"key_id": key.key_id, "name": key.name, "not_after": key.not_after})
        else:
            say(f"key {key.key_id} ({key.name}) is trusted{' until ' + key.not_after[:10] if key.not_after else ''}")

    @trust.command("remove")
    def remove_key(context: typer.Context, key_id: str, json: Annotated[bool, typer.Option("--json")] = False) -> None:
        """Stop trusting a key: where signatures are required, its packages stop reading at once."""
        from coread.app.switching import actor_name
        from coread.models.trust import FOLDER, TrustStore

        front: Front = context.obj
        key = TrustStore(front.settings().folder / FOLDER).remove(key_id, actor_name())
        if json:
            answer_json({"key_id": key.key_id, "removed_at": key.removed_at})
        else:
            say(f"key {key.key_id} ({key.name}) is not trusted any more")
