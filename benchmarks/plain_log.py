"""What one would use instead of the audit trail: a table with the same indexes; no encryption, no chain."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import asyncpg

from domain.ids import new_id
from stores.ports import AuditEntry, PatientReader

COLUMNS = (
    "id", "at", "action", "event", "outcome", "actor", "role", "patient", "patients", "document_ids", "version",
    "address", "request_id", "session_id", "query",
)  # fmt: skip
TABLE = (
    """
    CREATE TABLE plain_log (
        id uuid PRIMARY KEY, at timestamptz NOT NULL, action text NOT NULL, event text NOT NULL,
        outcome text NOT NULL, actor text NOT NULL, role text NOT NULL, patient text, patients text[] NOT NULL,
        document_ids uuid[] NOT NULL, version int, address text, request_id text NOT NULL, session_id text, query text
    )
    """,
    "CREATE INDEX ON plain_log (at)",
    "CREATE INDEX ON plain_log (actor, at)",
    "CREATE INDEX ON plain_log (event, at)",
    "CREATE INDEX ON plain_log USING gin (patients)",
    "CREATE INDEX ON plain_log USING gin (document_ids)",
)
INSERT = f"""
    INSERT INTO plain_log ({", ".join(COLUMNS)}) VALUES ({", ".join(f"${n + 1}" for n in range(len(COLUMNS)))})
"""
READERS = """
    SELECT actor, role, min(at) AS first_at, max(at) AS last_at, count(*) AS count, false AS break_glass
    FROM plain_log WHERE patients @> ARRAY[$1]::text[] AND outcome = 'success'
    GROUP BY actor, role ORDER BY last_at DESC
"""


class PlainLog:
    """Over one connection of a role that may do everything."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def create(self) -> None:
        for statement in TABLE:
            await self._connection.execute(statement)

    async def copy(self, entries: Iterable[tuple[datetime, AuditEntry]]) -> None:
        rows = [_row(at, entry) for at, entry in entries]
        await self._connection.copy_records_to_table("plain_log", records=rows, columns=COLUMNS)

    async def insert(self, at: datetime, entry: AuditEntry) -> None:
        await self._connection.execute(INSERT, *_row(at, entry))

    async def readers(self, patient: str) -> list[PatientReader]:
        return [PatientReader(**row) for row in await self._connection.fetch(READERS, patient)]


def _row(at: datetime, entry: AuditEntry) -> tuple[Any, ...]:
    patients = entry.patients or ((entry.patient,) if entry.patient else ())
    documents = entry.document_ids or ((entry.document_id,) if entry.document_id else ())
    return (
        new_id(), at, entry.action, str(entry.event), entry.outcome, entry.actor, entry.role, entry.patient,
        patients, documents, entry.version, entry.address, entry.request_id, entry.session_id, entry.query,
    )  # fmt: skip
