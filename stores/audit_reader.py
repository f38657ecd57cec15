"""Reads the audit trail from Postgres, in a role that can do nothing else, and opens query and names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from config.secrets import SecretMissing, SecretStore
from config.settings import Settings
from domain.audit import SEEING, AuditEvent
from stores.audit import PLAIN, opened
from stores.keyring import SecretKeys
from stores.ports import (
    AuditEntry,
    AuditFigure,
    AuditQuestion,
    AuditRecord,
    Keys,
    KeyUnknown,
    PatientReader,
    SealBroken,
    Sealed,
)
from stores.postgres import Postgres

_COLUMNS = f"id, position, at, patients, document_ids, sealed, nonce, key_name, {', '.join(PLAIN)}"

# One index holds all patients of a record; a search or list that showed nothing let nobody see anything.
_READERS = """
    SELECT actor, role, min(at) AS first_at, max(at) AS last_at,
           count(*) FILTER (WHERE event = ANY ($2)) AS count,
           bool_or(event = $3) AS break_glass
    FROM audit_record
    WHERE patients @> ARRAY[$1]::text[] AND outcome = 'success'
      AND (event = $3 OR event = ANY ($2) AND (document_ids <> '{{}}' OR event <> ALL ($4)))
      AND {period}
    GROUP BY actor, role
    ORDER BY last_at DESC, actor, role
"""
_FIGURES = """
    SELECT (at AT TIME ZONE 'UTC')::date AS day, event, outcome, count(*) AS count FROM audit_record
    WHERE at >= $1 AND at < $2
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
_SHOWING = [AuditEvent.SEARCH_PERFORMED.value, AuditEvent.DOCUMENT_LIST.value]


class PostgresAuditReader:
    """`AuditReader`. Query and names that no key opens any more are empty, and the record says so."""

    def __init__(self, db: Postgres, keys: Keys) -> None:
        self._db = db
        self._keys = keys

    @classmethod
    def of(cls, settings: Settings, secrets: SecretStore) -> PostgresAuditReader:
        db = Postgres.of(settings, secrets, "audit", "audit-reader")
        return cls(db, SecretKeys.of(settings, secrets))

    async def page(
        self, question: AuditQuestion, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> list[AuditRecord]:
        where, arguments = _conditions(question)
        if after is not None:
            arguments += after
            where += f" AND (at, id) < (${len(arguments) - 1}, ${len(arguments)})"
        sql = (
            f"SELECT {_COLUMNS} FROM audit_record WHERE {where} ORDER BY at DESC, id DESC LIMIT {int(limit)}"  # noqa: S608 - see _conditions
        )
        async with self._db.connection() as connection:
            rows = await connection.fetch(sql, *arguments)
        return [self._record(row) for row in rows]

    async def stream(self, question: AuditQuestion) -> AsyncIterator[AuditRecord]:
        where, arguments = _conditions(question)
        sql = f"SELECT {_COLUMNS} FROM audit_record WHERE {where} ORDER BY at, id"  # noqa: S608 - see _conditions
        async with self._db.connection() as connection, connection.transaction(readonly=True):
            async for row in connection.cursor(sql, *arguments, prefetch=500, timeout=600):
                yield self._record(row)

    async def readers(
        self, patient: str, *, since: datetime | None, before: datetime | None
    ) -> list[PatientReader]:
        seeing = sorted(event.value for event in SEEING)
        asked = [patient, seeing, AuditEvent.BREAKGLASS_STARTED.value, _SHOWING]
        # an open end is no condition: guessed to select much, it would have the whole index of times read
        period, ends = _conditions(AuditQuestion(since=since, before=before), first=len(asked) + 1)
        async with self._db.connection() as connection:
            rows = await connection.fetch(_READERS.format(period=period), *asked, *ends)
        return [PatientReader(**row) for row in rows]

    async def figures(self, *, since: datetime, before: datetime) -> list[AuditFigure]:
        async with self._db.connection() as connection:
            rows = await connection.fetch(_FIGURES, since, before)
        return [AuditFigure(**row) for row in rows]

    async def close(self) -> None:
        await self._db.close()

    def _record(self, row: asyncpg.Record) -> AuditRecord:
        query, names, readable = self._opened(row)
        documents = tuple(row["document_ids"])
        entry = AuditEntry(
            **{name: row[name] for name in PLAIN},
            patients=tuple(row["patients"]),
            document_id=documents[0] if row["version"] is not None and documents else None,
            document_ids=documents,
            query=query,
            names=names,
        )
        return AuditRecord(row["id"], row["position"], row["at"], entry, readable)

    def _opened(self, row: asyncpg.Record) -> tuple[str | None, dict[str, str], bool]:
        if row["sealed"] is None:
            return None, {}, True
        try:
            query, names = opened(self._keys, row["id"], Sealed(row["sealed"], row["nonce"], row["key_name"]))
        except (KeyUnknown, SecretMissing, SealBroken):
            return None, {}, False
        sound = {name: _sound(value) for name, value in names.items()}
        return (None if query is None else _sound(query)), sound, True


def _sound(text: str) -> str:
    """Without half surrogate pairs: what can be answered as UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _conditions(question: AuditQuestion, *, first: int = 1) -> tuple[str, list[Any]]:
    """A WHERE clause of fixed texts and the values of its parameters, numbered from `first` on."""
    asked = {
        "patients @> ARRAY[{}]::text[]": question.patient,
        "document_ids @> ARRAY[{}]::uuid[]": question.document_id,
        "actor = {}": question.actor,
        "event = {}": question.event,
        "action = {}": question.action,
        "outcome = {}": question.outcome,
        "at >= {}": question.since,
        "at < {}": question.before,
    }
    given = [(text, value) for text, value in asked.items() if value is not None]
    parts = [text.format(f"${number}") for number, (text, _) in enumerate(given, first)]
    return " AND ".join(parts) or "true", [value for _, value in given]
