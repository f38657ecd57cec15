"""`medsearch index`: the search index as something that can be lost and made again."""

from __future__ import annotations

import asyncio
import os

import typer

from cluster.cli.platform import readable_errors
from config.loading import load_settings
from config.secrets import SecretStore
from config.settings import Settings
from domain.audit import AuditEvent
from stores.audit import PostgresAudit
from stores.jobs import JobStore
from stores.ports import AuditEntry
from stores.postgres import Postgres

app = typer.Typer(help="Look after the search index.", no_args_is_help=True)


def register(commands: typer.Typer) -> None:
    """Add the group to the application."""
    commands.add_typer(app, name="index")


@app.callback()
def index() -> None:
    """Look after the search index."""


@app.command()
def rebuild() -> None:
    """Have every document indexed again from what its processing has stored. For an index that was lost."""
    with readable_errors():
        settings = load_settings().settings
        queued = asyncio.run(queue_all(settings, SecretStore(settings.secrets_path)))
    typer.echo(f"{queued} documents are queued for the index. They can be found again one after the other.")


async def queue_all(settings: Settings, secrets: SecretStore) -> int:
    """Queue all indexed documents for their last stage, on record; how many there were.

    The index writer makes the index anew when none is left. May be run again.
    """
    db, audit = Postgres.of(settings, secrets, "processing"), PostgresAudit.of(settings, secrets)
    entry = AuditEntry(
        action="E",
        event=AuditEvent.INDEX_REBUILD,
        outcome="success",
        actor="system",
        names={"operator": f"uid {os.getuid()}"},
    )
    queued = 0
    try:
        async for queued in JobStore(db, settings.processing).reindex(audit.seal(entry)):
            typer.echo(f"{queued} queued", err=True)
    finally:
        await audit.close()
        await db.close()
    return queued
