"""`medsearch index`: the search index as something that can be lost and made again, or made by another model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cluster.cli.platform import AsJson, on_server
from cluster.generations import POLL_SECONDS, Described, IndexOperator, by_operator, index_operator
from config.secrets import SecretStore
from config.settings import Settings
from domain.audit import AuditEvent
from domain.jobs import explain
from domain.search import Generation
from stores.audit import PostgresAudit
from stores.generation_jobs import Standing
from stores.jobs import JobStore
from stores.postgres import Postgres

app = typer.Typer(help="Look after the search index.", no_args_is_help=True)

T = TypeVar("T")
Name = Annotated[str | None, typer.Argument(help="A generation of 'medsearch index status'.")]


def register(commands: typer.Typer) -> None:
    """Add the group to the application."""
    commands.add_typer(app, name="index")


@app.callback()
def index() -> None:
    """Look after the search index."""


@app.command()
def rebuild() -> None:
    """Have every document indexed again from what its processing has stored. For an index that was lost."""
    with on_server("processing") as (settings, secrets):
        queued = asyncio.run(queue_all(settings, secrets))
    typer.echo(f"{queued} documents are queued for the index. They can be found again one after the other.")


@app.command()
def status(as_json: AsJson = False) -> None:
    """The generations of the index: which answers, which is being built, what is missing in them."""
    rows = [_row(one) for one in _operate(lambda operator: operator.described())]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif rows:
        table = Table(*rows[0], box=None, padding=(0, 2, 0, 0))
        for row in rows:
            table.add_row(*(_shown(value) for value in row.values()))
        Console().print(table)
    else:
        typer.echo("There is no index yet: it is made when the platform starts.")


@app.command()
def build(
    encoder: Annotated[
        str | None,
        typer.Option(help="A shipped name, a folder, or a hub id. Default: models.encoder of the settings."),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return at once; the build goes on.")
    ] = False,
) -> None:
    """Build the index anew by another embedding model, beside the live one. Also goes on with a build."""
    generation = _operate(lambda operator: operator.build(encoder))
    typer.echo(f"{generation.name} is being built by {generation.encoder}.")
    if detach:
        return
    try:
        standing = _operate(lambda operator: _followed(operator, generation))
    except KeyboardInterrupt:
        typer.echo("It goes on without this command. To stop it: medsearch index stop", err=True)
        raise typer.Exit(130) from None
    if standing.missing:
        for reason, count in standing.failed.items():
            typer.echo(f"{count} documents failed ({reason}): {explain(reason)[0]}", err=True)
        typer.echo("To try them again: medsearch index build", err=True)
        raise typer.Exit(1)
    typer.echo(
        f"It holds all {standing.documents} documents. To search it: medsearch index promote {generation.name}"
    )


@app.command()
def stop(name: Name = None) -> None:
    """Stop building a generation. 'medsearch index build' goes on with it."""
    generation = _operate(lambda operator: operator.stop(name))
    typer.echo(
        f"{generation.name} is no longer built. To go on: medsearch index build --encoder {generation.source}"
    )


@app.command()
def promote(
    name: Name = None,
    force: Annotated[
        bool, typer.Option(help="Also while documents are missing: they cannot be found until they are in.")
    ] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for documents that are missing.")] = 10,
) -> None:
    """Let another generation answer, from one search to the next. Default: the one that is being built."""
    generation = _operate(lambda operator: operator.promote(name, force=force, wait_seconds=wait))
    typer.echo(f"{generation.name} answers all searches now. The former one stays until it is dropped.")


@app.command()
def drop(name: Annotated[str, typer.Argument(help="A generation that is not live.")]) -> None:
    """Remove a generation. There is no way back to it."""
    generation = _operate(lambda operator: operator.drop(name))
    typer.echo(f"{generation.name} is removed.")


async def queue_all(settings: Settings, secrets: SecretStore) -> int:
    """Queue all indexed documents for their last stage, on record; how many there were.

    The index writer makes the index anew when none is left. May be run again.
    """
    db, audit = Postgres.of(settings, secrets, "processing"), PostgresAudit.of(settings, secrets)
    entry = by_operator(AuditEvent.INDEX_REBUILD)
    queued = 0
    try:
        async for queued in JobStore(db, settings.processing).reindex(audit.seal(entry)):
            typer.echo(f"{queued} queued", err=True)
    finally:
        await audit.close()
        await db.close()
    return queued


def _operate(act: Callable[[IndexOperator], Awaitable[T]]) -> T:
    async def acting(settings: Settings, secrets: SecretStore) -> T:
        async with index_operator(settings, secrets) as operator:
            return await act(operator)

    with on_server("processing") as (settings, secrets):
        return asyncio.run(acting(settings, secrets))


async def _followed(operator: IndexOperator, generation: Generation) -> Standing:
    """Shows the progress until nothing is missing, or only what failed."""
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("Documents", total=None)
        while True:
            standing = (await operator.describe(generation)).standing
            progress.update(task, completed=standing.documents, total=standing.documents + standing.missing)
            if standing.missing == sum(standing.failed.values()) and not standing.waiting:
                return standing
            await asyncio.sleep(2 * POLL_SECONDS)


def _row(one: Described) -> dict[str, Any]:
    generation, standing = one.generation, one.standing
    return {
        "name": generation.name,
        "state": generation.state.value + (" (stopped)" if standing.stopped else ""),
        "encoder": generation.encoder,
        "dimension": generation.dimension,
        "documents": standing.documents,
        "missing": standing.missing,
        "failed": standing.failed,
        "being filled": standing.filled,
        "made": generation.created_at.isoformat(timespec="seconds") if generation.created_at else None,
        "found as": generation.source,
    }


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {reason}" for reason, count in value.items()) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
