"""A subscriber of the event log: at least once on the wire, once in effect.

The effect of an event, its id and the new position are one transaction of the subscriber's own database. An
event that fails again and again is put aside as a dead letter with its reason: it cannot hold up the others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg
import structlog

from domain.errors import MedsearchError, Unavailable
from domain.events import Event, LoggedEvent, Position, Topic
from stores.ports import EventLog
from stores.postgres import Postgres, unreachable

Apply = Callable[[asyncpg.Connection, Event], Awaitable[None]]
"""The effect of one event on a connection with a transaction; what means nothing here is passed over."""

REMEMBERED = timedelta(days=7)
"""How long event ids are kept: longer than a relay could repeat an event at another offset."""

log = structlog.get_logger(__name__)


class EventFailed(MedsearchError):
    """The effect of an event failed; it will be tried again (before the last attempt)."""

    code = "events.effect_failed"


class Subscription:
    """One reader of the event log; of two with one name, one waits for the other."""

    def __init__(
        self, db: Postgres, name: str, topics: Sequence[Topic], apply: Apply, *, attempts: int = 5
    ) -> None:
        self.name = name
        self.topics = tuple(topics)
        self.dead = 0
        """Events put aside since this process started."""
        self._db = db
        self._apply = apply
        self._attempts = attempts
        self._failed: dict[UUID, int] = {}

    async def positions(self) -> list[Position]:
        async with self._db.connection() as connection:
            return await self._positions(connection)

    async def handle(self, batch: Sequence[LoggedEvent]) -> None:
        """Apply effects, event ids and the new position in one transaction; repeating it changes nothing.

        Raises `EventFailed` when an effect failed and has attempts left: what came before is committed, the
        position stands in front of it.
        """
        failure: EventFailed | None = None
        async with self._db.transaction() as connection:
            await connection.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"subscriber {self.name}"
            )
            taken = {(p.topic, p.partition): p.offset for p in await self._positions(connection)}
            for logged in batch:
                place = (logged.position.topic, logged.position.partition)
                if logged.position.offset <= taken.get(place, -1):
                    continue
                failure = await self._take(connection, logged.event)
                if failure:
                    break
                taken[place] = logged.position.offset
            await self._keep(connection, [Position(*place, offset) for place, offset in taken.items()])
        if failure:
            raise failure

    async def advance(self, event_log: EventLog, *, limit: int = 100) -> int:
        """Read one batch from the log and handle it; the number of events read."""
        batch = await event_log.read(self.topics, await self.positions(), limit)
        if batch:
            await self.handle(batch)
        return len(batch)

    async def wait(self, event_log: EventLog, seconds: float) -> None:
        """Return when the log holds something new for this subscriber, or after `seconds`."""
        await event_log.wait(self.topics, seconds, after=await self.positions())

    async def forget(self, older_than: timedelta = REMEMBERED) -> int:
        """Drop event ids that can no longer come again; how many."""
        async with self._db.transaction() as connection:
            done = await connection.execute(
                "DELETE FROM subscription_event WHERE subscriber = $1 AND taken_at < now() - $2::interval",
                self.name,
                older_than,
            )
        return int(done.rpartition(" ")[2])

    async def _take(self, connection: asyncpg.Connection, event: Event) -> EventFailed | None:
        """The effect of one event, once; the failure when it is to be tried again."""
        try:
            async with connection.transaction():
                if await self._first_time(connection, event.id):
                    await self._apply(connection, event)
        except Unavailable:
            raise
        except Exception as error:
            if unreachable(error):
                raise
            return await self._failure(connection, event, error)
        self._failed.pop(event.id, None)
        return None

    async def _failure(
        self, connection: asyncpg.Connection, event: Event, error: Exception
    ) -> EventFailed | None:
        attempts = self._failed[event.id] = self._failed.get(event.id, 0) + 1
        reason = type(error).__name__ + (f": {error.code}" if isinstance(error, MedsearchError) else "")
        details = {
            "subscriber": self.name,
            "type": event.type.value,
            "event_id": str(event.id),
            "reason": reason,
        }
        if attempts < self._attempts:
            log.warning("event_failed", attempt=attempts, **details)
            return EventFailed(f"An event could not be taken by {self.name} ({reason}).", retry_after=1)
        await connection.execute(
            """
            INSERT INTO dead_letter (subscriber, event_id, body, reason, attempts) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT DO NOTHING
            """,
            self.name,
            event.id,
            event.to_cloudevent(),
            reason,
            attempts,
        )
        del self._failed[event.id]
        self.dead += 1
        log.error("event_dead", attempts=attempts, **details)
        return None

    async def _first_time(self, connection: asyncpg.Connection, event_id: UUID) -> bool:
        done = await connection.execute(
            "INSERT INTO subscription_event (subscriber, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            self.name,
            event_id,
        )
        return bool(done == "INSERT 0 1")

    async def _positions(self, connection: asyncpg.Connection) -> list[Position]:
        rows = await connection.fetch(
            'SELECT topic, partition, "offset" FROM subscription_position WHERE subscriber = $1', self.name
        )
        return [Position(Topic(row["topic"]), row["partition"], row["offset"]) for row in rows]

    async def _keep(self, connection: asyncpg.Connection, positions: Sequence[Position]) -> None:
        await connection.executemany(
            """
            INSERT INTO subscription_position (subscriber, topic, partition, "offset") VALUES ($1, $2, $3, $4)
            ON CONFLICT (subscriber, topic, partition) DO UPDATE SET "offset" = excluded."offset"
            """,
            [
                (self.name, position.topic.value, position.partition, position.offset)
                for position in positions
            ],
        )
