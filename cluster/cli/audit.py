"""`medsearch audit`: reading the trail over HTTP; `verify` and `prune` on this server's own databases.

Exit codes as everywhere; `verify` ends with 1 when the trail is not as it was sealed.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cluster.cli import audit_reading, client, people
from cluster.cli.platform import on_server
from cluster.databases import OWNER
from config.secrets import SecretStore
from config.settings import Settings
from domain.audit import AuditEvent
from stores.audit import PostgresAudit
from stores.audit_chain import AuditChain, Break, Verification
from stores.audit_heads import Head, parse_heads
from stores.audit_retention import AuditRetention
from stores.ports import AuditEntry

OPERATOR = "operator"


def register(app: typer.Typer) -> None:
    """Add the group of commands to the application."""
    audit = typer.Typer(help="The audit trail: who did what, and whether it is whole.", no_args_is_help=True)
    audit.command("list")(audit_reading.list_records)
    for command in (audit_reading.readers, audit_reading.own, audit_reading.export, audit_reading.heads):
        audit.command()(command)
    audit.command()(verify)
    audit.command()(prune)
    app.add_typer(audit, name="audit")


def verify(
    heads: Annotated[
        list[Path] | None,
        typer.Option(
            help="Heads that were kept elsewhere; may be repeated.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
    unrecorded: Annotated[
        bool, typer.Option("--unrecorded", help="Do not record it: for a copy that takes no records.")
    ] = False,
    as_json: client.AsJson = False,
) -> None:
    """Check the whole trail against its chain, the signatures, and heads kept elsewhere: the first broken record."""
    with on_server("audit", "audit-reader") as (settings, secrets):
        kept = [head for file in heads or () for head in parse_heads(file.read_text(errors="replace"))]
        found = asyncio.run(_verified(settings, secrets, kept, as_json=as_json, unrecorded=unrecorded))
    if found.broken is not None:
        raise typer.Exit(1)


def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: client.AsJson = False,
) -> None:
    """Remove days of the trail that are older than `audit.retention_days`. Needs the owner's password."""
    with on_server("audit", OWNER) as (settings, secrets):
        audit = PostgresAudit.of(settings, secrets)
        retention = AuditRetention(settings, secrets, audit)
        if not yes:
            question = (
                f"Remove what was sealed before {retention.oldest} ({settings.audit.retention_days} days)?"
            )
            typer.confirm(question, abort=True, err=True)
        pruned = asyncio.run(retention.prune())
    if as_json:
        client.print_json({**asdict(pruned), "until": str(pruned.until) if pruned.until else None})
    elif pruned.days:
        typer.echo(f"Removed {pruned.records} records of {pruned.days} days, up to {pruned.until}.")
    else:
        typer.echo("Nothing is old enough.")


async def _verified(
    settings: Settings, secrets: SecretStore, kept: list[Head], *, as_json: bool, unrecorded: bool
) -> Verification:
    """The result is printed before it is recorded: a trail that takes no records may be what is wrong."""
    chain, audit = AuditChain.of(settings, secrets), PostgresAudit.of(settings, secrets)
    try:
        found = await chain.verify(kept)
        _print(found, as_json)
        if not unrecorded:
            await audit.record(_entry(found))
    finally:
        await chain.close()
        await audit.close()
    return found


def _entry(found: Verification) -> AuditEntry:
    broken = found.broken
    return AuditEntry(
        action="E",
        event=AuditEvent.AUDIT_VERIFIED,
        outcome="failure" if broken else "success",
        actor=OPERATOR,
        reason=f"{broken.fault} at {broken.seq}" if broken else f"{found.links} links",
    )


def _print(found: Verification, as_json: bool) -> None:
    if as_json:
        client.print_json(_plain(found))
        return
    people.console().print(people.details(_plain(found) | {"broken": None}))
    typer.echo(_said(found.broken) if found.broken else "The trail is as it was sealed.")


def _said(broken: Break) -> str:
    """The first place where something is wrong, in one sentence each."""
    where = f"link {broken.seq}" + (f" of {broken.day}" if broken.day else "")
    record = f", record {broken.record_id}" if broken.record_id else ""
    return f"Broken ({broken.fault}) at {where}{record}. {broken.message}"


def _plain(found: Verification) -> dict[str, Any]:
    """As JSON knows it."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(part) for name, part in value.items()}
        return value if value is None or isinstance(value, int) else str(value)

    return dict(plain(asdict(found)))
