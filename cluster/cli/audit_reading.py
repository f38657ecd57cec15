"""`medsearch audit list | readers | own | export | heads`: the trail over HTTP, as the account that is logged in."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal
from uuid import UUID

import typer

from cluster.cli import client, people
from cluster.cli.platform import readable_errors
from domain.audit import AuditEvent
from domain.errors import MedsearchError

PATH = "/api/v1/audit"
RECORDS = (
    "at", "event", "action", "outcome", "actor", "role", "on_behalf_of", "patients", "document_ids", "reason",
    "address", "query",
)  # fmt: skip
READERS = ("actor", "role", "first_at", "last_at", "count", "break_glass")
OWN = ("at", "event", "action", "outcome", "actor", "role", "document_id")
HEADS = ("day", "seq", "count", "at", "key_name", "hash")
DAYS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]

Patient = Annotated[str | None, typer.Option(help="Records of this patient, SYSTEM|NUMBER.")]
Document = Annotated[UUID | None, typer.Option(help="Records of this document.")]
Actor = Annotated[
    str | None, typer.Option(help="An account's id, or anonymous, operator, system.", metavar="ACTOR")
]
Event = Annotated[AuditEvent | None, typer.Option(help="Such as document.view.", metavar="EVENT")]
Action = Annotated[Literal["C", "R", "U", "D", "E"] | None, typer.Option(help="Kind of act.")]
Outcome = Annotated[Literal["success", "denied", "failure"] | None, typer.Option(help="How it ended.")]
From = Annotated[
    datetime | None, typer.Option("--from", help="From this moment on, in UTC.", formats=DAYS, metavar="TIME")
]
To = Annotated[
    datetime | None, typer.Option("--to", help="Before this moment, in UTC.", formats=DAYS, metavar="TIME")
]
Limit = Annotated[int, typer.Option(min=1, max=100, help="Records a page.")]
Cursor = Annotated[str | None, typer.Option(help="Continue after an earlier page.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write to this file, readable only by you.", dir_okay=False),
]


def list_records(
    patient: Patient = None,
    document: Document = None,
    actor: Actor = None,
    event: Event = None,
    action: Action = None,
    outcome: Outcome = None,
    since: From = None,
    before: To = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    as_json: client.AsJson = False,
    url: client.Url = None,
) -> None:
    """Records that meet all conditions, newest first. That you read them is recorded."""
    asked = _asked(patient, document, actor, event, action, outcome, since, before)
    _page(PATH, asked | {"limit": str(limit), "cursor": cursor}, RECORDS, as_json, url)


def readers(
    patient: Annotated[str, typer.Argument(help="Record number, SYSTEM|NUMBER.")],
    since: From = None,
    before: To = None,
    as_json: client.AsJson = False,
    url: client.Url = None,
) -> None:
    """Who saw this patient, the last first."""
    _page(f"{PATH}/readers", {"patient": patient} | _period(since, before), READERS, as_json, url)


def own(
    patient: Annotated[str | None, typer.Option(help="Which record, for an account with several.")] = None,
    since: From = None,
    before: To = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    as_json: client.AsJson = False,
    url: client.Url = None,
) -> None:
    """Who saw the record of your account, newest first."""
    asked = {"patient": patient, "limit": str(limit), "cursor": cursor} | _period(since, before)
    _page(f"{PATH}/own", asked, OWN, as_json, url)


def export(
    output: Output = None,
    patient: Patient = None,
    document: Document = None,
    actor: Actor = None,
    event: Event = None,
    action: Action = None,
    outcome: Outcome = None,
    since: From = None,
    before: To = None,
    url: client.Url = None,
) -> None:
    """Records that meet all conditions as CSV, oldest first. A file is there only when it is whole."""
    asked = _given(_asked(patient, document, actor, event, action, outcome, since, before))

    async def work() -> None:
        with written(output) as file:
            async with client.connection(url) as api:
                await api.download(f"{PATH}/export", file.write, params=asked)

    client.run(work())


def heads(
    since: Annotated[
        datetime | None, typer.Option("--from", help="The first day.", formats=DAYS[:1], metavar="DAY")
    ] = None,
    output: Output = None,
    as_json: client.AsJson = False,
    url: client.Url = None,
) -> None:
    """The signed head of each day and the keys that verify them: keep the file of --output elsewhere."""

    async def work() -> dict[str, Any]:
        asked = _given({"from": since.date().isoformat() if since else None})
        async with client.connection(url) as api:
            return dict(await api.call("GET", f"{PATH}/heads", params=asked))

    found = client.run(work())
    if output is not None:
        with readable_errors(), written(output) as file:
            file.write(json.dumps(found, indent=1).encode())
        typer.echo(f"{len(found['items'])} heads are in {output}.")
    elif as_json:
        client.print_json(found)
    else:
        people.console().print(people.listing(found["items"], HEADS))


def _page(
    path: str, asked: Mapping[str, str | None], columns: tuple[str, ...], as_json: bool, url: str | None
) -> None:
    async def work() -> dict[str, Any]:
        async with client.connection(url) as api:
            return dict(await api.call("GET", path, params=_given(asked)))

    page = client.run(work())
    if as_json:
        client.print_json(page)
        return
    people.console().print(people.listing(page["items"], columns))
    if page.get("next_cursor"):
        typer.echo("There are more: a larger --limit, or --cursor with the next_cursor of --json.")


def _asked(
    patient: str | None,
    document: UUID | None,
    actor: str | None,
    event: AuditEvent | None,
    action: str | None,
    outcome: str | None,
    since: datetime | None,
    before: datetime | None,
) -> dict[str, str | None]:
    return {
        "patient": patient,
        "document_id": str(document) if document else None,
        "actor": _actor(actor) if actor else None,
        "event": event.value if event else None,
        "action": action,
        "outcome": outcome,
    } | _period(since, before)


def _actor(text: str) -> str:
    """The trail names an account `user:ID`."""
    try:
        return f"user:{UUID(text)}"
    except ValueError:
        return text


def _period(since: datetime | None, before: datetime | None) -> dict[str, str | None]:
    return {"from": _utc(since), "to": _utc(before)}


def _utc(at: datetime | None) -> str | None:
    return at.replace(tzinfo=UTC).isoformat() if at else None


def _given(asked: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in asked.items() if value is not None}


@contextmanager
def written(path: Path | None) -> Iterator[BinaryIO]:
    """Standard output, or a file of mode 0600 that takes its name when all is written. Raises `MedsearchError`."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = path.with_name(f".{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise MedsearchError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
