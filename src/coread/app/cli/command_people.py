"""``coread users``: who may log in."""

from typing import Annotated

import typer

from coread.app.cli.front import Front
from coread.app.cli.output import answer_json, say, show_table


def register(app: typer.Typer) -> None:
    """Add the command group."""
    users = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Who may log in.")
    app.add_typer(users, name="users")

    @users.command("list")
    def list_users(context: typer.Context, json: Annotated[bool, typer.Option("--json")] = False) -> None:
        """List accounts with their roles."""
        front: Front = context.obj
        with front.open_store() as store:
            rows = [(user.name, str(user.role), "disabled" if user.disabled else "active") for user in store.users()]
        if json:
            answer_json([{"name": name, "role": role, "state": state} for name, role, state in rows])
        else:
            show_table(("name", "role", "state"), rows, "users")

    @users.command("add")
    def add_user(
        context: typer.Context,
        name: str,
        role: Annotated[str, typer.Option(help="radiologist, administrator or auditor")] = "radiologist",
        json: Annotated[bool, typer.Option("--json")] = False,
    ) -> None:
        """Create an account; its random first password is shown once."""
        from coread.app.web.accounts import create_account

        front: Front = context.obj
        with front.open_store() as store:
            password = create_account(store, name, role, actor="command line")
        if json:
            answer_json({"name": name, "role": role, "password": password})
        else:
            say(f"{name} ({role})  first password, shown once: {password}")

    @users.command("reset")
    def reset_password(
        context: typer.Context, name: str, json: Annotated[bool, typer.Option("--json")] = False
    ) -> None:
        """Give an account a new random password, shown once; its sessions end."""
        from coread.app.web.accounts import reset_account

        front: Front = context.obj
        with front.open_store() as store:
            password = reset_account(store, name, actor="command line")
        if json:
            answer_json({"name": name, "password": password})
        else:
            say(f"{name}  new password, shown once: {password}")

    @users.command("disable")
    def disable(context: typer.Context, name: str) -> None:
        """Stop an account from logging in; its sessions end. ``users add`` does not bring it back; ``enable`` does."""
        from coread.app.web.accounts import set_disabled

        front: Front = context.obj
        with front.open_store() as store:
            set_disabled(store, name, disabled=True, actor="command line")
        say(f"{name} is disabled")

    @users.command("enable")
    def enable(context: typer.Context, name: str) -> None:
        """Let a disabled account log in again."""
        from coread.app.web.accounts import set_disabled

        front: Front = context.obj
        with front.open_store() as store:
            set_disabled(store, name, disabled=False, actor="command line")
        say(f"{name} is enabled")
