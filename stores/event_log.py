"""The event log in Postgres: one partition a topic, offsets that rise through all topics.

Offsets are given under an advisory lock that lasts until the commit, so events become visible in the order of
their offsets: a reader that has seen one will never be shown a smaller one later.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta

from config.secrets import SecretStore
from config.settings import Settings
from domain.events import Event, LoggedEvent, Position, Topic
from stores.listening import Listener
from stores.postgres import Postgres

CHANNEL = "event_log"
LOCK = 7_305_128_402
PARTITION = 0
LAST = 2**63 - 1
"""No event has a higher offset."""

FORGOTTEN_AT_ONCE = 10_000


class PostgresEventLog:
    """`stores.ports.EventLog` on `event_db`."""

    def __init__(self, db: Postgres, listener: Listener) -> None:
        self._db = db
        self._listener = listener

    @classmethod
    def of(cls, settings: Settings, secrets: SecretStore) -> PostgresEventLog:
        db = Postgres.of(settings, secrets, "event")
        return cls(db, Listener(db.target, secrets, CHANNEL))

    async def append(self, events: Sequence[Event]) -> None:
        """Add events in the given order; one that is already there (same id) is not added again."""
        if not events:
            return
        async with self._db.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            await connection.execute(
                """
                INSERT INTO event ("offset", topic, id, body)
                SELECT last."offset" + row_number() OVER (ORDER BY place), given.topic, given.id, given.body
                FROM (SELECT coalesce(max("offset"), 0) AS "offset" FROM event) last, (
                    SELECT DISTINCT ON (id) *
                    FROM unnest($1::text[], $2::uuid[], $3::jsonb[]) WITH ORDINALITY
                        AS row (topic, id, body, place)
                    ORDER BY id, place
                ) given
                WHERE NOT EXISTS (SELECT 1 FROM event WHERE event.id = given.id)
                """,
                [event.topic.value for event in events],
                [event.id for event in events],
                [event.to_cloudevent() for event in events],
            )
            await connection.execute(f"NOTIFY {CHANNEL}")

    async def read(self, topics: Sequence[Topic], after: Sequence[Position], limit: int) -> list[LoggedEvent]:
        """At most `limit` events behind the given positions, in the order of their offsets."""
        async with self._db.connection() as connection:
            rows = await connection.fetch(
                """
                SELECT event.topic, event."offset", event.body
                FROM unnest($1::text[], $2::bigint[]) AS wanted (topic, position)
                CROSS JOIN LATERAL (
                    SELECT * FROM event WHERE event.topic = wanted.topic AND event."offset" > wanted.position
                    ORDER BY event."offset" LIMIT $3
                ) event
                ORDER BY event."offset" LIMIT $3
                """,
                *_bounds(topics, after),
                limit,
            )
        return [
            LoggedEvent(
                Event.from_cloudevent(row["body"]), Position(Topic(row["topic"]), PARTITION, row["offset"])
            )
            for row in rows
        ]

    async def wait(
        self, topics: Sequence[Topic], seconds: float, *, after: Sequence[Position] | None = None
    ) -> None:
        """Return when something is behind `after` (None: when something is appended), or after `seconds`."""
        if after is None:
            await self._listener.wait(seconds)
            return
        deadline = time.monotonic() + seconds
        heard = self._listener.count
        while not await self._behind(topics, after) and (left := deadline - time.monotonic()) > 0:
            heard = await self._listener.wait(left, since=heard)

    async def head(self) -> list[Position]:
        """The last position of each topic that has one."""
        async with self._db.connection() as connection:
            rows = await connection.fetch(
                """
                SELECT topic.topic, event."offset"
                FROM unnest($1::text[]) AS topic
                CROSS JOIN LATERAL (
                    SELECT "offset" FROM event WHERE event.topic = topic.topic ORDER BY "offset" DESC LIMIT 1
                ) event
                ORDER BY topic.topic
                """,
                [topic.value for topic in Topic],
            )
        return [Position(Topic(row["topic"]), PARTITION, row["offset"]) for row in rows]

    async def forget(self, taken: Sequence[Position], older_than: timedelta) -> int:
        """Drop old events that were taken, some at a time. The last one stays, so that offsets go on rising."""
        async with self._db.connection() as connection:
            end = await connection.fetchval(
                """
                SELECT coalesce(
                    (SELECT min("offset") FROM event WHERE appended_at >= now() - $1::interval),
                    (SELECT max("offset") FROM event)
                )
                """,
                older_than,
            )
        bounds = dict.fromkeys(Topic, LAST) | {position.topic: position.offset for position in taken}
        dropped = FORGOTTEN_AT_ONCE
        total = 0
        while dropped == FORGOTTEN_AT_ONCE:
            dropped = await self._drop(bounds, end)
            total += dropped
        return total

    async def close(self) -> None:
        await self._listener.close()
        await self._db.close()

    async def _drop(self, bounds: Mapping[Topic, int], end: int | None) -> int:
        async with self._db.transaction() as connection:
            done: str = await connection.execute(
                """
                DELETE FROM event WHERE "offset" = ANY (ARRAY(
                    SELECT event."offset" FROM event
                    JOIN unnest($1::text[], $2::bigint[]) AS taken (topic, position) USING (topic)
                    WHERE event."offset" <= taken.position AND event."offset" < $3
                    ORDER BY event."offset" LIMIT $4
                ))
                """,
                [topic.value for topic in bounds],
                list(bounds.values()),
                end,
                FORGOTTEN_AT_ONCE,
            )
        return int(done.rpartition(" ")[2])

    async def _behind(self, topics: Sequence[Topic], after: Sequence[Position]) -> bool:
        async with self._db.connection() as connection:
            found = await connection.fetchval(
                """
                SELECT EXISTS (
                    SELECT 1 FROM unnest($1::text[], $2::bigint[]) AS wanted (topic, position)
                    JOIN event ON event.topic = wanted.topic AND event."offset" > wanted.position
                )
                """,
                *_bounds(topics, after),
            )
        return bool(found)


def _bounds(topics: Sequence[Topic], after: Sequence[Position]) -> tuple[list[str], list[int]]:
    """Each topic with the offset behind which to read."""
    known = {position.topic: position.offset for position in after}
    return [topic.value for topic in topics], [known.get(topic, 0) for topic in topics]
