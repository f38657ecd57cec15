"""From the outboxes to the event log and the audit trail.

What is not yet delivered is found by `delivered_at IS NULL` and locked with SKIP LOCKED: polling by id would
miss the rows of slow transactions. After a crash between delivery and its mark a row is delivered again; log
and trail know its id.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

import asyncpg
import structlog

from config.secrets import SecretStore
from domain.errors import Unavailable
from domain.events import Event
from stores import outbox
from stores.listening import Listener
from stores.ports import EventLog
from stores.postgres import Postgres

KEPT = timedelta(hours=24)
"""How long delivered rows stay, for those who look for a lost event."""

PRUNE_EVERY_SECONDS = 3600.0

log = structlog.get_logger(__name__)


class AuditSink(Protocol):
    """Takes records whose secret fields were sealed when they were written to the outbox."""

    async def insert_sealed(self, record_id: UUID, body: dict[str, Any]) -> None:
        """Store the record; one with this id that is already there is left as it is."""
        ...


@dataclass(slots=True)
class _Outbox:
    service: str
    db: Postgres
    listener: Listener
    heard: int = 0
    passed_over: set[UUID] = field(default_factory=set)
    """Rows that this version cannot read (written by a newer one): they wait for a relay that can."""


class Relay:
    """Moves undelivered rows; run by the leader, harmless when run by several."""

    def __init__(
        self,
        outboxes: Mapping[str, Postgres],
        event_log: EventLog,
        audit: AuditSink,
        secrets: SecretStore,
        *,
        batch: int = 200,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outboxes = [
            _Outbox(service, db, Listener(db.target, secrets, outbox.CHANNEL))
            for service, db in outboxes.items()
        ]
        self._log = event_log
        self._audit = audit
        self._batch = batch
        self._clock = clock
        self._prune_at = clock() + PRUNE_EVERY_SECONDS

    async def run_once(self) -> int:
        """Deliver up to a batch of each kind of each outbox; the number of rows delivered.

        A store that is away holds up only what it belongs to; it is logged and tried with the next run.
        """
        moved = 0
        for box in self._outboxes:
            box.heard = box.listener.count
            for deliver in (self._deliver_events, self._deliver_audit):
                try:
                    moved += await deliver(box)
                except Unavailable as error:
                    log.warning("relay_held_up", service=box.service, reason=error.code)
        if self._clock() >= self._prune_at:
            await self.prune()
            self._prune_at = self._clock() + PRUNE_EVERY_SECONDS
        return moved

    async def wait(self, seconds: float) -> None:
        """Return when something was published since the last run, or after `seconds`."""
        waits = [asyncio.create_task(box.listener.wait(seconds, since=box.heard)) for box in self._outboxes]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def prune(self, older_than: timedelta = KEPT) -> int:
        """Remove rows delivered longer ago than that; how many."""
        removed = 0
        for box in self._outboxes:
            with contextlib.suppress(Unavailable):
                async with box.db.transaction() as connection:
                    done = await connection.execute(
                        "DELETE FROM outbox WHERE delivered_at < now() - $1::interval", older_than
                    )
                removed += int(done.rpartition(" ")[2])
        return removed

    async def close(self) -> None:
        for box in self._outboxes:
            await box.listener.close()

    async def _deliver_events(self, box: _Outbox) -> int:
        async with box.db.transaction() as connection:
            events = {row["id"]: _event(row["body"]) for row in await self._waiting(connection, box, "event")}
            unreadable = [row_id for row_id, event in events.items() if event is None]
            if unreadable:
                box.passed_over.update(unreadable)
                log.error(
                    "outbox_unreadable", service=box.service, rows=[str(row_id) for row_id in unreadable]
                )
            readable = {row_id: event for row_id, event in events.items() if event is not None}
            await self._log.append(list(readable.values()))
            await _mark(connection, list(readable))
        return len(readable)

    async def _deliver_audit(self, box: _Outbox) -> int:
        async with box.db.transaction() as connection:
            rows = await self._waiting(connection, box, "audit")
            for row in rows:
                await self._audit.insert_sealed(row["id"], row["body"])
            await _mark(connection, [row["id"] for row in rows])
        return len(rows)

    async def _waiting(self, connection: asyncpg.Connection, box: _Outbox, kind: str) -> list[asyncpg.Record]:
        return await connection.fetch(
            """
            SELECT id, body FROM outbox WHERE delivered_at IS NULL AND kind = $1 AND id <> ALL ($2::uuid[])
            ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED
            """,
            kind,
            list(box.passed_over),
            self._batch,
        )


async def _mark(connection: asyncpg.Connection, row_ids: list[UUID]) -> None:
    await connection.execute("UPDATE outbox SET delivered_at = now() WHERE id = ANY ($1::uuid[])", row_ids)


def _event(body: dict[str, Any]) -> Event | None:
    try:
        return Event.from_cloudevent(body)
    except (KeyError, ValueError, TypeError):
        return None
