"""Removes what is older than the trail has to be kept, as the owner: no other role can remove anything.

Only whole days of the chain go, oldest first. The signed head of the last day that went stays: it is what the
rest of the chain begins with, and the verification accepts it only when the day was old enough. The transaction that
removes a day records it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg

from config.secrets import SecretStore
from config.settings import Settings
from domain.audit import AuditEvent
from domain.errors import Conflict
from stores.audit import insert
from stores.audit_sealing import SEALING
from stores.ports import AuditEntry, AuditLog
from stores.postgres import connect, database

_DAY = """
    SELECT day, max(seq) AS seq, count(*) AS count FROM audit_link
    WHERE day = (SELECT day FROM audit_link ORDER BY seq LIMIT 1) GROUP BY day
"""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed: days, records, and the last day that went (None: nothing was old enough)."""

    days: int
    records: int
    until: date | None


class AuditRetention:
    """`prune` needs the owner's password: it is a command, never a duty of a running service.

    `audit` encodes the records of what was removed.
    """

    def __init__(
        self,
        settings: Settings,
        secrets: SecretStore,
        audit: AuditLog,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._target = database(settings, "audit", "owner")
        self._secrets = secrets
        self._audit = audit
        self._kept = timedelta(days=settings.audit.retention_days)
        self._clock = clock

    @property
    def oldest(self) -> date:
        """The first day (UTC) that has to be kept."""
        return self._clock().astimezone(UTC).date() - self._kept

    async def prune(self) -> Pruned:
        """Remove every whole day of sealing that is older than `audit.retention_days`; a transaction a day.

        Stopped in between it has removed whole days. Raises `Conflict` when a day has no head to begin after.
        """
        oldest = self.oldest
        connection = await connect(self._target, self._secrets)
        days = records = 0
        until = None
        try:
            while (gone := await self._day_gone(connection, oldest)) is not None:
                until, count = gone
                days, records = days + 1, records + count
        finally:
            await connection.close()
        return Pruned(days, records, until)

    async def _day_gone(self, connection: asyncpg.Connection, oldest: date) -> tuple[date, int] | None:
        """Remove the first day of the chain when it is before `oldest`: the day, and its number of records."""
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", SEALING)
            day = await connection.fetchrow(_DAY)
            if day is None or day["day"] >= oldest:
                return None
            if not await connection.fetchval("SELECT 1 FROM audit_head WHERE seq = $1", day["seq"]):
                raise Conflict(
                    "The first day of the chain does not end with a head. Run: medsearch audit verify",
                    code="audit.chain_broken",
                )
            await connection.execute(
                "DELETE FROM audit_record r USING audit_link l WHERE l.record_id = r.id AND l.seq <= $1",
                day["seq"],
            )
            await connection.execute("DELETE FROM audit_link WHERE seq <= $1", day["seq"])
            await connection.execute("DELETE FROM audit_head WHERE seq < $1", day["seq"])
            await self._note(connection, day["day"], day["count"])
            return day["day"], day["count"]

    async def _note(self, connection: asyncpg.Connection, day: date, count: int) -> None:
        entry = AuditEntry(
            action="D",
            event=AuditEvent.AUDIT_PRUNED,
            outcome="success",
            actor="operator",
            reason=f"{count} records of {day}",
        )
        body = self._audit.seal(entry)
        await insert(connection, UUID(body["id"]), body)
