"""`Idempotency-Key`: the same request sent again gets the same answer and has no second effect.

Claim and answer are written in the transaction of the effect, so a claim that is visible has its answer, and
of two requests with one key the second waits for the first. The table is the
service's own `idempotency`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from domain.errors import Invalid

KEPT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a key: whose, for which operation, and a digest of everything the request asks for."""

    account: UUID
    operation: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered: HTTP status and JSON body."""

    status: int
    body: dict[str, Any]


async def claim(connection: asyncpg.Connection, use: Use, *, kept: timedelta = KEPT) -> Answer | None:
    """None for the first use within `kept`; for a repetition the answer of the first.

    Raises `Invalid` (`request.idempotency_mismatch`) when the key was used for something else.
    """
    first = await connection.fetchval(
        """
        INSERT INTO idempotency AS known (account, operation, key, fingerprint) VALUES ($1, $2, $3, $4)
        ON CONFLICT (account, operation, key) DO UPDATE
            SET fingerprint = excluded.fingerprint, status = NULL, answer = NULL, created_at = now()
            WHERE known.created_at < now() - $5::interval
        RETURNING true
        """,
        *(use.account, use.operation, use.key, use.fingerprint, kept),
    )
    if first:
        return None
    known = await connection.fetchrow(
        "SELECT * FROM idempotency WHERE account = $1 AND operation = $2 AND key = $3",
        *(use.account, use.operation, use.key),
    )
    if known is None or known["fingerprint"] != use.fingerprint:
        raise Invalid(
            "This Idempotency-Key was used for a different request. Use a new key for a new request.",
            code="request.idempotency_mismatch",
        )
    return Answer(known["status"], known["answer"])


async def keep(connection: asyncpg.Connection, use: Use, answer: Answer, *, kept: timedelta = KEPT) -> None:
    """Store the answer of a claimed use, and forget a few uses that are too old to count."""
    await connection.execute(
        "UPDATE idempotency SET status = $4, answer = $5 WHERE account = $1 AND operation = $2 AND key = $3",
        *(use.account, use.operation, use.key, answer.status, answer.body),
    )
    await forget(connection, kept=kept, limit=100)


async def forget(connection: asyncpg.Connection, *, kept: timedelta = KEPT, limit: int) -> int:
    """Remove uses that are too old to count; how many, `limit` at most."""
    rows = await connection.fetch(
        """
        DELETE FROM idempotency WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM idempotency WHERE created_at < now() - $1::interval
            LIMIT $2 FOR UPDATE SKIP LOCKED
        )) RETURNING 1
        """,
        kept,
        limit,
    )
    return len(rows)
