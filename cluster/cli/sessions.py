"""`medsearch sessions list | end`: where one is logged in."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cluster.cli.client import AsJson, Url, connection, print_json, run

PATH = "/api/v1/users/me/sessions"


def register(app: typer.Typer) -> None:
    """Add the group of commands to the application."""
    sessions = typer.Typer(help="Where you are logged in.", no_args_is_help=True)
    sessions.command("list")(list_sessions)
    sessions.command()(end)
    app.add_typer(sessions, name="sessions")


def list_sessions(as_json: AsJson = False, url: Url = None) -> None:
    """Your open sessions, newest first; this one is marked."""

    async def work() -> None:
        async with connection(url) as api:
            found = await api.all_of(PATH)
        if as_json:
            print_json(found)
            return
        table = Table("", "id", "since", "last seen", "from", "with", box=None, padding=(0, 2, 0, 0))
        for one in found:
            table.add_row(
                "*" if one["current"] else "",
                one["id"],
                one["created_at"][:16],
                one["last_seen_at"][:16],
                escape(one["address"]),
                escape(one["user_agent"] or ""),
            )
        Console().print(table)

    run(work())


def end(
    session: Annotated[UUID | None, typer.Argument(help="The session's id.")] = None,
    others: Annotated[bool, typer.Option("--others", help="All but this one.")] = False,
    url: Url = None,
) -> None:
    """End a session, or all others: their tokens are refused within a second."""
    if (session is None) != others:
        raise typer.BadParameter("give the id of a session, or --others")

    async def work() -> None:
        async with connection(url) as api:
            await api.call("DELETE", PATH if others else f"{PATH}/{session}")
        typer.echo("Ended.")

    run(work())
