"""Emergency access in `auth_db`: one account, one session, one patient, an hour at most.

The published view gives `breakglass:PATIENT` while a row is open, in time, and its session active; what ended
by itself is closed, and recorded, by `actors.glass_closer`. The reason stands in the audit trail alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import asyncpg

from domain.ids import new_id

COLUMNS = "b.id, b.account_id, b.session_id, b.patient, b.started_at, b.ends_at"


@dataclass(frozen=True, slots=True)
class Glass:
    """One emergency access."""

    id: UUID
    account_id: UUID
    session_id: UUID
    patient: str = field(repr=False)
    started_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class ClosedGlass:
    """One that ended by itself, and why: `expired`, `session_ended` or `account_changed`."""

    glass: Glass
    role: str
    reason: str


class BreakGlass:
    """The statements on emergency accesses, on a connection that the caller has a transaction in."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def start(self, account_id: UUID, session_id: UUID, patient: str, *, minutes: int) -> Glass | None:
        """Open it for 1 to 60 minutes from now; None when the account has one open already."""
        row = await self._connection.fetchrow(
            f"""
            INSERT INTO break_glass AS b (id, account_id, session_id, patient, started_at, ends_at)
            VALUES ($1, $2, $3, $4, now(), now() + make_interval(mins => $5))
            ON CONFLICT (account_id) WHERE ended_at IS NULL DO NOTHING
            RETURNING {COLUMNS}
            """,  # noqa: S608 - names of ours
            new_id(),
            account_id,
            session_id,
            patient,
            minutes,
        )
        return Glass(**row) if row else None

    async def end(self, glass_id: UUID, account_id: UUID) -> Glass | None:
        """End the account's own; None when there is no such open one."""
        row = await self._connection.fetchrow(
            f"""
            UPDATE break_glass b SET ended_at = clock_timestamp()
            WHERE id = $1 AND account_id = $2 AND ended_at IS NULL RETURNING {COLUMNS}
            """,  # noqa: S608 - names of ours
            glass_id,
            account_id,
        )
        return Glass(**row) if row else None

    async def open(self, session_id: UUID) -> list[Glass]:
        """What counts in the session now."""
        rows = await self._connection.fetch(
            f"""
            SELECT {COLUMNS} FROM break_glass b
            WHERE session_id = $1 AND ended_at IS NULL AND ends_at > now()
            """,  # noqa: S608 - names of ours
            session_id,
        )
        return [Glass(**row) for row in rows]

    async def end_ended(
        self, roles: Collection[str], *, account_id: UUID | None = None, limit: int = 100
    ) -> list[ClosedGlass]:
        """Close those that open nothing any more, of one account or of all; rows in other hands are left.

        `roles`: for which emergency access counts.
        """
        rows = await self._connection.fetch(
            f"""
            WITH due AS (
                SELECT b.id, a.role,
                       CASE WHEN b.ends_at <= now() THEN 'expired'
                            WHEN a.status <> 'active' OR a.role <> ALL ($3::text[]) THEN 'account_changed'
                            ELSE 'session_ended' END AS reason
                FROM break_glass b JOIN session s ON s.id = b.session_id JOIN account a ON a.id = b.account_id
                WHERE b.ended_at IS NULL AND ($1::uuid IS NULL OR b.account_id = $1)
                  AND (b.ends_at <= now() OR s.revoked_at IS NOT NULL OR s.expires_at <= now()
                       OR a.status <> 'active' OR a.role <> ALL ($3::text[]))
                ORDER BY b.id LIMIT $2 FOR UPDATE OF b SKIP LOCKED
            )
            UPDATE break_glass b SET ended_at = least(now(), b.ends_at) FROM due WHERE b.id = due.id
            RETURNING {COLUMNS}, due.role, due.reason
            """,  # noqa: S608 - names of ours
            account_id,
            limit,
            sorted(roles),
        )
        return [_closed(dict(row)) for row in rows]


def _closed(values: dict[str, object]) -> ClosedGlass:
    role, reason = str(values.pop("role")), str(values.pop("reason"))
    return ClosedGlass(Glass(**values), role, reason)  # type: ignore[arg-type]
