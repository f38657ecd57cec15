"""`medsearch api-keys create | list | revoke`: keys for programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cluster.cli.client import AsJson, Url, connection, print_json, run
from cluster.cli.credentials import Otp, PasswordStdin, password

PATH = "/api/v1/users/me/api-keys"


def register(app: typer.Typer) -> None:
    """Add the group of commands to the application."""
    keys = typer.Typer(help="Keys for programs that act for you.", no_args_is_help=True)
    keys.command()(create)
    keys.command("list")(list_keys)
    keys.command()(revoke)
    app.add_typer(keys, name="api-keys")


def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[
        list[str], typer.Option(help="A permission of your role, such as search.query; repeat for more.")
    ],
    days: Annotated[int, typer.Option(help="How long it lasts.", min=1, max=365)] = 90,
    otp: Otp = None,
    password_stdin: PasswordStdin = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Make a key. It is shown this once."""
    body = {
        "name": name,
        "scopes": scope,
        "expires_at": (datetime.now(UTC) + timedelta(days=days)).isoformat(),
        "current_password": password(password_stdin),
        "otp": otp,
    }

    async def work() -> None:
        async with connection(url) as api:
            made = await api.call("POST", PATH, json=body, repeatable=False)
        print_json(made) if as_json else typer.echo(made["secret"])

    run(work())


def list_keys(as_json: AsJson = False, url: Url = None) -> None:
    """Your keys that were not revoked, newest first."""

    async def work() -> None:
        async with connection(url) as api:
            found = await api.all_of(PATH)
        if as_json:
            print_json(found)
            return
        table = Table("id", "name", "prefix", "scopes", "ends", "last used", box=None, padding=(0, 2, 0, 0))
        for key in found:
            table.add_row(
                key["id"],
                escape(key["name"]),
                key["prefix"],
                " ".join(key["scopes"]),
                key["expires_at"][:10],
                key["last_used_on"] or "never",
            )
        Console().print(table)

    run(work())


def revoke(key: Annotated[UUID, typer.Argument(help="The key's id.")], url: Url = None) -> None:
    """Revoke a key: it is refused within a second."""

    async def work() -> None:
        async with connection(url) as api:
            await api.call("DELETE", f"{PATH}/{key}")
        typer.echo("Revoked.")

    run(work())
