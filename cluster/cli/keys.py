"""`medsearch keys list | rotate | retire`: which keys are in use, and their change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cluster.cli.platform import AsJson, insist_on_user, readable_errors
from config.loading import load_settings
from config.secrets import SecretMissing, SecretStore, variable
from config.settings import Settings
from domain.audit import AuditEvent
from domain.errors import MedsearchError
from domain.keys import KeyInfo, KeyState, Purpose
from stores.audit import PostgresAudit
from stores.keyring import Rotation, SecretKeys
from stores.ports import AuditEntry
from stores.ring_file import RingFile

ACTOR = "operator"
Unrecorded = Annotated[
    bool, typer.Option("--unrecorded", help="Also while the audit trail is away; nothing is recorded then.")
]


def register(app: typer.Typer) -> None:
    """Add the group of commands to the application."""
    keys = typer.Typer(help="Keys of tokens, fields and the audit trail.", no_args_is_help=True)
    keys.command("list")(list_keys)
    keys.command()(rotate)
    keys.command()(retire)
    app.add_typer(keys, name="keys")


def list_keys(as_json: AsJson = False) -> None:
    """Every key by name, its state, and where its secret is."""
    with _readable():
        settings = load_settings().settings
        ring, secrets = RingFile(settings.keyring_path).read(), SecretStore(settings.secrets_path)
    rows = [_row(key, secrets) for purpose in Purpose for key in ring.of(purpose)]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif rows:
        table = Table(*rows[0], box=None, padding=(0, 2, 0, 0))
        for row in rows:
            table.add_row(*(value or "" for value in row.values()))
        Console().print(table)
    else:
        typer.echo("There are no keys yet: they are made at the first start.")


def rotate(
    purpose: Annotated[Purpose, typer.Argument(help="What the key is for.")], unrecorded: Unrecorded = False
) -> None:
    """Take the next key into use. Tokens of the former one stay valid, and what it sealed is still opened."""
    with _readable():
        settings, secrets, keys = _opened()

        def work() -> str:
            _say(rotation := keys.rotate(purpose), keys.list(purpose), secrets)
            return rotation.current.name

        asyncio.run(_recorded(settings, secrets, AuditEvent.KEY_ROTATED, work, unrecorded=unrecorded))


def retire(
    name: Annotated[str, typer.Argument(help="The key, as 'medsearch keys list' calls it.")],
    unrecorded: Unrecorded = False,
) -> None:
    """For a key that others have got hold of: tokens that it signed are refused at once."""
    with _readable():
        settings, secrets, keys = _opened()

        def work() -> str:
            keys.retire(name)
            typer.echo(f"{name} is used no more.")
            purpose = Purpose.of(name)
            if purpose and purpose.lasts:
                typer.echo(
                    "What was made with it is still opened and verified: keep its secret where only we read it."
                )
            else:
                typer.echo(f"Remove its secret: {secrets.origin(name) or 'it is gone already'}")
            return name

        asyncio.run(_recorded(settings, secrets, AuditEvent.KEY_RETIRED, work, unrecorded=unrecorded))


async def _recorded(
    settings: Settings, secrets: SecretStore, event: AuditEvent, work: Callable[[], str], *, unrecorded: bool
) -> None:
    """Do the work, which says the key's name, and record it; raises `Unavailable` before it where that is impossible."""
    audit = PostgresAudit.of(settings, secrets)
    try:
        if not unrecorded:
            async with audit.db.connection():
                pass  # the trail can be reached
        name = work()
        if not unrecorded:
            entry = AuditEntry(action="U", event=event, outcome="success", actor=ACTOR, reason=name)
            await audit.record(entry)
    finally:
        await audit.close()


def _opened() -> tuple[Settings, SecretStore, SecretKeys]:
    settings = load_settings().settings
    secrets = SecretStore(settings.secrets_path)
    insist_on_user(settings)
    return settings, secrets, SecretKeys.of(settings, secrets)


def _say(rotation: Rotation, keys: Sequence[KeyInfo], secrets: SecretStore) -> None:
    typer.echo(f"{rotation.current.name} is in use now.")
    for key in keys:
        if key.state is KeyState.RETIRED:
            until = f"until {_moment(key.until)}" if key.until else "for as long as it is needed"
            typer.echo(f"{key.name} still counts {until}.")
    if rotation.missing:
        where = f"{variable(rotation.missing)} or {secrets.folder / rotation.missing}"
        typer.echo(f"Supply the secret '{rotation.missing}' ({where}) before the next rotation.", err=True)


def _row(key: KeyInfo, secrets: SecretStore) -> dict[str, str | None]:
    return {
        "name": key.name,
        "state": key.state.value,
        "since": _moment(key.since),
        "until": _moment(key.until) if key.until else None,
        "kid": key.kid,
        "secret": secrets.origin(key.name) or "missing",
    }


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@contextmanager
def _readable() -> Iterator[None]:
    """A missing secret is an expected error too: the message names it and says where it is looked for."""
    with readable_errors():
        try:
            yield
        except SecretMissing as error:
            raise MedsearchError(f"{str(error)[0].upper()}{str(error)[1:]}.") from error
