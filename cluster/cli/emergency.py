"""`medsearch break-glass ...`: emergency access to one patient's documents."""

from __future__ import annotations

from typing import Annotated

import typer

from cluster.cli import client, credentials, people
from domain.ids import new_id

PATH = "/api/v1/users/me/break-glass"

break_glass = typer.Typer(help="Emergency access to one patient's documents.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add `break-glass` to the application."""
    app.add_typer(break_glass, name="break-glass")


@break_glass.command()
def start(
    patient: Annotated[str, typer.Argument(help="Record number, SYSTEM|NUMBER.")],
    reason: Annotated[str, typer.Option(help="Why, in 10 characters or more.")],
    minutes: Annotated[int, typer.Option(help="How long.", min=1, max=60)] = 60,
    password_stdin: credentials.PasswordStdin = False,
    otp: credentials.Otp = None,
    as_json: client.AsJson = False,
    url: client.Url = None,
) -> None:
    """Open a patient's documents in this login. The privacy officers are told at once."""
    body = {
        "patient": patient,
        "reason": reason,
        "minutes": minutes,
        **({"otp": otp} if otp else {}),
        "current_password": credentials.password(password_stdin),
    }

    async def work() -> None:
        async with client.connection(url) as api:
            answer = await api.call("POST", PATH, json=body, headers={"Idempotency-Key": str(new_id())})
        client.print_json(answer) if as_json else people.console().print(people.details(answer))

    client.run(work())


@break_glass.command()
def stop(
    glass_id: Annotated[str | None, typer.Argument(help="Its id. Default: what is open.")] = None,
    url: client.Url = None,
) -> None:
    """End it now."""

    async def work() -> None:
        async with client.connection(url) as api:
            ids = [glass_id] if glass_id else [one["id"] for one in (await api.call("GET", PATH))["items"]]
            for one in ids:
                await api.call("DELETE", f"{PATH}/{one}", repeatable=False)
        typer.echo("Ended." if ids else "Nothing was open.")

    client.run(work())
