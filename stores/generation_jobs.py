"""Which generations of the index get every document, which documents each holds, and the jobs that fill them.

A document is missing in a generation while its version that counts as indexed was not written there. Missing ones
are queued some at a time, behind all that is uploaded; that is found out anew each time, so that a build may be
broken off anywhere and gone on with. Tables `filling` and `generation_document` of `processing_db`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from domain.ids import new_id
from domain.job_life import Job, first_state
from domain.jobs import JobKind, Lane, Stage
from stores import outbox
from stores.job_rows import WORK
from stores.postgres import Postgres

AT_ONCE = 2_000
"""Most jobs that are queued, or rows removed, in one step."""

LOW = 500
"""More are queued when so few are left."""

_MISSING = """
    FROM job AS one WHERE kind = 'process' AND status = 'indexed' AND NOT EXISTS (
        SELECT FROM generation_document AS held
        WHERE held.generation = $1 AND held.document_id = one.document_id AND held.version = one.version)
"""
_OPEN = "kind = 'embed' AND generation = $1"
_QUEUE = f"""
    WITH chosen AS (
        SELECT document_id, version, revision, blob_key, request_id, artefacts - $4 AS artefacts,
               row_number() OVER () AS place
        FROM (SELECT * {_MISSING} AND NOT EXISTS (
                SELECT FROM job AS other WHERE {_OPEN}
                AND other.document_id = one.document_id AND other.version = one.version)
              AND ($3::uuid[] IS NULL OR document_id = ANY ($3)) LIMIT cardinality($2::uuid[])) AS missing
    )
    INSERT INTO job (id, document_id, version, revision, kind, lane, blob_key, request_id, status, stage,
                     artefacts, generation, sequence)
    SELECT fresh.id, document_id, version, revision, $5, $6, blob_key, request_id, $7, $8, artefacts, $1,
           nextval('job_sequence')
    FROM chosen JOIN unnest($2::uuid[]) WITH ORDINALITY AS fresh (id, place) USING (place)
    ON CONFLICT DO NOTHING RETURNING id
"""  # noqa: S608 - constants
_ORPHANED = (
    f"{_OPEN} AND NOT EXISTS (SELECT FROM job AS one WHERE one.kind = 'process'"
    " AND one.document_id = job.document_id AND one.version = job.version) AND holder IS NULL"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a generation is: documents it holds, indexed ones it lacks, its jobs that wait, and that failed."""

    documents: int
    missing: int
    waiting: int
    failed: Mapping[str, int]
    """Reason -> jobs in quarantine."""
    filled: bool
    stopped: bool


class GenerationJobs:
    """Questions and changes for index writer and operators."""

    def __init__(self, db: Postgres) -> None:
        self._db = db

    async def filled(self) -> dict[str, datetime]:
        """Generations beside the live one that are to get every document, and since when."""
        async with self._db.connection() as connection:
            rows = await connection.fetch("SELECT generation, begun_at FROM filling WHERE NOT stopped")
        return {row["generation"]: row["begun_at"] for row in rows}

    async def begin(self, generation: str, *records: Mapping[str, Any]) -> None:
        """Fill it from now on, also with what failed before. Audit `records` go with it."""
        async with self._db.transaction() as connection:
            await connection.execute(
                "INSERT INTO filling (generation) VALUES ($1)"
                " ON CONFLICT (generation) DO UPDATE SET stopped = false, begun_at = clock_timestamp()",
                generation,
            )
            await _remove_jobs(connection, generation, "status = 'quarantined'")
            await outbox.publish_audit(connection, *records)

    async def stop(self, generation: str, *records: Mapping[str, Any]) -> bool:
        """Fill it no further; what is under work is finished. False when it was not being filled."""
        async with self._db.transaction() as connection:
            done = await connection.execute(
                "UPDATE filling SET stopped = true WHERE generation = $1 AND NOT stopped", generation
            )
            if done == "UPDATE 0":
                return False
            await _remove_jobs(connection, generation, "holder IS NULL")
            await outbox.publish_audit(connection, *records)
        return True

    async def end(self, generation: str, *records: Mapping[str, Any]) -> None:
        """It is the live one from now on, which is filled in any case."""
        async with self._db.transaction() as connection:
            await connection.execute("DELETE FROM filling WHERE generation = $1", generation)
            await outbox.publish_audit(connection, *records)

    async def drop(self, generation: str, *records: Mapping[str, Any]) -> None:
        """Forget everything about it. May be broken off and begun again."""
        async with self._db.transaction() as connection:
            await connection.execute("DELETE FROM filling WHERE generation = $1", generation)
            await _remove_jobs(connection, generation, "true")
            await outbox.publish_audit(connection, *records)
        await self.emptied(generation)

    async def emptied(self, generation: str) -> None:
        """What was written to it is lost."""
        removed = True
        while removed:
            async with self._db.transaction() as connection:
                done = await connection.execute(
                    """
                    DELETE FROM generation_document WHERE (document_id, generation) IN (
                        SELECT document_id, generation FROM generation_document WHERE generation = $1 LIMIT $2)
                    """,
                    generation,
                    AT_ONCE,
                )
            removed = done != "DELETE 0"

    async def fill(
        self, generation: str, *, documents: Sequence[UUID] | None = None, at_once: int = AT_ONCE
    ) -> bool:
        """Queue documents that are missing: these, or any unless enough are queued; whether all are queued now."""
        async with self._db.transaction() as connection:
            if documents is None and await _enough(connection, generation, min(LOW, at_once)):
                return False
            state = first_state(JobKind.EMBED)
            rows = await connection.fetch(
                _QUEUE,
                generation,
                [new_id() for _ in range(at_once if documents is None else len(documents))],
                documents,
                Stage.EMBED.value,
                JobKind.EMBED.value,
                Lane.BULK.value,
                state.status.value,
                state.stage,
            )
            if rows:
                await connection.execute(f"NOTIFY {WORK}")
        return len(rows) < at_once

    async def standing(self, generation: str) -> Standing:
        """Counts everything: for people rather than for monitoring."""
        async with self._db.connection() as connection:
            row = await connection.fetchrow(
                f"""
                SELECT (SELECT count(*) FROM generation_document AS held JOIN job AS one
                            ON one.document_id = held.document_id AND one.version = held.version
                            AND one.kind = 'process' AND one.status = 'indexed'
                        WHERE held.generation = $1) AS documents,
                       (SELECT count(*) {_MISSING}) AS missing,
                       (SELECT count(*) FROM job WHERE {_OPEN} AND finished_at IS NULL) AS waiting,
                       (SELECT stopped FROM filling WHERE generation = $1) AS stopped
                """,  # noqa: S608 - constants
                generation,
            )
            failed = await connection.fetch(
                f"""
                SELECT reason_code, count(*) AS count FROM job
                WHERE {_OPEN} AND status = 'quarantined' GROUP BY reason_code ORDER BY reason_code
                """,  # noqa: S608 - constants
                generation,
            )
        assert row is not None  # noqa: S101 - scalars always have their row
        return Standing(
            documents=row["documents"],
            missing=row["missing"],
            waiting=row["waiting"],
            failed={one["reason_code"]: one["count"] for one in failed},
            filled=row["stopped"] is False,
            stopped=bool(row["stopped"]),
        )

    async def vectors(self, generation: str, document_id: UUID, version: int) -> str | None:
        """The key of the vectors that were written to the generation for this version."""
        async with self._db.connection() as connection:
            key: str | None = await connection.fetchval(
                "SELECT vectors FROM generation_document"
                " WHERE generation = $1 AND document_id = $2 AND version = $3",
                *(generation, document_id, version),
            )
        return key


async def record(connection: asyncpg.Connection, done: Sequence[Job], live: str) -> None:
    """These jobs are in the index now: `process` jobs in the generation `live`, `embed` jobs in their own."""
    put = [job for job in done if job.kind in (JobKind.PROCESS, JobKind.EMBED)]
    await connection.executemany(
        """
        INSERT INTO generation_document (generation, document_id, version, vectors) VALUES ($1, $2, $3, $4)
        ON CONFLICT (document_id, generation)
        DO UPDATE SET version = excluded.version, vectors = excluded.vectors
        """,
        [
            (job.generation or live, job.document_id, job.version, job.artefacts.get(Stage.EMBED.value, ""))
            for job in put
        ],
    )
    gone = [job.document_id for job in done if job.kind is JobKind.DELETE]
    if gone:
        await connection.execute("DELETE FROM generation_document WHERE document_id = ANY ($1)", gone)


async def _enough(connection: asyncpg.Connection, generation: str, least: int) -> bool:
    """Whether more than `least` are queued, but for those whose document is gone."""
    await connection.execute(f"DELETE FROM job WHERE {_ORPHANED}", generation)  # noqa: S608 - constants
    waiting: int = await connection.fetchval(
        f"SELECT count(*) FROM job WHERE {_OPEN} AND finished_at IS NULL",  # noqa: S608 - constants
        generation,
    )
    return waiting > least


async def _remove_jobs(connection: asyncpg.Connection, generation: str, condition: str) -> None:
    await connection.execute(f"DELETE FROM job WHERE {_OPEN} AND {condition}", generation)  # noqa: S608 - our callers' constants
